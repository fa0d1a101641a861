//! The metrics match the traffic that was sent.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::common::{PASSWORD, Place};
use super::scrape::{Page, Watched};

/// Sends requests to a service, and asserts their results.
struct Traffic {
    watched: Watched,
}

impl Traffic {
    fn to(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.watched.server.url);
        self.watched.http.request(method, url)
    }

    async fn status(&self, request: RequestBuilder) -> u16 {
        request.send().await.unwrap().status().as_u16()
    }

    async fn login(&self, name: &str, password: &str) -> u16 {
        let login = json!({ "username": name, "password": password });
        self.status(self.to(Method::POST, "/login").json(&login))
            .await
    }

    async fn with(&self, method: Method, path: &str, token: &str) -> u16 {
        self.status(self.to(method, path).bearer_auth(token)).await
    }

    /// Renews until the idle deadline falls in a later second, and returns the number of requests.
    async fn touch(&self, token: &str) -> f64 {
        for asked in 1..=300 {
            let request = self.to(Method::POST, "/session/renew").bearer_auth(token);
            let answer: Value = request.send().await.unwrap().json().await.unwrap();
            if answer["access_token"].as_str().unwrap() != token {
                return f64::from(asked);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the session was never touched");
    }

    async fn client_token(&self, client: &Value, secret: &str, form: &'static str) -> Value {
        let request = self
            .to(Method::POST, "/oauth/token")
            .basic_auth(client["client_id"].as_str().unwrap(), Some(secret))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        request.send().await.unwrap().json().await.unwrap()
    }
}

/// The name of a metric, labels of the sample, and its value.
type Figure<'a> = (&'a str, &'a [(&'a str, &'a str)], f64);

fn assert_figures(page: &Page, figures: &[Figure<'_>]) {
    for (name, labels, wanted) in figures {
        let read = page.read(name, labels);
        assert_eq!(read, Some(*wanted), "{name} {labels:?}\n{}", page.text);
    }
}

const VERIFICATIONS: &str = "waxseal_verifications_total";
const LOGINS: &str = "waxseal_logins_total";
const WRITTEN: &str = "waxseal_revocations_written_total";
const REQUESTS: &str = "waxseal_request_duration_seconds_count";

#[tokio::test]
async fn the_counters_match_the_requests() {
    let place = Place::new();
    for name in ["alice", "bob"] {
        place.add_user(name);
    }
    let client = place.ok(
        &[
            "client",
            "add",
            "reader",
            "--scope",
            "revocations:read",
            "--json",
        ],
        "",
    );
    let client: Value = serde_json::from_str(&client).unwrap();
    let traffic = Traffic {
        watched: Watched::start(&place, &[("WAXSEAL_LOGIN_LIMIT_ACCOUNT", "1/1h")]),
    };
    let (server, http) = (&traffic.watched.server, &traffic.watched.http);

    // Three logins, one refusal, and one beyond the limit: only failures count towards it.
    let alices = server.login(http, "alice").await;
    let others = server.login(http, "alice").await;
    let bobs = server.login(http, "bob").await;
    assert_eq!(traffic.login("alice", "not her password").await, 401);
    assert_eq!(traffic.login("alice", PASSWORD).await, 429);

    // Five valid tokens, three invalid ones.
    for _ in 0..5 {
        assert_eq!(server.verify(http, &alices).await, 200);
    }
    assert_eq!(server.verify(http, "garbage-of-a-stranger").await, 401);
    let (signed, signature) = bobs.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{signed}.{first}{}", &signature[1..]);
    for _ in 0..2 {
        assert_eq!(server.verify(http, &forged).await, 401);
    }

    // A touch, a logout, and a logout everywhere; then both tokens are dead.
    let asked = traffic.touch(&others).await;
    assert_eq!(server.logout(http, &alices).await.unwrap(), 204);
    let everywhere = traffic.to(Method::POST, "/logout").bearer_auth(&bobs);
    let everywhere = everywhere.json(&json!({ "scope": "all" }));
    assert_eq!(traffic.status(everywhere).await, 204);
    for dead in [&alices, &bobs] {
        assert_eq!(server.verify(http, dead).await, 401);
    }

    // A client with its secret, with a wrong one, and with too large a scope.
    let secret = client["client_secret"].as_str().unwrap();
    let granted = traffic
        .client_token(&client, secret, "grant_type=client_credentials")
        .await;
    let token = granted["access_token"].as_str().unwrap();
    let refused = traffic
        .client_token(&client, "wxs_x", "grant_type=client_credentials")
        .await;
    assert_eq!(refused["error"], "invalid_client");
    let too_much = "grant_type=client_credentials&scope=orders%3Aread";
    let refused = traffic.client_token(&client, secret, too_much).await;
    assert_eq!(refused["error"], "invalid_scope");

    // Two pages of the feed, and an open stream.
    for path in ["/revocations?nonce=n", "/revocations?after=1&nonce=n"] {
        assert_eq!(traffic.with(Method::GET, path, token).await, 200);
    }
    let stream = traffic.to(Method::GET, "/revocations").bearer_auth(token);
    let stream = stream.header("accept", "text/event-stream").send().await;
    let stream = stream.unwrap();
    assert_eq!(stream.status(), 200);

    // Requests with made-up methods and paths.
    let brew = Method::from_bytes(b"BREW").unwrap();
    assert_eq!(traffic.with(brew, "/verify", &others).await, 200);
    assert_eq!(
        traffic
            .status(traffic.to(Method::GET, "/made/up/path"))
            .await,
        404
    );
    let nobodys = "/sessions/01a20636-65df-7d0c-a454-25cc62cdf196";
    assert_eq!(traffic.with(Method::DELETE, nobodys, &others).await, 404);

    let page = traffic.watched.scrape().await;
    assert_figures(
        &page,
        &[
            (LOGINS, &[("outcome", "success")], 3.0),
            (LOGINS, &[("outcome", "refused")], 1.0),
            (LOGINS, &[("outcome", "limited")], 1.0),
            (LOGINS, &[("outcome", "failed")], 0.0),
            // The renewals, the five, two logouts, three requests of the client, the BREW and the DELETE.
            (VERIFICATIONS, &[("verdict", "good")], asked + 12.0),
            (VERIFICATIONS, &[("verdict", "malformed")], 1.0),
            (VERIFICATIONS, &[("verdict", "signature")], 2.0),
            (VERIFICATIONS, &[("verdict", "revoked")], 2.0),
            (VERIFICATIONS, &[], asked + 17.0),
            ("waxseal_exchanges_total", &[("outcome", "touched")], 1.0),
            (
                "waxseal_exchanges_total",
                &[("outcome", "kept")],
                asked - 1.0,
            ),
            (WRITTEN, &[("scope", "session"), ("reason", "logout")], 1.0),
            (WRITTEN, &[("scope", "user"), ("reason", "logout")], 1.0),
            (WRITTEN, &[("reason", "reused")], 0.0),
            (WRITTEN, &[], 2.0),
            (
                "waxseal_client_authentications_total",
                &[("outcome", "success")],
                2.0,
            ),
            (
                "waxseal_client_authentications_total",
                &[("outcome", "refused")],
                1.0,
            ),
            ("waxseal_client_tokens_total", &[("outcome", "issued")], 1.0),
            (
                "waxseal_client_tokens_total",
                &[("outcome", "refused")],
                1.0,
            ),
            ("waxseal_feed_pages_total", &[("kind", "snapshot")], 1.0),
            ("waxseal_feed_pages_total", &[("kind", "delta")], 1.0),
            ("waxseal_feed_streams", &[], 1.0),
            ("waxseal_log_head_seq", &[], 2.0),
            ("waxseal_list_applied_seq", &[], 2.0),
            ("waxseal_list_entries", &[], 2.0),
            ("waxseal_list_fresh", &[], 1.0),
            ("waxseal_list_max_age_seconds", &[], 5.0),
            ("waxseal_keys", &[], 2.0),
            ("waxseal_keys_current", &[], 1.0),
            ("waxseal_signing_key_rotation_seconds", &[], f64::INFINITY),
            ("waxseal_compactions_total", &[("outcome", "failed")], 0.0),
            ("waxseal_hashing_duration_seconds_count", &[], 4.0),
            ("waxseal_hashing_wait_seconds_count", &[], 4.0),
            ("waxseal_hashing_waiting", &[], 0.0),
            ("waxseal_hashing_running", &[], 0.0),
            (
                "waxseal_build_info",
                &[("version", env!("CARGO_PKG_VERSION"))],
                1.0,
            ),
            (
                REQUESTS,
                &[("route", "/login"), ("method", "POST"), ("status", "2xx")],
                3.0,
            ),
            (
                REQUESTS,
                &[("route", "/login"), ("method", "POST"), ("status", "4xx")],
                2.0,
            ),
            (
                REQUESTS,
                &[("route", "/verify"), ("method", "GET"), ("status", "2xx")],
                5.0,
            ),
            (
                REQUESTS,
                &[("route", "/verify"), ("method", "other"), ("status", "2xx")],
                1.0,
            ),
            (
                REQUESTS,
                &[("route", "none"), ("method", "GET"), ("status", "4xx")],
                1.0,
            ),
            (
                REQUESTS,
                &[
                    ("route", "/sessions/{id}"),
                    ("method", "DELETE"),
                    ("status", "4xx"),
                ],
                1.0,
            ),
        ],
    );
    let age = page.read("waxseal_signing_key_age_seconds", &[]).unwrap();
    assert!(
        (60.0..3600.0).contains(&age),
        "a first key has begun a minute ago: {age}"
    );

    // The page contains no user, client, token or secret.
    let client_id = client["client_id"].as_str().unwrap();
    for secret in [
        "alice", PASSWORD, "garbage", &alices, token, secret, client_id,
    ] {
        assert!(!page.text.contains(secret), "{secret}\n{}", page.text);
    }
    for made_up in ["BREW", "made", "01a20636", "nonce"] {
        assert!(!page.text.contains(made_up), "{made_up}\n{}", page.text);
    }

    drop(stream);
    let mut open = page.read("waxseal_feed_streams", &[]);
    for _ in 0..300 {
        if open == Some(0.0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        open = traffic
            .watched
            .scrape()
            .await
            .read("waxseal_feed_streams", &[]);
    }
    assert_eq!(open, Some(0.0), "a stream that was left is not open");
}

#[tokio::test]
async fn a_rotation_that_is_planned_is_counted_down() {
    let place = Place::new();
    place.add_user("alice");
    let watched = Watched::start(&place, &[]);
    place.ok(&["keys", "rotate"], "");
    let mut left = f64::INFINITY;
    for _ in 0..300 {
        if left.is_finite() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let page = watched.scrape().await;
        left = page
            .read("waxseal_signing_key_rotation_seconds", &[])
            .unwrap();
    }
    // A successor signs 13 minutes after it was published.
    assert!((0.0..=780.0).contains(&left), "{left}");
}
