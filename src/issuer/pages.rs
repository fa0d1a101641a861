//! The feed's pages: their queue and their cache.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::turns::Turns;
use crate::id::ClientId;
use crate::revocation::feed::FeedPosition;
use crate::revocation::log::{Cursor, Head};
use crate::revocation::page_text::EntriesText;

/// How many feed pages are built at the same time, for all clients.
const AT_A_TIME: usize = 2;

/// How many feed pages are built at the same time for one client.
const OF_ONE: usize = 1;

/// The maximum number of waiting requests per client. The replicas of a service share its client and all ask at the
/// same moment when there are new entries.
pub const WAITING: usize = 256;

/// The number of clients from which idle ones are dropped.
const TIDY_FROM: usize = 256;

/// The number of cached pages. A page has at most 1.5 MB.
const KEPT: usize = 4;

/// The minimum number of entries of a cached page. A smaller page is read from the log as fast as it is found in the
/// cache.
pub(super) const WORTH_KEEPING: usize = 64;

/// A page without its signed statement, which is made when the page is sent. The content is true for as long as the
/// log's head stays the same, and proves nothing about freshness.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) asked: FeedPosition,
    /// The log's head when the page was read.
    pub(super) cursor: Cursor,
    pub(super) compacted: i64,
    pub(super) snapshot: bool,
    pub(super) after: i64,
    pub(super) after_hash: Option<String>,
    pub(super) more: bool,
    pub(super) end: Cursor,
    pub(super) digest: String,
    pub(super) text: EntriesText,
}

impl Made {
    pub(super) fn is_of(&self, head: &Head) -> bool {
        self.cursor == head.cursor && self.compacted == head.compacted
    }
}

/// The queue for building pages, and the most recent pages.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) all: Turns,
    of_one: Mutex<HashMap<ClientId, Turns>>,
    kept: Mutex<VecDeque<Arc<Made>>>,
}

impl Default for Pages {
    fn default() -> Self {
        Self {
            // At most one request per client waits here.
            all: Turns::new(AT_A_TIME, usize::MAX),
            of_one: Mutex::default(),
            kept: Mutex::default(),
        }
    }
}

impl Pages {
    pub(super) fn of(&self, client: ClientId) -> Turns {
        let mut clients = self.of_one.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= TIDY_FROM {
            clients.retain(|_, turns| !turns.is_idle(OF_ONE));
        }
        let turns = clients.entry(client);
        turns.or_insert_with(|| Turns::new(OF_ONE, WAITING)).clone()
    }

    pub(super) fn find(&self, asked: FeedPosition) -> Option<Arc<Made>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|made| made.asked == asked).cloned()
    }

    pub(super) fn keep(&self, new: &Arc<Made>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|made| made.asked != new.asked && made.cursor == new.cursor);
        kept.truncate(KEPT - 1);
        kept.push_front(Arc::clone(new));
    }
}
