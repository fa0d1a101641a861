//! Attacks on the `Authorization` header (RFC 9110, section 11.6.2; RFC 6750, section 2).

use axum::body::Body;
use axum::http::{HeaderValue, Request, StatusCode};

use crate::common::Answer;
use crate::fixture::{Fixture, RESOURCES, is_invalid_request};

const RENEWAL: &str = "/session/renew";

/// Sends a request with these `Authorization` headers.
async fn send(fixture: &Fixture, path: &str, values: &[&[u8]]) -> Answer {
    let method = if path == RENEWAL { "POST" } else { "GET" };
    let mut request = Request::builder().method(method).uri(path);
    for value in values {
        let value = HeaderValue::from_bytes(value).unwrap();
        request = request.header("authorization", value);
    }
    fixture
        .server
        .send(request.body(Body::empty()).unwrap())
        .await
}

async fn malformed(fixture: &Fixture, values: &[&str]) {
    let bytes: Vec<_> = values.iter().map(|value| value.as_bytes()).collect();
    for path in RESOURCES.into_iter().chain([RENEWAL]) {
        is_invalid_request(&format!("{values:?}"), &send(fixture, path, &bytes).await);
    }
}

/// Credentials meant for other recipients: a gateway in front of the service, or a proxy.
const OTHER_SCHEMES: [&str; 8] = [
    "Basic YTpi",
    "basic YWxpY2U6Y29ycmVjdCBob3JzZSBiYXR0ZXJ5",
    "Negotiate YIIBhwYGKwYBBQUCoIIBezCCAXeg",
    "NTLM TlRMTVNTUAABAAAA",
    r#"Digest username="alice", realm="staging", uri="/session", response="0123""#,
    "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=0123",
    "Bearers x",
    "Basic \u{e9}",
];

fn is_no_credentials(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{answer:?}");
    assert_eq!(answer.code(), "no_credentials");
    assert_eq!(
        answer.headers["www-authenticate"],
        r#"Bearer realm="waxseal""#
    );
}

#[tokio::test]
async fn two_authorization_headers() {
    for fixture in Fixture::of_each_format().await {
        let good = format!("Bearer {}", fixture.genuine);
        let other = format!("Bearer {}", fixture.server.login("alice").await);
        let pairs = [
            good.as_str(),
            &other,
            "Bearer nonsense",
            "Bearer ",
            "Bearer",
            "",
            "nonsense",
        ];
        for second in pairs {
            malformed(&fixture, &[&good, second]).await;
            malformed(&fixture, &[second, &good]).await;
            malformed(&fixture, &[&good, &good, second]).await;
        }
        for scheme in OTHER_SCHEMES {
            malformed(&fixture, &[&good, scheme, &other]).await;
            malformed(&fixture, &[scheme, "Bearer", scheme]).await;
        }
    }
}

/// Such credentials are not meant for the service: the answer is the same as without them.
#[tokio::test]
async fn credentials_of_another_scheme_are_ignored() {
    for fixture in Fixture::of_each_format().await {
        let good = format!("Bearer {}", fixture.genuine);
        let bad = format!("Bearer x{}", fixture.genuine);
        for scheme in OTHER_SCHEMES {
            for path in RESOURCES.into_iter().chain([RENEWAL]) {
                let ask = async |values: &[&str]| {
                    let values: Vec<_> = values.iter().map(|value| value.as_bytes()).collect();
                    send(&fixture, path, &values).await
                };
                is_no_credentials(&ask(&[scheme]).await);
                is_no_credentials(&ask(&[scheme, OTHER_SCHEMES[0]]).await);
                for (first, second) in [(&*good, scheme), (scheme, &good)] {
                    let answer = ask(&[first, second]).await;
                    assert_eq!(
                        answer.status,
                        StatusCode::OK,
                        "{first} {second}: {answer:?}"
                    );
                }
                for (first, second) in [(&*bad, scheme), (scheme, &bad)] {
                    fixture.is_invalid_token(scheme, &ask(&[first, second]).await);
                }
            }
        }
    }
}

#[tokio::test]
async fn tokens_joined_by_a_comma() {
    for fixture in Fixture::of_each_format().await {
        let token = &fixture.genuine;
        for value in [
            format!("Bearer {token},"),
            format!("Bearer ,{token}"),
            format!("Bearer {token},{token}"),
            format!("Bearer {token}, Bearer {token}"),
            format!("Bearer {token},Basic YTpi"),
            format!("Basic YTpi, Bearer {token}"),
            format!("Basic YTpi,Bearer {token}"),
            format!("Negotiate YII=,\tbearer {token}"),
            format!("Digest username=\"a\", Bearer {token}, realm=\"b\""),
            "Basic YTpi, Bearer".to_owned(),
            format!("Bearer realm=\"waxseal\",token={token}"),
        ] {
            malformed(&fixture, &[&value]).await;
        }
    }
}

#[tokio::test]
async fn no_token_in_the_header() {
    for fixture in Fixture::of_each_format().await {
        for value in [
            "", " ", "Bearer", "bearer", "Bearer ", "Bearer  ", "Bearer\t",
        ] {
            malformed(&fixture, &[value]).await;
        }
    }
}

#[tokio::test]
async fn two_words_in_the_header() {
    for fixture in Fixture::of_each_format().await {
        let token = &fixture.genuine;
        for value in [
            format!("Bearer {token} {token}"),
            format!("Bearer {token} x"),
            format!("Bearer x {token}"),
            format!("Bearer Bearer {token}"),
            format!("Bearer {token} "),
            format!("Bearer\t{token}"),
            format!("Bearer \t{token}"),
            format!(" Bearer {token}"),
            format!("Bearer {token}\t"),
        ] {
            malformed(&fixture, &[&value]).await;
        }
    }
}

/// A token with a missing or misspelt scheme is malformed, not absent.
#[tokio::test]
async fn credentials_without_a_scheme() {
    for fixture in Fixture::of_each_format().await {
        let token = &fixture.genuine;
        for value in [
            token.clone(),
            "Negotiate".to_owned(),
            "Basic ".to_owned(),
            format!("Bearer: {token}"),
            format!("Bearer, {token}"),
            format!("Bearer={token}"),
            format!("Bearer{token}"),
            format!("\"Bearer\" {token}"),
            format!("B\u{435}arer {token}"),
        ] {
            malformed(&fixture, &[&value]).await;
        }
    }
}

/// RFC 9110, section 11.1: the scheme is case-insensitive. Section 11.4: one or more spaces end it.
#[tokio::test]
async fn the_scheme_in_another_case_and_with_several_spaces_is_accepted() {
    for fixture in Fixture::of_each_format().await {
        for scheme in ["bearer", "BEARER", "bEaReR", "Bearer ", "bearer   "] {
            for path in RESOURCES {
                let value = format!("{scheme} {}", fixture.genuine);
                let answer = send(&fixture, path, &[value.as_bytes()]).await;
                assert_eq!(answer.status, StatusCode::OK, "{scheme} {answer:?}");
                let bad = format!("{scheme} x{}", fixture.genuine);
                let answer = send(&fixture, path, &[bad.as_bytes()]).await;
                fixture.is_invalid_token(scheme, &answer);
            }
        }
    }
}

#[tokio::test]
async fn a_header_that_is_not_ascii() {
    for fixture in Fixture::of_each_format().await {
        let token = fixture.genuine.as_bytes();
        let values: [Vec<u8>; 6] = [
            [b"Bearer \xff", token].concat(),
            [b"Bearer ", token, b"\xff"].concat(),
            [b"Bearer ", token, "\u{e9}".as_bytes()].concat(),
            [b"Bearer\xa0", token].concat(),
            [b"\xef\xbb\xbfBearer ", token].concat(),
            b"\xff".to_vec(),
        ];
        for value in &values {
            for path in RESOURCES {
                is_invalid_request(&format!("{value:?}"), &send(&fixture, path, &[value]).await);
            }
        }
    }
}

/// RFC 6750, section 2.3, allows a token in the query, and RFC 9700, section 2.6, forbids it: queries are logged.
#[tokio::test]
async fn a_token_in_the_query_alone() {
    for fixture in Fixture::of_each_format().await {
        let token = &fixture.genuine;
        for path in RESOURCES {
            for query in [
                format!("access_token={token}"),
                format!("token={token}"),
                format!("authorization=Bearer%20{token}"),
                format!("Authorization=Bearer+{token}"),
            ] {
                let answer = send(&fixture, &format!("{path}?{query}"), &[]).await;
                is_no_credentials(&answer);
                let body = String::from_utf8_lossy(&answer.body);
                assert!(!body.contains(token.as_str()), "{body}");
            }
            // The query is also ignored next to a header.
            let with_query = format!("{path}?access_token={token}");
            let answer = send(&fixture, &with_query, &[b"Bearer nonsense"]).await;
            fixture.is_invalid_token("query and header", &answer);
        }
    }
}

#[tokio::test]
async fn a_token_in_other_places() {
    for fixture in Fixture::of_each_format().await {
        let token = &fixture.genuine;
        let bearer = format!("Bearer {token}");
        for path in RESOURCES {
            is_no_credentials(&send(&fixture, path, &[]).await);
            for name in [
                "proxy-authorization",
                "x-authorization",
                "x-forwarded-authorization",
                "x-access-token",
                "authentication",
                "x-api-key",
            ] {
                let request = Request::get(path).header(name, &bearer);
                let answer = fixture
                    .server
                    .send(request.body(Body::empty()).unwrap())
                    .await;
                is_no_credentials(&answer);
            }
            let form = Request::get(path)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(Body::from(format!("access_token={token}")));
            is_no_credentials(&fixture.server.send(form.unwrap()).await);
        }
    }
}

/// A header of the caller must not give the caller an identity.
#[tokio::test]
async fn headers_that_claim_to_be_somebody() {
    for fixture in Fixture::of_each_format().await {
        for path in RESOURCES {
            let mut request = Request::get(path);
            for name in [
                "x-user",
                "x-forwarded-user",
                "remote-user",
                "x-auth-request-user",
                "x-original-url",
            ] {
                request = request.header(name, "alice");
            }
            let answer = fixture
                .server
                .send(request.body(Body::empty()).unwrap())
                .await;
            is_no_credentials(&answer);
        }
    }
}
