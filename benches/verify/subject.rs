//! What is measured: keys, tokens, lists.

use std::sync::Arc;
use std::time::Duration;

use waxseal::claims::Claims;
use waxseal::id::{Lineage, UserId};
use waxseal::key::{Algorithm, SigningKey, generate_pem};
use waxseal::keyring::{Keyring, SharedKeyring};
use waxseal::policy::{Policy, Timeouts};
use waxseal::random::{OsRandom, SeededRandom};
use waxseal::revocation::freshness::Freshness;
use waxseal::revocation::list::RevocationList;
use waxseal::revocation::{ALL, Reason, Revocation, Target, session_revocation_expiry};
use waxseal::session;
use waxseal::time::{Clock, ManualClock, SystemClock, Timestamp};
use waxseal::token;
use waxseal::verifier::Verifier;

/// Who issues, and for whom.
pub const ISSUER: &str = "https://issuer.example";

/// An issuer's keys and rules, and a generator that repeats itself.
pub struct Bench {
    pub pem: String,
    key: SigningKey,
    keyring: Arc<SharedKeyring>,
    pub policy: Policy,
    pub clock: Arc<ManualClock>,
    pub random: SeededRandom,
    pub user: UserId,
}

impl Bench {
    /// A new key, and a service's default rules.
    pub fn new(algorithm: Algorithm) -> Self {
        let pem = generate_pem(algorithm, &OsRandom::new()).to_string();
        let key = SigningKey::from_pem(pem.as_bytes(), algorithm.format()).unwrap();
        let public = Keyring::from_verifying_keys([key.public().clone()]).unwrap();
        // It stands still, so that a list stays fresh however long the run takes.
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let random = SeededRandom::new(7);
        Self {
            pem,
            keyring: Arc::new(SharedKeyring::new(public)),
            key,
            policy: Policy::new(ISSUER, ISSUER, Timeouts::default()).unwrap(),
            user: UserId::new(clock.now(), &random),
            clock,
            random,
        }
    }

    /// The claims of a new session.
    pub fn claims(&self) -> Claims {
        let now = self.clock.now();
        let lineage = Lineage::new(now, &self.random);
        session::begin(&self.policy, self.user, lineage, now, &self.random)
    }

    /// The key that signs.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// As many tokens, each of a session of its own.
    pub fn tokens(&self, count: usize) -> Vec<String> {
        let sign = |_| token::sign(&self.claims(), self.key()).unwrap();
        (0..count).map(sign).collect()
    }

    /// A verifier over the clocks of the real service, that remembers nothing.
    pub fn verifier(&self, list: &Arc<RevocationList>) -> Verifier {
        let clock = SystemClock;
        let freshness = Freshness::new(Duration::from_secs(24 * 3600));
        freshness.prove(clock.uptime());
        Verifier::new(
            Arc::clone(&self.keyring),
            vec![self.key.public().algorithm().format()],
            self.policy.clone(),
            Arc::clone(list),
            Arc::new(freshness),
            Arc::new(clock),
        )
        .with_memo(0)
    }
}

/// A revocation of one more session, as a logout writes it.
pub fn revocation(seq: usize, at: Timestamp, random: &SeededRandom) -> Revocation {
    Revocation {
        seq: i64::try_from(seq).unwrap(),
        target: Target::Session(Lineage::new(at, random)),
        from: ALL,
        grace_until: None,
        spared: None,
        expires_at: session_revocation_expiry(at.plus(Timeouts::default().absolute)),
        reason: Reason::Logout,
        at,
    }
}

/// A list of that many sessions.
pub fn filled(entries: usize) -> RevocationList {
    let list = RevocationList::new();
    // As a log says it that is read when a service starts.
    list.expect(entries as u64);
    let (random, at) = (SeededRandom::new(1), SystemClock.now());
    for seq in 1..=entries {
        list.apply(&revocation(seq, at, &random));
    }
    assert_eq!(list.len(), entries as u64);
    list
}
