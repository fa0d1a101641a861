//! Clients.

use waxseal::account::client::{
    BeginToken, Changed, Client, ClientChange, ClientKeys, Clients, PresentedAssertion,
    SecretDigest,
};
use waxseal::id::{ClientId, TokenId};
use waxseal::revocation::log::{LogReader, RevocationLog, Revoke};
use waxseal::revocation::{Reason, Target};
use waxseal::store::sql::SqlStore;

use super::fixture::START;
use super::fixture::{Fixture, HOUR};

on_both_engines! {
    a_client_is_added_once_and_found_as_it_was
    secrets_and_keys_are_exchanged
    a_token_is_refused_if_its_client_changed_meanwhile
    an_assertion_is_good_once
}

/// RFC 8037, appendix A.2.
const KEYS: &str = r#"{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fn client(fixture: &Fixture, name: &str) -> Client {
    let id = ClientId::new(START, &fixture.random());
    let mut client = Client::new(id, name.parse().unwrap(), START);
    client.scopes = "orders:read orders:write".parse().unwrap();
    client.audiences = ["https://a.example", "https://b.example"]
        .map(str::to_owned)
        .to_vec();
    client.secrets = vec![secret(1)];
    client
}

const fn secret(n: u8) -> SecretDigest {
    SecretDigest::from_store([n; 32])
}

async fn found(store: &SqlStore, id: ClientId) -> Client {
    store.start_client(id).await.unwrap().client.unwrap()
}

fn bytes(client: &Client) -> Vec<u8> {
    client
        .secrets
        .iter()
        .map(|secret| secret.bytes()[0])
        .collect()
}

async fn a_client_is_added_once_and_found_as_it_was(fixture: Fixture) {
    let store = fixture.node("a").await;
    let (orders, billing) = (client(&fixture, "orders"), client(&fixture, "billing"));
    assert!(store.add_client(orders.clone()).await.unwrap());
    assert!(store.add_client(billing).await.unwrap());
    assert!(!store.add_client(client(&fixture, "orders")).await.unwrap());
    let names = store.clients().await.unwrap();
    let names: Vec<_> = names.iter().map(|client| client.name.as_str()).collect();
    assert_eq!(names, ["billing", "orders"]);
    let named = store.client_named(&orders.name).await.unwrap().unwrap();
    for read in [named, found(&store, orders.id).await] {
        assert_eq!((read.id, read.created_at), (orders.id, START));
        assert_eq!(read.scopes.to_string(), orders.scopes.to_string());
        assert_eq!(
            (read.audiences.clone(), read.enabled),
            (orders.audiences.clone(), true)
        );
        assert_eq!((bytes(&read), read.keys.is_none()), (vec![1], true));
    }
    let nobody = ClientId::new(START, &fixture.random());
    assert!(store.start_client(nobody).await.unwrap().client.is_none());
    assert!(
        store
            .client_named(&"x".parse().unwrap())
            .await
            .unwrap()
            .is_none()
    );
}

async fn secrets_and_keys_are_exchanged(fixture: Fixture) {
    let store = fixture.node("a").await;
    let orders = client(&fixture, "orders");
    let id = orders.id;
    store.add_client(orders).await.unwrap();
    let change = async |change| store.change_client(id, change, START).await.unwrap();
    let keys = ClientKeys::parse(KEYS).unwrap();
    let mut version = store.start_client(id).await.unwrap().version;
    for (wanted, secrets, with_keys) in [
        (ClientChange::AddSecret(secret(2)), vec![2, 1], false),
        (ClientChange::AddSecret(secret(3)), vec![3, 2], false),
        (ClientChange::FinishRotation, vec![3], false),
        (ClientChange::Keys(keys), vec![3], true),
    ] {
        assert_eq!(change(wanted).await, Changed::Done);
        let start = store.start_client(id).await.unwrap();
        let read = start.client.unwrap();
        assert_eq!((bytes(&read), read.keys.is_some()), (secrets, with_keys));
        assert!(start.version > version);
        version = start.version;
    }
    assert_eq!(found(&store, id).await.keys.unwrap().json(), KEYS);
    assert_eq!(store.read(0, 1).await.unwrap().head.cursor.seq, 0);
}

async fn a_token_is_refused_if_its_client_changed_meanwhile(fixture: Fixture) {
    let store = fixture.node("a").await;
    let orders = client(&fixture, "orders");
    let id = orders.id;
    store.add_client(orders).await.unwrap();
    let change = async |change| store.change_client(id, change, START).await.unwrap();
    let begin = async |at| {
        let start = store.start_client(id).await.unwrap();
        BeginToken {
            client: id,
            version: start.version,
            everything_version: start.everything_version,
            token: TokenId::new(at, &fixture.random()),
        }
    };
    let ahead = begin(START.plus(HOUR)).await;
    assert!(store.begin_token(ahead).await.unwrap());
    let head = store.read(0, 1).await.unwrap().head;
    assert_eq!(head.newest_lineage, ahead.token.created_at());
    let late = begin(START.plus(2 * HOUR)).await;
    assert_eq!(change(ClientChange::EndTokens).await, Changed::Revoked(1));
    assert!(!store.begin_token(late).await.unwrap());
    // A token from a clock that was ahead is ended, and no later token begins before the cut-off.
    let entry = store.read(0, 1).await.unwrap().entries.remove(0).revocation;
    let from = ahead.token.created_at().millis() + 1;
    assert_eq!((entry.target, entry.from), (Target::Client(id), from));
    assert_eq!(store.start_client(id).await.unwrap().first_time, from);
    let before = begin(START).await;
    assert!(!store.begin_token(before).await.unwrap());
    let mut after = START.plus(2 * HOUR);
    for (wanted, then) in [
        (ClientChange::AddSecret(secret(2)), Changed::Done),
        (ClientChange::Disable, Changed::Revoked(2)),
        (ClientChange::Enable, Changed::Done),
    ] {
        let late = begin(after).await;
        assert_eq!(change(wanted).await, then);
        assert!(!store.begin_token(late).await.unwrap());
        after = after.plus(HOUR);
        let enabled = found(&store, id).await.enabled;
        let now = begin(after).await;
        assert_eq!(store.begin_token(now).await.unwrap(), enabled);
    }
    let late = begin(after.plus(HOUR)).await;
    store
        .revoke(Revoke::Everything, Reason::Operator, START)
        .await
        .unwrap();
    assert!(!store.begin_token(late).await.unwrap());
    let late = begin(after.plus(2 * HOUR)).await;
    assert_eq!(change(ClientChange::Delete).await, Changed::Revoked(4));
    assert!(!store.begin_token(late).await.unwrap());
    assert_eq!(change(ClientChange::Enable).await, Changed::Unknown);
}

async fn an_assertion_is_good_once(fixture: Fixture) {
    let (store, other) = (fixture.node("a").await, fixture.node("b").await);
    let assertion = |n: u8, after| PresentedAssertion {
        digest: [n; 32],
        expires_at: START.plus(after),
    };
    assert!(store.present(assertion(1, HOUR)).await.unwrap());
    assert!(!other.present(assertion(1, 2 * HOUR)).await.unwrap());
    assert!(other.present(assertion(2, 2 * HOUR)).await.unwrap());
    store.forget_assertions(START.plus(HOUR)).await.unwrap();
    assert!(
        store.present(assertion(1, HOUR)).await.unwrap(),
        "it was forgotten"
    );
    assert!(
        !store.present(assertion(2, HOUR)).await.unwrap(),
        "it was not"
    );
}
