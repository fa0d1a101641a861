//! `Option<Session>` in an app on the library: a bad token must not pass for a request without credentials.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use http_body_util::BodyExt;
use tower::ServiceExt;
use waxseal::Session;

use crate::common::Answer;
use crate::fixture::{Fixture, is_invalid_request};

async fn who(session: Option<Session>) -> String {
    session.map_or_else(
        || "nobody".to_owned(),
        |session| session.subject().to_string(),
    )
}

async fn must(session: Session) -> String {
    session.subject().to_string()
}

async fn ask(fixture: &Fixture, path: &str, values: &[&str]) -> Answer {
    let app = Router::new()
        .route("/who", get(who))
        .route("/must", get(must))
        .with_state(fixture.server.waxseal.verifier());
    let mut request = Request::get(path);
    for value in values {
        request = request.header("authorization", *value);
    }
    let response = app.oneshot(request.body(Body::empty()).unwrap()).await;
    let (parts, body) = response.unwrap().into_parts();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes().to_vec(),
    }
}

#[tokio::test]
async fn a_caller_is_anonymous_only_without_a_bearer_token() {
    for fixture in Fixture::of_each_format().await {
        let without: [&[&str]; 3] = [
            &[],
            &["Basic YTpi"],
            &["Negotiate YII=", r#"Digest username="a", realm="b""#],
        ];
        for values in without {
            let nobody = ask(&fixture, "/who", values).await;
            assert_eq!(
                (nobody.status, nobody.body.as_slice()),
                (StatusCode::OK, &b"nobody"[..]),
                "{values:?}"
            );
            let without = ask(&fixture, "/must", values).await;
            assert_eq!(without.status, StatusCode::UNAUTHORIZED, "{values:?}");
            assert_eq!(without.code(), "no_credentials", "{values:?}");
        }

        let good = format!("Bearer {}", fixture.genuine);
        let subject: String = serde_json::from_str(fixture.claims.raw("sub")).unwrap();
        for path in ["/who", "/must"] {
            for values in [&[&*good][..], &["Basic YTpi", &good]] {
                let somebody = ask(&fixture, path, values).await;
                assert_eq!(somebody.status, StatusCode::OK, "{values:?}");
                assert_eq!(String::from_utf8(somebody.body).unwrap(), subject);
            }
        }
    }
}

#[tokio::test]
async fn a_bad_token_is_refused_where_none_is_needed() {
    for fixture in Fixture::of_each_format().await {
        let revoked = fixture.server.login("alice").await;
        fixture.server.post("/logout", Some(&revoked), None).await;
        let bad = [
            "nonsense".to_owned(),
            format!("{}x", fixture.genuine),
            fixture.with_claim("exp", "1"),
            fixture.with_claim("aud", r#""https://other.example""#),
            fixture.with_parameter("alg", r#""none""#),
            revoked,
        ];
        for token in bad {
            for path in ["/who", "/must"] {
                let answer = ask(&fixture, path, &[&format!("Bearer {token}")]).await;
                fixture.is_invalid_token(&token, &answer);
            }
        }
    }
}

#[tokio::test]
async fn a_malformed_header_is_refused_where_none_is_needed() {
    for fixture in Fixture::of_each_format().await {
        let good = format!("Bearer {}", fixture.genuine);
        let two = [good.as_str(), &good];
        let joined = format!("{good},{good}");
        let hidden = format!("Basic YTpi, {good}");
        let values: [&[&str]; 7] = [
            &two,
            &[&hidden],
            &["Bearer"],
            &["Bearer "],
            &[""],
            &[&fixture.genuine],
            &[&joined],
        ];
        for values in values {
            for path in ["/who", "/must"] {
                is_invalid_request(&format!("{values:?}"), &ask(&fixture, path, values).await);
            }
        }
    }
}

#[tokio::test]
async fn a_stale_list_does_not_make_a_caller_anonymous() {
    for fixture in Fixture::of_each_format().await {
        fixture
            .server
            .clock
            .advance(waxseal::embedded::MAX_STALENESS);
        let good = format!("Bearer {}", fixture.genuine);
        for path in ["/who", "/must"] {
            let answer = ask(&fixture, path, &[&good]).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(answer.code(), "unavailable");
            let bad = ask(&fixture, path, &["Bearer nonsense"]).await;
            fixture.is_invalid_token("stale and bad", &bad);
        }
    }
}
