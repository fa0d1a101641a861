//! What each metric is, for a recorder that shows it.

use metrics::{Unit, gauge};

use super::{
    ClientAuthentication, ClientTokens, Compactions, Exchange, FeedPages, FeedRequests, Fences,
    KeyFetches, Label, Login, Verdict, revocations_written,
};

/// Describes each metric to the recorder, and records the version. Call it once, after the recorder is installed.
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
    // Starts each counter at 0: a series whose first sample is 1 would hide the first event.
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

/// The revocations that a server writes, by scope and reason. Operators revoke with the command line, which is another
/// process.
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
    (Login::METRIC, "Logins, by outcome."),
    (
        Exchange::METRIC,
        "Tokens that were presented to be touched or renewed, by outcome.",
    ),
    (
        ClientAuthentication::METRIC,
        "Authentications of clients, by outcome.",
    ),
    (
        ClientTokens::METRIC,
        "Token requests of authenticated clients, by outcome.",
    ),
    (FeedPages::METRIC, "Pages of the revocation feed, by kind."),
    (
        Compactions::METRIC,
        "Compactions of the revocation log, by outcome.",
    ),
    (
        Fences::METRIC,
        "Waits of fenced logouts for the other nodes, by outcome.",
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
        FeedRequests::METRIC,
        "Requests to the issuer for revocations, by outcome.",
    ),
    (
        KeyFetches::METRIC,
        "Requests for the issuer's keys, by outcome.",
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
        "Seconds since the time up to which the list is proven complete.",
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
