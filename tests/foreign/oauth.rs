//! Third-party OAuth clients, unmodified: they get, use, introspect and revoke a client's token.

use std::net::{Ipv4Addr, TcpListener};

use serde_json::{Value, json};
use waxseal::key::{Algorithm, Format, SigningKey, generate_pem};
use waxseal::random::OsRandom;

use super::common::{Place, Server, program};
use super::interop::{Script, node, python};

const OTHER: &str = "https://stock.example";

/// Starts a server whose issuer is its listening address, as clients with discovery require.
fn serve(place: &Place, algorithm: &str) -> Server {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let mut command = program();
    command
        .args(["serve", "--listen", &address, "--algorithm", algorithm])
        .current_dir(place.path());
    let server = Server::start(command);
    assert_eq!(server.url, format!("http://{address}"));
    server
}

fn add(place: &Place, issuer: &str, flags: &[&str], input: &str) -> Value {
    let audiences = ["--audience", issuer, "--audience", OTHER];
    let command = [
        "client",
        "add",
        "billing",
        "--json",
        "--scope",
        "orders:read",
    ];
    let added = place.ok(&[&command[..], &audiences, flags].concat(), input);
    serde_json::from_str(&added).unwrap()
}

fn job(server: &Server, added: &Value, algorithm: &str) -> Value {
    json!({
        "issuer": server.url,
        "audience": server.url,
        "other_audience": OTHER,
        "client_id": added["client_id"],
        "client_secret": added["client_secret"],
        "algorithm": algorithm,
    })
}

/// Asserts the findings that every client must have.
fn is_complete(found: &Value, added: &Value, issuer: &str) {
    let id = &added["client_id"];
    let granted = &found["granted"];
    assert_eq!(
        granted["token_type"].as_str().unwrap().to_lowercase(),
        "bearer"
    );
    assert_eq!(
        (&granted["expires_in"], &granted["scope"]),
        (&300.into(), &"orders:read".into())
    );
    let told = &found["before"]["introspected"];
    assert_eq!((&told["active"], &told["client_id"]), (&true.into(), id));
    assert_eq!(
        (&told["aud"], &told["scope"]),
        (&issuer.into(), &"orders:read".into())
    );
    assert_eq!(found["before"]["used"], 200);
    assert_eq!(found["after"]["introspected"], json!({ "active": false }));
}

fn refuses(found: &Value, refusals: &[(&str, &str)]) {
    for (what, why) in refusals {
        assert_eq!(found["refused"][what], *why, "{what}: {found}");
    }
}

/// Asserts the claims of an access token as RFC 9068, section 2.2, defines them.
fn are_an_access_tokens(claims: &Value, added: &Value, issuer: &str) {
    let id = &added["client_id"];
    assert_eq!((&claims["sub"], &claims["client_id"]), (id, id));
    assert_eq!(
        (&claims["iss"], &claims["aud"]),
        (&issuer.into(), &issuer.into())
    );
}

const OAUTH4WEBAPI_REFUSES: [(&str, &str); 4] = [
    ("audience", "OAUTH_JWT_CLAIM_COMPARISON_FAILED"),
    ("own audience", "OAUTH_JWT_CLAIM_COMPARISON_FAILED"),
    ("scope", "OAUTH_RESPONSE_BODY_ERROR invalid_scope"),
    ("secret", "OAUTH_WWW_AUTHENTICATE_CHALLENGE basic"),
];

fn oauth4webapi(job: &Value) -> Value {
    node("oauth4webapi.mjs", job)
}

fn openid_client(job: &Value) -> Value {
    node("openid-client.mjs", job)
}

fn by_secret(script: Script, algorithm: &str) -> (Value, Value, String) {
    let place = Place::new();
    let server = serve(&place, algorithm);
    let added = add(&place, &server.url, &[], "");
    let found = script(&job(&server, &added, algorithm));
    is_complete(&found, &added, &server.url);
    (found, added, server.url.clone())
}

/// Runs a script that authenticates with a client key that signs with `algorithm`.
fn by_assertion(script: Script, algorithm: Algorithm) -> (Value, Value, String) {
    let place = Place::new();
    let server = serve(&place, "EdDSA");
    let pem = generate_pem(algorithm, &OsRandom::new());
    let key = SigningKey::from_pem(pem.as_bytes(), Format::Jwt).unwrap();
    let jwk = serde_json::to_string(key.public().jwk().unwrap()).unwrap();
    let added = add(&place, &server.url, &["--keys-stdin"], &jwk);
    let mut job = job(&server, &added, algorithm.name());
    job["pem"] = pem.as_str().into();
    job["kid"] = key.public().kid().as_str().into();
    let found = script(&job);
    is_complete(&found, &added, &server.url);
    (found, added, server.url.clone())
}

#[test]
fn oauth4webapi_gets_uses_checks_and_revokes_a_token_by_a_secret() {
    for algorithm in ["EdDSA", "ES256"] {
        let (found, added, issuer) = by_secret(oauth4webapi, algorithm);
        are_an_access_tokens(&found["claims"], &added, &issuer);
        refuses(&found, &OAUTH4WEBAPI_REFUSES);
        let refused = "OAUTH_WWW_AUTHENTICATE_CHALLENGE 401 invalid_token";
        assert_eq!(found["after"]["used"], refused);
    }
}

#[test]
fn oauth4webapi_gets_uses_checks_and_revokes_a_token_by_an_assertion() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let (found, added, issuer) = by_assertion(oauth4webapi, algorithm);
        are_an_access_tokens(&found["claims"], &added, &issuer);
        refuses(&found, &OAUTH4WEBAPI_REFUSES);
    }
}

const OPENID_CLIENT_REFUSES: [(&str, &str); 2] = [
    ("scope", "OAUTH_RESPONSE_BODY_ERROR invalid_scope"),
    ("secret", "OAUTH_WWW_AUTHENTICATE_CHALLENGE basic"),
];

#[test]
fn openid_client_gets_uses_and_revokes_a_token_in_both_ways() {
    for (found, ..) in [
        by_secret(openid_client, "EdDSA"),
        by_assertion(openid_client, Algorithm::EdDsa),
    ] {
        refuses(&found, &OPENID_CLIENT_REFUSES);
        let refused = "OAUTH_WWW_AUTHENTICATE_CHALLENGE 401";
        assert_eq!(found["after"]["used"], refused);
    }
}

/// Authlib's validator accepts the algorithms that joserfc recommends, and joserfc does not recommend EdDSA: for such
/// services, Waxseal must sign with ES256.
#[test]
fn authlib_and_joserfc_get_use_check_and_revoke_a_token() {
    for (algorithm, by_authlib) in [("ES256", None), ("EdDSA", Some("InvalidTokenError"))] {
        let (found, added, issuer) = by_secret(|job| python("authlib_client.py", job), algorithm);
        are_an_access_tokens(&found["claims"], &added, &issuer);
        assert_eq!(found["refused"]["nothing"], json!(by_authlib), "{found}");
        refuses(
            &found,
            &[
                ("audience", "InvalidTokenError"),
                (
                    "scope of a handler",
                    by_authlib.unwrap_or("InsufficientScopeError"),
                ),
                ("audience, by joserfc", "InvalidClaimError"),
                ("scope", "OAuthError invalid_scope"),
                ("secret", "OAuthError invalid_client"),
            ],
        );
        assert_eq!(found["after"]["used"], 401);
    }
}
