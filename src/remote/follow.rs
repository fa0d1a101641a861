//! Keeps a remote verifier's keys and revocation list fresh.
//!
//! Only the answer to the verifier's own request proves freshness, as of the time before it asked. A message on the
//! stream is only a reason to ask: it can be late, held back or forged.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::fault::Unproven;
use super::issuer::{IssuerClient, KeysError};
use crate::encoding::base64url;
use crate::keyring::SharedKeyring;
use crate::meters::{Counters, FeedRequests, KeyFetches, OldFeedRequests};
use crate::random::Random;
use crate::report::report;
use crate::revocation::feed::{BadPage, FeedReading, Question, Statement};
use crate::revocation::freshness::Freshness;
use crate::revocation::list::RevocationList;
use crate::time::{Clock, Timestamp};
use crate::token::Malformed;
use crate::token::statement::UntrustedStatement;
use crate::token::types::REVOCATIONS;
use crate::verifier::{Faults, Verifier};

/// The interval at which the keys are fetched: well within the time for which an issuer lets them be cached.
const KEYS_EVERY: Duration = Duration::from_secs(240);

/// The minimum time between fetches of the keys that unknown keys cause. Anybody can name an unknown key.
const KEYS_COOL_DOWN: Duration = Duration::from_secs(30);

/// The interval at which a failed request is repeated.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// The pause after an answer, however often the stream rings.
const PAUSE: Duration = Duration::from_millis(20);

/// The interval at which expired entries are dropped.
const TIDY: Duration = Duration::from_secs(60);

/// A stream that is silent for this long, heartbeats included, is dead.
const SILENCE: Duration = Duration::from_secs(15);

/// What is kept fresh, and the issuer that it comes from.
pub(super) struct FeedFollower {
    pub(super) issuer: IssuerClient,
    /// The URL at which the issuer is reached.
    pub(super) at: String,
    pub(super) name: String,
    pub(super) faults: Faults,
    pub(super) keyring: Arc<SharedKeyring>,
    pub(super) list: Arc<RevocationList>,
    pub(super) freshness: Arc<Freshness>,
    pub(super) bound: Duration,
    pub(super) leeway: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) feed_requests: Counters<FeedRequests>,
    pub(super) old_feed_requests: Counters<OldFeedRequests>,
    pub(super) key_fetches: Counters<KeyFetches>,
}

/// Sets the verifier's gauges for as long as anything holds the verifier. This is a task of its own, so that it does
/// not hang with what it observes.
pub(super) async fn measure(verifier: Weak<Verifier>) {
    while let Some(verifier) = verifier.upgrade() {
        verifier.measure();
        drop(verifier);
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

impl FeedFollower {
    /// Runs for as long as anything holds the verifier.
    pub(super) async fn until_dropped(self, verifier: Weak<Verifier>) {
        let bell = Notify::new();
        let dropped = async {
            while verifier.strong_count() > 0 {
                tokio::time::sleep(TRY_AGAIN).await;
            }
        };
        tokio::select! {
            () = dropped => {}
            () = self.keep_keys() => {}
            () = self.keep_list(&bell) => {}
            () = self.listen(&bell) => {}
            () = self.tidy() => {}
        }
    }

    /// Drops the entries that the issuer's horizon covers.
    async fn tidy(&self) {
        loop {
            tokio::time::sleep(TIDY).await;
            let list = Arc::clone(&self.list);
            let dropped = tokio::task::spawn_blocking(move || list.drop_covered());
            if dropped.await.is_err() {
                tracing::error!("dropping expired revocations from the list panicked");
            }
        }
    }

    async fn keep_keys(&self) {
        loop {
            let wait = match self.fetch_keys().await {
                Ok(()) => KEYS_EVERY,
                Err(cause) => {
                    if self.keyring.source_broken() {
                        tracing::error!(cause = %report(&cause), "the issuer's keys could not be fetched; the previous keys stay in use");
                    }
                    TRY_AGAIN
                }
            };
            let cool = wait.min(KEYS_COOL_DOWN);
            tokio::time::sleep(cool).await;
            tokio::select! {
                () = tokio::time::sleep(wait - cool) => {}
                () = self.keyring.unknown_noted() => {}
            }
        }
    }

    async fn fetch_keys(&self) -> Result<(), KeysError> {
        let fetched = self.issuer.keys().await;
        self.key_fetches.count(match fetched {
            Ok(_) => KeyFetches::Answered,
            Err(_) => KeyFetches::Failed,
        });
        if self.keyring.replace(fetched?) {
            tracing::info!("the issuer's keys changed");
        }
        Ok(())
    }

    async fn keep_list(&self, bell: &Notify) {
        let poll = (self.bound / 4).min(Duration::from_secs(1));
        let mut reading = FeedReading::default();
        let mut failing = false;
        let mut cool = Duration::ZERO;
        loop {
            let caught_up = match self.catch_up(&mut reading).await {
                // Read the log again from its beginning at once.
                Err(Unproven::Page(cause @ BadPage::OtherLog(_))) => {
                    tracing::error!(cause = %report(&cause), "the revocation log was replaced; known revocations still apply, and the log is read again");
                    self.catch_up(&mut reading).await
                }
                // The issuer signs with a new key.
                Err(Unproven::UnknownKey(_)) if self.clock.uptime() >= cool => {
                    cool = self.clock.uptime() + KEYS_COOL_DOWN;
                    match self.fetch_keys().await {
                        Ok(()) => self.catch_up(&mut reading).await,
                        Err(cause) => Err(cause.into()),
                    }
                }
                caught_up => caught_up,
            };
            let (outcome, old) = match caught_up {
                Ok(()) => (FeedRequests::Answered, OldFeedRequests::Answered),
                Err(_) => (FeedRequests::Failed, OldFeedRequests::Failed),
            };
            self.feed_requests.count(outcome);
            self.old_feed_requests.count(old);
            let fault = caught_up.as_ref().err();
            let left = self.freshness.left(self.clock.uptime());
            match fault {
                None if failing => tracing::info!("the revocation feed is followed again"),
                // Other processes of the same client ask as well, and there is time to ask again.
                Some(cause) if cause.is_over_quota() && !left.is_zero() => {
                    tracing::debug!(cause = %report(cause), "the issuer is unavailable; retrying later");
                }
                Some(cause) if !failing => {
                    tracing::error!(cause = %report(cause), "the revocation feed cannot be followed; tokens will be refused");
                    failing = true;
                }
                _ => {}
            }
            failing &= fault.is_some();
            self.faults.report(fault.map(|cause| cause.told(&self.at)));
            let wait = match fault {
                None => poll,
                Some(cause) => {
                    until_next(cause.retry_after(), left, self.bound).max(poll.min(TRY_AGAIN))
                }
            };
            tokio::time::sleep(PAUSE).await;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = bell.notified(), if caught_up.is_ok() => {}
            }
        }
    }

    /// Asks until everything up to the head is applied.
    async fn catch_up(&self, reading: &mut FeedReading) -> Result<(), Unproven> {
        loop {
            let mut nonce = [0; 16];
            self.random.fill(&mut nonce);
            let nonce = base64url::encode(&nonce);
            let (asked, before) = (self.clock.uptime(), self.clock.now());
            let page = self.issuer.page(reading.next(), &nonce).await;
            let page = page.map_err(|cause| Unproven::Ask(nonce.clone(), cause))?;
            let statement = self.open(&page.page)?;
            if statement.iss != self.name {
                return Err(Unproven::OtherName {
                    expected: self.name.clone(),
                    said: statement.iss,
                });
            }
            self.check_clock(before, Timestamp::from_millis(statement.now))?;
            let question = Question {
                issuer: &self.name,
                client: self.issuer.client(),
                nonce: &nonce,
            };
            let brought = reading.take(&question, &statement, &page.entries)?;
            for revocation in &brought.revocations {
                self.list.apply(revocation);
            }
            self.list
                .note_lineage(Timestamp::from_millis(statement.newest));
            self.list
                .learn_horizon(Timestamp::from_millis(statement.horizon));
            self.list.observe(self.clock.now(), self.leeway);
            if brought.complete {
                self.freshness.prove(asked.saturating_sub(brought.age));
                self.list.announce(reading.cursor().seq);
                return Ok(());
            }
        }
    }

    fn open(&self, page: &str) -> Result<Statement, Unproven> {
        let untrusted = UntrustedStatement::parse(page, REVOCATIONS)?;
        let keyring = self.keyring.load();
        let kid = untrusted.kid().clone();
        if self.list.key_revoked(&kid) {
            return Err(Unproven::RevokedKey(kid));
        }
        let key = keyring.verifying(kid.as_str(), self.clock.now());
        let key = key.ok_or(Unproven::UnknownKey(kid))?;
        let said = untrusted.verify(key)?;
        serde_json::from_slice(&said).map_err(|_| Malformed::Claims("the page").into())
    }

    /// Checks this machine's clock. A wrong clock would accept expired tokens, and extend graces.
    fn check_clock(&self, before: Timestamp, there: Timestamp) -> Result<(), Unproven> {
        let here = self.clock.now();
        if before.minus(self.leeway) <= there && there <= here.plus(self.leeway) {
            Ok(())
        } else {
            Err(Unproven::Clock { here, there })
        }
    }

    /// Listens to the stream, which is only a convenience: a refusal is obeyed in full.
    async fn listen(&self, bell: &Notify) {
        loop {
            let mut wait = TRY_AGAIN;
            if let Err(cause) = self.issuer.listen(SILENCE, || bell.notify_one()).await {
                tracing::debug!(cause = %report(&cause), "the feed's stream broke; polling goes on");
                let told = cause.retry_after().unwrap_or_default();
                wait = wait.max(told.min(SILENCE));
            }
            tokio::time::sleep(wait).await;
        }
    }
}

/// The wait after a refusal: as long as the issuer asks for, but at most half of the time for which the list is still
/// fresh, so that it can be proven in time. Once the list is stale, the wait is at most the bound.
fn until_next(told: Option<Duration>, left: Duration, bound: Duration) -> Duration {
    let longest = if left.is_zero() { bound } else { left / 2 };
    told.unwrap_or_default().min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_obeyed_as_long_as_the_list_stays_fresh() {
        let bound = Duration::from_secs(5);
        for (told, left, wait) in [
            (Some(1000), 4000, 1000),
            (Some(3000), 4000, 2000),
            (Some(3_600_000), 4000, 2000),
            (Some(1000), 500, 250),
            (Some(1000), 0, 1000),
            (Some(60_000), 0, 5000),
            (Some(0), 4000, 0),
            (None, 4000, 0),
        ] {
            let wanted = Duration::from_millis(wait);
            let until = until_next(
                told.map(Duration::from_millis),
                Duration::from_millis(left),
                bound,
            );
            assert_eq!(until, wanted, "{told:?} {left}");
        }
    }
}
