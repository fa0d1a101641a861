//! What scripts of other origins may send and read: listed origins everything, others only public resources.

use serde_json::{Value, json};

use super::browser::{login, request};
use super::common::{Answer, TestServer};

const LISTED: [&str; 2] = ["https://app.example", "http://localhost:5173"];
const UNLISTED: [&str; 17] = [
    "https://evil.example",
    "https://issuer.example",
    "null",
    "",
    "*",
    "https://app.example.evil",
    "https://evilapp.example",
    "https://sub.app.example",
    "https://app.exampl",
    "http://app.example",
    "https://app.example:443",
    "https://app.example:8443",
    "https://APP.example",
    "https://app.example/",
    "https://app.example, https://evil.example",
    "http://localhost",
    "https://localhost:5173",
];

async fn server() -> TestServer {
    let server = TestServer::with(|settings| {
        settings.allowed_origins = LISTED.map(|origin| origin.parse().unwrap()).to_vec();
    })
    .await;
    server.add_user("alice").await;
    server
}

/// Returns the items of a list header, in lower case, over all its lines.
fn words(answer: &Answer, name: &str) -> Vec<String> {
    let lines = answer.headers.get_all(name).iter();
    let mut words: Vec<String> = lines
        .flat_map(|line| line.to_str().unwrap().split(','))
        .map(|word| word.trim().to_ascii_lowercase())
        .filter(|word| !word.is_empty())
        .collect();
    words.sort();
    words
}

/// Asserts the CORS rules that hold for every answer.
fn holds_for(origin: Option<&str>, name: &str, answer: &Answer) {
    let allowed: Vec<_> = answer
        .headers
        .get_all("access-control-allow-origin")
        .iter()
        .collect();
    let with_credentials = answer.headers.get("access-control-allow-credentials");
    match origin.filter(|origin| LISTED.contains(origin)) {
        Some(origin) => {
            assert_eq!(allowed, [origin], "{name}: {answer:?}");
            assert_eq!(with_credentials.unwrap(), "true", "{name}");
        }
        None => {
            assert!(allowed.is_empty(), "{origin:?} {name}: {answer:?}");
            assert_eq!(with_credentials, None, "{origin:?} {name}");
        }
    }
    let vary = words(answer, "vary");
    assert!(vary.contains(&"origin".to_owned()), "{name}: {answer:?}");
    assert!(!vary.contains(&"*".to_owned()), "{name}: {answer:?}");
    for header in ["origin", "credentials", "methods", "headers"] {
        let header = format!("access-control-allow-{header}");
        assert!(!words(answer, &header).contains(&"*".to_owned()), "{name}");
    }
    let exposed = words(answer, "access-control-expose-headers");
    assert!(!exposed.contains(&"*".to_owned()), "{name}: {answer:?}");
    let private = answer.headers.get("access-control-allow-private-network");
    assert_eq!(private, None, "{name}");
}

fn origins() -> impl Iterator<Item = Option<&'static str>> {
    let all = LISTED.into_iter().chain(UNLISTED);
    all.map(Some).chain([None])
}

#[tokio::test]
async fn a_preflight_lists_allowed_origins_methods_and_headers() {
    let server = server().await;
    for origin in origins() {
        for path in ["/login", "/session", "/sessions/x", "/nothing"] {
            for method in ["GET", "POST", "DELETE", "PUT"] {
                let headers = origin.map(|origin| ("origin", origin)).into_iter().chain([
                    ("access-control-request-method", method),
                    (
                        "access-control-request-headers",
                        "authorization,content-type,x-evil",
                    ),
                    ("access-control-request-private-network", "true"),
                ]);
                let answer = server
                    .send(request("OPTIONS", path, headers, &Value::Null))
                    .await;
                let name = format!("preflight {method} {path}");
                holds_for(origin, &name, &answer);
                assert_eq!(
                    words(&answer, "access-control-allow-methods"),
                    ["delete", "get", "head", "post"],
                    "{name}"
                );
                assert_eq!(
                    words(&answer, "access-control-allow-headers"),
                    [
                        "authorization",
                        "baggage",
                        "cache-control",
                        "content-type",
                        "pragma",
                        "sentry-trace",
                        "traceparent",
                        "tracestate",
                        "waxseal-activity",
                        "x-request-id",
                        "x-requested-with"
                    ],
                    "{name}"
                );
                assert!(answer.body.is_empty(), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn every_answer_is_readable_by_listed_origins_alone() {
    let server = server().await;
    let token = login(&server, "alice").await;
    let bearer = format!("Bearer {token}");
    let good = json!({ "username": "alice", "password": super::common::PASSWORD });
    let wrong = json!({ "username": "alice", "password": "wrong" });
    let requests = [
        ("GET", "/session", true, Value::Null, 200),
        ("GET", "/sessions", true, Value::Null, 200),
        ("HEAD", "/verify", true, Value::Null, 200),
        ("GET", "/livez", false, Value::Null, 200),
        ("POST", "/session/renew", true, Value::Null, 200),
        ("POST", "/logout", true, json!({ "scope": "others" }), 204),
        ("GET", "/session", false, Value::Null, 401),
        ("POST", "/password", true, json!({}), 400),
        ("DELETE", "/sessions/x", true, Value::Null, 404),
        ("GET", "/nothing", false, Value::Null, 404),
        ("PUT", "/session", false, Value::Null, 405),
        ("POST", "/login", false, Value::Null, 400),
        ("POST", "/login", false, wrong.clone(), 401),
        ("POST", "/login", false, good, 200),
    ];
    for origin in origins() {
        for (method, path, with_token, body, status) in &requests {
            let mut headers: Vec<_> = origin
                .map(|origin| ("origin", origin))
                .into_iter()
                .collect();
            if *with_token {
                headers.push(("authorization", &bearer));
            }
            let answer = server.send(request(method, path, headers, body)).await;
            let name = format!("{method} {path}");
            let ours = origin
                .is_none_or(|origin| LISTED.contains(&origin) || origin == super::common::ISSUER);
            let expected = if *path == "/login" && !ours {
                403
            } else {
                *status
            };
            assert_eq!(answer.status, expected, "{origin:?} {name}: {answer:?}");
            holds_for(origin, &name, &answer);
            if origin.is_some_and(|origin| LISTED.contains(&origin)) {
                assert_eq!(
                    words(&answer, "access-control-expose-headers"),
                    [
                        "ratelimit",
                        "ratelimit-policy",
                        "retry-after",
                        "waxseal-session",
                        "x-request-id"
                    ],
                    "{name}"
                );
            }
        }
    }
    server.clock.advance(waxseal::embedded::MAX_STALENESS);
    for origin in origins() {
        let headers = origin.map(|origin| ("origin", origin)).into_iter();
        let headers = headers.chain([("authorization", bearer.as_str())]);
        let answer = server
            .send(request("GET", "/session", headers, &Value::Null))
            .await;
        assert_eq!(answer.status, 503);
        holds_for(origin, "stale", &answer);
    }
}

#[tokio::test]
async fn a_429_is_readable_by_listed_origins_alone() {
    let server = TestServer::with(|settings| {
        settings.allowed_origins = LISTED.map(|origin| origin.parse().unwrap()).to_vec();
        settings.login_rates = waxseal::account::limits::LoginRates::default();
    })
    .await;
    let wrong = json!({ "username": "alice", "password": "wrong" });
    for _ in 0..10 {
        server.post("/login", None, Some(wrong.clone())).await;
    }
    for origin in [Some(LISTED[0]), Some(LISTED[1]), None] {
        let headers = origin.map(|origin| ("origin", origin));
        let answer = server
            .send(request("POST", "/login", headers, &wrong))
            .await;
        assert_eq!(answer.status, 429, "{answer:?}");
        holds_for(origin, "too many", &answer);
    }
}

const PUBLIC: [&str; 3] = [
    "/.well-known/jwks.json",
    "/.well-known/paserks.json",
    "/.well-known/oauth-authorization-server",
];

/// The answer is the same for everyone, so that a cache may keep it, regardless of the first client and its headers.
#[tokio::test]
async fn public_resources_are_readable_by_every_origin_without_credentials() {
    let server = server().await;
    for origin in origins() {
        for path in PUBLIC {
            for (method, status) in [("GET", 200), ("HEAD", 200), ("OPTIONS", 200), ("POST", 405)] {
                let headers = origin.map(|origin| ("origin", origin)).into_iter().chain([
                    ("access-control-request-method", "GET"),
                    ("access-control-request-headers", "traceparent,x-other"),
                    ("cookie", "__Host-Http-waxseal=nonsense"),
                ]);
                let answer = server
                    .send(request(method, path, headers, &Value::Null))
                    .await;
                let name = format!("{method} {path} {origin:?}: {answer:?}");
                assert_eq!(answer.status, status, "{name}");
                assert_eq!(
                    words(&answer, "access-control-allow-origin"),
                    ["*"],
                    "{name}"
                );
                let credentials = answer.headers.get("access-control-allow-credentials");
                assert_eq!(credentials, None, "{name}");
                assert!(!answer.headers.contains_key("vary"), "{name}");
                assert!(!answer.headers.contains_key("set-cookie"), "{name}");
                if method == "OPTIONS" {
                    assert_eq!(
                        words(&answer, "access-control-allow-methods"),
                        ["get", "head"],
                        "{name}"
                    );
                    assert_eq!(
                        words(&answer, "access-control-allow-headers"),
                        ["*"],
                        "{name}"
                    );
                } else if status == 200 {
                    assert_eq!(
                        answer.headers["cache-control"], "public, max-age=600",
                        "{name}"
                    );
                }
            }
        }
    }
}

/// No origin is listed by default.
#[tokio::test]
async fn by_default_no_other_origin_reads_anything() {
    let server = TestServer::new().await;
    for origin in LISTED.into_iter().chain(UNLISTED) {
        for method in ["GET", "OPTIONS"] {
            let headers = [("origin", origin), ("access-control-request-method", "GET")];
            let answer = server
                .send(request(method, "/livez", headers, &Value::Null))
                .await;
            assert_eq!(answer.headers.get("access-control-allow-origin"), None);
            assert_eq!(answer.headers.get("access-control-allow-credentials"), None);
            assert!(words(&answer, "vary").contains(&"origin".to_owned()));
        }
    }
}
