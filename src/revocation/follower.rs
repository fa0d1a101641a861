//! Carries the log into the list. Everything enters the list here, by reading the log from a cursor.

use std::sync::Arc;

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

use super::freshness::Freshness;
use super::list::RevocationList;
use super::log::{Cursor, RevocationLog, StoreError};
use super::reading::{Broken, Reading, enter};
use crate::time::Clock;

const PAGE: u32 = 4096;

/// Why the list is behind the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The log could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log is not the one that was followed: restored from an older copy, or altered. What was
    /// learned still binds.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// How far the log was read, and when the last reading that succeeded began.
#[derive(Debug)]
struct Place {
    cursor: Cursor,
    read_since: u64,
}

/// Follows the log.
#[derive(Debug)]
pub struct Follower {
    log: Arc<dyn RevocationLog>,
    list: Arc<RevocationList>,
    freshness: Arc<Freshness>,
    clock: Arc<dyn Clock>,
    place: Mutex<Place>,
    tickets: AtomicU64,
}

impl Follower {
    /// A follower that has read nothing yet.
    #[must_use]
    pub fn new(
        log: Arc<dyn RevocationLog>,
        list: Arc<RevocationList>,
        freshness: Arc<Freshness>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let place = Mutex::new(Place {
            cursor: Cursor::START,
            read_since: 0,
        });
        Self {
            log,
            list,
            freshness,
            clock,
            place,
            tickets: AtomicU64::new(1),
        }
    }

    /// Applies everything up to the log's head, which proves the list fresh as of the moment before
    /// the head was asked for. Concurrent callers share a reading that began after they called.
    ///
    /// # Errors
    /// [`FollowError`]; the list then keeps what it has, and its freshness runs out.
    pub async fn catch_up(&self) -> Result<(), FollowError> {
        let called = self.ticket();
        let mut place = self.place.lock().await;
        // Not "has read past my seq": in a log that went back, that seq may be another entry's.
        if place.read_since > called {
            return Ok(());
        }
        let began = self.ticket();
        self.read_on(&mut place.cursor).await?;
        place.read_since = began;
        Ok(())
    }

    fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::SeqCst)
    }

    async fn read_on(&self, cursor: &mut Cursor) -> Result<(), FollowError> {
        let asked = self.clock.uptime();
        let mut reading = Reading::from(*cursor);
        loop {
            let page = self.log.read(reading.cursor().seq, PAGE).await?;
            let complete = reading.take(&page, page.entries.len() < PAGE as usize)?;
            enter(&self.list, &page);
            if complete {
                *cursor = reading.cursor();
                self.freshness.prove(asked);
                self.list.announce(cursor.seq);
                return Ok(());
            }
        }
    }
}
