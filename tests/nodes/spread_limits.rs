//! Login limits over HTTP, at two nodes of one service.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::json;
use tokio::task::JoinSet;

use super::common::PASSWORD;
use super::common::postgres::Postgres;
use super::nodes::Nodes;

const BURST: usize = 6;

async fn log_in(http: &Client, url: &str, address: &str, password: &str) -> Response {
    let body = json!({ "username": "alice", "password": password });
    let request = http.post(format!("{url}/login")).json(&body);
    let request = request.header("x-forwarded-for", address);
    request.send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_at_two_nodes_share_one_limit_and_an_owner_is_known_at_both() {
    let database = Postgres::start();
    let settings = [
        ("WAXSEAL_LOGIN_LIMIT_ACCOUNT", "6/1h"),
        ("WAXSEAL_LOGIN_LIMIT_ADDRESS", "1000/1h"),
        ("WAXSEAL_TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let nodes = Nodes::start(
        &[database.url(), database.url()],
        &settings,
        &["alice".to_owned()],
    );
    let http = Client::new();
    let urls: Vec<_> = nodes.0.iter().map(|node| node.url.clone()).collect();
    let home = "2001:db8:1:2::1";
    let owner = log_in(&http, &urls[0], home, PASSWORD).await;
    assert_eq!(owner.status(), 200);

    // Unknown addresses, at both nodes at once, share one allowance of failures.
    let mut strangers = JoinSet::new();
    for n in 0..20 {
        for url in &urls {
            let (http, url) = (http.clone(), url.clone());
            strangers.spawn(async move {
                let address = format!("203.0.113.{n}");
                let answer = log_in(&http, &url, &address, "a guess").await;
                let status = answer.status().as_u16();
                let header = |name: &str| -> Option<u64> {
                    answer.headers().get(name)?.to_str().ok()?.parse().ok()
                };
                if status == 429 {
                    assert!(header("retry-after").is_some_and(|wait| (1..=600).contains(&wait)));
                    assert_eq!(
                        answer.headers()["ratelimit-policy"],
                        "\"account\";q=1;w=600"
                    );
                }
                status
            });
        }
    }
    let mut answers: BTreeMap<u16, usize> = BTreeMap::new();
    for status in strangers.join_all().await {
        *answers.entry(status).or_default() += 1;
    }
    let wanted = BTreeMap::from([(401, BURST), (429, 40 - BURST)]);
    assert_eq!(answers, wanted);

    // Successful logins of the owner at either node are not limited, and the owner has the same allowance of failures.
    for n in 0..2 * BURST {
        let owner = log_in(&http, &urls[(n + 1) % 2], home, PASSWORD).await;
        assert_eq!(owner.status(), 200);
    }
    for n in 0..BURST {
        let owner = log_in(&http, &urls[n % 2], home, "a guess").await;
        assert_eq!(owner.status(), 401);
    }
    for url in &urls {
        assert_eq!(log_in(&http, url, home, PASSWORD).await.status(), 429);
    }

    // A login that cannot be counted is not attempted.
    database.pause();
    let asked = log_in(&http, &urls[1], "2001:db8:1:3::1", PASSWORD);
    let answer = tokio::time::timeout(Duration::from_secs(60), asked).await;
    let answer = answer.expect("it answers in time");
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    database.resume();
    for node in &nodes.0 {
        node.terminate();
    }
}
