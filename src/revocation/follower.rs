//! Reads the log from a cursor and applies it to the list. On a node, log entries reach the list only here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::freshness::Freshness;
use super::list::RevocationList;
use super::log::{Cursor, LogReader, Page, StoreError};
pub use super::reading::Broken;
use super::reading::{Reading, enter};
use super::register::{Node, Register};
use crate::id::NodeId;
use crate::time::Clock;

const PAGE: u32 = 4096;

/// The page size while the log has more than one page of news, as when a service starts.
const LARGE_PAGE: u32 = 4 * PAGE;

/// Pages of this many entries take a millisecond or two to apply, so they are applied on a blocking thread.
const MANY: usize = 1024;

/// The reason why the list is behind the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The log could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log is not the one that was followed: it was restored from an older copy, or altered. What was applied still
    /// binds.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// The position up to which the log was read, and when the last successful reading began.
#[derive(Debug)]
struct ReadPosition {
    cursor: Cursor,
    read_since: u64,
    acknowledged: i64,
}

/// This node's entry in a register.
#[derive(Debug)]
struct NodeEntry {
    register: Arc<dyn Register>,
    id: NodeId,
    name: String,
    beats: AtomicI64,
    /// Whether the log is another one than this node has applied.
    broken: AtomicBool,
}

/// Follows a revocation log: applies its entries to a list, and knows until when the list is fresh.
///
/// This is how a [`Verifier`] learns what was revoked. To apply an entry and to prove the list fresh is one act: only
/// what was read from the log is applied, and only a reading that reached the log's head proves anything.
///
/// [`Verifier`]: crate::Verifier
#[derive(Debug)]
pub struct Follower {
    log: Arc<dyn LogReader>,
    list: Arc<RevocationList>,
    freshness: Arc<Freshness>,
    clock: Arc<dyn Clock>,
    entry: Option<NodeEntry>,
    place: Mutex<ReadPosition>,
    /// The newest entry that the newest proof of freshness covers.
    proven: AtomicI64,
    tickets: AtomicU64,
    /// Whether this node has stopped serving.
    left: AtomicBool,
}

/// What a page that is read from the log now certainly contains.
#[cfg(feature = "server")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Basis {
    /// The page contains everything that was committed this long ago,
    pub age: Duration,
    /// if its head is at this `seq` or past it.
    pub seq: i64,
}

impl Follower {
    /// A follower that has read nothing yet. Its list is fresh for `bound` after a reading.
    #[must_use]
    pub fn new(log: Arc<dyn LogReader>, bound: Duration, clock: Arc<dyn Clock>) -> Self {
        let place = Mutex::new(ReadPosition {
            cursor: Cursor::START,
            read_since: 0,
            acknowledged: 0,
        });
        Self {
            log,
            list: Arc::new(RevocationList::new()),
            freshness: Arc::new(Freshness::new(bound)),
            clock,
            entry: None,
            place,
            proven: AtomicI64::new(0),
            tickets: AtomicU64::new(1),
            left: AtomicBool::new(false),
        }
    }

    /// The list that this follower applies entries to.
    #[doc(hidden)]
    #[must_use]
    pub fn list(&self) -> Arc<RevocationList> {
        Arc::clone(&self.list)
    }

    /// The freshness of the list.
    #[doc(hidden)]
    #[must_use]
    pub fn freshness(&self) -> Arc<Freshness> {
        Arc::clone(&self.freshness)
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// Makes this follower one node of several. It proves freshness by registering itself, and acknowledges in the
    /// register what it has applied.
    #[doc(hidden)]
    #[must_use]
    pub fn registered(self, register: Arc<dyn Register>, id: NodeId, name: String) -> Self {
        let entry = NodeEntry {
            register,
            id,
            name,
            beats: AtomicI64::new(0),
            broken: AtomicBool::new(false),
        };
        Self {
            entry: Some(entry),
            ..self
        }
    }

    /// Applies everything up to the log's head, and proves the list fresh as of the moment before the head was asked
    /// for. Call it again before the bound has passed, four times within it for example. Concurrent callers share a
    /// reading that began after they called.
    ///
    /// In a service that is entered in a register, only `keep_fresh` proves the list fresh.
    ///
    /// # Errors
    /// [`FollowError`]. The list then keeps what it has, and its freshness runs out.
    pub async fn catch_up(&self) -> Result<(), FollowError> {
        let called = self.ticket();
        let mut place = self.place.lock().await;
        // Comparing `seq` would not do: in a log that went back, the same `seq` may be another entry's.
        if place.read_since > called {
            return Ok(());
        }
        let began = self.ticket();
        let asked = self.clock.uptime();
        let first = self.log.read(place.cursor.seq, PAGE).await?;
        self.read_on(&mut place.cursor, first).await?;
        if self.entry.is_none() && !self.left.load(Ordering::SeqCst) {
            self.freshness.prove(asked);
        }
        place.read_since = began;
        Ok(())
    }

    /// Applies everything up to the log's head, and proves the list fresh as of the moment before this node registered
    /// itself and asked for the head. With a register, it then acknowledges what it applied.
    ///
    /// # Errors
    /// [`FollowError`]. The list then keeps what it has, and its freshness runs out. If the log is another one, this
    /// node stops believing its list and leaves the register, so that no logout waits for it.
    #[doc(hidden)]
    pub async fn keep_fresh(&self) -> Result<(), FollowError> {
        let Some(entry) = &self.entry else {
            return self.catch_up().await;
        };
        if entry.broken.load(Ordering::SeqCst) {
            // The other log may have been that of a server which answered only for a while.
            self.catch_up().await?;
            entry.broken.store(false, Ordering::SeqCst);
        }
        // This lock serializes proving, ending and leaving.
        let mut place = self.place.lock().await;
        let attended = self.attend(entry, &mut place).await;
        if let Err(FollowError::Broken(_)) = &attended
            && !entry.broken.swap(true, Ordering::SeqCst)
        {
            // If this fails, another node removes this one once it has been silent for long enough.
            let _ = self.end(entry).await;
        }
        drop(place);
        attended?;
        Ok(self.acknowledge().await?)
    }

    /// Stops this node's serving: from now on it believes nothing, and no logout waits for it.
    ///
    /// # Errors
    /// [`StoreError`] if the node could not be removed from the register.
    #[doc(hidden)]
    pub async fn leave(&self) -> Result<(), StoreError> {
        let _place = self.place.lock().await;
        self.left.store(true, Ordering::SeqCst);
        match &self.entry {
            Some(entry) => self.end(entry).await,
            None => {
                self.freshness.end();
                Ok(())
            }
        }
    }

    async fn end(&self, entry: &NodeEntry) -> Result<(), StoreError> {
        self.freshness.end();
        let beat = entry.beats.load(Ordering::SeqCst);
        entry.register.leave(entry.id, beat).await
    }

    async fn attend(&self, entry: &NodeEntry, place: &mut ReadPosition) -> Result<(), FollowError> {
        if self.left.load(Ordering::SeqCst) {
            return Err(StoreError::new("enter this node", "it has left").into());
        }
        let began = self.ticket();
        let (asked, wall) = (self.clock.uptime(), self.clock.now());
        let node = self.node(entry, place.cursor);
        let first = entry.register.attend(&node, PAGE).await?;
        place.acknowledged = node.applied.seq;
        let head = first.head.cursor.seq;
        self.read_on(&mut place.cursor, first).await?;
        // A later page may come from a server that is behind the first one.
        if place.cursor.seq < head {
            return Err(Broken(place.cursor.seq).into());
        }
        // Store the `seq` before the time of its proof: a concurrent reader of both gets at worst too strict a pair.
        self.proven.store(place.cursor.seq, Ordering::SeqCst);
        self.list.believe_until(wall.plus(self.freshness.bound()));
        self.freshness.prove(asked);
        place.read_since = began;
        Ok(())
    }

    /// Acknowledges in the register what was applied, unless the register already has it.
    ///
    /// # Errors
    /// [`StoreError`]. The next beat then acknowledges it.
    #[doc(hidden)]
    pub async fn acknowledge(&self) -> Result<(), StoreError> {
        let Some(entry) = &self.entry else {
            return Ok(());
        };
        let mut place = self.place.lock().await;
        if place.acknowledged != place.cursor.seq && !self.left.load(Ordering::SeqCst) {
            let node = self.node(entry, place.cursor);
            entry.register.enter(&node).await?;
            place.acknowledged = node.applied.seq;
        }
        Ok(())
    }

    /// Checks that this node may append to the log: a node that has read another log may not.
    ///
    /// # Errors
    /// [`StoreError`] if the log is another one than this node has read.
    #[cfg(feature = "server")]
    pub(crate) fn may_add(&self) -> Result<(), StoreError> {
        let broken = |entry: &NodeEntry| entry.broken.load(Ordering::SeqCst);
        if self.entry.as_ref().is_some_and(broken) {
            let cause = "the revocation log is another one than this node has read";
            return Err(StoreError::new("write", cause));
        }
        Ok(())
    }

    /// What a page that is read from the log from now on contains. The answering server may no longer be the writable
    /// primary, so a node of several returns what it has proven. None if that is not fresh.
    #[cfg(feature = "server")]
    pub(crate) fn basis(&self) -> Option<Basis> {
        let uptime = self.clock.uptime();
        if self.entry.is_none() {
            let (age, seq) = (Duration::ZERO, 0);
            return Some(Basis { age, seq });
        }
        let age = self.freshness.age(uptime)?;
        let seq = self.proven.load(Ordering::SeqCst);
        (age < self.freshness.bound()).then_some(Basis { age, seq })
    }

    /// The position up to which the log was read.
    #[cfg(feature = "server")]
    pub(crate) async fn cursor(&self) -> Cursor {
        self.place.lock().await.cursor
    }

    /// Drops from the list what the log's horizon covers, so that the list does not grow for ever. Call it after the
    /// log was compacted. Visits every entry, so keep it off the threads that serve requests.
    pub fn drop_covered(&self) {
        self.list.drop_covered();
    }

    fn node(&self, entry: &NodeEntry, applied: Cursor) -> Node {
        Node {
            id: entry.id,
            name: entry.name.clone(),
            beat: entry.beats.fetch_add(1, Ordering::SeqCst) + 1,
            applied,
            bound: self.freshness.bound(),
        }
    }

    fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::SeqCst)
    }

    /// Applies `first`, the page after the cursor, and the pages that follow it.
    async fn read_on(&self, cursor: &mut Cursor, first: Page) -> Result<(), FollowError> {
        let mut reading = Reading::from(*cursor);
        let (mut page, mut limit) = (first, PAGE);
        loop {
            let newest = page.entries.last().map(|entry| entry.revocation.seq);
            let newest = newest.filter(|_| page.entries.len() >= limit as usize);
            // While a large page is checked and applied, the next one is read.
            let judged = self.judge(reading, page, newest.is_none());
            let ahead = async {
                match newest {
                    Some(newest) => Some(self.read_large(newest).await),
                    None => None,
                }
            };
            let (judged, ahead) = tokio::join!(judged, ahead);
            let all;
            (reading, all) = judged?;
            if all {
                *cursor = reading.cursor();
                self.list.announce(cursor.seq);
                return Ok(());
            }
            (page, limit) = match ahead {
                Some(ahead) if Some(reading.cursor().seq) == newest => ahead?,
                _ => self.read_large(reading.cursor().seq).await?,
            };
        }
    }

    /// Reads a large page. Returns it with the limit that it was read with.
    async fn read_large(&self, after: i64) -> Result<(Page, u32), StoreError> {
        match self.log.read(after, LARGE_PAGE).await {
            Ok(page) => Ok((page, LARGE_PAGE)),
            // A large page can exceed the query timeout on a slow link; retry with a smaller page.
            Err(_) => Ok((self.log.read(after, PAGE).await?, PAGE)),
        }
    }

    /// Applies a page if it continues what was read. Returns the new reading, and whether it has reached the head.
    async fn judge(
        &self,
        mut reading: Reading,
        page: Page,
        last: bool,
    ) -> Result<(Reading, bool), FollowError> {
        let (list, many) = (Arc::clone(&self.list), page.entries.len() >= MANY);
        let mut judge = move || {
            let all = reading.take(&page, last)?;
            enter(&list, &page);
            Ok((reading, all))
        };
        if !many {
            return judge();
        }
        let judged = spawn_blocking(judge).await;
        judged.map_err(|why| StoreError::new("enter what was read", why))?
    }
}
