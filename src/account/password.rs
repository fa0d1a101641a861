//! Passwords: Argon2id, on dedicated threads, with bounded concurrency.

mod common;
mod disguise;
mod opaque;
mod queue;
mod rules;
mod workers;

use std::fmt;
use std::sync::Arc;

use argon2::password_hash::phc;
use argon2::{Argon2, Params, PasswordVerifier};
use secrecy::{ExposeSecret, SecretString};
use tracing::Instrument;

use super::username::Username;
use crate::meters::Hashing;
use crate::random::Random;
use crate::time::Stopwatch;
use queue::Queue;
#[doc(hidden)]
pub use queue::{Claim, Class};
pub use rules::PasswordRules;
use workers::Workers;

/// The minimum length of a new password, in code points of the hashed form (NIST SP 800-63B-4, section 3.1.1.2).
pub const MIN_CHARS: usize = 8;
/// The maximum length of a password, in bytes of UTF-8 as typed. Longer ones are refused, never truncated.
pub const MAX_BYTES: usize = 1024;

/// A password as typed: not truncated, case and surrounding spaces preserved.
///
/// Keyboards and systems encode the same text in several ways, so the hash is over the PRECIS `OpaqueString` form (RFC
/// 8265, section 4.2.2): non-ASCII spaces become U+0020, and the rest is normalized to NFC. No code point is refused.
#[derive(Clone, Debug)]
pub struct Password {
    typed: SecretString,
    /// The form that is hashed, if it differs from the typed text.
    mapped: Option<SecretString>,
}

/// The reason why a text is refused as a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPassword {
    /// Longer than [`MAX_BYTES`].
    #[error("a password has at most {MAX_BYTES} bytes")]
    TooLong,
    /// Shorter than [`MIN_CHARS`], for a new password.
    #[error("a new password has at least {MIN_CHARS} characters")]
    TooShort,
    /// In a list of common or breached passwords, or a variation of one.
    #[error(
        "that password is too common: it, or a variation of it, is in lists that attackers try first"
    )]
    TooCommon,
    /// Made from the username, from the name of the product or of the issuer's host, or from a forbidden word.
    #[error(
        "that password is made from the username, from the name of this service, or from a word that is forbidden here: attackers try those first"
    )]
    Expected,
    /// The initial password itself, which must be changed.
    #[error("that is the initial password, which must be changed: choose another one")]
    Initial,
}

impl Password {
    /// Accepts a password to be checked.
    ///
    /// # Errors
    /// [`BadPassword::TooLong`].
    #[doc(hidden)]
    pub fn presented(text: SecretString) -> Result<Self, BadPassword> {
        if text.expose_secret().len() > MAX_BYTES {
            Err(BadPassword::TooLong)
        } else {
            let mapped = opaque::mapped(text.expose_secret());
            Ok(Self {
                typed: text,
                mapped,
            })
        }
    }

    /// Returns whether both passwords have the same hashed form.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.form() == other.form()
    }

    /// Returns the form that is hashed.
    fn form(&self) -> &str {
        let form = self.mapped.as_ref().unwrap_or(&self.typed);
        form.expose_secret()
    }

    /// Returns the texts that a stored hash may have been made from: the hashed form, then the typed text, which older
    /// hashes are made from.
    fn forms(&self) -> impl Iterator<Item = &str> {
        let forms = self.mapped.iter().chain([&self.typed]);
        forms.map(ExposeSecret::expose_secret)
    }

    /// Accepts a new password for the user with that name, by the default [`PasswordRules`].
    ///
    /// # Errors
    /// [`BadPassword`] says which rule refuses the password.
    #[doc(hidden)]
    pub fn chosen(text: SecretString, username: &str) -> Result<Self, BadPassword> {
        PasswordRules::default().choose(text, username)
    }
}

/// A PHC string (`$argon2id$v=19$m=…`). `Debug` does not print it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Wraps a PHC string read from the store.
    #[doc(hidden)]
    #[must_use]
    pub const fn from_store(phc: String) -> Self {
        Self(phc)
    }

    /// Returns the PHC string to store.
    #[doc(hidden)]
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

/// The cost parameters of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// The number of passes.
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

/// The reason why a password was not hashed or checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashingFailed {
    /// The queue is full.
    #[error("too many passwords are waiting to be checked")]
    Busy,
    /// Argon2 refused its input, or the hashing thread was lost.
    #[error("the password could not be hashed")]
    Broken,
}

/// The result of a password check.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub enum Checked {
    /// The password does not match.
    Wrong,
    /// The password matches.
    Right,
    /// The password matches, and its stored hash is weaker than today's or made from another form of the password. The
    /// value is the replacement.
    RightUpgraded(PasswordHash),
}

/// Hashes and checks passwords.
pub struct Hasher {
    argon2: Argon2<'static>,
    random: Arc<dyn Random>,
    rules: Arc<PasswordRules>,
    workers: Workers,
    queue: Arc<Queue>,
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
    /// Creates a hasher with this `cost` and at most `permits` hashes at a time. More than half the cores starves the
    /// rest of the process and finishes no more logins.
    ///
    /// # Errors
    /// [`HashingFailed`] if Argon2 does not support the cost, or if no thread could be started.
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
            rules: Arc::default(),
            workers: Workers::start(permitted).map_err(|_| HashingFailed::Broken)?,
            queue: Arc::new(Queue::new(permitted)),
            decoy,
            meters: Arc::default(),
        })
    }

    /// Sets the rules for new passwords.
    #[doc(hidden)]
    #[must_use]
    pub fn with_rules(mut self, rules: PasswordRules) -> Self {
        self.rules = Arc::new(rules);
        self
    }

    /// Hashes a chosen password in the shared class.
    ///
    /// # Errors
    /// [`HashingFailed`] if the queue is full or Argon2 fails.
    pub async fn hash(&self, password: Password) -> Result<PasswordHash, HashingFailed> {
        self.hash_in(Class::Shared, password).await
    }

    /// Like [`hash`](Self::hash), in the given class.
    ///
    /// # Errors
    /// [`HashingFailed`] if the queue is full or Argon2 fails.
    #[doc(hidden)]
    pub async fn hash_in(
        &self,
        class: Class,
        password: Password,
    ) -> Result<PasswordHash, HashingFailed> {
        let (argon2, random) = (self.argon2.clone(), Arc::clone(&self.random));
        let meters = Arc::clone(&self.meters);
        self.blocking(class, move || {
            timed(&meters, || {
                hash(&argon2, password.form().as_bytes(), &*random)
            })
        })
        .await?
    }

    /// Checks a new password against the rules for the user with that name. The check runs on a hashing thread, because
    /// it can take longer than a hash.
    ///
    /// # Errors
    /// [`HashingFailed`] if the check did not run. The inner [`BadPassword`] says which rule refuses the password.
    #[doc(hidden)]
    pub async fn choose(
        &self,
        class: Class,
        text: SecretString,
        username: Username,
    ) -> Result<Result<Password, BadPassword>, HashingFailed> {
        let rules = Arc::clone(&self.rules);
        self.blocking(class, move || rules.choose(text, username.as_str()))
            .await
    }

    /// Checks a password in the shared class: see [`check_in`](Self::check_in).
    ///
    /// # Errors
    /// [`HashingFailed`] if the password could not be checked.
    #[doc(hidden)]
    pub async fn check(
        &self,
        password: Password,
        against: Option<PasswordHash>,
    ) -> Result<Checked, HashingFailed> {
        self.check_in(Class::Shared, password, against).await
    }

    /// Checks a password. Without a hash to check against, it does the same work and answers [`Checked::Wrong`]: the
    /// number of Argon2 runs before a refusal depends on the typed text alone. Argon2 runs twice if the hashed form
    /// differs from the typed text.
    ///
    /// # Errors
    /// [`HashingFailed`] if the password could not be checked.
    #[doc(hidden)]
    pub async fn check_in(
        &self,
        class: Class,
        password: Password,
        against: Option<PasswordHash>,
    ) -> Result<Checked, HashingFailed> {
        let (argon2, random) = (self.argon2.clone(), Arc::clone(&self.random));
        let meters = Arc::clone(&self.meters);
        let known = against.is_some();
        let against = against.unwrap_or_else(|| self.decoy.clone());
        self.blocking(class, move || {
            let phc = phc::PasswordHash::new(&against.0).map_err(|_| HashingFailed::Broken)?;
            let matches = |form: &&str| {
                let verified = timed(&meters, || argon2.verify_password(form.as_bytes(), &phc));
                verified.is_ok() && known
            };
            let Some(right) = password.forms().find(matches) else {
                return Ok(Checked::Wrong);
            };
            let made_with = Params::try_from(&phc).map_err(|_| HashingFailed::Broken)?;
            let today = argon2.params();
            let weaker = phc.algorithm.as_str() != "argon2id"
                || made_with.m_cost() < today.m_cost()
                || made_with.t_cost() < today.t_cost();
            if weaker || right != password.form() {
                timed(&meters, || {
                    hash(&argon2, password.form().as_bytes(), &*random)
                })
                .map(Checked::RightUpgraded)
            } else {
                Ok(Checked::Right)
            }
        })
        .await?
    }

    /// Records the current length of the queue as metrics.
    #[doc(hidden)]
    pub fn measure(&self) {
        let (running, waiting) = self.queue.running_and_waiting();
        self.meters.running.set(running as f64);
        self.meters.waiting.set(waiting as f64);
    }

    async fn blocking<T: Send + 'static>(
        &self,
        class: Class,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashingFailed> {
        let mut place = self.queue.enter(class).ok_or(HashingFailed::Busy)?;
        let stopwatch = Stopwatch::start();
        let turn = place.turn().await.ok_or(HashingFailed::Broken)?;
        self.meters.waited.record(stopwatch.seconds());
        let hashed = self.workers.run(move || {
            let _turn = turn;
            work()
        });
        hashed
            .instrument(tracing::debug_span!("hashing"))
            .await
            .ok_or(HashingFailed::Broken)
    }
}

/// Records the duration of one Argon2 run.
fn timed<T>(meters: &Hashing, run: impl FnOnce() -> T) -> T {
    let stopwatch = Stopwatch::start();
    let done = run();
    meters.took.record(stopwatch.seconds());
    done
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
mod tests;
