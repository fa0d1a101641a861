//! The reasons why the revocation list cannot be proven fresh, for the log and for callers of `Verifier::ready`.

use std::time::Duration;

use http::StatusCode;

use super::issuer::{AskError, Doing, KeysError};
use super::requests::HttpError;
use crate::id::KeyId;
use crate::report::{Report, report};
use crate::revocation::feed::BadPage;
use crate::time::Timestamp;
use crate::token::Malformed;
use crate::verifier::NotReady;

/// The reason why the list cannot be proven fresh.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unproven {
    #[error("request {0} in the issuer's log")]
    Ask(String, #[source] AskError),
    #[error("the page")]
    Malformed(#[from] Malformed),
    #[error("the page is signed with the key {0}, which is unknown")]
    UnknownKey(KeyId),
    #[error("the page is signed with the key {0}, which is revoked")]
    RevokedKey(KeyId),
    #[error("the issuer's keys")]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Page(#[from] BadPage),
    #[error("the issuer says that it is {said:?}, and not {expected:?}")]
    OtherName { expected: String, said: String },
    #[error(
        "this machine's clock and the issuer's differ by more than the leeway: {here} here, {there} there"
    )]
    Clock { here: Timestamp, there: Timestamp },
}

impl Unproven {
    /// The time after which the issuer wants to be asked again.
    pub(super) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Ask(_, cause) => cause.retry_after(),
            _ => None,
        }
    }

    /// Whether the issuer answered that the client exceeded its quota.
    pub(super) fn is_over_quota(&self) -> bool {
        matches!(self, Self::Ask(_, cause) if cause.is_over_quota())
    }

    /// The error for callers of `Verifier::ready`: what happened, and what to do. `at` is the URL of the issuer.
    pub(super) fn told(&self, at: &str) -> NotReady {
        match self {
            Self::Ask(_, AskError::Http(doing, cause)) => http(at, *doing, cause),
            Self::Keys(KeysError::Http(cause)) => http(at, Doing::Keys, cause),
            Self::OtherName { expected, said } => NotReady::lasting(format_args!(
                "the issuer at {at} says that it is {said:?}, and this verifier expects {expected:?}: give Verifier::remote the issuer's name to the letter; if it is reached at another address, give that to at()"
            )),
            Self::Clock { here, there } => NotReady::lasting(format_args!(
                "this machine's clock says {here}, and that of the issuer at {at} says {there}: they differ by more than the leeway; set the wrong one right"
            )),
            Self::UnknownKey(kid) => NotReady::passing(format_args!(
                "the issuer at {at} signs with the key {kid}, which it has not published: check that {}{} and {} come from the same issuer",
                at.trim_end_matches('/'),
                Doing::Keys.path(),
                Doing::Page.path(),
            )),
            Self::RevokedKey(_) | Self::Page(BadPage::OtherLog(_)) => {
                NotReady::passing(format_args!("the issuer at {at}: {}", report(self)))
            }
            Self::Page(BadPage::UnknownKind(_)) => {
                NotReady::lasting(format_args!("the issuer at {at}: {self}"))
            }
            Self::Ask(..) | Self::Malformed(_) | Self::Keys(_) | Self::Page(_) => {
                NotReady::lasting(format_args!(
                    "what answers at {at} does not answer as Waxseal does: {}; check the address",
                    self.without_request()
                ))
            }
        }
    }

    /// The cause without the request ID, which matters only in the log.
    fn without_request(&self) -> Report<'_> {
        match self {
            Self::Ask(_, cause) => report(cause),
            other => report(other),
        }
    }
}

fn http(at: &str, doing: Doing, cause: &HttpError) -> NotReady {
    let what = doing.path();
    match cause {
        HttpError::Timeout(_) | HttpError::Connection(_) => NotReady::passing(format_args!(
            "the issuer at {at} cannot be reached: {}: check the address, and that the issuer runs",
            report(cause)
        )),
        HttpError::Tls(cause) => NotReady::lasting(format_args!(
            "no secure connection to the issuer at {at}: {}: its certificate must be for that host, and from an authority that this machine trusts",
            report(&**cause)
        )),
        HttpError::Status { status, .. } if may_pass(*status) => NotReady::passing(format_args!(
            "the issuer at {at} cannot answer now: {cause} to {what}: look at its log"
        )),
        HttpError::Status { status, code, .. } => {
            let code = code.as_deref().unwrap_or("no code");
            let answer = format!("{} {code}", status.as_u16());
            match (doing, status.as_u16()) {
                (Doing::Token, 401) => NotReady::lasting(format_args!(
                    "the issuer at {at} refused the client's credentials ({answer}): check the client ID and the secret, and that the client is enabled"
                )),
                (Doing::Token, 400) if code == "invalid_scope" => NotReady::lasting(format_args!(
                    "the issuer at {at} does not let the client read the revocations ({answer}): the client needs the scope revocations:read, as from: waxseal client add NAME --scope revocations:read"
                )),
                // The next request uses another token.
                (Doing::Page | Doing::Stream, 401 | 403) => NotReady::passing(format_args!(
                    "the issuer at {at} refused a token for the feed ({answer}): check that {} and {what} come from the same issuer",
                    Doing::Token.path()
                )),
                _ => NotReady::lasting(format_args!(
                    "what answers at {at} is not Waxseal, or not all of it ({answer} to {what}): check the address"
                )),
            }
        }
        HttpError::TooLarge(_) | HttpError::Encoding => NotReady::lasting(format_args!(
            "what answers at {at} does not answer as Waxseal does: {cause} to {what}: check the address"
        )),
    }
}

fn may_pass(status: StatusCode) -> bool {
    status.is_server_error()
        || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status)
}
