//! Settings with which a remote verifier does not start, and the isolation of two verifiers.

use std::time::Duration;

use secrecy::SecretString;
use waxseal::Verifier;
use waxseal::account::client::{Client, SecretDigest};
use waxseal::id::ClientId;
use waxseal::random::OsRandom;
use waxseal::time::Clock;

use super::common::ISSUER;
use super::liar::Liar;

/// Adds another reader of the feed.
pub async fn another_client(liar: &Liar, name: &str) -> (String, SecretString) {
    client_with(liar, name, "revocations:read").await
}

/// Adds a client with these scopes.
pub async fn client_with(liar: &Liar, name: &str, scopes: &str) -> (String, SecretString) {
    let (secret, digest) = SecretDigest::make(&OsRandom::new());
    let now = liar.server.clock.now();
    let id = ClientId::new(now, &OsRandom::new());
    let mut client = Client::new(id, name.parse().unwrap(), now);
    client.scopes = scopes.parse().unwrap();
    client.secrets = vec![digest];
    assert!(
        liar.server
            .waxseal
            .clients()
            .add_client(client)
            .await
            .unwrap()
    );
    (id.to_string(), secret)
}

#[tokio::test]
async fn wrong_settings_are_refused_with_a_reason() {
    let id = "client-01a212f4-dbf0-7fd0-9323-607240c04d87";
    let refused = |remote: waxseal::remote::Remote| remote.start().unwrap_err().to_string();
    for (url, why) in [
        ("", "https:// URL"),
        ("auth.example", "https:// URL"),
        ("ftp://auth.example", "https:// URL"),
        ("/auth", "https:// URL"),
        ("http://auth.example", "in the clear"),
        ("http://10.0.0.5:8080", "in the clear"),
        ("http://localhost.example", "in the clear"),
        ("http://127.0.0.1@auth.example", "https:// URL"),
        ("https://user:hunter2@auth.example", "https:// URL"),
        ("https://auth.example?query", "https:// URL"),
        ("https://auth.example#fragment", "https:// URL"),
    ] {
        let remote = Verifier::remote(ISSUER, id, "secret").at(url);
        let said = refused(remote);
        assert!(said.contains(why), "{url}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    let remote = || Verifier::remote(ISSUER, id, "secret");
    assert!(refused(Verifier::remote(ISSUER, "orders", "secret")).contains("client ID"));
    assert!(refused(remote().max_staleness(Duration::from_millis(999))).contains("max_staleness"));
    assert!(refused(remote().max_staleness(Duration::MAX)).contains("max_staleness"));
    assert!(refused(remote().leeway(Duration::from_secs(61))).contains("leeway"));
    assert!(refused(remote().audience("")).contains("audience"));
    for url in [
        "https://auth.example/",
        "http://localhost:1",
        "http://127.0.0.1:1",
        "http://[::1]:1",
    ] {
        let verifier = remote().at(url).start().unwrap();
        assert!(!verifier.is_fresh(), "{url}");
    }
    let shown = format!("{:?}", Verifier::remote(ISSUER, id, "wxs_the-secret"));
    assert!(!shown.contains("the-secret"), "{shown}");
}

#[tokio::test]
async fn a_remote_verifier_stops_with_its_last_handle() {
    let liar = Liar::new().await;
    let (id, secret) = another_client(&liar, "brief").await;
    let verifier = Verifier::remote(ISSUER, &id, secret)
        .at(liar.url())
        .clock(std::sync::Arc::clone(&liar.here) as _)
        .start()
        .unwrap();
    super::service::until("it is fresh", async || verifier.is_fresh()).await;
    let before = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    drop(verifier);
    let fewer = async || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
            < before
    };
    super::service::until("its task ends", fewer).await;
}
