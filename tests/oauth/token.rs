//! `POST /oauth/token`: the tokens that clients get.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use waxseal::id::KeyId;
use waxseal::key::{Algorithm, Format};
use waxseal::random::OsRandom;
use waxseal::revocation::Reason;
use waxseal::revocation::log::{RevocationLog, Revoke};
use waxseal::store::mark::MarkFile;
use waxseal::store::sql::SqlStore;
use waxseal::time::{Clock, Timestamp};

use super::common::{ISSUER, START, TestServer};
use super::fixture::{
    access_token, add_client, add_keyed_client, ask, assertion, assertion_claims, basic, claims,
    form, jwt_header, present, refused, send, token,
};

const ORDERS: &str = "https://orders.example";
const STOCK: &str = "https://stock.example";

async fn server_of(format: Format) -> TestServer {
    TestServer::with(|settings| {
        settings.format = format;
        settings.accepts = vec![format];
    })
    .await
}

#[tokio::test]
async fn a_client_gets_a_token_by_its_secret_in_both_formats() {
    for format in Format::ALL {
        let server = server_of(format).await;
        let client = add_client(&server, "billing", "orders:read stock:read", &[]).await;
        let answer = ask(&server, &client, &[]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["pragma"], "no-cache");
        assert!(!answer.headers.contains_key("set-cookie"));
        let json = answer.json();
        assert_eq!(json["token_type"], "Bearer");
        assert_eq!(json["expires_in"], 300);
        assert_eq!(json["scope"], "orders:read stock:read");
        assert_eq!(json.as_object().unwrap().len(), 4);

        // RFC 9068, section 2.2, without any session claim.
        let token = access_token(&answer);
        let claims = claims(&token);
        let date = |secs| match format {
            Format::Jwt => json!(secs),
            Format::Paseto => json!(Timestamp::from_secs(secs)),
        };
        let id = client.id.to_string();
        let expected = json!({
            "iss": ISSUER, "sub": id, "client_id": id, "aud": ISSUER,
            "iat": date(START.secs()), "exp": date(START.secs() + 300),
            "jti": claims["jti"], "scope": "orders:read stock:read",
        });
        assert_eq!(claims, expected);
        if format == Format::Jwt {
            assert_eq!(jwt_header(&token)["typ"], "at+jwt");
        }
        assert_eq!(server.verify(&token).await, 200);
        let again = super::fixture::token(&server, &client).await;
        assert_ne!(super::fixture::claims(&again)["jti"], claims["jti"]);

        // The token expires like any other, and is refused a leeway later.
        server.pass(Duration::from_secs(304)).await;
        assert_eq!(server.verify(&token).await, 200);
        server.pass(Duration::from_secs(1)).await;
        assert_eq!(server.verify(&token).await, 401);
    }
}

#[tokio::test]
async fn a_client_gets_a_token_by_an_assertion_in_both_formats() {
    for format in Format::ALL {
        for (algorithm, alg) in [
            (Algorithm::EdDsa, "EdDSA"),
            (Algorithm::EdDsa, "Ed25519"),
            (Algorithm::Es256, "ES256"),
        ] {
            let server = server_of(format).await;
            let (id, key) = add_keyed_client(&server, "billing", algorithm).await;
            let signed = assertion(&key, alg, &assertion_claims(&server, id, "a"));
            let answer = present(&server, &signed, &[]).await;
            let token = access_token(&answer);
            assert_eq!(claims(&token)["sub"], id.to_string(), "{alg}");
            assert_eq!(server.verify(&token).await, 200);
            // The client's ID may accompany the assertion.
            let signed = assertion(&key, alg, &assertion_claims(&server, id, "b"));
            let beside = id.to_string();
            let answer = present(&server, &signed, &[("client_id", &beside)]).await;
            access_token(&answer);
        }
    }
}

#[tokio::test]
async fn a_token_lives_as_long_as_the_setting_says() {
    let server = TestServer::with(|settings| {
        settings.client_token_lifetime = Duration::from_secs(7);
    })
    .await;
    let client = add_client(&server, "billing", "", &[]).await;
    let answer = ask(&server, &client, &[]).await;
    assert_eq!(answer.json()["expires_in"], 7);
    let claims = claims(&access_token(&answer));
    let span = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(span, 7);
}

#[tokio::test]
async fn a_token_never_has_more_scopes_than_its_client() {
    let server = TestServer::new().await;
    let client = add_client(&server, "billing", "orders:read orders:write", &[]).await;
    for (asked, granted) in [
        ("", "orders:read orders:write"),
        ("orders:read", "orders:read"),
        ("orders:write orders:read", "orders:read orders:write"),
        ("orders:read orders:read", "orders:read"),
    ] {
        let answer = ask(&server, &client, &[("scope", asked)]).await;
        assert_eq!(answer.json()["scope"], granted, "{asked:?}");
        assert_eq!(claims(&access_token(&answer))["scope"], granted);
    }
    for asked in [
        "admin",
        "orders:read admin",
        "orders",
        "ORDERS:READ",
        "orders:read  orders:write",
        " orders:read",
        "orders:read\torders:write",
        "orders:read\"",
        "session",
        "revocations:read",
    ] {
        let answer = ask(&server, &client, &[("scope", asked)]).await;
        refused(asked, &answer, 400, "invalid_scope");
    }
}

#[tokio::test]
async fn a_client_without_scopes_gets_a_token_without_any() {
    let server = TestServer::new().await;
    let client = add_client(&server, "billing", "", &[]).await;
    let answer = ask(&server, &client, &[]).await;
    assert_eq!(answer.json().get("scope"), None);
    assert_eq!(claims(&access_token(&answer))["scope"], "");
    let answer = ask(&server, &client, &[("scope", "orders:read")]).await;
    refused("any scope", &answer, 400, "invalid_scope");
}

#[tokio::test]
async fn a_token_is_only_for_an_audience_of_its_client() {
    let server = TestServer::new().await;
    let client = add_client(&server, "billing", "orders:read", &[ORDERS, STOCK]).await;
    for (fields, audience) in [
        (vec![], ORDERS),
        (vec![("resource", ORDERS)], ORDERS),
        (vec![("resource", STOCK)], STOCK),
        (vec![("resource", "")], ORDERS),
    ] {
        let token = access_token(&ask(&server, &client, &fields).await);
        assert_eq!(claims(&token)["aud"], audience, "{fields:?}");
        // The token is not meant for this service.
        assert_eq!(server.verify(&token).await, 401);
    }
    for other in [
        ISSUER,
        "https://orders.example/",
        "https://orders.example#part",
        "HTTPS://orders.example",
        "https://orders.example https://stock.example",
        "*",
    ] {
        let answer = ask(&server, &client, &[("resource", other)]).await;
        refused(other, &answer, 400, "invalid_target");
    }
    // RFC 8707 allows the parameter twice; a token here has one audience.
    let two = [("resource", ORDERS), ("resource", STOCK)];
    let answer = ask(&server, &client, &two).await;
    refused("two resources", &answer, 400, "invalid_target");

    let client = add_client(&server, "embedded", "orders:read", &[]).await;
    let answer = ask(&server, &client, &[("resource", ISSUER)]).await;
    assert_eq!(claims(&access_token(&answer))["aud"], ISSUER);
    let answer = ask(&server, &client, &[("resource", ORDERS)]).await;
    refused("another's", &answer, 400, "invalid_target");
}

/// The feed belongs to this service, so a client with other audiences can get a token for it. That token gives access
/// to nothing else, here or elsewhere.
#[tokio::test]
async fn a_token_with_the_scope_of_the_feed_alone_is_for_the_feed_alone() {
    let server = TestServer::new().await;
    let scope = "orders:read revocations:read";
    let client = add_client(&server, "orders", scope, &[ORDERS]).await;
    let reads = ("scope", "revocations:read");
    let feed = format!("{ISSUER}/revocations");
    let reader = add_client(&server, "reader", "revocations:read", &[]).await;
    for client in [&client, &reader] {
        for fields in [
            vec![reads],
            vec![reads, ("resource", ISSUER)],
            vec![reads, ("resource", &feed)],
        ] {
            let token = access_token(&ask(&server, client, &fields).await);
            assert_eq!(claims(&token)["aud"], feed);
            assert_eq!(claims(&token)["scope"], "revocations:read");
            assert_eq!(server.get("/revocations", &token).await.status, 200);
            assert_eq!(server.verify(&token).await, 401);
        }
    }
    for fields in [
        vec![("resource", ISSUER)],
        vec![("resource", &*feed)],
        vec![("resource", ISSUER), ("scope", "orders:read")],
        vec![("resource", ISSUER), ("scope", scope)],
    ] {
        let answer = ask(&server, &client, &fields).await;
        refused("for more", &answer, 400, "invalid_target");
    }
    // A token for another audience carries the scope but gives access to nothing here.
    let token = token(&server, &client).await;
    assert_eq!(claims(&token)["aud"], ORDERS);
    assert_eq!(server.get("/revocations", &token).await.status, 401);
}

/// Another process revokes a key, and a reader learns it from the feed before this issuer has polled the log. What the
/// issuer signs from then on must be valid for that reader.
#[tokio::test]
async fn the_issuer_applies_a_revocation_before_its_feed_shows_it() {
    let server = TestServer::new().await;
    let client = add_client(&server, "orders", "revocations:read", &[]).await;
    let reader = token(&server, &client).await;
    let kid: KeyId = jwt_header(&reader)["kid"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let mark = MarkFile::new(
        &server.settings.mark_dir,
        Arc::clone(&server.clock) as _,
        Arc::new(OsRandom::new()),
    );
    let file = server.settings.data_dir.join("waxseal.db");
    let other = SqlStore::open(&file, Some(mark)).await.unwrap();
    let revoked = other.revoke(
        Revoke::Key(kid.clone()),
        Reason::Operator,
        server.clock.now(),
    );
    revoked.await.unwrap();

    let page = server.get("/revocations", &reader).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.json()["entries"].as_array().unwrap().len(), 1);
    let later = token(&server, &client).await;
    assert_ne!(jwt_header(&later)["kid"], kid.to_string());
}

#[tokio::test]
async fn unknown_parameters_are_ignored() {
    let server = TestServer::new().await;
    let client = add_client(&server, "billing", "orders:read", &[]).await;
    let fields = [
        ("audience", "https://elsewhere.example"),
        ("requested_token_type", "x"),
        ("redirect_uri", "https://elsewhere.example"),
    ];
    let token = access_token(&ask(&server, &client, &fields).await);
    assert_eq!(claims(&token)["aud"], ISSUER);
    // A media type may have a parameter, and is case-insensitive.
    let authorization = client.basic();
    let headers = [
        ("authorization", authorization.as_str()),
        (
            "content-type",
            "Application/X-WWW-Form-URLencoded; charset=UTF-8",
        ),
    ];
    let mut request = axum::http::Request::post("/oauth/token");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let body = axum::body::Body::from("grant_type=client_credentials");
    access_token(&server.send(request.body(body).unwrap()).await);
}

/// RFC 6749, section 2.3.1: both parts are form-encoded before they are joined.
#[tokio::test]
async fn id_and_secret_may_be_percent_encoded() {
    let server = TestServer::new().await;
    let client = add_client(&server, "billing", "orders:read", &[]).await;
    let encode = |text: &str| -> String { text.bytes().map(|b| format!("%{b:02x}")).collect() };
    let id = client.id.to_string();
    let grant = form(&[("grant_type", "client_credentials")]);
    for (id, secret) in [
        (encode(&id), client.secret.clone()),
        (id.clone(), encode(&client.secret)),
        (encode(&id), encode(&client.secret)),
        (id.replace('-', "%2D"), client.secret.replace('_', "%5F")),
    ] {
        let header = basic(&id, &secret);
        let answer = send(
            &server,
            "/oauth/token",
            &[("authorization", &header)],
            &grant,
        )
        .await;
        access_token(&answer);
    }
    // The name of the scheme is case-insensitive (RFC 9110, section 11.1).
    let header = client.basic().replace("Basic", "bASIC");
    let answer = send(
        &server,
        "/oauth/token",
        &[("authorization", &header)],
        &grant,
    )
    .await;
    access_token(&answer);
}

#[tokio::test]
async fn the_metadata_lists_the_endpoints_that_exist() {
    let server = TestServer::new().await;
    let request = axum::http::Request::get("/.well-known/oauth-authorization-server");
    let answer = server
        .send(request.body(axum::body::Body::empty()).unwrap())
        .await;
    assert_eq!(answer.status, 200);
    let json = answer.json();
    assert_eq!(json["issuer"], ISSUER);
    assert_eq!(json["grant_types_supported"], json!(["client_credentials"]));
    let client = add_client(&server, "billing", "", &[]).await;
    for endpoint in ["token", "revocation", "introspection"] {
        let url = json[format!("{endpoint}_endpoint")].as_str().unwrap();
        let path = url.strip_prefix(ISSUER).unwrap();
        let answer = super::fixture::send_as(&server, &client, path, &[]).await;
        refused(path, &answer, 400, "invalid_request");
        let methods = json!(["client_secret_basic", "private_key_jwt"]);
        assert_eq!(
            json[format!("{endpoint}_endpoint_auth_methods_supported")],
            methods
        );
        let algorithms = &json[format!("{endpoint}_endpoint_auth_signing_alg_values_supported")];
        assert_eq!(*algorithms, json!(["EdDSA", "Ed25519", "ES256"]));
    }
    let keys = json["jwks_uri"]
        .as_str()
        .unwrap()
        .strip_prefix(ISSUER)
        .unwrap();
    let request = axum::http::Request::get(keys)
        .body(axum::body::Body::empty())
        .unwrap();
    assert_eq!(server.send(request).await.status, 200);
}
