//! The metrics of two nodes about each other.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

use super::common::PASSWORD;
use super::common::postgres::Postgres;
use super::nodes::{Node, Nodes};

const TRIES: usize = 20;

/// Reads one metric from a node's page. `name` includes the labels as they are printed.
async fn read(http: &Client, node: &Node, name: &str) -> f64 {
    let page = http.get(&node.metrics).send().await.unwrap();
    let page = page.text().await.unwrap();
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name} ")));
    let value = line.unwrap_or_else(|| panic!("{name}\n{page}"));
    value.parse().unwrap()
}

/// Waits until the metric satisfies `is`.
async fn becomes(http: &Client, node: &Node, name: &str, is: impl Fn(f64) -> bool) {
    let mut last = f64::NAN;
    for _ in 0..1200 {
        last = read(http, node, name).await;
        if is(last) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{name} stays {last}");
}

async fn fences(http: &Client, node: &Node) -> [f64; 3] {
    let mut all = [0.0; 3];
    for (n, outcome) in ["acknowledged", "lease_expired", "failed"]
        .iter()
        .enumerate()
    {
        let name = format!("waxseal_fences_total{{outcome=\"{outcome}\"}}");
        all[n] = read(http, node, &name).await;
    }
    all
}

/// Repeats a request until the node's list is fresh: a busy machine may be slower than a lease.
async fn sent(request: RequestBuilder) -> Response {
    for _ in 0..600 {
        let answer = request.try_clone().unwrap().send().await.unwrap();
        if answer.status() != 503 {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it is never fresh");
}

async fn log_in_and_out(http: &Client, node: &Node) {
    let login = json!({ "username": "alice", "password": PASSWORD });
    let login = http.post(format!("{}/login", node.url)).json(&login);
    let login: Value = sent(login).await.json().await.unwrap();
    let logout = http.post(format!("{}/logout", node.url));
    let logout = logout.bearer_auth(login["access_token"].as_str().unwrap());
    assert_eq!(sent(logout).await.status(), 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_of_nodes_count_nodes_waits_and_followed_logs() {
    let database = Postgres::start();
    let settings = [("WAXSEAL_LOGOUT", "fenced"), ("WAXSEAL_LEASE", "1s")];
    let databases = [database.url(), database.url()];
    let nodes = Nodes::start(&databases, &settings, &["alice".to_owned()]);
    let [a, b] = [&nodes.0[0], &nodes.0[1]];
    let http = Client::new();
    for node in [a, b] {
        becomes(&http, node, "waxseal_nodes", |nodes| nodes == 2.0).await;
        becomes(&http, node, "waxseal_nodes_behind", |behind| behind == 0.0).await;
        becomes(&http, node, "waxseal_log_followed", |is| is == 1.0).await;
        assert_eq!(read(&http, node, "waxseal_list_max_age_seconds").await, 1.0);
        let left = |left| left > 0.0 && left <= 1.0;
        becomes(&http, node, "waxseal_list_fresh_left_seconds", left).await;
        // Both run on one machine.
        let close = |ahead: f64| ahead.abs() < 1.0;
        becomes(&http, node, "waxseal_clock_offset_seconds", close).await;
    }

    // Eventually every node acknowledges. Each logout is counted once.
    let mut logouts = 0.0;
    while fences(&http, a).await[0] == 0.0 {
        log_in_and_out(&http, a).await;
        logouts += 1.0;
        assert!(logouts < TRIES as f64, "{:?}", fences(&http, a).await);
    }
    let [acknowledged, expired, failed] = fences(&http, a).await;
    assert_eq!((acknowledged + expired, failed), (logouts, 0.0));
    let count = "waxseal_fence_wait_seconds_count";
    assert_eq!(read(&http, a, count).await, logouts);
    assert_eq!(read(&http, b, count).await, 0.0);

    // The lease of a paused node expires once, and the node is then dismissed.
    let mut tried = 0;
    while fences(&http, a).await[1] == expired {
        becomes(&http, a, "waxseal_nodes", |nodes| nodes == 2.0).await;
        b.pause();
        log_in_and_out(&http, a).await;
        becomes(&http, a, "waxseal_nodes", |nodes| nodes == 1.0).await;
        b.resume();
        tried += 1;
        assert!(tried < TRIES, "{:?}", fences(&http, a).await);
    }
    let waited = read(&http, a, "waxseal_fence_wait_seconds_sum").await;
    assert!(waited > 1.0, "{waited}");

    // Without a database these values are unknown.
    database.pause();
    becomes(&http, a, "waxseal_log_followed", |is| is == 0.0).await;
    becomes(&http, a, "waxseal_nodes", f64::is_nan).await;
    becomes(&http, a, "waxseal_nodes_behind", f64::is_nan).await;
    assert_eq!(read(&http, a, "waxseal_list_fresh_left_seconds").await, 0.0);
    database.resume();
    becomes(&http, a, "waxseal_log_followed", |is| is == 1.0).await;
    becomes(&http, a, "waxseal_nodes", |nodes| nodes == 2.0).await;
    for node in &nodes.0 {
        node.terminate();
    }
}
