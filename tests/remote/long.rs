//! A log of more than one page, for both verifiers: as they follow it, and from its beginning.

use std::time::Duration;

use futures_util::future::join_all;
use waxseal::Settings;
use waxseal::embedded::open_store;
use waxseal::id::TokenId;
use waxseal::random::OsRandom;
use waxseal::revocation::Reason;
use waxseal::revocation::feed::PAGE;
use waxseal::revocation::log::{RevocationLog, Revoke};
use waxseal::time::{Clock, SystemClock};

use super::javascript::{Both, Verdict};

/// Writes more than a page beside the server, as the command line does.
async fn fill(both: &Both) {
    let settings = Settings::default().in_folder(both.place.path());
    let store = open_store(&settings).await.unwrap();
    let (at, random) = (SystemClock.now(), OsRandom::new());
    let writes = (0..PAGE + 1000).map(|_| {
        let token = TokenId::new(at, &random);
        let what = Revoke::Token(token, at.plus(Duration::from_secs(3600)));
        store.revoke(what, Reason::Operator, at)
    });
    for written in join_all(writes).await {
        written.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_agree_on_a_log_of_several_pages() {
    let both = Both::new("EdDSA", "30m").await;
    both.place.add_user("alice");
    let login = async || both.issuer.login(&both.http, "alice").await;
    let [first, last, live] = [login().await, login().await, login().await];
    for token in [&first, &last, &live] {
        both.until("before", token, Verdict::Session).await;
    }
    both.post("/logout", &first, None).await;
    fill(&both).await;
    both.post("/logout", &last, None).await;
    let agreed = async |both: &Both| {
        for (token, verdict) in [
            (&last, Verdict::Refused),
            (&first, Verdict::Refused),
            (&live, Verdict::Session),
        ] {
            both.until("after a long log", token, verdict).await;
        }
    };
    agreed(&both).await;
    // Other verifiers, which start only now.
    let both = both.with_new_verifiers();
    agreed(&both).await;
}
