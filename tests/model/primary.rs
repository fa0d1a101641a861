//! The writable primary: the log and the register. Each change of them is atomic.
//!
//! A transaction that appends holds the head row until it commits. Others therefore see it as one change at one
//! instant, in the order of `seq`. The caller models the delays around that instant.

use std::collections::BTreeMap;
use std::time::Duration;

use waxseal::id::{Lineage, NodeId};
use waxseal::revocation::log::{Cursor, Entry, Head, Page};
use waxseal::revocation::register::{Node, Nodes, Registered};
use waxseal::revocation::{ALL, Reason, Revocation, Target};
use waxseal::time::Timestamp;

/// One change, in the form in which it is replicated.
#[derive(Clone, Debug)]
pub enum Change {
    Append(Entry),
    Enter(Node),
    Dismiss(NodeId),
}

#[derive(Clone, Debug, Default)]
pub struct Primary {
    changes: Vec<(Duration, Change)>,
    log: Vec<Entry>,
    rows: BTreeMap<NodeId, Node>,
    /// The number of the current server or of its start. A connection does not survive a new epoch.
    pub epoch: u64,
    pub down_until: Duration,
    pub hung_until: Duration,
    pub slow_until: Duration,
    /// Whether the register ignores a beat that is not newer than the stored one. Both ways are safe as long as no beat
    /// is entered twice: see `Mutation::SentTwice`.
    newest_beat_stays: bool,
}

impl Primary {
    pub fn new(newest_beat_stays: bool) -> Self {
        Self {
            newest_beat_stays,
            ..Self::default()
        }
    }

    fn head(&self) -> Cursor {
        self.log.last().map_or(Cursor::START, |entry| Cursor {
            seq: entry.revocation.seq,
            hash: entry.hash,
        })
    }

    fn change(&mut self, at: Duration, change: Change) {
        match &change {
            Change::Append(entry) => self.log.push(entry.clone()),
            Change::Enter(node) => {
                self.rows.insert(node.id, node.clone());
            }
            Change::Dismiss(id) => {
                self.rows.remove(id);
            }
        }
        self.changes.push((at, change));
    }

    pub fn append(&mut self, at: Duration, lineage: Lineage) -> i64 {
        let head = self.head();
        let revocation = Revocation {
            seq: head.seq + 1,
            target: Target::Session(lineage),
            from: ALL,
            grace_until: None,
            spared: None,
            expires_at: Timestamp::NEVER,
            reason: Reason::Logout,
            at: Timestamp::from_secs(1),
        };
        let hash = revocation.chain(&head.hash);
        self.change(at, Change::Append(Entry { revocation, hash }));
        head.seq + 1
    }

    /// Stores the node's entry. Returns whether this is news: a new node, or one that has applied a different position.
    pub fn enter(&mut self, at: Duration, node: Node) -> bool {
        let known = self.rows.get(&node.id);
        if self.newest_beat_stays && known.is_some_and(|known| known.beat >= node.beat) {
            return false;
        }
        let news = known.is_none_or(|known| known.applied != node.applied);
        self.change(at, Change::Enter(node));
        news
    }

    pub fn dismiss(&mut self, at: Duration, id: NodeId, beat: Option<i64>) -> bool {
        let known = self.rows.get(&id);
        let meant = known.is_some_and(|known| beat.is_none_or(|beat| known.beat == beat));
        if meant {
            self.change(at, Change::Dismiss(id));
        }
        meant
    }

    /// Removes the node, unless it has entered a later beat.
    pub fn leave(&mut self, at: Duration, id: NodeId, beat: i64) {
        if self.rows.get(&id).is_some_and(|known| known.beat <= beat) {
            self.change(at, Change::Dismiss(id));
        }
    }

    pub fn page(&self, after: i64, limit: u32) -> Page {
        let after = usize::try_from(after).unwrap();
        let entries = self.log.iter().skip(after).take(limit as usize);
        Page {
            head: Head {
                cursor: self.head(),
                compacted: 0,
                horizon: Timestamp::EPOCH,
                newest_lineage: Timestamp::EPOCH,
            },
            entries: entries.cloned().collect(),
        }
    }

    pub fn nodes(&self) -> Nodes {
        let of_the_log = |applied: &Cursor| {
            let before = usize::try_from(applied.seq).unwrap().checked_sub(1);
            before.is_none_or(|at| self.log.get(at).is_some_and(|e| e.hash == applied.hash))
        };
        let registered = |node: &Node| Registered {
            continued: of_the_log(&node.applied),
            node: node.clone(),
        };
        Nodes {
            seq: self.head().seq,
            nodes: self.rows.values().map(registered).collect(),
        }
    }

    pub fn is_entered(&self, id: NodeId) -> bool {
        self.rows.contains_key(&id)
    }

    pub fn has(&self, lineage: Lineage) -> bool {
        let target = Target::Session(lineage);
        self.log.iter().any(|e| e.revocation.target == target)
    }

    /// The state at `time`, as a replica that lags shows it.
    pub fn as_of(&self, time: Duration) -> Self {
        let mut replica = Self::default();
        for (at, change) in self.changes.iter().take_while(|(at, _)| *at <= time) {
            replica.change(*at, change.clone());
        }
        replica
    }

    /// Replaces the primary with a replica that lacks every change after `time`. With `entries_stay` no registered node
    /// is missing then, though its entry may be older.
    pub fn lose_after(&mut self, time: Duration, entries_stay: bool) -> usize {
        let replica = self.as_of(time);
        let lost = self.changes.len() - replica.changes.len();
        let rows = std::mem::take(&mut self.rows);
        (self.changes, self.log, self.rows) = (replica.changes, replica.log, replica.rows);
        if entries_stay {
            for (id, mut node) in rows {
                if !self.rows.contains_key(&id) {
                    node.applied = Cursor::START;
                    self.change(time, Change::Enter(node));
                }
            }
        }
        lost
    }
}
