//! Verification in another process: keeps the issuer's keys and its revocation feed fresh.

mod fault;
mod follow;
mod issuer;
mod requests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::id::ClientId;
use crate::key::Format;
use crate::keyring::{Keyring, SharedKeyring};
use crate::meters::Counters;
use crate::policy::{BadPolicy, Policy, Timeouts, check_max_staleness};
use crate::random::{OsRandom, Random};
use crate::report::report;
use crate::revocation::freshness::Freshness;
use crate::revocation::list::RevocationList;
use crate::time::{Clock, SystemClock};
use crate::verifier::{Followed, TOKEN_CACHE_BYTES, Verifier};
use follow::FeedFollower;
use issuer::IssuerClient;
use requests::{BadBase, Http};

/// The reason why a remote verifier does not start. An unreachable issuer is not one: the verifier starts and refuses
/// tokens with 503, and [`Verifier::ready`] returns the cause.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The URL is not that of a service.
    #[error("the issuer is reached at an https:// URL of a host and a path, and nothing else")]
    Url,
    /// The URL is neither encrypted nor on this machine.
    #[error(
        "the secret would be sent in the clear; use https://, or http:// on this machine alone"
    )]
    PlainHttp,
    /// The client ID is malformed.
    #[error("the client ID is not one; it was printed by: waxseal client add")]
    ClientId,
    /// The settings contradict each other.
    #[error(transparent)]
    Policy(#[from] BadPolicy),
    /// The operating system's certificates cannot be used.
    #[error("TLS cannot be set up")]
    Tls(#[source] std::io::Error),
}

/// Prints the causes too, because a program whose `main` returns the error prints the `Debug` form.
impl fmt::Debug for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&report(self), f)
    }
}

/// The settings of a remote verifier. See [`Verifier::remote`].
#[derive(Debug)]
pub struct Remote {
    issuer: String,
    at: Option<String>,
    client_id: String,
    client_secret: SecretString,
    audiences: Vec<String>,
    max_staleness: Duration,
    leeway: Duration,
    token_cache: u64,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Verifier {
    /// Configures a verifier in another process than its issuer. It fetches keys and revocations over HTTP, with the
    /// credentials of a client that has the scope `revocations:read`.
    ///
    /// ```no_run
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// let verifier = waxseal::Verifier::remote("https://auth.example", "client-01a2…", "wxs_…")
    ///     .audience("https://orders.example")
    ///     .start()?;
    /// verifier.ready().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn remote(issuer: &str, client_id: &str, client_secret: impl Into<SecretString>) -> Remote {
        let timeouts = Timeouts::default();
        Remote {
            issuer: issuer.to_owned(),
            at: None,
            client_id: client_id.to_owned(),
            client_secret: client_secret.into(),
            audiences: Vec::new(),
            max_staleness: Duration::from_secs(5),
            leeway: timeouts.leeway,
            token_cache: TOKEN_CACHE_BYTES,
            clock: Arc::new(SystemClock),
            random: Arc::new(OsRandom::new()),
        }
    }
}

impl Remote {
    /// Accepts tokens for `audience`; call it again for more. Without a call, the verifier accepts tokens for the
    /// issuer itself, which is the audience of sessions unless the issuer sets another.
    #[must_use]
    pub fn audience(mut self, audience: &str) -> Self {
        self.audiences.push(audience.to_owned());
        self
    }

    /// Sets another URL at which the issuer is reached, for example within a cluster. The default is the issuer's name.
    #[must_use]
    pub fn at(mut self, url: &str) -> Self {
        self.at = Some(url.to_owned());
        self
    }

    /// Sets how old the revocation list may be before tokens are refused with 503: 1 second to 1 hour, 5 seconds by
    /// default. The verifier asks the issuer four times in that time, and at least every second.
    #[must_use]
    pub fn max_staleness(mut self, bound: Duration) -> Self {
        self.max_staleness = bound;
        self
    }

    /// Sets how far this machine's wall clock may be from the issuer's: at most a minute, 5 seconds by default. If it
    /// is further off, tokens are refused with 503.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Sets the size in bytes of the cache of verified tokens, whose signatures need not be checked again:
    /// [`TOKEN_CACHE_BYTES`] by default, 0 for none. The cache changes no verdict.
    #[must_use]
    pub fn token_cache(mut self, bytes: u64) -> Self {
        self.token_cache = bytes;
        self
    }

    /// Sets another clock, for tests.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Starts the verifier on the current tokio runtime. It runs until its last handle is dropped. [`Verifier::ready`]
    /// waits until it is ready or returns why it is not; [`Verifier::is_fresh`] is for readiness probes.
    ///
    /// # Errors
    /// [`RemoteError`] if a setting is wrong.
    pub fn start(self) -> Result<Arc<Verifier>, RemoteError> {
        let timeouts = Timeouts {
            leeway: self.leeway,
            ..Timeouts::default()
        };
        check_max_staleness(self.max_staleness)?;
        let mut audiences = self.audiences.into_iter();
        let audience = audiences.next().unwrap_or_else(|| self.issuer.clone());
        let policy =
            Policy::new(&self.issuer, &audience, timeouts)?.with_additional_audiences(audiences);
        let client: ClientId = self.client_id.parse().map_err(|_| RemoteError::ClientId)?;
        let at = self.at.unwrap_or_else(|| self.issuer.clone());
        // A dead connection then costs a part of the bound, not all of it.
        let timeout = (self.max_staleness / 3).max(Duration::from_millis(500));
        let http = match Http::new(&at, timeout) {
            Ok(http) => http.map_err(RemoteError::Tls)?,
            Err(BadBase::NotHttp) => return Err(RemoteError::Url),
            Err(BadBase::PlainHttp) => return Err(RemoteError::PlainHttp),
        };
        let keyring = Arc::new(SharedKeyring::new(Keyring::default()));
        let list = Arc::new(RevocationList::new());
        let freshness = Arc::new(Freshness::new(self.max_staleness));
        let verifier = Verifier::new(
            Arc::clone(&keyring),
            Format::ALL.to_vec(),
            policy,
            Arc::clone(&list),
            Arc::clone(&freshness),
            Arc::clone(&self.clock),
        );
        let (faults, followed) = Followed::at(&at);
        let verifier = Arc::new(
            verifier
                .with_token_cache(self.token_cache)
                .of_issuer(followed),
        );
        let issuer = IssuerClient::new(http, client, self.client_secret, Arc::clone(&self.clock));
        let follow = FeedFollower {
            issuer,
            at,
            name: self.issuer,
            faults,
            keyring,
            list,
            freshness,
            bound: self.max_staleness,
            leeway: self.leeway,
            clock: self.clock,
            random: self.random,
            feed_requests: Counters::default(),
            old_feed_requests: Counters::default(),
            key_fetches: Counters::default(),
        };
        tokio::spawn(follow::measure(Arc::downgrade(&verifier)));
        tokio::spawn(follow.until_dropped(Arc::downgrade(&verifier)));
        Ok(verifier)
    }
}
