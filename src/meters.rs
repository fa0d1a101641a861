//! All metrics, with their names and labels. Without a recorder of the crate `metrics` they do nothing. Install a
//! recorder before anything here is created: each metric looks it up once.
//!
//! Labels have only the values that are written here. No label has a value from a stranger, a user or a token.

mod help;

use std::marker::PhantomData;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

pub use help::describe;

/// A counter's label with a fixed set of values.
#[doc(hidden)]
pub trait Label: Copy + 'static {
    /// The name of the counter.
    const METRIC: &'static str;
    /// The name of the label.
    const LABEL: &'static str;
    /// The values of the label, in the order of [`index`](Self::index).
    const VALUES: &'static [&'static str];
    /// Returns the index of this value in [`VALUES`](Self::VALUES).
    fn index(self) -> usize;
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident: $metric:literal, $label:literal { $($value:ident $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[doc(hidden)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($value,)* }

        impl Label for $name {
            const METRIC: &'static str = $metric;
            const LABEL: &'static str = $label;
            const VALUES: &'static [&'static str] = &[$($text,)*];

            fn index(self) -> usize {
                self as usize
            }
        }
    )*};
}

labels! {
    /// The verdict on a presented token.
    Verdict: "waxseal_verifications_total", "verdict" {
        Good "good",
        Malformed "malformed",
        Signature "signature",
        UnknownKey "unknown_key",
        Issuer "issuer",
        Audience "audience",
        Future "future",
        Times "times",
        Expired "expired",
        NoSession "no_session",
        Revoked "revoked",
        Superseded "superseded",
        Stale "stale",
    }
    /// The outcome of a login.
    Login: "waxseal_logins_total", "outcome" {
        Success "success",
        Refused "refused",
        Limited "limited",
        Failed "failed",
    }
    /// The outcome of an exchange.
    Exchange: "waxseal_exchanges_total", "outcome" {
        Kept "kept",
        Touched "touched",
        Renewed "renewed",
        Refused "refused",
        Failed "failed",
    }
    /// The outcome of a client's authentication.
    ClientAuthentication: "waxseal_client_authentications_total", "outcome" {
        Success "success",
        Refused "refused",
        Limited "limited",
        Failed "failed",
    }
    /// The outcome of a client's token request.
    ClientTokens: "waxseal_client_tokens_total", "outcome" {
        Issued "issued",
        Refused "refused",
        Limited "limited",
        Failed "failed",
    }
    /// The result of a request for a feed page.
    FeedPages: "waxseal_feed_pages_total", "kind" {
        Delta "delta",
        Snapshot "snapshot",
        Limited "limited",
        Failed "failed",
    }
    /// The outcome of a compaction of the log.
    Compactions: "waxseal_compactions_total", "outcome" {
        Done "done",
        Failed "failed",
    }
    /// The outcome of waiting for the other nodes after a logout.
    Fences: "waxseal_fences_total", "outcome" {
        Acknowledged "acknowledged",
        LeaseExpired "lease_expired",
        Failed "failed",
    }
    /// The outcome of a remote verifier's request for revocations.
    FeedRequests: "waxseal_remote_feed_requests_total", "outcome" {
        Answered "answered",
        Failed "failed",
    }
    /// The same under the metric's old name, for one release. No recorder gets a help text for it.
    OldFeedRequests: "waxseal_remote_questions_total", "outcome" {
        Answered "answered",
        Failed "failed",
    }
    /// The outcome of a remote verifier's request for keys.
    KeyFetches: "waxseal_remote_key_fetches_total", "outcome" {
        Answered "answered",
        Failed "failed",
    }
}

/// One counter per value of a label.
#[doc(hidden)]
#[derive(Debug)]
pub struct Counters<L>(Vec<Counter>, PhantomData<L>);

impl<L: Label> Default for Counters<L> {
    fn default() -> Self {
        let counters = L::VALUES
            .iter()
            .map(|value| counter!(L::METRIC, L::LABEL => *value));
        Self(counters.collect(), PhantomData)
    }
}

impl<L: Label> Counters<L> {
    /// Counts one event.
    pub fn count(&self, what: L) {
        self.0[what.index()].increment(1);
    }

    /// Starts an operation. If it is dropped before it ends, it counts as `unsettled`.
    pub fn begun(&self, unsettled: L) -> Begun<'_, L> {
        Begun(self, unsettled)
    }
}

/// An operation that is counted when it is dropped, even if its caller has gone away.
#[doc(hidden)]
#[derive(Debug)]
pub struct Begun<'a, L: Label>(&'a Counters<L>, L);

impl<L: Label> Begun<'_, L> {
    /// Ends the operation with this outcome.
    pub fn ended(mut self, what: L) {
        self.1 = what;
    }
}

impl<L: Label> Drop for Begun<'_, L> {
    fn drop(&mut self) {
        self.0.count(self.1);
    }
}

/// Metrics of password hashing.
#[doc(hidden)]
#[derive(Debug)]
pub struct Hashing {
    /// Seconds that passwords waited in the queue.
    pub waited: Histogram,
    /// Seconds of one Argon2 run.
    pub took: Histogram,
    /// The number of waiting passwords.
    pub waiting: Gauge,
    /// The number of passwords being hashed.
    pub running: Gauge,
}

impl Default for Hashing {
    fn default() -> Self {
        Self {
            waited: histogram!("waxseal_hashing_wait_seconds"),
            took: histogram!("waxseal_hashing_duration_seconds"),
            waiting: gauge!("waxseal_hashing_waiting"),
            running: gauge!("waxseal_hashing_running"),
        }
    }
}

/// Metrics of a verifier's list and keys.
#[doc(hidden)]
#[derive(Debug)]
pub struct VerifierState {
    /// The `seq` of the newest log entry in the list.
    pub applied: Gauge,
    /// Seconds since the time up to which the list is proven complete.
    pub age: Gauge,
    /// The age in seconds at which tokens are refused.
    pub max_age: Gauge,
    /// Seconds until tokens are refused unless freshness is proven again.
    pub left: Gauge,
    /// 1 while the list is fresh, 0 while tokens are refused.
    pub fresh: Gauge,
    /// The number of entries in the list.
    pub entries: Gauge,
    /// The number of keys that verify.
    pub keys: Gauge,
    /// 1 while the keys are those of their source, otherwise 0.
    pub keys_current: Gauge,
}

impl Default for VerifierState {
    fn default() -> Self {
        Self {
            applied: gauge!("waxseal_list_applied_seq"),
            age: gauge!("waxseal_list_age_seconds"),
            max_age: gauge!("waxseal_list_max_age_seconds"),
            left: gauge!("waxseal_list_fresh_left_seconds"),
            fresh: gauge!("waxseal_list_fresh"),
            entries: gauge!("waxseal_list_entries"),
            keys: gauge!("waxseal_keys"),
            keys_current: gauge!("waxseal_keys_current"),
        }
    }
}

/// Metrics of an issuer's log and signing key.
#[doc(hidden)]
#[derive(Debug)]
pub struct Issuing {
    /// The `seq` of the newest entry of the log.
    pub head: Gauge,
    /// Seconds since the signing key's turn began.
    pub key_age: Gauge,
    /// Seconds until the signing key's turn ends.
    pub rotation: Gauge,
    /// 1 while a key signs, otherwise 0.
    pub signs: Gauge,
}

impl Default for Issuing {
    fn default() -> Self {
        Self {
            head: gauge!("waxseal_log_head_seq"),
            key_age: gauge!("waxseal_signing_key_age_seconds"),
            rotation: gauge!("waxseal_signing_key_rotation_seconds"),
            signs: gauge!("waxseal_signing_key"),
        }
    }
}

/// Metrics of a service as one of several nodes.
#[doc(hidden)]
#[derive(Debug)]
pub struct Together {
    /// 1 if the last read of the log could be followed, otherwise 0.
    pub followed: Gauge,
    /// The number of nodes in the register.
    pub nodes: Gauge,
    /// The number of nodes that have not applied the newest entry of the log.
    pub behind: Gauge,
    /// Seconds by which this node's clock is ahead of the database's.
    pub clock_offset: Gauge,
}

impl Default for Together {
    fn default() -> Self {
        Self {
            followed: gauge!("waxseal_log_followed"),
            nodes: gauge!("waxseal_nodes"),
            behind: gauge!("waxseal_nodes_behind"),
            clock_offset: gauge!("waxseal_clock_offset_seconds"),
        }
    }
}

/// Metrics of fenced logouts.
#[doc(hidden)]
#[derive(Debug)]
pub struct Fencing {
    /// Seconds from the commit to the end of the wait.
    pub waited: Histogram,
    /// The outcomes of the waits.
    pub fences: Counters<Fences>,
}

impl Default for Fencing {
    fn default() -> Self {
        Self {
            waited: histogram!("waxseal_fence_wait_seconds"),
            fences: Counters::default(),
        }
    }
}

/// Returns the counter of revocations that compactions dropped.
#[doc(hidden)]
pub fn compacted_revocations() -> Counter {
    counter!("waxseal_compacted_revocations_total")
}

/// Returns the gauge of open feed streams.
#[doc(hidden)]
pub fn feed_streams() -> Gauge {
    gauge!("waxseal_feed_streams")
}

/// Returns the histogram of request durations.
#[doc(hidden)]
pub fn request_duration(route: &str, method: &'static str, status: &'static str) -> Histogram {
    let route = route.to_owned();
    histogram!("waxseal_request_duration_seconds", "route" => route, "method" => method, "status" => status)
}

/// Returns the counter of written revocations. The lookup costs nothing compared with the write.
#[doc(hidden)]
pub fn revocations_written(scope: &'static str, reason: &'static str) -> Counter {
    counter!("waxseal_revocations_written_total", "scope" => scope, "reason" => reason)
}

/// Returns the gauge of seconds until the service's own certificate expires. NaN without a certificate.
#[doc(hidden)]
pub fn tls_certificate_expiry() -> Gauge {
    gauge!("waxseal_tls_certificate_expiry_seconds")
}

/// The upper bounds of the histogram buckets, in seconds: from a verification to the request timeout. With OWASP's
/// parameters a hash takes 0.1 s on a slow core.
pub const BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0,
];
