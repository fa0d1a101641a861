//! What `Verifier::ready` says of an issuer that cannot be followed: the cause, without a log to read it in.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;
use waxseal::Verifier;
use waxseal::account::client::ClientChange;
use waxseal::remote::Remote;
use waxseal::time::{Clock, ManualClock};

use super::common::{ISSUER, ports};
use super::liar::{Liar, raw};
use super::settings::{another_client, client_with};

const ID: &str = "client-01a212f4-dbf0-7fd0-9323-607240c04d87";
const SECRET: &str = "wxs_this-is-the-secret";

/// A verifier with the clock of the issuer.
fn remote(liar: &Liar, issuer: &str, id: &str, secret: &SecretString) -> Remote {
    Verifier::remote(issuer, id, secret.clone())
        .at(liar.url())
        .clock(Arc::clone(&liar.here) as _)
}

/// What is said of it, which is the same with `Display` and `Debug`.
async fn said(remote: Remote) -> String {
    let cause = remote.start().unwrap().ready().await.unwrap_err();
    let said = cause.to_string();
    assert_eq!(format!("{cause:?}"), said);
    assert_eq!(format!("{cause:#?}"), said);
    said
}

#[track_caller]
fn has(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "{word:?} is missing in {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_scopes_and_names_that_are_wrong() {
    let liar = Liar::new().await;
    let (id, secret) = another_client(&liar, "good").await;
    let check = "check the client ID and the secret";
    let url = liar.url();

    let wrong = SecretString::from(SECRET);
    let told = said(remote(&liar, ISSUER, &id, &wrong)).await;
    has(&told, &[url, "401 invalid_client", check]);
    assert!(!told.contains(SECRET), "{told}");

    let told = said(remote(&liar, ISSUER, ID, &secret)).await;
    has(&told, &[url, "401 invalid_client", check]);
    assert!(!told.contains(secret.expose_secret()), "{told}");

    let (other, its) = client_with(&liar, "other", "orders:read").await;
    let told = said(remote(&liar, ISSUER, &other, &its)).await;
    has(
        &told,
        &["400 invalid_scope", "--scope revocations:read", url],
    );

    let name = "https://other.example";
    let told = said(remote(&liar, name, &id, &secret)).await;
    let expects = format!("expects {name:?}");
    has(
        &told,
        &[&format!("says that it is {ISSUER:?}"), &expects, url],
    );

    let ahead = liar.here.now().plus(Duration::from_secs(3600));
    let clock = Arc::new(ManualClock::at(ahead));
    let told = said(remote(&liar, ISSUER, &id, &secret).clock(clock)).await;
    has(&told, &["differ by more than the leeway", url]);

    liar.lie(|_| raw("<html>", None));
    let told = said(remote(&liar, ISSUER, &id, &secret)).await;
    has(&told, &["reading the feed", "check the address"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_wrong_and_is_mended_is_found_good_by_a_later_call() {
    let liar = Liar::new().await;
    let (id, secret) = another_client(&liar, "late").await;
    let clients = liar.house.waxseal.clients();
    let change = async |change| {
        let id = id.parse().unwrap();
        let at = liar.house.clock.now();
        clients.change_client(id, change, at).await.unwrap();
    };
    change(ClientChange::Disable).await;
    let verifier = remote(&liar, ISSUER, &id, &secret).start().unwrap();
    let cause = verifier.ready().await.unwrap_err();
    has(&cause.to_string(), &["401 invalid_client", "is enabled"]);
    assert!(!verifier.is_fresh());
    change(ClientChange::Enable).await;
    // A question that was asked before may be answered after.
    while verifier.ready().await.is_err() {}
    assert!(verifier.is_fresh());
    let token = liar.house.login("alice").await;
    verifier.verify(&token).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_where_no_issuer_answers() {
    let serve = async |router: Router| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        address
    };
    let at = |url: &str| said(Verifier::remote(ISSUER, ID, SECRET).at(url));

    let other = serve(Router::new()).await;
    let told = at(&format!("http://{other}/auth")).await;
    has(
        &told,
        &["404", "/oauth/token", "/auth", "check the address"],
    );

    let told = at(&format!("https://{other}")).await;
    has(&told, &["secure connection", "certificate"]);

    let page = serve(Router::new().fallback(any("<html>welcome</html>"))).await;
    let told = at(&format!("http://{page}")).await;
    has(
        &told,
        &["does not answer as Waxseal does", "check the address"],
    );

    let proxy = any((StatusCode::UNAUTHORIZED, "who are you?"));
    let proxy = serve(Router::new().fallback(proxy)).await;
    let told = at(&format!("http://{proxy}")).await;
    has(&told, &["401 no code", "credentials"]);
}

/// These may pass, and so each call takes four seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_is_down_or_silent_or_ill_at_the_start_and_comes_up_later() {
    let liar = Liar::new().await;
    let (id, secret) = another_client(&liar, "early").await;
    let port = ports::free();
    let down = remote(&liar, ISSUER, &id, &secret).at(&format!("http://127.0.0.1:{port}"));
    let down = down.start().unwrap();

    // It takes connections, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let silent_for_long = Verifier::remote(ISSUER, ID, SECRET).at(&url);
    let silent_for_long = silent_for_long.max_staleness(Duration::from_secs(3600));

    let ill = any(StatusCode::SERVICE_UNAVAILABLE);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ill_url = format!("http://{}", listener.local_addr().unwrap());
    let ill = axum::serve(listener, Router::new().fallback(ill)).into_future();
    tokio::spawn(ill);

    let (refused, silent, silent_for_long, ill) = tokio::join!(
        down.ready(),
        said(Verifier::remote(ISSUER, ID, SECRET).at(&url)),
        said(silent_for_long),
        said(Verifier::remote(ISSUER, ID, SECRET).at(&ill_url)),
    );
    let refused = refused.unwrap_err().to_string();
    let check = "check the address, and that the issuer runs";
    let port_text = format!("http://127.0.0.1:{port} ");
    has(&refused, &["Connection refused", &port_text, check]);
    has(&silent, &["no whole answer within", &url, check]);
    has(&silent_for_long, &["has not answered", &url, check]);
    has(&ill, &["503", &ill_url, "look at its log"]);

    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let router = liar.house.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    down.ready().await.unwrap();
    assert!(down.is_fresh());
}
