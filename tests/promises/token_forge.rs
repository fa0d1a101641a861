//! Tokens signed with a service's own key, without the cost of a login, and the random source of the tests.

use std::path::Path;

use waxseal::claims::Claims;
use waxseal::id::{Lineage, TokenId, UserId};
use waxseal::key::{Format, SigningKey};
use waxseal::keyring::Keyring;
use waxseal::policy::{Policy, Timeouts};
use waxseal::random::{OsRandom, Random, SeededRandom};
use waxseal::session;
use waxseal::store::key_folder;
use waxseal::time::Timestamp;

use super::common::ISSUER;

/// A token and its claims.
#[derive(Clone, Debug)]
pub struct Token {
    pub text: String,
    pub claims: Claims,
}

impl Token {
    pub fn lineage(&self) -> Lineage {
        self.claims.session_id.lineage
    }
}

/// Signs tokens as the service would.
pub struct TokenForge {
    pub keyring: Keyring,
    pub random: SeededRandom,
    pub user: UserId,
}

impl TokenForge {
    pub fn new(keys: &Path, seed: u64) -> Self {
        let random = SeededRandom::new(seed);
        let user = UserId::new(Timestamp::from_secs(1_700_000_000), &random);
        let keyring = key_folder::keyring(keys).unwrap();
        Self {
            keyring,
            random,
            user,
        }
    }

    /// The key that signs, whatever the clock says: nothing is rotated here.
    pub fn key(&self) -> &SigningKey {
        let at_last = Timestamp::from_millis(i64::MAX - 1);
        self.keyring
            .signing(Format::Jwt, at_last, |_| false)
            .unwrap()
    }

    pub fn sign(&self, claims: Claims) -> Token {
        let text = waxseal::token::sign(&claims, self.key()).unwrap();
        Token { text, claims }
    }

    /// A session begun at `now` under the default timeouts.
    pub fn session(&self, now: Timestamp) -> Token {
        self.session_under(Timeouts::default(), self.user, now)
    }

    pub fn session_under(&self, timeouts: Timeouts, user: UserId, now: Timestamp) -> Token {
        let policy = Policy::new(ISSUER, ISSUER, timeouts).unwrap();
        let lineage = Lineage::new(now, &self.random);
        self.sign(session::begin(&policy, user, lineage, now, &self.random))
    }

    /// The same session, touched in another tab at `now`: same `sid`, new `jti`, a later `exp`.
    pub fn touched(&self, claims: &Claims, now: Timestamp) -> Token {
        let idle = Timeouts::default().idle;
        let mut touched = claims.clone();
        touched.issued_at = now.whole_second();
        touched.expires_at = now.plus(idle).whole_second().min(claims.session_expiry);
        touched.token_id = TokenId::new(now, &self.random);
        self.sign(touched)
    }
}

/// A random source that is determined by its seed.
pub struct TestRng(SeededRandom);

impl TestRng {
    /// Uses the seed in `TEST_SEED`, or a new one, and prints it.
    pub fn new() -> (Self, u64) {
        let given = std::env::var("TEST_SEED").ok();
        let seed = given.map_or_else(
            || Self::number(&OsRandom::new()),
            |text| text.parse().expect("TEST_SEED is a number"),
        );
        println!("TEST_SEED={seed}");
        (Self::of(seed), seed)
    }

    /// The random source for a seed.
    pub fn of(seed: u64) -> Self {
        Self(SeededRandom::new(seed))
    }

    fn number(random: &dyn Random) -> u64 {
        let mut bytes = [0; 8];
        random.fill(&mut bytes);
        u64::from_be_bytes(bytes)
    }

    /// Returns a number below `end`.
    pub fn below(&self, end: usize) -> usize {
        usize::try_from(Self::number(&self.0) % end as u64).unwrap()
    }
}
