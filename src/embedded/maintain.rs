//! Background tasks that run for as long as the server does.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

use super::Waxseal;
use crate::report::report;
use crate::revocation::follower::FollowError;
use crate::revocation::log::{Cursor, RevocationLog};
use crate::revocation::register::Keeper;

/// The interval between reads of the log for entries that other processes wrote.
const POLL: Duration = Duration::from_millis(250);

/// The interval between reads of the key folder. Polling is more reliable than watching here: mounted secrets change by
/// swapping symbolic links.
const RELOAD: Duration = Duration::from_millis(500);

/// The interval between checks for nodes whose lease has expired.
const KEEP: Duration = Duration::from_millis(500);

/// The interval between updates of the mark for entries that other nodes wrote.
const MARK: Duration = Duration::from_secs(1);

/// The interval between compactions of expired revocations.
const COMPACT: Duration = Duration::from_secs(60);

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

impl Waxseal {
    /// Keeps the list fresh, the keys current and the log small, for as long as the future is polled. Run it beside the
    /// server: without it every token is refused with 503 after `max_staleness`.
    pub async fn maintain(self) {
        tokio::join!(
            self.keep_fresh(),
            self.hear(),
            self.keep_keys(),
            self.keep_register(),
            self.keep_mark(),
            self.tidy()
        );
    }

    async fn keep_fresh(&self) {
        let (mut poll, mut said) = (every(POLL), None);
        loop {
            poll.tick().await;
            let failed = self.catch_up().await.err();
            // Reports each cause once. A log that went back must be reported even after a time when it could not be
            // read.
            let why = failed.as_ref().map(|cause| {
                let text = report(cause).to_string();
                text.replace(|c: char| c.is_ascii_digit(), "")
            });
            if why != said {
                match &failed {
                    Some(cause) => {
                        tracing::error!(cause = %report(cause), "the revocation log cannot be followed; tokens will be refused");
                    }
                    None => tracing::info!("the revocation log is followed again"),
                }
            }
            self.meters
                .failing
                .store(failed.is_some(), Ordering::Relaxed);
            said = why;
        }
    }

    /// Applies and acknowledges new entries as soon as another process signals a write.
    async fn hear(&self) {
        let Some(register) = &self.register else {
            return;
        };
        let mut bell = register.bell();
        while bell.changed().await.is_ok() {
            let heard: Result<(), FollowError> = async {
                self.follower.catch_up().await?;
                Ok(self.follower.acknowledge().await?)
            }
            .await;
            if let Err(cause) = heard {
                tracing::debug!(cause = %report(&cause), "the log could not be read after a notification; it is polled anyway");
            }
        }
    }

    async fn keep_keys(&self) {
        let mut reload = every(RELOAD);
        loop {
            reload.tick().await;
            self.reload_keys().await;
            self.keep_signing().await;
        }
    }

    async fn keep_register(&self) {
        let Some(register) = &self.register else {
            return;
        };
        let (mut keep, mut keeper) = (every(KEEP), Keeper::default());
        loop {
            keep.tick().await;
            let Ok(read) = register.nodes().await else {
                continue;
            };
            for (node, beat) in keeper.gone(&read.nodes, self.clock.uptime()) {
                tracing::warn!(%node, "a node was removed from the register: its lease expired");
                if let Err(cause) = register.dismiss(node, beat).await {
                    tracing::debug!(cause = %report(&cause), "it could not be taken out of the register");
                }
            }
        }
    }

    async fn keep_mark(&self) {
        if self.register.is_none() {
            return;
        }
        let (mut keep, mut marked) = (every(MARK), Cursor::START);
        loop {
            keep.tick().await;
            let read = self.follower.cursor().await;
            if read == marked {
                continue;
            }
            match self.store.follow(read).await {
                Ok(()) => marked = read,
                Err(cause) => {
                    tracing::debug!(cause = %report(&cause), "the mark could not follow the log");
                }
            }
        }
    }

    async fn tidy(&self) {
        let mut compact = every(COMPACT);
        loop {
            compact.tick().await;
            self.limits.tidy().await;
            match self.compact().await {
                Ok(0) => {}
                Ok(dropped) => tracing::info!(dropped, "compacted the revocation log"),
                Err(cause) => {
                    tracing::warn!(cause = %report(&cause), "the revocation log could not be compacted");
                }
            }
        }
    }

    /// Stores the latest reading of the clock, as compaction does every minute, so that a clock that is set back before
    /// the next start revives nothing. Nodes that share a database do this for each other.
    async fn keep_time(&self) {
        if !self.keys_are_own {
            return;
        }
        let leeway = self.verifier.policy().timeouts().leeway;
        self.list.observe(self.clock.now(), leeway);
        if let Err(cause) = self.store.raise_horizon(self.list.expired_until()).await {
            tracing::warn!(cause = %report(&cause), "the latest reading of the clock could not be stored");
        }
    }

    /// Takes this node out of service: from now on it refuses every token, and no logout waits for it. Call it after
    /// the server has stopped.
    pub async fn leave(&self) {
        self.keep_time().await;
        self.limits.tidy().await;
        if let Err(cause) = self.follower.leave().await {
            tracing::warn!(cause = %report(&cause), "this node could not be taken out of the register; logouts may wait for it once");
        }
        if self.register.is_some()
            && let Err(cause) = self.store.follow(self.follower.cursor().await).await
        {
            tracing::warn!(cause = %report(&cause), "the mark may be behind what this node has read of the log");
        }
    }
}
