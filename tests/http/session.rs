//! Login, verification and logout.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::json;
use waxseal::key::Format;

use super::common::{PASSWORD, TestServer};

/// A service that issues JWTs, and one that issues PASETOs.
async fn each_format() -> [TestServer; 2] {
    let of = |format| {
        TestServer::with(move |settings| {
            settings.format = format;
            settings.accepts = vec![format];
        })
    };
    [of(Format::Jwt).await, of(Format::Paseto).await]
}

#[tokio::test]
async fn log_in_verify_log_out() {
    for server in each_format().await {
        let alice = server.add_user("alice").await;
        let body = json!({ "username": "Alice", "password": PASSWORD });
        let answer = server.post("/login", None, Some(body)).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.headers["cache-control"], "no-store");
        let login = answer.json();
        assert_eq!(login["token_type"], "Bearer");
        assert_eq!(login["expires_in"], 15 * 60);
        assert_eq!(login["session"]["created_at"], "2027-01-15T08:00:00Z");
        assert_eq!(login["session"]["idle_expires_at"], "2027-01-15T08:15:00Z");
        assert_eq!(login["session"]["expires_at"], "2027-01-15T10:00:00Z");
        let token = login["access_token"].as_str().unwrap();

        assert_eq!(server.verify(token).await, StatusCode::OK);
        let session = server.get("/session", token).await.json();
        assert_eq!(session["subject"], alice.to_string());
        for field in ["id", "created_at", "idle_expires_at", "expires_at"] {
            assert_eq!(session[field], login["session"][field]);
        }
        let head = Request::head("/verify").header("authorization", format!("Bearer {token}"));
        assert_eq!(
            server.send(head.body(Body::empty()).unwrap()).await.status,
            StatusCode::OK
        );

        let logout = server.post("/logout", Some(token), None).await;
        assert_eq!(
            (logout.status, logout.body.len()),
            (StatusCode::NO_CONTENT, 0)
        );
        for path in ["/verify", "/session"] {
            let refused = server.get(path, token).await;
            assert_eq!(
                (refused.status, refused.code().as_str()),
                (StatusCode::UNAUTHORIZED, "invalid_token")
            );
            assert_eq!(
                refused.headers["www-authenticate"],
                r#"Bearer realm="waxseal", error="invalid_token""#
            );
        }
        assert_eq!(
            server.post("/logout", Some(token), None).await.status,
            StatusCode::UNAUTHORIZED
        );
    }
}

#[tokio::test]
async fn log_out_elsewhere_and_everywhere() {
    for server in each_format().await {
        server.add_user("alice").await;
        server.add_user("bob").await;
        let (here, there, bobs) = (
            server.login("alice").await,
            server.login("alice").await,
            server.login("bob").await,
        );

        let others = server
            .post("/logout", Some(&here), Some(json!({ "scope": "others" })))
            .await;
        assert_eq!(others.status, StatusCode::NO_CONTENT);
        assert_eq!(server.verify(&here).await, StatusCode::OK);
        assert_eq!(server.verify(&there).await, StatusCode::UNAUTHORIZED);

        let again = server.login("alice").await;
        assert_eq!(
            server
                .post("/logout", Some(&again), Some(json!({ "scope": "others" })))
                .await
                .status,
            StatusCode::NO_CONTENT
        );
        assert_eq!(
            server.verify(&here).await,
            StatusCode::UNAUTHORIZED,
            "the second cut-off does not spare whom the first did"
        );
        assert_eq!(server.verify(&again).await, StatusCode::OK);

        assert_eq!(
            server
                .post("/logout", Some(&again), Some(json!({ "scope": "all" })))
                .await
                .status,
            StatusCode::NO_CONTENT
        );
        assert_eq!(server.verify(&again).await, StatusCode::UNAUTHORIZED);
        assert_eq!(server.verify(&bobs).await, StatusCode::OK);
        let after = server.login("alice").await;
        assert_eq!(server.verify(&after).await, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_stale_list_refuses_with_503_and_a_revocation_binds_all_the_same() {
    for server in each_format().await {
        server.add_user("alice").await;
        let (token, revoked) = (server.login("alice").await, server.login("alice").await);
        server.post("/logout", Some(&revoked), None).await;
        assert_eq!(
            server
                .send(Request::get("/readyz").body(Body::empty()).unwrap())
                .await
                .status,
            StatusCode::OK
        );

        server.clock.advance(waxseal::embedded::MAX_STALENESS);
        let stale = server.get("/verify", &token).await;
        assert_eq!(
            (stale.status, stale.code().as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
        );
        assert_eq!(stale.headers["retry-after"], "1");
        assert_eq!(server.verify(&revoked).await, StatusCode::UNAUTHORIZED);
        let readyz = server
            .send(Request::get("/readyz").body(Body::empty()).unwrap())
            .await;
        assert_eq!(readyz.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            server
                .send(Request::get("/livez").body(Body::empty()).unwrap())
                .await
                .status,
            StatusCode::OK
        );

        server.pass(Duration::ZERO).await;
        assert_eq!(server.verify(&token).await, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_request_id_from_outside_is_short_and_plain_or_replaced() {
    for server in each_format().await {
        let answered = async |id: &str| {
            let request = Request::get("/livez").header("x-request-id", id);
            let answer = server.send(request.body(Body::empty()).unwrap()).await;
            answer.headers["x-request-id"].to_str().unwrap().to_owned()
        };
        assert_eq!(answered("abc-123_X").await, "abc-123_X");
        for odd in ["", "a b", "a=b", &"x".repeat(65)] {
            let id = answered(odd).await;
            assert!(id != odd && !id.is_empty());
        }
    }
}
