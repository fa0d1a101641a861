//! What `Verifier::ready` reports about an issuer that cannot be followed: the cause, for an app without a log.

use std::net::SocketAddr;
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

/// Repeats the call until the error contains `words`, with `Display` as with `Debug`: on a busy machine a call may end
/// before there is an answer.
async fn says(verifier: &Verifier, words: &[&str]) -> String {
    let mut said = String::new();
    for _ in 0..15 {
        let cause = verifier.ready().await.unwrap_err();
        said = cause.to_string();
        assert_eq!(format!("{cause:?}"), said);
        assert_eq!(format!("{cause:#?}"), said);
        if words.iter().all(|word| said.contains(word)) {
            return said;
        }
    }
    panic!("not all of {words:?} is in {said:?}")
}

async fn is_told(remote: Remote, words: &[&str]) -> String {
    says(&remote.start().unwrap(), words).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_scopes_and_names_that_are_wrong() {
    let liar = Liar::new().await;
    let (id, secret) = another_client(&liar, "good").await;
    let check = "check the client ID and the secret";
    let url = liar.url();

    let wrong = SecretString::from(SECRET);
    let words = [url, "401 invalid_client", check];
    let said = is_told(remote(&liar, ISSUER, &id, &wrong), &words).await;
    assert!(!said.contains(SECRET), "{said}");
    let said = is_told(remote(&liar, ISSUER, ID, &secret), &words).await;
    assert!(!said.contains(secret.expose_secret()), "{said}");

    let (other, its) = client_with(&liar, "other", "orders:read").await;
    let words = ["400 invalid_scope", "--scope revocations:read", url];
    is_told(remote(&liar, ISSUER, &other, &its), &words).await;

    let name = "https://other.example";
    let says_that = format!("says that it is {ISSUER:?}");
    let words = [&says_that, "expects \"https://other.example\"", url];
    is_told(remote(&liar, name, &id, &secret), &words).await;

    let ahead = liar.here.now().plus(Duration::from_secs(3600));
    let ahead = remote(&liar, ISSUER, &id, &secret).clock(Arc::new(ManualClock::at(ahead)));
    is_told(ahead, &["differ by more than the leeway", url]).await;

    liar.lie(|_| raw("<html>", None));
    let words = ["reading the feed", "check the address", url];
    is_told(remote(&liar, ISSUER, &id, &secret), &words).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_call_succeeds_after_the_cause_is_fixed() {
    let liar = Liar::new().await;
    let (id, secret) = another_client(&liar, "late").await;
    let clients = liar.server.waxseal.clients();
    let change = async |change| {
        let id = id.parse().unwrap();
        let at = liar.server.clock.now();
        clients.change_client(id, change, at).await.unwrap();
    };
    change(ClientChange::Disable).await;
    let verifier = remote(&liar, ISSUER, &id, &secret).start().unwrap();
    says(&verifier, &["401 invalid_client", "is enabled"]).await;
    assert!(!verifier.is_fresh());
    change(ClientChange::Enable).await;
    // An earlier question may be answered later.
    while verifier.ready().await.is_err() {}
    assert!(verifier.is_fresh());
    let token = liar.server.login("alice").await;
    verifier.verify(&token).unwrap();
}

/// Serves the router, and returns its address.
async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

fn anybody(url: &str) -> Remote {
    Verifier::remote(ISSUER, ID, SECRET).at(url)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_where_no_issuer_answers() {
    let other = serve(Router::new()).await;
    let words = ["404", "/oauth/token", "/auth", "check the address"];
    is_told(anybody(&format!("http://{other}/auth")), &words).await;

    let words = ["secure connection", "certificate"];
    is_told(anybody(&format!("https://{other}")), &words).await;

    let page = serve(Router::new().fallback(any("<html>welcome</html>"))).await;
    let words = ["does not answer as Waxseal does", "check the address"];
    is_told(anybody(&format!("http://{page}")), &words).await;

    let proxy = any((StatusCode::UNAUTHORIZED, "who are you?"));
    let proxy = serve(Router::new().fallback(proxy)).await;
    let words = ["401 no code", "credentials"];
    is_told(anybody(&format!("http://{proxy}")), &words).await;
}

/// These faults may be temporary, so each call takes four seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_is_down_or_silent_or_ill_at_the_start_and_comes_up_later() {
    let liar = Liar::new().await;
    let (id, secret) = another_client(&liar, "early").await;
    let down = format!("http://127.0.0.1:{}", ports::free());
    let late = remote(&liar, ISSUER, &id, &secret).at(&down).start();
    let late = late.unwrap();
    // The listener accepts connections, and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let patient = anybody(&silent).max_staleness(Duration::from_secs(3600));
    let ill = any(StatusCode::SERVICE_UNAVAILABLE);
    let ill = format!("http://{}", serve(Router::new().fallback(ill)).await);

    let check = "check the address, and that the issuer runs";
    let [refused, late_words, silence, illness] = [
        ["Connection refused", &down, check],
        ["request timed out", &silent, check],
        ["has not answered", &silent, check],
        ["503", &ill, "look at its log"],
    ];
    tokio::join!(
        says(&late, &refused),
        is_told(anybody(&silent), &late_words),
        is_told(patient, &silence),
        is_told(anybody(&ill), &illness),
    );

    let address = down.strip_prefix("http://").unwrap();
    let listener = TcpListener::bind(address).await.unwrap();
    let router = liar.server.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    while late.ready().await.is_err() {}
    assert!(late.is_fresh());
}
