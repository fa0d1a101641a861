//! What is measured must first refuse what it should.

use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::Value;

use crate::Result;

/// How long something may take to end that should have ended by now.
const PATIENCE: Duration = Duration::from_secs(20);

/// A header that is sent to ask, `name: value`.
pub type Header = str;

/// The credentials that a check needs.
pub struct Credentials {
    pub good: String,
    /// It ends about now, by its time.
    pub ends: String,
    /// Where to POST, and what, to end it before its time; if that can be done here.
    pub revoked: Option<(String, String)>,
}

/// Checks that it lets in and refuses as it should; and, where it says who was let in, that it does.
pub async fn check(http: &Client, url: &str, credentials: &Credentials) -> Result<()> {
    let good = &credentials.good;
    if url.ends_with("/session") {
        let answer = ask(http, url, Some(good)).await?;
        let answer: Value = answer.json().await?;
        if answer["subject"].as_str().is_none_or(str::is_empty) {
            return Err(format!("nobody was let in: {answer}").into());
        }
    }
    expect(http, url, Some(good), "what is good", 200).await?;
    expect(http, url, None, "no credentials", 401).await?;
    for tampered in tampered(good) {
        expect(http, url, Some(&tampered), "what was tampered with", 401).await?;
    }
    let started = Instant::now();
    while ask(http, url, Some(&credentials.ends)).await?.status() != 401 {
        if started.elapsed() > PATIENCE {
            return Err("it lets in what is expired".into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    if let Some((logout, revoked)) = &credentials.revoked {
        expect(http, url, Some(revoked), "what will be revoked", 200).await?;
        let (name, value) = split(revoked)?;
        let answer = http.post(logout).header(name, value).send().await?;
        if answer.status() != 204 {
            return Err(format!("the logout was answered with {}", answer.status()).into());
        }
        expect(http, url, Some(revoked), "what is revoked", 401).await?;
    }
    expect(http, url, Some(good), "what is good", 200).await
}

/// The same with another character: in the signature, and for a token in the claims.
fn tampered(header: &Header) -> Vec<String> {
    let parts: Vec<&str> = header.split('.').collect();
    let within = |part: usize| {
        let before: usize = parts[..part].iter().map(|part| part.len() + 1).sum();
        before + parts[part].len() / 2
    };
    let last = parts.len() - 1;
    let places = if last == 2 { vec![1, 2] } else { vec![last] };
    let swap = |part: usize| {
        let at = if last == 2 {
            within(part)
        } else {
            header.len() - 6
        };
        let other = if &header[at..=at] == "A" { "B" } else { "A" };
        format!("{}{other}{}", &header[..at], &header[at + 1..])
    };
    places.into_iter().map(swap).collect()
}

async fn expect(
    http: &Client,
    url: &str,
    header: Option<&Header>,
    what: &str,
    status: u16,
) -> Result<()> {
    let found = ask(http, url, header).await?.status();
    if found != status {
        return Err(format!("{url} answers {found}, not {status}, to {what}").into());
    }
    Ok(())
}

async fn ask(http: &Client, url: &str, header: Option<&Header>) -> Result<reqwest::Response> {
    let mut request = http.get(url);
    if let Some(header) = header {
        let (name, value) = split(header)?;
        request = request.header(name, value);
    }
    Ok(request.send().await?)
}

fn split(header: &Header) -> Result<(&str, &str)> {
    Ok(header.split_once(": ").ok_or("not a header")?)
}
