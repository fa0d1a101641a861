//! The revocation list: the log's view in memory that every verification asks.
//!
//! moka holds it without a size bound: a bounded cache forgets revocations, silently. And no timer
//! takes an entry out: each carries its own `expires_at` on the wall clock, and leaves only once the
//! horizon has passed that. The horizon alone then refuses whatever the entry ended, so a clock that
//! was wrong while an entry was written, or is set back after it left, revives nothing. Nor does it
//! revive what had expired: a step back is noticed, and moves the horizon to where the clock had been.

mod entries;
mod filter;
mod merge;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

use super::{Revocation, Target, TargetKind};
use crate::claims::{Claims, ClientClaims};
use crate::id::{ClientId, KeyId, Lineage, SessionId, TokenId, UserId};
use crate::time::Timestamp;
use entries::Entries;
use merge::{CutOff, EndedGenerations, Merge};

/// How a token is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dead {
    /// A revocation of that scope ends it.
    Revoked(TargetKind),
    /// Only its session ID is: the session goes on under a new one.
    Superseded,
}

/// The revocations that bind, and the horizon.
#[derive(Debug)]
pub struct RevocationList {
    sessions: Entries<Lineage, EndedGenerations>,
    tokens: Entries<TokenId, EndedGenerations>,
    users: Entries<UserId, CutOff>,
    clients: Entries<ClientId, CutOff>,
    keys: Entries<KeyId, CutOff>,
    everything: ArcSwapOption<CutOff>,
    horizon: AtomicI64,
    /// The time up to which tokens have expired: `shown` less the leeway, in whole seconds.
    latest: AtomicI64,
    /// The latest time that the clock has shown since it was last set back.
    shown: AtomicI64,
    /// The latest time that it had shown before that.
    shown_before: AtomicI64,
    believed: AtomicI64,
    newest_lineage: AtomicI64,
    applied: watch::Sender<i64>,
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
            sessions: Entries::none(),
            tokens: Entries::none(),
            users: Entries::none(),
            clients: Entries::none(),
            keys: Entries::none(),
            everything: ArcSwapOption::empty(),
            horizon: AtomicI64::new(0),
            latest: AtomicI64::new(0),
            shown: AtomicI64::new(0),
            shown_before: AtomicI64::new(0),
            believed: AtomicI64::new(i64::MAX),
            newest_lineage: AtomicI64::new(0),
            applied: watch::Sender::new(0),
        }
    }

    /// Takes note of about how many entries there will be. Most are of sessions.
    pub fn expect(&self, entries: u64) {
        self.sessions.expect(entries);
    }

    /// Enters a revocation. Entering it twice, or in another order, gives the same list.
    pub fn apply(&self, revocation: &Revocation) {
        self.apply_all([revocation]);
    }

    /// Enters many. Those of sessions, which most are, enter together: that costs less.
    pub fn apply_all<'a>(&self, revocations: impl IntoIterator<Item = &'a Revocation>) {
        let mut sessions = Vec::new();
        for revocation in revocations {
            let Revocation {
                from,
                grace_until,
                spared,
                expires_at,
                ..
            } = *revocation;
            let ended = EndedGenerations {
                from: from.saturating_sub(i64::from(grace_until.is_some())),
                grace_until: grace_until.unwrap_or(Timestamp::NEVER),
                expires_at,
            };
            let cut_off = CutOff {
                from,
                spared,
                expires_at,
            };
            match &revocation.target {
                Target::Session(lineage) => sessions.push((*lineage, ended)),
                Target::Token(token) => self.tokens.enter([(*token, ended)]),
                Target::User(user) => self.users.enter([(*user, cut_off)]),
                Target::Client(client) => self.clients.enter([(*client, cut_off)]),
                Target::Key(kid) => self.keys.enter([(kid.clone(), cut_off)]),
                Target::Everything => drop(self.everything.rcu(|known| {
                    let known = known.as_deref().copied();
                    Some(Arc::new(
                        known.map_or(cut_off, |known| known.stricter(cut_off)),
                    ))
                })),
            }
        }
        self.sessions.enter(sessions);
    }

    /// Says that all up to that `seq` is entered, to those who wait for news.
    pub fn announce(&self, seq: i64) {
        self.applied.send_if_modified(|known| {
            let news = *known != seq;
            *known = seq;
            news
        });
    }

    /// Hears of every [`announce`](Self::announce), the last one at least.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<i64> {
        self.applied.subscribe()
    }

    /// How these claims, signed with the key `kid`, are dead at `now`, if they are. Any scope is enough.
    ///
    /// A grace that was over stays over: it is compared with the latest time that the clock has ever shown,
    /// to the millisecond. Only a session that began after the clock was set back, by more than two seconds,
    /// goes by the clock as it is since then.
    #[must_use]
    pub fn dead(
        &self,
        claims: &Claims,
        kid: &KeyId,
        now: Timestamp,
        leeway: Duration,
    ) -> Option<Dead> {
        let session = claims.session_id;
        if self.covers(session.lineage.created_at(), claims.expires_at) {
            return Some(Dead::Revoked(TargetKind::Horizon));
        }
        let ended = self.sessions.get(&session.lineage);
        if ended.is_some_and(|ended| ended.all()) {
            return Some(Dead::Revoked(TargetKind::Session));
        }
        if self.tokens.have(&claims.token_id) {
            return Some(Dead::Revoked(TargetKind::Token));
        }
        if self.users.cut_off(&claims.subject, session.lineage) {
            return Some(Dead::Revoked(TargetKind::User));
        }
        if self.key_revoked(kid) {
            return Some(Dead::Revoked(TargetKind::Key));
        }
        if self.everything_cut_off(session.lineage) {
            return Some(Dead::Revoked(TargetKind::Everything));
        }
        if let Some(ended) = ended {
            let seen = self.seen(session.lineage.created_at(), now, leeway);
            if ended.ends(session.generation, seen) {
                return Some(Dead::Superseded);
            }
        }
        // What left the list while it was asked had been covered before that.
        self.covers(session.lineage.created_at(), claims.expires_at)
            .then_some(Dead::Revoked(TargetKind::Horizon))
    }

    /// Which scope ends a client's claims, signed with the key `kid`, if any does.
    #[must_use]
    pub fn client_dead(&self, claims: &ClientClaims, kid: &KeyId) -> Option<TargetKind> {
        let began = claims.token_id.created_at();
        let ends = |known: Option<CutOff>| known.is_some_and(|known| known.ends_from(began));
        let scopes = [
            (TargetKind::Horizon, self.covers(began, claims.expires_at)),
            (TargetKind::Token, self.tokens.have(&claims.token_id)),
            (TargetKind::Client, ends(self.clients.get(&claims.client))),
            (TargetKind::Key, self.key_revoked(kid)),
            (
                TargetKind::Everything,
                ends(self.everything.load().as_deref().copied()),
            ),
            // What left the list while it was asked had been covered before that.
            (TargetKind::Horizon, self.covers(began, claims.expires_at)),
        ];
        scopes
            .into_iter()
            .find(|(_, ends)| *ends)
            .map(|(scope, _)| scope)
    }

    /// Whether what began and expires then is dead without a revocation: it had expired already.
    fn covers(&self, began: Timestamp, expires_at: Timestamp) -> bool {
        let horizon = self.horizon();
        let behind = expires_at <= horizon && began <= horizon;
        behind || expires_at <= self.latest()
    }

    fn latest(&self) -> Timestamp {
        Timestamp::from_millis(self.latest.load(Ordering::SeqCst))
    }

    /// The latest time that counts for what began at `began`, such as a lineage. One that begins after the clock was
    /// set back is past the horizon: for it, what the clock had shown before does not count.
    pub(crate) fn seen(&self, began: Timestamp, now: Timestamp, leeway: Duration) -> Timestamp {
        let shown = |time: &AtomicI64| Timestamp::from_millis(time.load(Ordering::SeqCst));
        let horizon = self.horizon();
        let seen = now.max(shown(&self.shown)).max(self.latest().plus(leeway));
        if began <= horizon {
            seen.max(shown(&self.shown_before))
                .max(horizon.plus(leeway))
        } else {
            seen
        }
    }

    /// Whether a whole session is over, whatever its generation: its user's inventory leaves it out.
    #[must_use]
    pub fn session_over(&self, lineage: Lineage, user: UserId) -> bool {
        self.session_revoked(lineage)
            || self.users.cut_off(&user, lineage)
            || self.everything_cut_off(lineage)
    }

    /// Whether a session was revoked by itself, in every generation.
    #[must_use]
    pub fn session_revoked(&self, lineage: Lineage) -> bool {
        let ended = self.sessions.get(&lineage);
        ended.is_some_and(|ended| ended.all())
    }

    /// Whether a session has a newer session ID, whatever is left of the grace.
    #[must_use]
    pub fn is_renewed(&self, session: SessionId) -> bool {
        let ended = self.sessions.get(&session.lineage);
        ended.is_some_and(|ended| ended.follows(session.generation))
    }

    fn everything_cut_off(&self, lineage: Lineage) -> bool {
        let known = self.everything.load();
        known.as_ref().is_some_and(|cut_off| cut_off.ends(lineage))
    }

    /// Whether that key is revoked, for good.
    #[must_use]
    pub fn key_revoked(&self, kid: &KeyId) -> bool {
        self.keys.have(kid)
    }

    /// Takes note of what the wall clock shows, and gives the time to go by: the latest that the clock has
    /// shown. Tokens have expired up to that time less the `leeway`.
    ///
    /// A clock that is behind by more than two seconds was set back, and is followed. What had expired stays
    /// dead, and so does every session that was begun by then; one that begins from now on has a lineage past
    /// the horizon and is not touched.
    pub fn observe(&self, now: Timestamp, leeway: Duration) -> Timestamp {
        let shown = self.shown.load(Ordering::SeqCst);
        if now.millis() == shown {
            return now;
        }
        let believed = self.believed.load(Ordering::SeqCst);
        let expired = now.minus(leeway).whole_second().millis().min(believed);
        let latest = self.latest.load(Ordering::SeqCst);
        let believable = now.millis().min(believed);
        if expired < latest - STEP_BACK_MILLIS || believable < shown - STEP_BACK_MILLIS {
            self.step_back((latest, expired), (shown, believable));
            return now;
        }
        // In this order: a thread that steps back from `shown` must see the `latest` that belongs to it.
        if expired > latest {
            self.latest.fetch_max(expired, Ordering::SeqCst);
        }
        self.shown.fetch_max(believable, Ordering::SeqCst);
        now.max(Timestamp::from_millis(shown))
    }

    /// Follows a clock that was set back. Each pair is what is known, and what it becomes.
    fn step_back(&self, (latest, expired): (i64, i64), (shown, believable): (i64, i64)) {
        let newest = self.newest_lineage.load(Ordering::SeqCst);
        self.shown_before.fetch_max(shown, Ordering::SeqCst);
        self.horizon.fetch_max(latest.max(newest), Ordering::SeqCst);
        // Only now, so that nothing slips through between; and only once for one step.
        let lower = |time: &AtomicI64, from, to| {
            time.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
        };
        let lowered = lower(&self.latest, latest, expired.min(latest));
        if lower(&self.shown, shown, believable.min(shown)) && lowered {
            let by = Duration::from_millis(latest.abs_diff(expired));
            tracing::warn!(
                ?by,
                "the wall clock was set back, or the leeway raised; what had expired stays dead"
            );
        }
    }

    /// The clock here was compared with that of others, and is believed until then: if it jumps ahead before it is
    /// compared again, what it shows past that is not taken for a time at which anything had expired.
    pub fn believe_until(&self, time: Timestamp) {
        self.believed.store(time.millis(), Ordering::SeqCst);
    }

    /// Takes note of a session that was begun, here or elsewhere.
    pub fn note_lineage(&self, created_at: Timestamp) {
        self.newest_lineage
            .fetch_max(created_at.millis(), Ordering::SeqCst);
    }

    /// Whether no session and no client's token was ever issued, as far as the log knows.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.newest_lineage.load(Ordering::SeqCst) == 0
    }

    /// The time up to which tokens are known to have expired, for the log to keep.
    #[must_use]
    pub fn expired_until(&self) -> Timestamp {
        self.horizon().max(self.latest())
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

    /// Moves the horizon to that of another process's list, forward, never back. It says nothing of the clock
    /// here: that one may be a little behind the other.
    pub fn learn_horizon(&self, horizon: Timestamp) {
        self.horizon.fetch_max(horizon.millis(), Ordering::SeqCst);
    }

    /// Drops what the horizon covers. It looks at every entry: keep it off the threads that serve.
    pub fn drop_covered(&self) {
        let horizon = self.horizon();
        self.sessions.drop_covered(horizon);
        self.tokens.drop_covered(horizon);
        self.users.drop_covered(horizon);
        self.clients.drop_covered(horizon);
        self.keys.drop_covered(horizon);
        self.everything.rcu(|known| {
            let known = known.clone();
            known.filter(|known| known.expires_at > horizon)
        });
    }

    /// The newest `seq` up to which all is entered.
    #[must_use]
    pub fn applied(&self) -> i64 {
        *self.applied.borrow()
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.sessions.len()
            + self.tokens.len()
            + self.users.len()
            + self.clients.len()
            + self.keys.len()
            + u64::from(self.everything.load().is_some())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
