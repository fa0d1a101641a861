//! What runs beside the server for as long as it serves.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

use super::Waxseal;
use crate::revocation::follower::FollowError;
use crate::revocation::register::Keeper;

/// How often the log is read for what other processes wrote.
const POLL: Duration = Duration::from_millis(250);

/// How often the key folder is read again. Reading it beats watching it: mounted secrets change by
/// swapping links.
const RELOAD: Duration = Duration::from_millis(500);

/// How often it is looked for nodes that are gone.
const KEEP: Duration = Duration::from_millis(500);

/// How often expired revocations are dropped.
const COMPACT: Duration = Duration::from_secs(60);

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

impl Waxseal {
    /// Keeps the list fresh, the keys current and the log small, for as long as it is polled. Run it beside the server;
    /// without it every token is refused with 503 after `max_staleness`.
    pub async fn maintain(self) {
        tokio::join!(
            self.keep_fresh(),
            self.hear(),
            self.keep_keys(),
            self.keep_register(),
            self.tidy()
        );
    }

    async fn keep_fresh(&self) {
        let (mut poll, mut failing, mut broken) = (every(POLL), false, false);
        loop {
            poll.tick().await;
            let Err(cause) = self.catch_up().await else {
                if failing {
                    tracing::info!("the revocation log is followed again");
                }
                (failing, broken) = (false, false);
                continue;
            };
            // A log that has lost something is mostly seen after its server could not be reached.
            let is_broken = matches!(cause, FollowError::Broken(_));
            if !failing || (is_broken && !broken) {
                tracing::error!(%cause, "the revocation log cannot be followed; tokens will be refused");
            }
            failing = true;
            broken |= is_broken;
        }
    }

    /// Applies what is new as soon as somebody rings, and acknowledges it.
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
                tracing::debug!(%cause, "the bell rang and the log could not be read; it is read every so often anyway");
            }
        }
    }

    async fn keep_keys(&self) {
        let mut reload = every(RELOAD);
        loop {
            reload.tick().await;
            self.reload_keys().await;
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
                tracing::warn!(%node, "a node is gone: it has not entered itself for longer than it may serve");
                if let Err(cause) = register.dismiss(node, beat).await {
                    tracing::debug!(%cause, "it could not be taken out of the register");
                }
            }
        }
    }

    async fn tidy(&self) {
        let mut compact = every(COMPACT);
        loop {
            compact.tick().await;
            self.limits.tidy();
            match self.compact().await {
                Ok(0) => {}
                Ok(dropped) => tracing::info!(dropped, "compacted the revocation log"),
                Err(cause) => {
                    tracing::warn!(%cause, "the revocation log could not be compacted");
                }
            }
        }
    }

    /// Ends this node's serving: it refuses every token from now on, and no logout waits for it any more. Call
    /// it once nothing is served any more.
    pub async fn leave(&self) {
        self.freshness.end();
        if let Some(register) = &self.register
            && let Err(cause) = register.leave(self.node).await
        {
            tracing::warn!(%cause, "this node could not be taken out of the register; logouts may wait for it once");
        }
    }
}
