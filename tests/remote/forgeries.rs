//! The second table that the two verifiers share: texts that the issuer did not write, most of them signed with its own
//! key, and the verdict on each.

use serde_json::Value;
use waxseal::key::Format;

use super::common::signing_pem;
use super::forged_claims::{CLIENTS, SESSIONS};
use super::forged_texts::TEXTS;
use super::forger::{Forger, Members, header_and_claims};
use super::javascript::{Both, ORDERS, Verdict};
use super::service::Client;
use Verdict::{Client as Service, Refused, Session};

/// What a forger has: the issuer's key, and a genuine token.
pub struct Stolen {
    pub forger: Forger,
    pub genuine: String,
    pub header: Members,
    pub claims: Members,
}

pub type Forgery = fn(&Stolen) -> String;

impl Stolen {
    fn new(both: &Both, genuine: String) -> Self {
        let pem = signing_pem(&both.place.path().join("keys"), Format::Jwt);
        let [header, claims] = header_and_claims(&genuine);
        Self {
            forger: Forger::from_pem(pem.as_bytes(), Format::Jwt),
            header: Members::of(&header),
            claims: Members::of(&claims),
            genuine,
        }
    }

    pub fn seal(&self, header: &Members, claims: &Members) -> String {
        self.forger.seal(header.text(), claims.text())
    }

    pub fn parameter(&self, name: &str, raw: &str) -> String {
        self.seal(&self.header.with(name, raw), &self.claims)
    }

    pub fn claim(&self, name: &str, raw: &str) -> String {
        self.seal(&self.header, &self.claims.with(name, raw))
    }

    pub fn without_claim(&self, name: &str) -> String {
        self.seal(&self.header, &self.claims.without(name))
    }

    pub fn second(&self, name: &str) -> i64 {
        self.claims.raw(name).parse().unwrap()
    }

    /// The token with times moved by so many seconds.
    pub fn moved(&self, times: &[(&str, i64)]) -> String {
        let claims = times
            .iter()
            .fold(self.claims.clone(), |claims, (name, by)| {
                claims.with(name, &(self.second(name) + by).to_string())
            });
        self.seal(&self.header, &claims)
    }

    pub fn text(&self, name: &str) -> String {
        serde_json::from_str(self.claims.raw(name)).unwrap()
    }
}

async fn they_agree_on_forgeries(algorithm: &str) {
    let both = Both::new(algorithm, "30m").await;
    both.place.add_user("alice");
    let session = both.issuer.login(&both.http, "alice").await;
    let caller = Client::add(&both.place, "caller", "orders:read", Some(ORDERS));
    let client = caller.token(&both.http, &both.issuer.url).await;
    both.until("a genuine session", &session, Session).await;
    both.until("a genuine client", &client, Service).await;
    for (genuine, table) in [(session.clone(), SESSIONS), (client, CLIENTS)] {
        let stolen = Stolen::new(&both, genuine);
        for (name, forgery, verdict) in table {
            both.is(name, &forgery(&stolen), *verdict).await;
        }
    }
    let stolen = Stolen::new(&both, session);
    for (name, forgery) in TEXTS {
        both.is(name, &forgery(&stolen), Refused).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verifiers_in_rust_and_javascript_agree_on_every_forgery() {
    they_agree_on_forgeries("EdDSA").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_agree_on_every_forgery_with_es256_too() {
    they_agree_on_forgeries("ES256").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_the_feed_is_refused_as_a_token() {
    let both = Both::new("EdDSA", "30m").await;
    let reader = Client::reader(&both.place, "second");
    let token = reader.token(&both.http, &both.issuer.url).await;
    // A token that may only read the feed opens nothing else.
    both.is("a reader's token", &token, Refused).await;
    let answer = both
        .http
        .get(format!("{}/revocations", both.issuer.url))
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    let answer: Value = answer.json().await.unwrap();
    both.is("a page", answer["page"].as_str().unwrap(), Refused)
        .await;
}
