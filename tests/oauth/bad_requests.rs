//! `POST /oauth/token`: malformed requests, and their refusals.

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use waxseal::account::client::ClientChange;
use waxseal::key::Algorithm;

use super::common::{Answer, TestServer};
use super::fixture::{
    BEARER_ASSERTION, Service, add_client, add_keyed_client, ask, assertion, assertion_claims,
    basic, change, error, form, refused, send, token,
};

type Pair<'a> = (&'a str, &'a str);

const GRANT: Pair = ("grant_type", "client_credentials");

async fn billing() -> (TestServer, Service) {
    let server = TestServer::new().await;
    let client = add_client(&server, "billing", "orders:read", &[]).await;
    // The valid request succeeds, so a refusal below is due to the one fault in it.
    token(&server, &client).await;
    (server, client)
}

async fn post(server: &TestServer, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Answer {
    send(server, "/oauth/token", headers, &form(fields)).await
}

#[tokio::test]
async fn a_duplicate_parameter_is_refused() {
    let (server, client) = billing().await;
    for (name, value) in [
        GRANT,
        ("scope", "orders:read"),
        ("scope", ""),
        ("unknown", "x"),
    ] {
        let answer = ask(&server, &client, &[(name, value), (name, value)]).await;
        refused(name, &answer, 400, "invalid_request");
    }
    // A parameter's name can be encoded in several ways.
    let authorization = client.basic();
    let body = "grant_type=client_credentials&scope=orders%3Aread&sc%6Fpe=orders%3Aread";
    let answer = send(
        &server,
        "/oauth/token",
        &[("authorization", &authorization)],
        body,
    )
    .await;
    refused("scope in two ways", &answer, 400, "invalid_request");
}

#[tokio::test]
async fn a_client_authenticates_with_exactly_one_method() {
    let (server, client) = billing().await;
    let (keyed, key) = add_keyed_client(&server, "keyed", Algorithm::EdDsa).await;
    let signed = assertion(&key, "EdDSA", &assertion_claims(&server, keyed, "a"));
    let (id, basic) = (client.id.to_string(), client.basic());
    let secret = ("client_secret", client.secret.as_str());
    let header = ("authorization", basic.as_str());
    let proof = [
        ("client_assertion_type", BEARER_ASSERTION),
        ("client_assertion", signed.as_str()),
    ];
    let cases: [(&str, Vec<Pair>, Vec<Pair>); 8] = [
        (
            "its ID in two places",
            vec![header],
            vec![("client_id", &id)],
        ),
        (
            "another ID beside it",
            vec![header],
            vec![("client_id", "x")],
        ),
        ("its secret in two places", vec![header], vec![secret]),
        ("secret and assertion", vec![header], proof.to_vec()),
        ("half an assertion", vec![header], vec![proof[0]]),
        ("the same header twice", vec![header, header], vec![]),
        (
            "two headers",
            vec![header, ("authorization", "Bearer x")],
            vec![],
        ),
        (
            "assertion and secret",
            vec![],
            [&proof[..], &[secret]].concat(),
        ),
    ];
    for (what, headers, fields) in cases {
        let answer = post(&server, &headers, &[&[GRANT][..], &fields].concat()).await;
        refused(what, &answer, 400, "invalid_request");
    }
    // None of these requests used the assertion up.
    let fields = [&[GRANT][..], &proof].concat();
    assert_eq!(post(&server, &[], &fields).await.status, 200);
}

#[tokio::test]
async fn other_authentication_methods_are_refused() {
    let (server, client) = billing().await;
    let (id, secret) = (client.id.to_string(), client.secret.as_str());
    let bearer = format!("Bearer {}", token(&server, &client).await);
    let in_body = [("client_id", id.as_str()), ("client_secret", secret)];
    let raw = basic(&id, secret);
    let cases: [(&str, Option<&str>, &[Pair]); 9] = [
        ("nothing", None, &[]),
        ("its ID alone", None, &in_body[..1]),
        ("its secret in the body", None, &in_body),
        ("a token", Some(&bearer), &[]),
        ("no scheme", Some(&raw[6..]), &[]),
        ("no base64", Some("Basic !"), &[]),
        ("no colon", Some("Basic YWJj"), &[]),
        ("no padding", Some(raw.trim_end_matches('=')), &[]),
        ("not UTF-8", Some("Basic /zp4"), &[]),
    ];
    for (what, header, fields) in cases {
        if what == "no padding" && !raw.ends_with('=') {
            continue;
        }
        let headers: Vec<_> = header
            .map(|value| ("authorization", value))
            .into_iter()
            .collect();
        let answer = post(&server, &headers, &[&[GRANT][..], fields].concat()).await;
        refused(what, &answer, 401, "invalid_client");
        assert_eq!(
            answer.headers["www-authenticate"],
            r#"Basic realm="waxseal""#
        );
    }
    // Credentials in the URL do not count (RFC 6749, section 2.3.1).
    let path =
        format!("/oauth/token?client_id={id}&client_secret={secret}&grant_type=client_credentials");
    let answer = send(&server, &path, &[], &form(&[GRANT])).await;
    refused("in the address", &answer, 401, "invalid_client");
    let (header, path) = (client.basic(), "/oauth/token?grant_type=client_credentials");
    let answer = send(&server, path, &[("authorization", &header)], "").await;
    refused("the grant in the address", &answer, 400, "invalid_request");
}

#[tokio::test]
async fn the_assertion_type_must_be_that_of_a_jwt() {
    let server = TestServer::new().await;
    let (id, key) = add_keyed_client(&server, "keyed", Algorithm::EdDsa).await;
    let signed = assertion(&key, "EdDSA", &assertion_claims(&server, id, "a"));
    let proof = ("client_assertion", signed.as_str());
    let saml = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer";
    for fields in [
        vec![GRANT, proof],
        vec![GRANT, proof, ("client_assertion_type", saml)],
        vec![GRANT, proof, ("client_assertion_type", "")],
    ] {
        let answer = post(&server, &[], &fields).await;
        refused("the type", &answer, 400, "invalid_request");
    }
    let answer = post(
        &server,
        &[],
        &[GRANT, ("client_assertion_type", BEARER_ASSERTION)],
    )
    .await;
    refused("a type alone", &answer, 401, "invalid_client");
}

#[tokio::test]
async fn client_credentials_is_the_only_grant() {
    let (server, client) = billing().await;
    let authorization = client.basic();
    let header = [("authorization", authorization.as_str())];
    for other in [
        "password",
        "authorization_code",
        "refresh_token",
        "Client_Credentials",
        "client_credentials ",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
    ] {
        let answer = post(&server, &header, &[("grant_type", other)]).await;
        refused(other, &answer, 400, "unsupported_grant_type");
    }
    for fields in [&[][..], &[("grant_type", "")]] {
        let answer = post(&server, &header, fields).await;
        refused("no grant", &answer, 400, "invalid_request");
    }
}

#[tokio::test]
async fn another_content_type_or_method_gets_an_oauth_error() {
    let (server, client) = billing().await;
    for (content_type, body) in [
        (
            Some("application/json"),
            r#"{"grant_type":"client_credentials"}"#,
        ),
        (Some("text/plain"), "grant_type=client_credentials"),
        (
            Some("application/x-www-form-urlencoded-not"),
            "grant_type=client_credentials",
        ),
        (Some("multipart/form-data; boundary=x"), ""),
        (None, "grant_type=client_credentials"),
    ] {
        let mut request = Request::post("/oauth/token").header("authorization", client.basic());
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let answer = server.send(request.body(Body::from(body)).unwrap()).await;
        refused(
            content_type.unwrap_or("none"),
            &answer,
            400,
            "invalid_request",
        );
    }
    for path in ["/oauth/token", "/oauth/revoke", "/oauth/introspect"] {
        for method in ["GET", "PUT", "DELETE", "PATCH"] {
            let request = Request::builder().method(method).uri(path);
            let request = request.header("authorization", client.basic());
            let answer = server.send(request.body(Body::empty()).unwrap()).await;
            refused(method, &answer, 405, "invalid_request");
            assert_eq!(answer.headers["allow"], "POST");
        }
    }
    let answer = send(&server, "/oauth/authorize", &[], "").await;
    refused("no such endpoint", &answer, 404, "invalid_request");
}

#[tokio::test]
async fn an_oversized_body_is_refused_with_and_without_content_length() {
    let (server, client) = billing().await;
    let huge = format!("grant_type=client_credentials&x={}", "x".repeat(64 * 1024));
    let basic = client.basic();
    let headers = [("authorization", basic.as_str())];
    let answer = send(&server, "/oauth/token", &headers, &huge).await;
    refused("without its length", &answer, 413, "invalid_request");
    let length = huge.len().to_string();
    let said = [headers[0], ("content-length", length.as_str())];
    let answer = send(&server, "/oauth/token", &said, &huge).await;
    refused("with its length", &answer, 413, "invalid_request");
    // Many small parameters within the size limit are accepted.
    let many: String = (0..2000).map(|number| format!("{number}&")).collect();
    let answer = send(
        &server,
        "/oauth/token",
        &headers,
        &format!("{many}{}", form(&[GRANT])),
    )
    .await;
    assert_eq!(answer.status, 200);
}

/// Returns the headers, which must reveal no more than the body does.
fn telling(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    headers.remove("x-request-id");
    headers
}

#[tokio::test]
async fn unknown_disabled_and_wrong_credentials_get_the_same_answer() {
    let (server, client) = billing().await;
    let other = add_client(&server, "other", "", &[]).await;
    let disabled = add_client(&server, "disabled", "", &[]).await;
    change(&server, disabled.id, ClientChange::Disable).await;
    let deleted = add_client(&server, "deleted", "", &[]).await;
    change(&server, deleted.id, ClientChange::Delete).await;
    let (keyed, _) = add_keyed_client(&server, "keyed", Algorithm::EdDsa).await;
    let unknown = "client-01a20636-65a6-7b0b-ba2c-8e6795508a1e";
    let id = client.id.to_string();
    let secret = client.secret.as_str();
    let cases = [
        ("an unknown ID", basic(unknown, secret)),
        ("no ID at all", basic("billing", secret)),
        ("an empty ID", basic("", secret)),
        (
            "the ID of a user",
            basic(&unknown["client-".len()..], secret),
        ),
        ("another's secret", basic(&id, &other.secret)),
        ("an empty secret", basic(&id, "")),
        ("half a secret", basic(&id, &secret[..20])),
        ("a longer secret", basic(&id, &format!("{secret}x"))),
        ("disabled", disabled.basic()),
        ("deleted", deleted.basic()),
        ("a client without a secret", basic(&keyed.to_string(), "")),
        ("upper case", basic(&id.to_uppercase(), secret)),
    ];
    let mut first: Option<Answer> = None;
    for (what, header) in cases {
        for path in ["/oauth/token", "/oauth/revoke", "/oauth/introspect"] {
            let fields = form(&[GRANT, ("token", "x")]);
            let answer = send(&server, path, &[("authorization", &header)], &fields).await;
            assert_eq!(error(&answer), (401, "invalid_client".to_owned()), "{what}");
            let first = first.get_or_insert_with(|| Answer {
                status: answer.status,
                headers: answer.headers.clone(),
                body: answer.body.clone(),
            });
            assert_eq!(answer.body, first.body, "{what}");
            assert_eq!(telling(&answer.headers), telling(&first.headers), "{what}");
        }
    }
    assert_eq!(ask(&server, &client, &[]).await.status, 200);
}
