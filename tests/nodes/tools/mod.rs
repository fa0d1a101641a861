//! The operators' commands, beside several nodes.

mod explain;
mod fenced;
mod long_log;
mod migrate;

use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};

use super::common::PASSWORD;
use super::nodes::Node;

const PATIENCE: Duration = Duration::from_secs(60);

fn users() -> Vec<String> {
    ["alice", "bob"].map(str::to_owned).to_vec()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("not JSON: {text:?}"))
}

/// Asserts that a command failed, and returns its error output.
fn refused(output: &Output, code: i32, words: &[&str]) -> String {
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    for word in words {
        assert!(talk.contains(word), "{word:?} is missing in {talk:?}");
    }
    assert!(!talk.contains("panicked"), "{talk}");
    talk
}

async fn login(http: &reqwest::Client, url: &str, name: &str) -> String {
    let body = json!({ "username": name, "password": PASSWORD });
    let request = http.post(format!("{url}/login")).json(&body);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200, "{name}");
    let body: Value = response.json().await.unwrap();
    body["access_token"].as_str().unwrap().to_owned()
}

/// A node's status for a token; 0 if it does not answer.
async fn verify(http: &reqwest::Client, url: &str, token: &str) -> u16 {
    let request = http.get(format!("{url}/verify")).bearer_auth(token);
    let answer = request.send().await;
    answer.map_or(0, |answer| answer.status().as_u16())
}

/// Waits until a node accepts the token; a node that has just started may take a while.
async fn accepts(http: &reqwest::Client, node: &Node, token: &str) {
    for _ in 0..3000 {
        if verify(http, &node.url, token).await == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never good: {}", node.log());
}
