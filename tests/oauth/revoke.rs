//! `POST /oauth/revoke` (RFC 7009).

use std::time::Duration;

use serde_json::json;
use waxseal::key::{Algorithm, Format};
use waxseal::revocation::TargetKind;
use waxseal::verifier::Refusal;

use super::common::TestServer;
use super::fixture::{Service, add_client, claims, refused, send_as, token};
use super::forger::{Forger, header_and_claims};

const MINUTE: Duration = Duration::from_secs(60);

async fn billing() -> (TestServer, Service) {
    let server = TestServer::new().await;
    let client = add_client(&server, "billing", "orders:read", &[]).await;
    (server, client)
}

/// Revokes a token, and asserts that the answer reveals nothing.
async fn end(server: &TestServer, client: &Service, token: &str) {
    let answer = send_as(server, client, "/oauth/revoke", &[("token", token)]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.is_empty(), "{answer:?}");
}

#[tokio::test]
async fn a_client_revokes_only_the_token_that_it_presents() {
    let (server, client) = billing().await;
    let (one, two) = (token(&server, &client).await, token(&server, &client).await);
    end(&server, &client, &one).await;
    assert_eq!(server.verify(&one).await, 401);
    assert_eq!(server.verify(&two).await, 200);
    let verdict = server.waxseal.verifier().verify_any(&one);
    assert_eq!(verdict, Err(Refusal::Revoked(TargetKind::Token)));
    // Revoking it again writes nothing.
    let seq = async |server: &TestServer| {
        server
            .waxseal
            .log()
            .read(0, 10)
            .await
            .unwrap()
            .head
            .cursor
            .seq
    };
    assert_eq!(seq(&server).await, 1);
    end(&server, &client, &one).await;
    assert_eq!(seq(&server).await, 1);
    let server = server.restart(|_| {}).await;
    assert_eq!(server.verify(&one).await, 401);
    assert_eq!(server.verify(&two).await, 200);
}

#[tokio::test]
async fn a_client_revokes_its_token_for_another_audience_in_both_formats() {
    for format in Format::ALL {
        let server = TestServer::with(|settings| {
            settings.format = format;
            settings.accepts = vec![format];
        })
        .await;
        let client = add_client(&server, "billing", "", &["https://stock.example"]).await;
        let token = token(&server, &client).await;
        end(&server, &client, &token).await;
        let fields = [("token", token.as_str())];
        let answer = send_as(&server, &client, "/oauth/introspect", &fields).await;
        assert_eq!(answer.json(), json!({ "active": false }));
    }
}

#[tokio::test]
async fn revoking_an_invalid_or_expired_token_succeeds() {
    let (server, client) = billing().await;
    let live = token(&server, &client).await;
    let [header, payload] = header_and_claims(&live);
    let stranger = Forger::stranger(Algorithm::EdDsa);
    let expired = token(&server, &client).await;
    for garbage in [
        "x",
        "..",
        "a.b.c",
        "\u{fffd}",
        &stranger.seal(&header, &payload),
        &expired[1..],
    ] {
        end(&server, &client, garbage).await;
    }
    end(&server, &client, &"x".repeat(10_000)).await;
    assert_eq!(server.verify(&live).await, 200);
    server.pass(Duration::from_secs(400)).await;
    end(&server, &client, &expired).await;
    for fields in [
        &[][..],
        &[("token", "")],
        &[("token_type_hint", "access_token")],
    ] {
        let answer = send_as(&server, &client, "/oauth/revoke", fields).await;
        refused("no token", &answer, 400, "invalid_request");
    }
    let answer = send_as(
        &server,
        &client,
        "/oauth/revoke",
        &[("token", "x"), ("token", "y")],
    )
    .await;
    refused("two tokens", &answer, 400, "invalid_request");
}

/// RFC 7009, section 2.1: a wrong hint changes nothing.
#[tokio::test]
async fn the_token_type_hint_has_no_effect() {
    let (server, client) = billing().await;
    for hint in ["access_token", "refresh_token", "pat", ""] {
        let token = token(&server, &client).await;
        let fields = [("token", token.as_str()), ("token_type_hint", hint)];
        let answer = send_as(&server, &client, "/oauth/revoke", &fields).await;
        assert_eq!(answer.status, 200, "{hint}");
        assert_eq!(server.verify(&token).await, 401, "{hint}");
    }
}

#[tokio::test]
async fn a_client_cannot_revoke_another_clients_token() {
    let (server, client) = billing().await;
    let other = add_client(&server, "other", "tokens:introspect revocations:read", &[]).await;
    let token = token(&server, &client).await;
    let answer = send_as(&server, &other, "/oauth/revoke", &[("token", &token)]).await;
    refused("another's", &answer, 400, "invalid_grant");
    assert_eq!(server.verify(&token).await, 200);
    assert_eq!(
        server
            .waxseal
            .log()
            .read(0, 10)
            .await
            .unwrap()
            .entries
            .len(),
        0
    );
}

/// Returns the session's token, renewed or touched if that is due.
async fn renewed(server: &TestServer, token: &str) -> String {
    let answer = server.post("/session/renew", Some(token), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

fn generation(token: &str) -> String {
    let sid = claims(token)["sid"].as_str().unwrap().to_owned();
    sid.rsplit_once('.').unwrap().1.to_owned()
}

#[tokio::test]
async fn revoking_any_token_of_a_session_ends_its_whole_lineage() {
    for presented in 0..4 {
        let (server, client) = billing().await;
        server.add_user("alice").await;
        let first = server.login("alice").await;
        server.pass(14 * MINUTE).await;
        let touched = renewed(&server, &first).await;
        server.pass(14 * MINUTE).await;
        let touched_again = renewed(&server, &touched).await;
        assert_eq!(generation(&touched_again), "0");
        server.pass(3 * MINUTE).await;
        let next = renewed(&server, &touched_again).await;
        assert_eq!(generation(&next), "1");
        let copy = renewed(&server, &next).await;
        // The grace of the superseded generation is over.
        server.pass(2 * MINUTE).await;
        let all = [&touched, &touched_again, &next, &copy];
        let alive: Vec<_> = [
            server.verify(&touched_again).await,
            server.verify(&next).await,
        ]
        .iter()
        .map(|status| status.as_u16())
        .collect();
        assert_eq!(alive, [401, 200]);
        end(&server, &client, all[presented]).await;
        // A token that has expired by the idle timeout ends nothing.
        let ends = presented > 0;
        let expected = if ends { 401 } else { 200 };
        for token in [&next, &copy] {
            assert_eq!(server.verify(token).await, expected, "{presented}");
        }
        let server = server.restart(|_| {}).await;
        for token in [&next, &copy] {
            assert_eq!(server.verify(token).await, expected, "{presented}");
        }
        if ends {
            let answer = server.post("/session/renew", Some(&next), None).await;
            assert_eq!(answer.status, 401);
        }
        // Another session of the user stays valid, and no longer lists this one.
        let after = server.login("alice").await;
        assert_eq!(server.verify(&after).await, 200);
        let listed = server.get("/sessions", &after).await.json().to_string();
        let sid = claims(&next)["sid"].as_str().unwrap().to_owned();
        let lineage = sid.split_once('.').unwrap().0;
        assert_eq!(listed.contains(lineage), !ends, "{presented}: {listed}");
    }
}

#[tokio::test]
async fn revocation_requires_client_credentials() {
    let (server, client) = billing().await;
    let token = token(&server, &client).await;
    let body = super::fixture::form(&[("token", &token)]);
    let bearer = format!("Bearer {token}");
    for headers in [&[][..], &[("authorization", bearer.as_str())]] {
        let answer = super::fixture::send(&server, "/oauth/revoke", headers, &body).await;
        refused("no client", &answer, 401, "invalid_client");
        assert_eq!(server.verify(&token).await, 200);
    }
}

/// With a stale list the service does not know whether there is something to revoke, and 200 would claim that it does.
#[tokio::test]
async fn revocation_and_introspection_answer_503_while_the_list_is_stale() {
    let (server, client) = billing().await;
    server.add_user("alice").await;
    let tokens = [token(&server, &client).await, server.login("alice").await];
    // The clock advances without a refresh of the list.
    server.clock.advance(Duration::from_secs(6));
    for token in &tokens {
        assert_eq!(server.verify(token).await, 503);
        for path in ["/oauth/revoke", "/oauth/introspect"] {
            let answer = send_as(&server, &client, path, &[("token", token)]).await;
            refused(path, &answer, 503, "temporarily_unavailable");
            assert_eq!(answer.headers["retry-after"], "1");
        }
    }
    end(&server, &client, "garbage").await;
    server.waxseal.catch_up().await.unwrap();
    for token in &tokens {
        assert_eq!(server.verify(token).await, 200);
        end(&server, &client, token).await;
        assert_eq!(server.verify(token).await, 401);
    }
}

/// The token is valid wherever its format is accepted again.
#[tokio::test]
async fn revoking_a_token_of_an_unaccepted_format_is_refused() {
    let both = Format::ALL.to_vec();
    let server = TestServer::with(|settings| settings.accepts = both.clone()).await;
    let client = add_client(&server, "billing", "", &[]).await;
    let jwt = token(&server, &client).await;
    server.pass(20 * MINUTE).await;
    let jwt_later = token(&server, &client).await;
    let server = server
        .restart(|settings| {
            settings.format = Format::Paseto;
            settings.accepts = vec![Format::Paseto];
        })
        .await;
    for token in [&jwt, &jwt_later] {
        let answer = send_as(&server, &client, "/oauth/revoke", &[("token", token)]).await;
        refused("a JWT", &answer, 400, "unsupported_token_type");
    }
    let server = server.restart(|settings| settings.accepts = both).await;
    assert_eq!(server.verify(&jwt_later).await, 200);
    end(&server, &client, &jwt_later).await;
    assert_eq!(server.verify(&jwt_later).await, 401);
}

/// The token is valid again once the service has its old issuer.
#[tokio::test]
async fn revoking_a_token_of_another_issuer_name_is_refused() {
    let server = TestServer::new().await;
    let client = add_client(&server, "billing", "", &[]).await;
    let before = token(&server, &client).await;
    let server = server
        .restart(|settings| settings.issuer = "https://renamed.example".to_owned())
        .await;
    let answer = send_as(&server, &client, "/oauth/revoke", &[("token", &before)]).await;
    refused("another's", &answer, 400, "unsupported_token_type");
}
