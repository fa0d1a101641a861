//! A service with clients, and the requests that they send.

use std::fmt::Write;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use waxseal::account::client::{Changed, Client, ClientChange, ClientKeys, SecretDigest};
use waxseal::id::ClientId;
use waxseal::key::Algorithm;
use waxseal::random::{OsRandom, SeededRandom};
use waxseal::time::Clock;

use super::common::{Answer, ISSUER, TestServer};
use super::forger::{Forger, decode, encode, header_and_claims};

/// The required value of `client_assertion_type` (RFC 7523, section 2.2).
pub const BEARER_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A client, with its secret if it has one.
#[derive(Clone, Debug)]
pub struct Service {
    pub id: ClientId,
    pub secret: String,
}

impl Service {
    /// The header that authenticates the client.
    pub fn basic(&self) -> String {
        basic(&self.id.to_string(), &self.secret)
    }
}

pub fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

/// Generates a client secret and the digest that the store keeps.
pub fn new_secret() -> (String, SecretDigest) {
    let (secret, digest) = SecretDigest::make(&OsRandom::new());
    (secret.expose_secret().to_owned(), digest)
}

pub fn digest(secret: &str) -> SecretDigest {
    SecretDigest::of(&SecretString::from(secret))
}

async fn add(server: &TestServer, name: &str, scope: &str, audiences: &[&str]) -> Client {
    let seed = name.bytes().map(u64::from).sum();
    let now = server.clock.now();
    let id = ClientId::new(now, &SeededRandom::new(seed));
    let mut client = Client::new(id, name.parse().unwrap(), now);
    client.scopes = scope.parse().unwrap();
    client.audiences = audiences.iter().map(|text| (*text).to_owned()).collect();
    client
}

/// Adds a client with a secret.
pub async fn add_client(
    server: &TestServer,
    name: &str,
    scope: &str,
    audiences: &[&str],
) -> Service {
    let (secret, digest) = new_secret();
    let mut client = add(server, name, scope, audiences).await;
    client.secrets = vec![digest];
    let id = client.id;
    assert!(server.waxseal.clients().add_client(client).await.unwrap());
    Service { id, secret }
}

/// Adds a client that signs assertions with a key of its own, and returns both.
pub async fn add_keyed_client(
    server: &TestServer,
    name: &str,
    algorithm: Algorithm,
) -> (ClientId, Forger) {
    let key = Forger::stranger(algorithm);
    let keys = jwk(&key, algorithm, "one").to_string();
    let mut client = add(server, name, "orders:read", &[]).await;
    client.keys = Some(ClientKeys::parse(&keys).unwrap());
    let id = client.id;
    assert!(server.waxseal.clients().add_client(client).await.unwrap());
    (id, key)
}

/// Returns the public key as a JWK.
pub fn jwk(key: &Forger, algorithm: Algorithm, kid: &str) -> Value {
    let public = key.public();
    match algorithm {
        Algorithm::Es256 => json!({
            "kty": "EC", "crv": "P-256", "kid": kid,
            "x": encode(&public[1..33]), "y": encode(&public[33..]),
        }),
        _ => json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": encode(public) }),
    }
}

/// Changes a client, and updates this node's list.
pub async fn change(server: &TestServer, client: ClientId, change: ClientChange) -> Changed {
    let at = server.clock.now();
    let clients = server.waxseal.clients();
    let changed = clients.change_client(client, change, at).await.unwrap();
    server.waxseal.catch_up().await.unwrap();
    changed
}

/// Encodes the fields as a form body.
pub fn form(fields: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        let separator = if text.is_empty() { "" } else { "&" };
        let value: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
        write!(text, "{separator}{name}={value}").unwrap();
    }
    text
}

/// Sends a form with these additional headers.
pub async fn send(server: &TestServer, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request =
        Request::post(path).header("content-type", "application/x-www-form-urlencoded");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    server
        .send(request.body(Body::from(body.to_owned())).unwrap())
        .await
}

/// Sends a form, authenticated as `client`.
pub async fn send_as(
    server: &TestServer,
    client: &Service,
    path: &str,
    fields: &[(&str, &str)],
) -> Answer {
    let authorization = client.basic();
    send(
        server,
        path,
        &[("authorization", &authorization)],
        &form(fields),
    )
    .await
}

/// Requests a token, with these fields in addition to the grant type.
pub async fn ask(server: &TestServer, client: &Service, fields: &[(&str, &str)]) -> Answer {
    let fields = [&[("grant_type", "client_credentials")][..], fields].concat();
    send_as(server, client, "/oauth/token", &fields).await
}

/// Requests a token and returns it.
pub async fn token(server: &TestServer, client: &Service) -> String {
    access_token(&ask(server, client, &[]).await)
}

/// Returns the token of a successful answer.
pub fn access_token(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

/// Returns the status and code of an OAuth error. Asserts that its JSON has OAuth's form.
pub fn error(answer: &Answer) -> (u16, String) {
    assert_eq!(
        answer.headers["content-type"], "application/json",
        "{answer:?}"
    );
    assert_eq!(answer.headers["cache-control"], "no-store", "{answer:?}");
    let json = answer.json();
    let names: Vec<_> = json.as_object().unwrap().keys().collect();
    assert_eq!(names, ["error", "error_description"], "{answer:?}");
    let code = json["error"].as_str().unwrap().to_owned();
    (answer.status.as_u16(), code)
}

/// Asserts that the answer is a refusal with this status and code.
pub fn refused(what: &str, answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        error(answer),
        (status, code.to_owned()),
        "{what}: {answer:?}"
    );
}

/// Returns a token's claims without checking the signature.
pub fn claims(token: &str) -> Value {
    let [_, claims] = header_and_claims(token);
    serde_json::from_slice(&claims).unwrap()
}

/// Returns the claims of a valid assertion with a lifetime of one minute.
pub fn assertion_claims(server: &TestServer, client: ClientId, jti: &str) -> Value {
    let now = server.clock.now().secs();
    json!({
        "iss": client.to_string(), "sub": client.to_string(), "aud": ISSUER,
        "iat": now, "exp": now + 60, "jti": jti,
    })
}

/// Signs an assertion with the `kid` that the tests' keys have.
pub fn assertion(key: &Forger, alg: &str, claims: &Value) -> String {
    key.seal(
        json!({ "alg": alg, "kid": "one" }).to_string(),
        claims.to_string(),
    )
}

/// Presents an assertion with these additional fields.
pub async fn present(server: &TestServer, assertion: &str, fields: &[(&str, &str)]) -> Answer {
    let fields = [
        &[
            ("grant_type", "client_credentials"),
            ("client_assertion_type", BEARER_ASSERTION),
            ("client_assertion", assertion),
        ][..],
        fields,
    ]
    .concat();
    send(server, "/oauth/token", &[], &form(&fields)).await
}

/// Returns the header of a JWT.
pub fn jwt_header(token: &str) -> Value {
    serde_json::from_slice(&decode(token.split('.').next().unwrap())).unwrap()
}
