//! The revocation list: the in-memory view of the log that every verification reads.
//!
//! moka holds the list without a size bound: a bounded cache forgets revocations, silently. No timer removes an entry
//! either: each entry carries its own `expires_at` on the wall clock, and is dropped only once the horizon has passed
//! that time. From then on the horizon alone refuses whatever the entry ended. A clock that was wrong while an entry
//! was written, or that is set back after the entry was dropped, therefore revives nothing. An expired token is not
//! revived either: the list detects that the clock was set back, and moves the horizon to where the clock had been.

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

/// Why a token is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dead {
    /// A revocation of this kind ends the token.
    Revoked(TargetKind),
    /// Only the token's session ID is dead: the session continues under a new one.
    Superseded,
}

/// The revocations in force, and the horizon.
#[derive(Debug)]
pub struct RevocationList {
    sessions: Entries<Lineage, EndedGenerations>,
    tokens: Entries<TokenId, EndedGenerations>,
    users: Entries<UserId, CutOff>,
    clients: Entries<ClientId, CutOff>,
    keys: Entries<KeyId, CutOff>,
    everything: ArcSwapOption<CutOff>,
    horizon: AtomicI64,
    /// The time up to which tokens have expired: `shown` minus the leeway, in whole seconds.
    latest: AtomicI64,
    /// The latest time that the clock has shown since it was last set back.
    shown: AtomicI64,
    /// The latest time that the clock had shown before it was last set back.
    shown_before: AtomicI64,
    believed: AtomicI64,
    newest_lineage: AtomicI64,
    applied: watch::Sender<i64>,
}

/// A clock that is behind by more than this was set back. A smaller lag is normal between threads that read the clock
/// at nearly the same time.
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

    /// Announces the approximate number of entries to come. Most are of sessions.
    pub(crate) fn expect(&self, entries: u64) {
        self.sessions.expect(entries);
    }

    /// Applies a revocation. The result depends neither on the order nor on repetition.
    pub(crate) fn apply(&self, revocation: &Revocation) {
        self.apply_all([revocation]);
    }

    /// Applies many revocations. Those of sessions, the most frequent kind, are applied in one batch, which costs less.
    pub(crate) fn apply_all<'a>(&self, revocations: impl IntoIterator<Item = &'a Revocation>) {
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
                Target::Ignorable(_) => {}
            }
        }
        self.sessions.enter(sessions);
    }

    /// Tells the receivers of [`news`](Self::news) that everything up to `seq` is applied.
    pub(crate) fn announce(&self, seq: i64) {
        self.applied.send_if_modified(|known| {
            let news = *known != seq;
            *known = seq;
            news
        });
    }

    /// A receiver that is notified of [`announce`](Self::announce). It may skip values, but never the last one.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<i64> {
        self.applied.subscribe()
    }

    /// Returns why these claims, signed with the key `kid`, are dead at `now`. Any kind of revocation is enough.
    ///
    /// A grace that has ended stays ended: its end is compared with the latest time that the clock has ever shown, to
    /// the millisecond. Only a session that began after the clock was set back, by more than two seconds, uses the time
    /// since then.
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
        // An entry that was dropped during these look-ups had been covered by the horizon before.
        self.covers(session.lineage.created_at(), claims.expires_at)
            .then_some(Dead::Revoked(TargetKind::Horizon))
    }

    /// Returns the kind of revocation that ends a client's claims, signed with the key `kid`.
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
            // An entry that was dropped during these look-ups had been covered by the horizon before.
            (TargetKind::Horizon, self.covers(began, claims.expires_at)),
        ];
        scopes
            .into_iter()
            .find(|(_, ends)| *ends)
            .map(|(scope, _)| scope)
    }

    /// Whether a token that began and expires at these times is dead without a revocation, because it had expired.
    fn covers(&self, began: Timestamp, expires_at: Timestamp) -> bool {
        let horizon = self.horizon();
        let behind = expires_at <= horizon && began <= horizon;
        behind || expires_at <= self.latest()
    }

    fn latest(&self) -> Timestamp {
        Timestamp::from_millis(self.latest.load(Ordering::SeqCst))
    }

    /// The latest time that counts for a token or session that began at `began`. One that begins after the clock was
    /// set back is past the horizon, so the times that the clock had shown before do not count for it.
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

    /// Whether a whole session is over, in every generation. The inventory of its user leaves it out.
    #[must_use]
    pub fn session_over(&self, lineage: Lineage, user: UserId) -> bool {
        self.session_revoked(lineage)
            || self.users.cut_off(&user, lineage)
            || self.everything_cut_off(lineage)
    }

    /// Whether a revocation of the session itself ends every generation of it.
    #[must_use]
    pub fn session_revoked(&self, lineage: Lineage) -> bool {
        let ended = self.sessions.get(&lineage);
        ended.is_some_and(|ended| ended.all())
    }

    /// Whether a session has a newer session ID, even during the grace.
    #[must_use]
    pub fn is_renewed(&self, session: SessionId) -> bool {
        let ended = self.sessions.get(&session.lineage);
        ended.is_some_and(|ended| ended.follows(session.generation))
    }

    fn everything_cut_off(&self, lineage: Lineage) -> bool {
        let known = self.everything.load();
        known.as_ref().is_some_and(|cut_off| cut_off.ends(lineage))
    }

    /// Whether the key is revoked. A key's revocation is permanent.
    #[must_use]
    pub fn key_revoked(&self, kid: &KeyId) -> bool {
        self.keys.have(kid)
    }

    /// Records the time that the wall clock shows, and returns the time to use: the latest that the clock has shown.
    /// Tokens have expired up to that time minus the `leeway`.
    ///
    /// A clock that is behind by more than two seconds was set back, and the list follows it. Expired tokens stay dead,
    /// and so does every session that had begun by then. A session that begins from now on has a lineage past the
    /// horizon and is not affected.
    pub(crate) fn observe(&self, now: Timestamp, leeway: Duration) -> Timestamp {
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
        // The order matters: a thread that steps back from `shown` must see the `latest` that belongs to it.
        if expired > latest {
            self.latest.fetch_max(expired, Ordering::SeqCst);
        }
        self.shown.fetch_max(believable, Ordering::SeqCst);
        now.max(Timestamp::from_millis(shown))
    }

    /// Follows a clock that was set back. Each pair has the known value and the new one.
    fn step_back(&self, (latest, expired): (i64, i64), (shown, believable): (i64, i64)) {
        let newest = self.newest_lineage.load(Ordering::SeqCst);
        self.shown_before.fetch_max(shown, Ordering::SeqCst);
        self.horizon.fetch_max(latest.max(newest), Ordering::SeqCst);
        // Lower these times only now, so that nothing is revived in between, and only once for one step.
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

    /// Limits how far the local clock is trusted, after it was compared with other clocks. If it jumps ahead before the
    /// next comparison, times past `time` do not count as expiry of anything.
    pub(crate) fn believe_until(&self, time: Timestamp) {
        self.believed.store(time.millis(), Ordering::SeqCst);
    }

    /// Records the creation time of a session that began, here or on another node.
    pub(crate) fn note_lineage(&self, created_at: Timestamp) {
        self.newest_lineage
            .fetch_max(created_at.millis(), Ordering::SeqCst);
    }

    /// Whether the log knows of no session and no client token that was ever issued.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.newest_lineage.load(Ordering::SeqCst) == 0
    }

    /// The time up to which tokens are known to have expired. The log stores it.
    #[must_use]
    pub fn expired_until(&self) -> Timestamp {
        self.horizon().max(self.latest())
    }

    /// The maximum of the newest `expires_at` that was ever dropped and the latest time that the clock had shown before
    /// it was set back. A token that began and expires at or before it is dead.
    #[must_use]
    pub fn horizon(&self) -> Timestamp {
        Timestamp::from_millis(self.horizon.load(Ordering::SeqCst))
    }

    /// Moves the horizon forward, never back.
    pub(crate) fn raise_horizon(&self, horizon: Timestamp) {
        let horizon = horizon.millis();
        if self.horizon.fetch_max(horizon, Ordering::SeqCst) < horizon {
            // A clock that is behind what other nodes saw, or what this node saw before it restarted, was set back as
            // well.
            self.latest.fetch_max(horizon, Ordering::SeqCst);
        }
    }

    /// Moves the horizon forward to that of another process's list, never back. This says nothing about the local
    /// clock, which may be a little behind the other one.
    pub(crate) fn learn_horizon(&self, horizon: Timestamp) {
        self.horizon.fetch_max(horizon.millis(), Ordering::SeqCst);
    }

    /// Drops the entries that the horizon covers. Visits every entry, so keep it off the threads that serve requests.
    pub(crate) fn drop_covered(&self) {
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

    /// The newest `seq` up to which everything is applied.
    #[must_use]
    pub fn applied(&self) -> i64 {
        *self.applied.borrow()
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.sessions.len()
            + self.tokens.len()
            + self.users.len()
            + self.clients.len()
            + self.keys.len()
            + u64::from(self.everything.load().is_some())
    }

    /// Whether the list has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
