//! Passwords: Argon2id, on threads of its own, a bounded number at a time.

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
pub use queue::{Claim, Class};
pub use rules::PasswordRules;
use workers::Workers;

/// The shortest password that can be set, in code points of the form that is hashed (NIST SP 800-63B-4,
/// section 3.1.1.2).
pub const MIN_CHARS: usize = 8;
/// The longest password, in bytes of UTF-8 as it was typed. A longer one is refused, never cut.
pub const MAX_BYTES: usize = 1024;

/// A password as somebody typed it. It is not cut, and keeps its case and its spaces at both ends.
///
/// Keyboards and systems write one text in several ways, so what is hashed is its form by PRECIS
/// `OpaqueString` (RFC 8265, section 4.2.2): spaces that are not ASCII become U+0020, and the rest is
/// normalized to NFC. No code point is refused.
#[derive(Clone, Debug)]
pub struct Password {
    typed: SecretString,
    /// The form that is hashed, if it differs from what was typed.
    mapped: Option<SecretString>,
}

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
    /// A password to be checked.
    ///
    /// # Errors
    /// [`BadPassword::TooLong`].
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

    /// Whether both are hashed from the same text.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.form() == other.form()
    }

    /// The form that is hashed.
    fn form(&self) -> &str {
        let form = self.mapped.as_ref().unwrap_or(&self.typed);
        form.expose_secret()
    }

    /// The texts that a hash may be made from: the form that is hashed today, then the text as it was typed.
    /// Older hashes are made from the latter.
    fn forms(&self) -> impl Iterator<Item = &str> {
        let forms = self.mapped.iter().chain([&self.typed]);
        forms.map(ExposeSecret::expose_secret)
    }

    /// A password to be set by the user of that name, by the [`PasswordRules`] of a service without words of its own.
    ///
    /// # Errors
    /// [`BadPassword`].
    pub fn chosen(text: SecretString, username: &str) -> Result<Self, BadPassword> {
        PasswordRules::default().choose(text, username)
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
    /// It is, and the hash is weaker than those made today, or of another form of the password: here is a
    /// better one.
    RightUpgraded(PasswordHash),
}

/// Hashes and checks.
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
            rules: Arc::default(),
            workers: Workers::start(permitted).map_err(|_| HashingFailed::Broken)?,
            queue: Arc::new(Queue::new(permitted)),
            decoy,
            meters: Arc::default(),
        })
    }

    /// New passwords are judged by these rules.
    #[must_use]
    pub fn with_rules(mut self, rules: PasswordRules) -> Self {
        self.rules = Arc::new(rules);
        self
    }

    /// Hashes a password that was chosen, in the shared class.
    ///
    /// # Errors
    /// [`HashingFailed`].
    pub async fn hash(&self, password: Password) -> Result<PasswordHash, HashingFailed> {
        self.hash_in(Class::Shared, password).await
    }

    /// As [`hash`](Self::hash), in that class.
    ///
    /// # Errors
    /// [`HashingFailed`].
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

    /// Judges a password to be set by the user of that name, off the threads that serve: it can take
    /// longer than a hash.
    ///
    /// # Errors
    /// [`HashingFailed`], and within [`BadPassword`].
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

    /// Checks a password, in the shared class: see [`check_in`](Self::check_in).
    ///
    /// # Errors
    /// [`HashingFailed`].
    pub async fn check(
        &self,
        password: Password,
        against: Option<PasswordHash>,
    ) -> Result<Checked, HashingFailed> {
        self.check_in(Class::Shared, password, against).await
    }

    /// Checks a password. Without a hash to check against the same work is done and the answer is no: how
    /// often Argon2 runs before a refusal depends on what was typed alone. It runs twice if the form that is
    /// hashed differs from what was typed.
    ///
    /// # Errors
    /// [`HashingFailed`].
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

    /// Measures the queue, as it is now.
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

/// Measures one run of Argon2.
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
