//! The pages of the feed: whose turn it is, and those that were made last.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::turns::Turns;
use crate::id::ClientId;
use crate::revocation::feed::FeedPosition;
use crate::revocation::log::{Cursor, Head};
use crate::revocation::page_text::EntriesText;

/// How many pages of the feed are made at a time, for all clients.
const AT_A_TIME: usize = 2;

/// How many pages of one client are made at a time.
const OF_ONE: usize = 1;

/// How many more of one client's questions wait. The replicas of a service share its client, and all ask at the same
/// moment when there is news.
pub const WAITING: usize = 256;

/// From this many clients on those that ask for nothing are forgotten.
const TIDY_FROM: usize = 256;

/// How many pages are kept to be sent again. One is at most 1.5 MB.
const KEPT: usize = 4;

/// Smaller pages are as soon read as compared.
pub(super) const WORTH_KEEPING: usize = 64;

/// A page without what is said of it when it is sent: what it says of the log is true for as long as the log's head is
/// the same, and proves nothing of the present.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) asked: FeedPosition,
    /// The head when it was read.
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

/// Whose turn it is, and the pages that were made last.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) all: Turns,
    of_one: Mutex<HashMap<ClientId, Turns>>,
    kept: Mutex<VecDeque<Arc<Made>>>,
}

impl Default for Pages {
    fn default() -> Self {
        Self {
            // Of each client at most one waits here.
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
