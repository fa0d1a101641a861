//! The keys, tokens and lists that the benches measure.

use std::sync::Arc;
use std::time::Duration;

use waxseal::claims::Claims;
use waxseal::id::{Lineage, UserId};
use waxseal::key::{Algorithm, SigningKey, generate_pem};
use waxseal::keyring::{Keyring, SharedKeyring};
use waxseal::policy::{Policy, Timeouts};
use waxseal::random::{OsRandom, SeededRandom};
use waxseal::revocation::freshness::Freshness;
use waxseal::revocation::internals;
use waxseal::revocation::list::RevocationList;
use waxseal::revocation::{ALL, Reason, Revocation, Target, session_revocation_expiry};
use waxseal::session;
use waxseal::time::{Clock, ManualClock, SystemClock, Timestamp};
use waxseal::token;
use waxseal::verifier::Verifier;

/// The issuer, and the audience.
pub const ISSUER: &str = "https://issuer.example";

/// An issuer's keys and policy, with a deterministic random generator.
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
    /// Creates a new key, with the default policy of a service.
    pub fn new(algorithm: Algorithm) -> Self {
        let pem = generate_pem(algorithm, &OsRandom::new()).to_string();
        let key = SigningKey::from_pem(pem.as_bytes(), algorithm.format()).unwrap();
        let public = Keyring::from_verifying_keys([key.public().clone()]).unwrap();
        // The clock stands still, so that a list stays fresh however long the run takes.
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

    /// Returns the claims of a new session.
    pub fn claims(&self) -> Claims {
        let now = self.clock.now();
        let lineage = Lineage::new(now, &self.random);
        session::begin(&self.policy, self.user, lineage, now, &self.random)
    }

    /// Returns the signing key.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Signs this many tokens, each of a session of its own.
    pub fn tokens(&self, count: usize) -> Vec<String> {
        let sign = |_| token::sign(&self.claims(), self.key()).unwrap();
        (0..count).map(sign).collect()
    }

    /// Returns a verifier with the real service's clock and no token cache.
    pub fn verifier(&self, list: &Arc<RevocationList>) -> Verifier {
        let clock = SystemClock;
        let freshness = Freshness::new(Duration::from_secs(24 * 3600));
        internals::prove(&freshness, clock.uptime());
        Verifier::new(
            Arc::clone(&self.keyring),
            vec![self.key.public().algorithm().format()],
            self.policy.clone(),
            Arc::clone(list),
            Arc::new(freshness),
            Arc::new(clock),
        )
        .with_token_cache(0)
    }
}

/// The revocation of a new session, as a logout writes it.
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

/// Returns a list of this many revoked sessions.
pub fn filled(entries: usize) -> RevocationList {
    let list = RevocationList::new();
    // As at a service's start, when the log tells how many entries follow.
    internals::expect(&list, entries as u64);
    let (random, at) = (SeededRandom::new(1), SystemClock.now());
    for seq in 1..=entries {
        internals::apply(&list, &revocation(seq, at, &random));
    }
    assert_eq!(list.len(), entries as u64);
    list
}
