//! `POST /oauth/introspect` (RFC 7662).

use std::time::Duration;

use axum::http::HeaderMap;
use serde_json::json;
use waxseal::account::client::ClientChange;
use waxseal::key::{Algorithm, Format};

use super::common::{Answer, ISSUER, START, TestServer};
use super::fixture::{Service, add_client, change, claims, refused, send_as, token};
use super::forger::{Forger, header_and_claims};

async fn ask_about(server: &TestServer, client: &Service, token: &str) -> Answer {
    send_as(server, client, "/oauth/introspect", &[("token", token)]).await
}

#[tokio::test]
async fn a_client_is_told_about_its_own_token_in_both_formats() {
    for format in Format::ALL {
        let server = TestServer::with(|settings| {
            settings.format = format;
            settings.accepts = vec![format];
        })
        .await;
        for (name, scope, audiences) in [
            ("billing", "orders:read stock:read", &[][..]),
            // Whatever the token's audience.
            ("stock", "stock:read", &["https://orders.example"]),
        ] {
            let client = add_client(&server, name, scope, audiences).await;
            let token = token(&server, &client).await;
            let answer = ask_about(&server, &client, &token).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.headers["content-type"], "application/json");
            assert_eq!(answer.headers["cache-control"], "no-store");
            let expected = json!({
                "active": true, "token_type": "Bearer", "iss": ISSUER,
                "sub": client.id.to_string(), "client_id": client.id.to_string(),
                "aud": audiences.first().unwrap_or(&ISSUER), "scope": scope,
                "iat": START.secs(), "exp": START.secs() + 300, "jti": claims(&token)["jti"],
            });
            assert_eq!(answer.json(), expected);
        }
    }
}

#[tokio::test]
async fn any_client_can_introspect_a_session_token() {
    let server = TestServer::new().await;
    let alice = server.add_user("alice").await;
    let client = add_client(&server, "billing", "", &[]).await;
    let session = server.login("alice").await;
    let said = claims(&session);
    let json = ask_about(&server, &client, &session).await.json();
    let expected = json!({
        "active": true, "token_type": "Bearer", "iss": ISSUER, "aud": ISSUER,
        "sub": alice.to_string(), "client_id": "waxseal", "scope": "session",
        "iat": said["iat"], "exp": said["exp"], "jti": said["jti"],
        "sid": said["sid"], "auth_time": said["auth_time"],
    });
    assert_eq!(json, expected);
    assert_eq!(server.verify(&session).await, 200, "asking changes nothing");
}

#[tokio::test]
async fn introspecting_another_clients_token_requires_a_scope() {
    let server = TestServer::new().await;
    let client = add_client(&server, "billing", "orders:read", &[]).await;
    let stranger = add_client(&server, "stranger", "tokens revocations:read", &[]).await;
    let gateway = add_client(&server, "gateway", "tokens:introspect", &[]).await;
    let token = token(&server, &client).await;
    let answer = ask_about(&server, &stranger, &token).await;
    assert_eq!(answer.json(), json!({ "active": false }));
    let answer = ask_about(&server, &gateway, &token).await;
    assert_eq!(answer.json()["sub"], client.id.to_string());
    change(&server, gateway.id, ClientChange::Disable).await;
    let answer = ask_about(&server, &gateway, &token).await;
    refused("disabled", &answer, 401, "invalid_client");
}

/// Returns the headers, which must reveal no more than the body does.
fn telling(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in ["x-request-id", "date"] {
        headers.remove(name);
    }
    headers
}

#[tokio::test]
async fn invalid_and_foreign_tokens_get_identical_answers() {
    let server = TestServer::new().await;
    server.add_user("alice").await;
    let client = add_client(&server, "billing", "orders:read", &[]).await;
    let other = add_client(&server, "other", "", &[]).await;
    let expired = token(&server, &client).await;
    let idle = server.login("alice").await;
    server.pass(Duration::from_secs(16 * 60)).await;
    let revoked = token(&server, &client).await;
    let answer = send_as(&server, &client, "/oauth/revoke", &[("token", &revoked)]).await;
    assert_eq!(answer.status, 200);
    let logged_out = server.login("alice").await;
    assert_eq!(
        server.post("/logout", Some(&logged_out), None).await.status,
        204
    );
    let cut_off = token(&server, &client).await;
    change(&server, client.id, ClientChange::EndTokens).await;
    let others = token(&server, &other).await;
    let live = token(&server, &client).await;
    let [header, payload] = header_and_claims(&live);
    let forged = Forger::stranger(Algorithm::EdDsa).seal(&header, &payload);
    let long = "x".repeat(9000);

    let mut first: Option<Answer> = None;
    for (what, token) in [
        ("a word", "x"),
        ("dots", "..."),
        ("too long", long.as_str()),
        ("half a token", &live[..live.len() / 2]),
        ("a header alone", live.split('.').next().unwrap()),
        ("a forgery", &forged),
        ("a PASETO", "v4.public.AAAA.AAAA"),
        ("expired", &expired),
        ("idle for too long", &idle),
        ("revoked", &revoked),
        ("cut off", &cut_off),
        ("logged out", &logged_out),
        ("another client's", &others),
    ] {
        let answer = ask_about(&server, &client, token).await;
        assert_eq!(answer.status, 200, "{what}");
        assert_eq!(answer.body, br#"{"active":false}"#, "{what}");
        let headers = telling(&answer.headers);
        let first = first.get_or_insert(answer);
        assert_eq!(headers, telling(&first.headers), "{what}");
    }
    assert_eq!(
        ask_about(&server, &client, &live).await.json()["active"],
        true
    );
}

#[tokio::test]
async fn a_superseded_token_is_not_active() {
    let server = TestServer::new().await;
    server.add_user("alice").await;
    let client = add_client(&server, "billing", "", &[]).await;
    let mut session = server.login("alice").await;
    let mut before = session.clone();
    for minutes in [14, 14, 3] {
        server.pass(Duration::from_secs(minutes * 60)).await;
        let answer = server.post("/session/renew", Some(&session), None).await;
        before = session;
        session = answer.json()["access_token"].as_str().unwrap().to_owned();
    }
    server.pass(Duration::from_secs(60)).await;
    let answer = ask_about(&server, &client, &before).await;
    assert_eq!(answer.body, br#"{"active":false}"#);
    // Introspection of a superseded token is not theft: the session continues.
    assert_eq!(
        ask_about(&server, &client, &session).await.json()["active"],
        true
    );
}

#[tokio::test]
async fn introspection_requires_a_client_and_exactly_one_token() {
    let server = TestServer::new().await;
    let client = add_client(&server, "billing", "", &[]).await;
    let token = token(&server, &client).await;
    let body = super::fixture::form(&[("token", &token)]);
    let bearer = format!("Bearer {token}");
    for headers in [&[][..], &[("authorization", bearer.as_str())]] {
        let answer = super::fixture::send(&server, "/oauth/introspect", headers, &body).await;
        refused("no client", &answer, 401, "invalid_client");
    }
    for fields in [&[][..], &[("token", "")], &[("token", "x"), ("token", "x")]] {
        let answer = send_as(&server, &client, "/oauth/introspect", fields).await;
        refused("not one token", &answer, 400, "invalid_request");
    }
    let fields = [
        ("token", token.as_str()),
        ("token_type_hint", "refresh_token"),
    ];
    let answer = send_as(&server, &client, "/oauth/introspect", &fields).await;
    assert_eq!(answer.json()["active"], true, "a hint is only a hint");
}
