//! The effect of a revocation on one target, and how two revocations of the same target merge.

use crate::id::Lineage;
use crate::revocation::ALL;
use crate::time::Timestamp;

/// The dead generations of a session or token: all before `from`, and from `grace_until` on also `from` itself, which
/// was renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndedGenerations {
    pub(super) from: i64,
    pub(super) grace_until: Timestamp,
    pub(super) expires_at: Timestamp,
}

/// The dead sessions or tokens of a user, a client, a key or everything: all that began before `from`, except `spared`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CutOff {
    pub(super) from: i64,
    pub(super) spared: Option<Lineage>,
    pub(super) expires_at: Timestamp,
}

/// Merges two revocations of one target to the stricter in every field.
pub(super) trait Merge: Copy + PartialEq + Send + Sync + 'static {
    fn stricter(self, other: Self) -> Self;
    fn expires_at(&self) -> Timestamp;
}

impl EndedGenerations {
    pub(super) const fn all(&self) -> bool {
        self.from == ALL
    }

    pub(super) fn ends(&self, generation: u32, now: Timestamp) -> bool {
        let generation = i64::from(generation);
        generation < self.from || (generation == self.from && now >= self.grace_until)
    }

    /// Whether the session has a later generation. `from` itself has a successor only if a renewal ended it.
    pub(super) fn follows(&self, generation: u32) -> bool {
        let generation = i64::from(generation);
        let was_renewed = self.grace_until < Timestamp::NEVER;
        generation < self.from || (generation == self.from && was_renewed)
    }
}

impl Merge for EndedGenerations {
    /// Takes the grace of the later renewal: a generation that was renewed earlier has no grace left.
    fn stricter(self, other: Self) -> Self {
        let from = self.from.max(other.from);
        let graces = [self, other].into_iter().filter(|ended| ended.from == from);
        let grace_until = graces.map(|ended| ended.grace_until).min();
        Self {
            from,
            grace_until: grace_until.unwrap_or(Timestamp::NEVER),
            expires_at: self.expires_at.max(other.expires_at),
        }
    }

    fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}

impl CutOff {
    pub(super) fn ends(&self, lineage: Lineage) -> bool {
        self.ends_from(lineage.created_at()) && self.spared != Some(lineage)
    }

    pub(super) const fn ends_from(&self, began: Timestamp) -> bool {
        began.millis() < self.from
    }
}

impl Merge for CutOff {
    /// Spares a session only if both revocations spare it: at most one of the two can be below the later cut-off.
    fn stricter(self, other: Self) -> Self {
        let from = self.from.max(other.from);
        // A session that began later needs no sparing, and would take the place of one that does.
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
