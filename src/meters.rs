//! What is measured, by name, with its labels, on one page. Without a recorder of the crate `metrics` all of
//! it does nothing; with one, install it before anything here is made: each meter asks for it once.
//!
//! Labels have the few values that are written here. Nothing that a stranger, a user or a token says is one.

use std::marker::PhantomData;

use metrics::{Counter, Gauge, Histogram, Unit, counter, gauge, histogram};

/// A label of a counter: the few values that it has.
pub trait Label: Copy + 'static {
    /// The counter.
    const METRIC: &'static str;
    /// The label.
    const LABEL: &'static str;
    /// Its values, in the order of [`index`](Self::index).
    const VALUES: &'static [&'static str];
    /// Which of them it is.
    fn index(self) -> usize;
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident: $metric:literal, $label:literal { $($value:ident $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "docs/metrics.md says what each value means")]
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
    /// What was said of a token that was presented.
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
    /// How a login ended.
    Login: "waxseal_logins_total", "outcome" {
        LetIn "let_in",
        Refused "refused",
        Limited "limited",
        Failed "failed",
    }
    /// What a token was exchanged for.
    Exchange: "waxseal_exchanges_total", "outcome" {
        Kept "kept",
        Touched "touched",
        Renewed "renewed",
        Refused "refused",
        Failed "failed",
    }
    /// Whether a client was who it said.
    ClientAuthentication: "waxseal_client_authentications_total", "outcome" {
        Good "good",
        Refused "refused",
        Limited "limited",
        Failed "failed",
    }
    /// Whether a client got a token.
    ClientTokens: "waxseal_client_tokens_total", "outcome" {
        Issued "issued",
        Refused "refused",
        Limited "limited",
        Failed "failed",
    }
    /// What a reader of the feed was given.
    FeedPages: "waxseal_feed_pages_total", "kind" {
        Delta "delta",
        Snapshot "snapshot",
        Limited "limited",
        Failed "failed",
    }
    /// How a compaction of the log ended.
    Compactions: "waxseal_compactions_total", "outcome" {
        Done "done",
        Failed "failed",
    }
    /// How waiting for the other nodes of a logout ended.
    Fences: "waxseal_fences_total", "outcome" {
        Acknowledged "acknowledged",
        Outlasted "outlasted",
        Failed "failed",
    }
    /// How a question of a remote verifier about revocations ended.
    Questions: "waxseal_remote_questions_total", "outcome" {
        Answered "answered",
        Failed "failed",
    }
    /// How a remote verifier's fetching of keys ended.
    KeyFetches: "waxseal_remote_key_fetches_total", "outcome" {
        Answered "answered",
        Failed "failed",
    }
}

/// A counter for each value of a label.
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
    /// One more of that.
    pub fn count(&self, what: L) {
        self.0[what.index()].increment(1);
    }

    /// Something has begun. Whoever goes away before it is settled has not seen it succeed.
    pub fn begun(&self, unsettled: L) -> Begun<'_, L> {
        Begun(self, unsettled)
    }
}

/// Something that has begun, and is counted when it is over, also when nobody waits for it any more.
#[derive(Debug)]
pub struct Begun<'a, L: Label>(&'a Counters<L>, L);

impl<L: Label> Begun<'_, L> {
    /// It is over, and ended like that.
    pub fn ended(mut self, what: L) {
        self.1 = what;
    }
}

impl<L: Label> Drop for Begun<'_, L> {
    fn drop(&mut self) {
        self.0.count(self.1);
    }
}

/// What hashing passwords takes.
#[derive(Debug)]
pub struct Hashing {
    /// Seconds until it was its turn.
    pub waited: Histogram,
    /// Seconds of work.
    pub took: Histogram,
    /// How many wait for their turn.
    pub waiting: Gauge,
    /// How many are at work.
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

/// How a verifier's list and keys are.
#[derive(Debug)]
pub struct VerifierState {
    /// The newest entry of the log that is applied.
    pub applied: Gauge,
    /// Seconds since the moment as of which the list is known to be complete.
    pub age: Gauge,
    /// At how many seconds tokens are refused.
    pub max_age: Gauge,
    /// Seconds until they are if nothing is proven meanwhile.
    pub left: Gauge,
    /// Whether tokens are not refused for it.
    pub fresh: Gauge,
    /// How many entries the list has.
    pub entries: Gauge,
    /// How many keys verify.
    pub keys: Gauge,
    /// Whether they are those that their source has.
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

/// How an issuer's log and signing key are.
#[derive(Debug)]
pub struct Issuing {
    /// The log's newest entry.
    pub head: Gauge,
    /// Seconds since the signing key's turn began.
    pub key_age: Gauge,
    /// Seconds until it ends.
    pub rotation: Gauge,
    /// Whether a key signs.
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

/// How a service is as one of several nodes.
#[derive(Debug)]
pub struct Together {
    /// Whether the log was followed when it was read last.
    pub followed: Gauge,
    /// How many nodes are in the register.
    pub nodes: Gauge,
    /// How many of them have not applied the log's newest entry.
    pub behind: Gauge,
    /// By how many seconds this node's clock is ahead of the database's.
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

/// What waiting for the other nodes takes.
#[derive(Debug)]
pub struct Fencing {
    /// Seconds since the commit.
    pub waited: Histogram,
    /// How it ended.
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

/// A counter of what compaction dropped.
pub fn compacted_revocations() -> Counter {
    counter!("waxseal_compacted_revocations_total")
}

/// How many streams of the feed are open.
pub fn feed_streams() -> Gauge {
    gauge!("waxseal_feed_streams")
}

/// How long requests take.
pub fn request_duration(route: &str, method: &'static str, status: &'static str) -> Histogram {
    let route = route.to_owned();
    histogram!("waxseal_request_duration_seconds", "route" => route, "method" => method, "status" => status)
}

/// How many revocations were written. Looking it up costs nothing beside the write.
pub fn revocations_written(scope: &'static str, reason: &'static str) -> Counter {
    counter!("waxseal_revocations_written_total", "scope" => scope, "reason" => reason)
}

/// Seconds until the certificate of the service itself expires. NaN without one.
pub fn tls_certificate_expiry() -> Gauge {
    gauge!("waxseal_tls_certificate_expiry_seconds")
}

/// Tells the recorder what each metric means, and which version this is. Call it once, after the recorder is
/// installed.
pub fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    for (name, help) in COUNTERS {
        describe_counter!(name, Unit::Count, help);
    }
    for (name, help) in GAUGES {
        describe_gauge!(name, unit(name), help);
    }
    for (name, help) in HISTOGRAMS {
        describe_histogram!(name, unit(name), help);
    }
    // What was never counted would seem to begin with its second occurrence.
    for (scope, reasons) in WRITTEN {
        for reason in *reasons {
            revocations_written(scope, reason).increment(0);
        }
    }
    gauge!("waxseal_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

fn unit(name: &str) -> Unit {
    if name.ends_with("_seconds") {
        Unit::Seconds
    } else {
        Unit::Count
    }
}

/// What a server writes by itself, by scope. Operators write with the command line, which is another process.
const WRITTEN: &[(&str, &[&str])] = &[
    (
        "session",
        &["logout", "renewed", "reused", "logged_in_again", "client"],
    ),
    ("token", &["client"]),
    ("user", &["logout", "password_changed"]),
    ("everything", &["log_lost"]),
];

const COUNTERS: [(&str, &str); 12] = [
    (Verdict::METRIC, "Tokens that were verified, by verdict."),
    (Login::METRIC, "Logins, by how they ended."),
    (
        Exchange::METRIC,
        "Tokens that were presented to be touched or renewed, by what came of it.",
    ),
    (
        ClientAuthentication::METRIC,
        "Clients that showed their credentials, by what came of it.",
    ),
    (
        ClientTokens::METRIC,
        "Tokens that known clients asked for, by what came of it.",
    ),
    (FeedPages::METRIC, "Pages of the revocation feed, by kind."),
    (
        Compactions::METRIC,
        "Compactions of the revocation log, by how they ended.",
    ),
    (
        Fences::METRIC,
        "Fenced logouts that waited for the other nodes, by how that ended.",
    ),
    (
        "waxseal_compacted_revocations_total",
        "Expired revocations that compactions dropped from the log.",
    ),
    (
        "waxseal_revocations_written_total",
        "Revocations that this process wrote to the log, by scope and reason.",
    ),
    (
        Questions::METRIC,
        "Questions to the issuer about revocations, by how they ended.",
    ),
    (
        KeyFetches::METRIC,
        "Fetches of the issuer's keys, by how they ended.",
    ),
];

const GAUGES: [(&str, &str); 21] = [
    ("waxseal_build_info", "1, with the version as a label."),
    (
        "waxseal_list_applied_seq",
        "The newest entry of the revocation log that is in the list.",
    ),
    (
        "waxseal_list_age_seconds",
        "Seconds since the moment as of which the list is proven complete.",
    ),
    (
        "waxseal_list_max_age_seconds",
        "The age of the list at which tokens are refused with 503.",
    ),
    (
        "waxseal_list_fresh",
        "1 while the list is provably fresh, 0 while tokens are refused with 503.",
    ),
    (
        "waxseal_list_fresh_left_seconds",
        "Seconds until tokens are refused with 503 if nothing is proven meanwhile.",
    ),
    ("waxseal_list_entries", "Revocations in the list."),
    (
        "waxseal_log_followed",
        "1, or 0 since the revocation log could not be followed.",
    ),
    (
        "waxseal_nodes",
        "Nodes in the register; 1 without one. NaN if the store does not say.",
    ),
    (
        "waxseal_nodes_behind",
        "Nodes in the register that have not applied the newest entry of the log. NaN if the store does not say.",
    ),
    (
        "waxseal_clock_offset_seconds",
        "By how much this node's clock is ahead of the database's. NaN without a server.",
    ),
    ("waxseal_keys", "Keys that verify."),
    (
        "waxseal_keys_current",
        "1 while the keys are those that their source has, 0 while it is broken.",
    ),
    (
        "waxseal_log_head_seq",
        "The newest entry of the revocation log. NaN if the store does not say.",
    ),
    (
        "waxseal_signing_key",
        "1 while a key signs, 0 while none does.",
    ),
    (
        "waxseal_signing_key_age_seconds",
        "Seconds since the signing key's turn began. NaN if no key signs.",
    ),
    (
        "waxseal_signing_key_rotation_seconds",
        "Seconds until the next key's turn. Infinite if none is planned.",
    ),
    (
        "waxseal_tls_certificate_expiry_seconds",
        "Seconds until the certificate of the service itself expires. NaN without one.",
    ),
    (
        "waxseal_hashing_waiting",
        "Passwords that wait to be hashed.",
    ),
    (
        "waxseal_hashing_running",
        "Passwords that are being hashed.",
    ),
    (
        "waxseal_feed_streams",
        "Streams of the revocation feed that are open.",
    ),
];

const HISTOGRAMS: [(&str, &str); 4] = [
    (
        "waxseal_fence_wait_seconds",
        "How long fenced logouts waited for the other nodes, since their commit.",
    ),
    (
        "waxseal_hashing_wait_seconds",
        "How long passwords waited to be hashed.",
    ),
    (
        "waxseal_hashing_duration_seconds",
        "How long one run of Argon2 took.",
    ),
    (
        "waxseal_request_duration_seconds",
        "How long requests took until the head of the answer.",
    ),
];

/// The upper bounds of the buckets of the histograms, in seconds: from a verification to the timeout of
/// requests. 0.1 s is what OWASP's cost of a hash takes on a slow core.
pub const BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0,
];
