//! Passwords: Argon2id, on threads of its own, a bounded number at a time.

mod workers;

use std::fmt;
use std::sync::Arc;

use argon2::password_hash::phc;
use argon2::{Argon2, Params, PasswordVerifier};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use tracing::Instrument;

use super::Username;
use crate::meters::Hashing;
use crate::random::Random;
use crate::time::Stopwatch;
use workers::Workers;

/// The shortest password that can be set, in characters (NIST SP 800-63B-4, section 3.1.1.2).
pub const MIN_CHARS: usize = 8;
/// The longest password, in bytes of UTF-8. A longer one is refused, never cut.
pub const MAX_BYTES: usize = 1024;

/// A password as somebody typed it: taken to the letter, not normalised, not cut.
#[derive(Clone, Debug)]
pub struct Password(SecretString);

/// Why a text is no password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPassword {
    /// Longer than [`MAX_BYTES`].
    #[error("a password has at most {MAX_BYTES} bytes")]
    TooLong,
    /// Shorter than [`MIN_CHARS`], as a new password.
    #[error("a new password has at least {MIN_CHARS} characters")]
    TooShort,
    /// In a list of common passwords, made from the username, or a variation of either.
    #[error(
        "that password is too common: it is in lists that attackers try first, or is made from the username"
    )]
    TooCommon,
}

/// How many characters are looked at for commonness: no list has longer ones, and the time that it takes to
/// look at all that they could be made of grows faster than they do.
const JUDGED_CHARS: usize = 40;

/// A password that is found in fewer guesses is common. The lists that zxcvbn carries have some 30,000
/// passwords and 60,000 words and names; their usual variations stay below this.
const COMMON_GUESSES: u64 = 1_000_000;

impl Password {
    /// A password to be checked.
    ///
    /// # Errors
    /// [`BadPassword::TooLong`].
    pub fn presented(text: SecretString) -> Result<Self, BadPassword> {
        if text.expose_secret().len() > MAX_BYTES {
            Err(BadPassword::TooLong)
        } else {
            Ok(Self(text))
        }
    }

    /// A password to be set, by the user of that name. There are rules of length and against common
    /// passwords, and none of composition (NIST SP 800-63B-4, section 3.1.1.2).
    ///
    /// # Errors
    /// [`BadPassword`].
    pub fn chosen(text: SecretString, username: &str) -> Result<Self, BadPassword> {
        let password = Self::presented(text)?;
        let text = password.0.expose_secret();
        if text.chars().count() < MIN_CHARS {
            return Err(BadPassword::TooShort);
        }
        let judged: String = text.chars().take(JUDGED_CHARS).collect();
        let judged = zeroize::Zeroizing::new(judged);
        if zxcvbn::zxcvbn(&judged, &[username, "waxseal"]).guesses() < COMMON_GUESSES {
            return Err(BadPassword::TooCommon);
        }
        Ok(password)
    }
}

/// A PHC string (`$argon2id$v=19$m=…`). Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// From the store.
    #[must_use]
    pub const fn from_store(phc: String) -> Self {
        Self(phc)
    }

    /// For the store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// The cost of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes.
    pub passes: u32,
}

/// OWASP's first choice for Argon2id: 19 MiB, two passes, one lane.
impl Default for Cost {
    fn default() -> Self {
        Self {
            memory_kib: 19 * 1024,
            passes: 2,
        }
    }
}

/// How many passwords wait for a permit at most: about what is done before a caller gives up.
const WAITING: usize = 128;

/// Hashing did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashingFailed {
    /// Too many are waiting.
    #[error("too many passwords are waiting to be checked")]
    Busy,
    /// Argon2 refused its input, or the thread was lost.
    #[error("the password could not be hashed")]
    Broken,
}

/// A password checked.
#[derive(Clone, Debug)]
pub enum Checked {
    /// It is not the password.
    Wrong,
    /// It is.
    Right,
    /// It is, and the hash is weaker than those made today: here is a better one.
    RightUpgraded(PasswordHash),
}

/// Hashes and checks.
pub struct Hasher {
    argon2: Argon2<'static>,
    random: Arc<dyn Random>,
    workers: Workers,
    permits: Arc<Semaphore>,
    permitted: usize,
    waiting: Semaphore,
    decoy: PasswordHash,
    meters: Arc<Hashing>,
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher")
            .field("params", self.argon2.params())
            .finish_non_exhaustive()
    }
}

impl Hasher {
    /// A hasher that makes hashes of `cost`, at most `permits` at a time: hashing more at once than
    /// half the cores starves whatever else the process does, and finishes no more logins.
    ///
    /// # Errors
    /// [`HashingFailed`] for a cost that Argon2 does not know.
    pub fn new(cost: Cost, permits: usize, random: Arc<dyn Random>) -> Result<Self, HashingFailed> {
        let params = Params::new(cost.memory_kib, cost.passes, 1, None)
            .map_err(|_| HashingFailed::Broken)?;
        let argon2 = Argon2::from(params);
        let mut nobodys = [0; 32];
        random.fill(&mut nobodys);
        let decoy = hash(&argon2, &nobodys, &*random)?;
        let permitted = permits.max(1);
        Ok(Self {
            argon2,
            random,
            workers: Workers::start(permitted).map_err(|_| HashingFailed::Broken)?,
            permits: Arc::new(Semaphore::new(permitted)),
            permitted,
            waiting: Semaphore::new(WAITING),
            decoy,
            meters: Arc::default(),
        })
    }

    /// Hashes a password that was chosen.
    ///
    /// # Errors
    /// [`HashingFailed`].
    pub async fn hash(&self, password: Password) -> Result<PasswordHash, HashingFailed> {
        let (argon2, random) = (self.argon2.clone(), Arc::clone(&self.random));
        self.blocking(move || hash(&argon2, password.0.expose_secret().as_bytes(), &*random))
            .await?
    }

    /// Judges a password to be set by the user of that name, as [`Password::chosen`] does, off the threads
    /// that serve: it can take longer than a hash.
    ///
    /// # Errors
    /// [`HashingFailed`], and within [`BadPassword`].
    pub async fn choose(
        &self,
        text: SecretString,
        username: Username,
    ) -> Result<Result<Password, BadPassword>, HashingFailed> {
        self.blocking(move || Password::chosen(text, username.as_str()))
            .await
    }

    /// Checks a password. Without a hash to check against, or with one that must not match, the same
    /// work is done and the answer is no.
    ///
    /// # Errors
    /// [`HashingFailed`].
    pub async fn check(
        &self,
        password: Password,
        against: Option<PasswordHash>,
    ) -> Result<Checked, HashingFailed> {
        let (argon2, random) = (self.argon2.clone(), Arc::clone(&self.random));
        let known = against.is_some();
        let against = against.unwrap_or_else(|| self.decoy.clone());
        self.blocking(move || {
            let phc = phc::PasswordHash::new(&against.0).map_err(|_| HashingFailed::Broken)?;
            let bytes = password.0.expose_secret().as_bytes();
            if argon2.verify_password(bytes, &phc).is_err() || !known {
                return Ok(Checked::Wrong);
            }
            let made_with = Params::try_from(&phc).map_err(|_| HashingFailed::Broken)?;
            let today = argon2.params();
            let weaker = phc.algorithm.as_str() != "argon2id"
                || made_with.m_cost() < today.m_cost()
                || made_with.t_cost() < today.t_cost();
            if weaker {
                hash(&argon2, bytes, &*random).map(Checked::RightUpgraded)
            } else {
                Ok(Checked::Right)
            }
        })
        .await?
    }

    /// Measures the queue, as it is now.
    pub fn measure(&self) {
        let running = self.permitted - self.permits.available_permits();
        let here = WAITING - self.waiting.available_permits();
        self.meters.running.set(running as f64);
        // One whose caller went away is at work, and has no place any more.
        self.meters.waiting.set(here.saturating_sub(running) as f64);
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashingFailed> {
        let _place = self
            .waiting
            .try_acquire()
            .map_err(|_| HashingFailed::Busy)?;
        let stopwatch = Stopwatch::start();
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| HashingFailed::Broken)?;
        self.meters.waited.record(stopwatch.seconds());
        let meters = Arc::clone(&self.meters);
        let hashed = self.workers.run(move || {
            // The permit goes with the work: a caller who went away does not free it early.
            let _permit = permit;
            let stopwatch = Stopwatch::start();
            let done = work();
            meters.took.record(stopwatch.seconds());
            done
        });
        hashed
            .instrument(tracing::debug_span!("hashing"))
            .await
            .ok_or(HashingFailed::Broken)
    }
}

fn hash(
    argon2: &Argon2<'_>,
    password: &[u8],
    random: &dyn Random,
) -> Result<PasswordHash, HashingFailed> {
    use argon2::password_hash::PasswordHasher;
    let mut salt = [0; 16];
    random.fill(&mut salt);
    let phc: phc::PasswordHash = argon2
        .hash_password_with_salt(password, &salt)
        .map_err(|_| HashingFailed::Broken)?;
    Ok(PasswordHash(phc.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    fn hasher(memory_kib: u32) -> Hasher {
        Hasher::new(
            Cost {
                memory_kib,
                passes: 1,
            },
            1,
            Arc::new(SeededRandom::new(7)),
        )
        .unwrap()
    }

    fn password(text: &str) -> Password {
        Password::presented(SecretString::from(text)).unwrap()
    }

    #[tokio::test]
    async fn a_password_is_taken_to_the_letter() {
        let hasher = hasher(64);
        // The same letters to the eye: composed, decomposed, with a NUL, with a space.
        let forms = [
            "caf\u{e9} tisch lampe",
            "cafe\u{301} tisch lampe",
            "caf\u{e9} tisch lampe\0",
            "caf\u{e9} tisch lampe ",
        ];
        for chosen in forms {
            let hash = hasher
                .hash(Password::chosen(SecretString::from(chosen), "alice").unwrap())
                .await
                .unwrap();
            for presented in forms {
                let checked = hasher
                    .check(password(presented), Some(hash.clone()))
                    .await
                    .unwrap();
                assert_eq!(matches!(checked, Checked::Right), chosen == presented);
            }
        }
    }

    #[tokio::test]
    async fn parameters_are_upgraded_and_never_downgraded() {
        let hash = hasher(64).hash(password("correct horse")).await.unwrap();
        let checked = hasher(128)
            .check(password("correct horse"), Some(hash.clone()))
            .await
            .unwrap();
        let Checked::RightUpgraded(better) = checked else {
            panic!("{checked:?}")
        };
        assert!(better.as_str().starts_with("$argon2id$v=19$m=128,t=1,p=1$"));
        assert!(matches!(
            hasher(64)
                .check(password("correct horse"), Some(better))
                .await,
            Ok(Checked::Right)
        ));
        assert!(matches!(
            hasher(128).check(password("wrong horse"), Some(hash)).await,
            Ok(Checked::Wrong)
        ));
    }

    #[tokio::test]
    async fn nobody_has_no_password() {
        let hasher = hasher(64);
        assert!(matches!(
            hasher.check(password(""), None).await,
            Ok(Checked::Wrong)
        ));
    }

    #[test]
    fn common_passwords_are_refused_and_no_composition_is_asked_for() {
        let chosen =
            |text: &str| Password::chosen(SecretString::from(text), "wilhelmina").map(drop);
        for common in [
            "password",
            "Password1",
            "P@ssw0rd",
            "12345678",
            "qwertyuiop",
            "aaaaaaaa",
            "iloveyou",
            "drowssap",
            "wilhelmina",
            "Wilhelmina1",
            "waxseal1",
        ] {
            assert_eq!(chosen(common), Err(BadPassword::TooCommon), "{common}");
        }
        assert_eq!(chosen("x7!Kq"), Err(BadPassword::TooShort));
        assert_eq!(chosen("ſ€ñ7kq!"), Err(BadPassword::TooShort));
        assert_eq!(chosen(&"x7!Kq".repeat(205)), Err(BadPassword::TooLong));
        let long =
            "every word of this one is common, and there are many of them: more than 64 letters";
        for good in [
            "vgxqkzpw",
            "correct horse battery",
            "пароль моей бабушки",
            long,
            &long.repeat(12),
        ] {
            assert_eq!(chosen(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn owasp_is_the_floor() {
        let cost = Cost::default();
        assert!(cost.memory_kib >= 19 * 1024 && cost.passes >= 2);
    }
}
