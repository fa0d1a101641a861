//! The revocation list: the log's view in memory that every verification asks.
//!
//! moka holds it without a size bound: a bounded cache forgets revocations, silently. And no timer
//! takes an entry out: each carries its own `expires_at` on the wall clock, and leaves only once the
//! horizon has passed that. The horizon alone then refuses whatever the entry ended, so a clock that
//! was wrong while an entry was written, or is set back after it left, revives nothing. Nor does it
//! revive what had expired: a step back is noticed, and moves the horizon to where the clock had been.

use std::hash::Hash;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use moka::ops::compute::Op;
use moka::sync::Cache;

use super::{Revocation, Scope, Target};
use crate::claims::Claims;
use crate::id::{KeyId, Lineage, TokenId, UserId};
use crate::time::Timestamp;

/// What is dead of one session or one token: every generation before `from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ended {
    from: i64,
    expires_at: Timestamp,
}

/// What is dead of a user, a key or everything: all that began before `from`, but for `spared`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CutOff {
    from: i64,
    spared: Option<Lineage>,
    expires_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Wide {
    User(UserId),
    Key(KeyId),
    Everything,
}

/// Two revocations of one thing merge to the stricter in every field.
trait Merge: Copy + Send + Sync + 'static {
    fn stricter(self, other: Self) -> Self;
    fn expires_at(&self) -> Timestamp;
}

impl Merge for Ended {
    fn stricter(self, other: Self) -> Self {
        Self {
            from: self.from.max(other.from),
            expires_at: self.expires_at.max(other.expires_at),
        }
    }

    fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}

impl CutOff {
    fn ends(&self, lineage: Lineage) -> bool {
        lineage.created_at().millis() < self.from && self.spared != Some(lineage)
    }
}

impl Merge for CutOff {
    /// Spared is who both leave alone: at most one of the two can be below the later cut-off.
    fn stricter(self, other: Self) -> Self {
        let from = self.from.max(other.from);
        // One that began later needs no sparing, and would take the place of one that does.
        let needs = |lineage: &Lineage| lineage.created_at().millis() < from;
        let left_alone = |lineage: &Lineage| !self.ends(*lineage) && !other.ends(*lineage);
        let mut spared = [self.spared, other.spared].into_iter().flatten();
        Self {
            from,
            spared: spared.find(|lineage| needs(lineage) && left_alone(lineage)),
            expires_at: self.expires_at.max(other.expires_at),
        }
    }

    fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}

/// The revocations that bind, and the horizon.
#[derive(Debug)]
pub struct RevocationList {
    sessions: Cache<Lineage, Ended>,
    tokens: Cache<TokenId, Ended>,
    wide: Cache<Wide, CutOff>,
    horizon: AtomicI64,
    latest: AtomicI64,
    newest_lineage: AtomicI64,
}

/// A clock that is this much behind was set back, and not read by another thread a moment before.
const STEP_BACK_MILLIS: i64 = 2000;

impl Default for RevocationList {
    fn default() -> Self {
        Self::new()
    }
}

impl RevocationList {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self {
            sessions: unbounded(),
            tokens: unbounded(),
            wide: unbounded(),
            horizon: AtomicI64::new(0),
            latest: AtomicI64::new(0),
            newest_lineage: AtomicI64::new(0),
        }
    }

    /// Enters a revocation. Entering it twice, or in another order, gives the same list.
    pub fn apply(&self, revocation: &Revocation) {
        let Revocation {
            from,
            spared,
            expires_at,
            ..
        } = *revocation;
        let ended = Ended { from, expires_at };
        let cut_off = CutOff {
            from,
            spared,
            expires_at,
        };
        match &revocation.target {
            Target::Session(lineage) => merge(&self.sessions, *lineage, ended),
            Target::Token(token) => merge(&self.tokens, *token, ended),
            Target::User(user) => merge(&self.wide, Wide::User(*user), cut_off),
            Target::Key(kid) => merge(&self.wide, Wide::Key(kid.clone()), cut_off),
            Target::Everything => merge(&self.wide, Wide::Everything, cut_off),
        }
    }

    /// The scope that ends these claims, signed with the key `kid`, if one does. Any is enough.
    #[must_use]
    pub fn revoked(&self, claims: &Claims, kid: &KeyId) -> Option<Scope> {
        let session = claims.session_id;
        let (horizon, expires_at) = (self.horizon(), claims.expires_at);
        let behind = expires_at <= horizon && session.lineage.created_at() <= horizon;
        if behind || expires_at.millis() <= self.latest.load(Ordering::SeqCst) {
            return Some(Scope::Horizon);
        }
        // A miss is the common case, and `contains_key` alone leaves nothing behind for moka to do.
        let ended = |ended: Ended| i64::from(session.generation) < ended.from;
        if self.sessions.contains_key(&session.lineage)
            && self.sessions.get(&session.lineage).is_some_and(ended)
        {
            return Some(Scope::Session);
        }
        if self.tokens.contains_key(&claims.token_id) {
            return Some(Scope::Token);
        }
        let ends = |wide| {
            self.wide.contains_key(&wide)
                && self
                    .wide
                    .get(&wide)
                    .is_some_and(|cut: CutOff| cut.ends(session.lineage))
        };
        if ends(Wide::User(claims.subject)) {
            return Some(Scope::User);
        }
        if self.key_revoked(kid) {
            return Some(Scope::Key);
        }
        ends(Wide::Everything).then_some(Scope::Everything)
    }

    /// Whether that key is revoked, for good.
    #[must_use]
    pub fn key_revoked(&self, kid: &KeyId) -> bool {
        self.wide.contains_key(&Wide::Key(kid.clone()))
    }

    /// Takes note of the time up to which tokens have expired: the wall clock less the leeway. If the
    /// clock was set back, what had expired stays dead, and so does every session that was begun by
    /// then; one that begins from now on has a lineage past the horizon and is not touched.
    pub fn observe(&self, expired: Timestamp) {
        let expired = expired.whole_second().millis();
        let latest = self.latest.load(Ordering::SeqCst);
        if expired > latest {
            self.latest.fetch_max(expired, Ordering::SeqCst);
        } else if expired < latest - STEP_BACK_MILLIS {
            let newest = self.newest_lineage.load(Ordering::SeqCst);
            self.horizon.fetch_max(latest.max(newest), Ordering::SeqCst);
            // Only now, so that nothing slips through between; and only once for one step.
            let lowered =
                self.latest
                    .compare_exchange(latest, expired, Ordering::SeqCst, Ordering::SeqCst);
            if lowered.is_ok() {
                let by = Duration::from_millis(latest.abs_diff(expired));
                tracing::warn!(
                    ?by,
                    "the wall clock was set back; what had expired stays dead"
                );
            }
        }
    }

    /// Takes note of a session that was begun, here or elsewhere.
    pub fn note_lineage(&self, created_at: Timestamp) {
        self.newest_lineage
            .fetch_max(created_at.millis(), Ordering::SeqCst);
    }

    /// The time up to which tokens are known to have expired, for the log to keep.
    #[must_use]
    pub fn expired_until(&self) -> Timestamp {
        self.horizon()
            .max(Timestamp::from_millis(self.latest.load(Ordering::SeqCst)))
    }

    /// The newest `expires_at` that was ever dropped, and the latest time that the clock ever showed
    /// before it was set back: what begun and expires at or before it is dead.
    #[must_use]
    pub fn horizon(&self) -> Timestamp {
        Timestamp::from_millis(self.horizon.load(Ordering::SeqCst))
    }

    /// Moves the horizon forward, never back.
    pub fn raise_horizon(&self, horizon: Timestamp) {
        let horizon = horizon.millis();
        if self.horizon.fetch_max(horizon, Ordering::SeqCst) < horizon {
            // A clock that is behind what others saw, or what this node saw before it restarted, was
            // set back too.
            self.latest.fetch_max(horizon, Ordering::SeqCst);
        }
    }

    /// Drops what the horizon covers. It looks at every entry: keep it off the threads that serve.
    pub fn drop_covered(&self) {
        let horizon = self.horizon();
        drop_covered(&self.sessions, horizon);
        drop_covered(&self.tokens, horizon);
        drop_covered(&self.wide, horizon);
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.sessions.run_pending_tasks();
        self.tokens.run_pending_tasks();
        self.wide.run_pending_tasks();
        self.sessions.entry_count() + self.tokens.entry_count() + self.wide.entry_count()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn unbounded<K: Hash + Eq + Send + Sync + 'static, V: Merge>() -> Cache<K, V> {
    Cache::builder().build()
}

fn merge<K: Hash + Eq + Send + Sync + 'static, V: Merge>(cache: &Cache<K, V>, key: K, new: V) {
    cache.entry(key).and_compute_with(|known| {
        Op::Put(known.map_or(new, |known| known.into_value().stricter(new)))
    });
}

/// The entry is looked at again under its lock: it may have been merged with a longer one since.
fn drop_covered<K: Hash + Eq + Clone + Send + Sync + 'static, V: Merge>(
    cache: &Cache<K, V>,
    horizon: Timestamp,
) {
    for (key, value) in cache {
        if value.expires_at() <= horizon {
            cache
                .entry((*key).clone())
                .and_compute_with(|known| match known {
                    Some(known) if known.value().expires_at() <= horizon => Op::Remove,
                    _ => Op::Nop,
                });
        }
    }
}
