//! The answer to each error of the service: the status, the code, and what the log says.
//!
//! The service's own resources answer with a [`Problem`], those below `/oauth/` with an [`OauthError`]. The refusals of
//! the extractors are in `http/presented.rs`: apps without the feature `server` have them too.

use std::time::Duration;

use axum::http::StatusCode;

use super::oauth::error::OauthError;
use crate::account::client_limits::RetryAfter;
use crate::account::limits::{NotAdmitted, TooMany};
use crate::account::password::{BadPassword, HashingFailed};
use crate::http::problem::{Limited, Problem};
use crate::issuer::clients::{ClientError, ClientTokenError};
use crate::issuer::feed::{FeedError, WAITING};
use crate::issuer::{LoginError, LogoutError, PasswordError, RenewError, SignError, SignUpError};
use crate::revocation::log::StoreError;
use crate::verifier::Refusal;

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::unavailable("The database is unavailable at the moment. Try again later.")
            .caused_by(error, |cause| tracing::error!(%cause, "the store failed"))
    }
}

impl From<SignError> for Problem {
    fn from(error: SignError) -> Self {
        let problem = match error {
            SignError::NoSigningKey => {
                Self::unavailable("Tokens cannot be signed at the moment. Try again later.")
            }
            SignError::Failed(_) => Self::internal(),
        };
        problem.caused_by(
            error,
            |cause| tracing::error!(%cause, "a token could not be signed"),
        )
    }
}

impl From<BadPassword> for Problem {
    fn from(error: BadPassword) -> Self {
        Self::unacceptable_password(match error {
            BadPassword::TooShort => "A new password has at least 8 characters.",
            BadPassword::TooLong => "A password has at most 1024 bytes.",
            BadPassword::TooCommon => {
                "That password is too common: it, or a variation of it, is in lists that attackers try first."
            }
            BadPassword::Initial => {
                "That is the initial password, which must be changed: choose another one."
            }
            BadPassword::Expected => {
                "That password is made from the username, from the name of this service, or from a word that is forbidden here: attackers try those first."
            }
        })
    }
}

impl From<HashingFailed> for Problem {
    fn from(error: HashingFailed) -> Self {
        match error {
            HashingFailed::Busy => Self::unavailable(
                "Too many passwords are being checked. Try again.",
            )
            .caused_by(error, |_| {
                tracing::info!("a password was not checked: too many checks are in progress");
            }),
            HashingFailed::Broken => Self::internal().caused_by(
                error,
                |cause| tracing::error!(%cause, "a password could not be hashed"),
            ),
        }
    }
}

const NO_LOGIN: &str = "Login is temporarily unavailable. Try again.";

impl From<TooMany> for Problem {
    fn from(too_many: TooMany) -> Self {
        let TooMany {
            policy,
            rate,
            retry_after,
        } = too_many;
        let whole = |seconds: f64| seconds.ceil().max(1.0) as u64;
        Self::too_many_requests(Limited {
            policy,
            quota: rate.burst.get(),
            window: whole(rate.window.as_secs_f64()),
            retry_after: whole(retry_after.as_secs_f64()),
        })
        .caused_by(NotAdmitted::TooMany(too_many), move |_| {
            tracing::info!(policy, "a login was rate-limited");
        })
    }
}

impl From<NotAdmitted> for Problem {
    fn from(error: NotAdmitted) -> Self {
        match error {
            NotAdmitted::TooMany(too_many) => too_many.into(),
            NotAdmitted::Busy => Self::unavailable(NO_LOGIN).caused_by(error, |_| {
                tracing::info!("a login was refused: too many attempts are being counted");
            }),
            NotAdmitted::Store(_) => Self::unavailable(NO_LOGIN).caused_by(
                error,
                |cause| tracing::error!(%cause, "the database could not count a login"),
            ),
        }
    }
}

impl From<LoginError> for Problem {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Refused => Self::invalid_credentials()
                .caused_by(error, |_| tracing::info!("a login was refused")),
            LoginError::Hashing(HashingFailed::Busy) => {
                Self::unavailable(NO_LOGIN).caused_by(error, |_| {
                    tracing::info!("a login was refused: too many password checks are in progress");
                })
            }
            LoginError::Store(_) => Self::unavailable(NO_LOGIN)
                .caused_by(error, |cause| tracing::error!(%cause, "a login failed")),
            LoginError::Hashing(error) => error.into(),
            LoginError::Signing(error) => error.into(),
        }
    }
}

impl From<LogoutError> for Problem {
    fn from(error: LogoutError) -> Self {
        Self::unavailable(match error {
            LogoutError::Fence { .. } => {
                "The session has ended, but some nodes may not know it yet. Try again."
            }
            LogoutError::Store(_) | LogoutError::Follow(_) => {
                "The logout could not be written. The session may still be alive: try again."
            }
        })
        .caused_by(
            error,
            |cause| tracing::error!(%cause, "a logout could not be made certain"),
        )
    }
}

impl From<RenewError> for Problem {
    fn from(error: RenewError) -> Self {
        match error {
            RenewError::Over | RenewError::Superseded | RenewError::Reused => Self::invalid_token()
                .caused_by(
                    error,
                    |cause| tracing::debug!(%cause, "a renewal was refused"),
                ),
            RenewError::Store(_) => {
                Self::unavailable("The session could not be renewed. It is as it was: try again.")
                    .caused_by(error, |cause| tracing::error!(%cause, "a renewal failed"))
            }
            RenewError::End(error) => error.into(),
            RenewError::Signing(error) => error.into(),
        }
    }
}

/// If the password was changed, the session's token is dead and the new token is lost.
const NOT_CERTAIN: &str = "Whether the password was changed is not certain. Try again. If the session is refused, log in with the new password.";

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Refused => Self::wrong_password(),
            PasswordError::SessionOver => Self::invalid_token(),
            PasswordError::Store(_) => Self::unavailable(NOT_CERTAIN).caused_by(
                error,
                |cause| tracing::error!(%cause, "a password change failed"),
            ),
            PasswordError::Settle(_) => Self::unavailable(NOT_CERTAIN).caused_by(
                error,
                |cause| tracing::error!(%cause, "a new password was written, but some nodes may not know it yet"),
            ),
            PasswordError::Unacceptable(error) => error.into(),
            PasswordError::Hashing(error) => error.into(),
            PasswordError::Signing(error) => error.into(),
        }
    }
}

/// For an app that signs up its own users.
impl From<SignUpError> for Problem {
    fn from(error: SignUpError) -> Self {
        match error {
            SignUpError::Username => Self::unacceptable_username(),
            SignUpError::Taken => Self::username_taken(),
            SignUpError::Password(error) => error.into(),
            SignUpError::Hashing(error) => error.into(),
            SignUpError::Store(error) => error.into(),
        }
    }
}

impl From<FeedError> for Problem {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Crowded => {
                let second = RetryAfter(Duration::from_secs(1));
                over_quota("pages", WAITING + 1, second).caused_by(error, |_| {
                    tracing::info!("a reader of the feed has too many requests in progress");
                })
            }
            FeedError::Stale => Self::unavailable("The revocation list is not provably fresh.")
                .caused_by(error, |_| {
                    tracing::warn!(
                        "a page of the feed was refused: the list is not provably fresh"
                    );
                }),
            FeedError::Store(error) => error.into(),
            FeedError::Signing(error) => error.into(),
        }
    }
}

/// 429: a client of the feed has used up a quota of concurrent requests.
pub(super) fn over_quota(policy: &'static str, quota: usize, after: RetryAfter) -> Problem {
    let seconds = after.seconds();
    Problem::too_many_requests(Limited {
        policy,
        quota: u32::try_from(quota).unwrap_or(u32::MAX),
        window: seconds,
        retry_after: seconds,
    })
}

impl From<ClientError> for OauthError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Store(_) => {
                Self::unavailable("The database is unavailable at the moment. Try again later.")
                    .caused_by(
                        error,
                        |cause| tracing::error!(%cause, "a client could not be looked up"),
                    )
            }
            ClientError::Refused | ClientError::Assertion(_) | ClientError::Replayed => {
                Self::invalid_client().caused_by(
                    error,
                    |cause| tracing::info!(%cause, "a client was refused"),
                )
            }
        }
    }
}

impl From<ClientTokenError> for OauthError {
    fn from(error: ClientTokenError) -> Self {
        let failure = match error {
            ClientTokenError::Scope => return Self::invalid_scope(),
            ClientTokenError::Audience => return Self::invalid_target(),
            ClientTokenError::Lost => {
                return Self::unavailable("The client was changed meanwhile. Try again.");
            }
            ClientTokenError::Store(_) | ClientTokenError::Signing(SignError::NoSigningKey) => {
                Self::unavailable("Tokens cannot be issued at the moment. Try again later.")
            }
            ClientTokenError::Signing(SignError::Failed(_)) => {
                Self::of_status(StatusCode::INTERNAL_SERVER_ERROR)
            }
        };
        failure.caused_by(
            error,
            |cause| tracing::error!(%cause, "a client got no token"),
        )
    }
}

impl From<LogoutError> for OauthError {
    fn from(error: LogoutError) -> Self {
        Self::unavailable(
            "The revocation could not be written. The token may still be good: try again.",
        )
        .caused_by(
            error,
            |cause| tracing::error!(%cause, "a revocation could not be made certain"),
        )
    }
}

/// Returns the error for a token that cannot be judged at the moment. Any other refusal is not an error at the
/// endpoints of clients.
pub(super) fn undecided(refusal: &Refusal) -> Option<OauthError> {
    (*refusal == Refusal::Stale).then(|| {
        OauthError::unavailable(
            "The revocation state of the token is unknown at the moment. Try again later.",
        )
        .caused_by(Refusal::Stale, |cause| {
            tracing::warn!("a token could not be verified: {cause}");
        })
    })
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use axum::response::IntoResponse;

    use super::*;
    use crate::issuer::assertion::UntrustedAssertion;
    use crate::revocation::follower::FollowError;
    use crate::revocation::reading::Broken;
    use crate::token::SigningFailed;

    fn store() -> StoreError {
        StoreError::new("read", "the disk is gone")
    }

    fn broken() -> SignError {
        SigningFailed.into()
    }

    fn follow() -> LogoutError {
        FollowError::from(Broken(1)).into()
    }

    fn fence() -> LogoutError {
        let (seq, cause) = (1, store());
        LogoutError::Fence { seq, cause }
    }

    fn too_many() -> TooMany {
        TooMany::slowed(Duration::from_secs(2), Duration::from_millis(500))
    }

    #[test]
    fn each_error_has_its_status_and_code_and_each_failure_a_cause() {
        let unavailable = (503, "unavailable");
        let internal = (500, "internal");
        let invalid_token = (401, "invalid_token");
        let bad_password = (400, "unacceptable_password");
        let too_many_requests = (429, "too_many_requests");
        let answers: Vec<(Problem, _)> = vec![
            (store().into(), unavailable),
            (SignError::NoSigningKey.into(), unavailable),
            (broken().into(), internal),
            (BadPassword::TooShort.into(), bad_password),
            (BadPassword::TooLong.into(), bad_password),
            (BadPassword::TooCommon.into(), bad_password),
            (BadPassword::Initial.into(), bad_password),
            (BadPassword::Expected.into(), bad_password),
            (HashingFailed::Busy.into(), unavailable),
            (HashingFailed::Broken.into(), internal),
            (too_many().into(), too_many_requests),
            (NotAdmitted::TooMany(too_many()).into(), too_many_requests),
            (NotAdmitted::Busy.into(), unavailable),
            (NotAdmitted::Store(store()).into(), unavailable),
            (LoginError::Refused.into(), (401, "invalid_credentials")),
            (LoginError::Store(store()).into(), unavailable),
            (LoginError::Hashing(HashingFailed::Busy).into(), unavailable),
            (LoginError::Hashing(HashingFailed::Broken).into(), internal),
            (LoginError::Signing(broken()).into(), internal),
            (LogoutError::Store(store()).into(), unavailable),
            (follow().into(), unavailable),
            (fence().into(), unavailable),
            (RenewError::Over.into(), invalid_token),
            (RenewError::Superseded.into(), invalid_token),
            (RenewError::Reused.into(), invalid_token),
            (RenewError::Store(store()).into(), unavailable),
            (RenewError::End(follow()).into(), unavailable),
            (RenewError::Signing(broken()).into(), internal),
            (PasswordError::Refused.into(), (403, "wrong_password")),
            (PasswordError::SessionOver.into(), invalid_token),
            (
                PasswordError::Unacceptable(BadPassword::Initial).into(),
                bad_password,
            ),
            (PasswordError::Store(store()).into(), unavailable),
            (PasswordError::Settle(fence()).into(), unavailable),
            (
                PasswordError::Hashing(HashingFailed::Busy).into(),
                unavailable,
            ),
            (PasswordError::Signing(broken()).into(), internal),
            (SignUpError::Username.into(), (400, "unacceptable_username")),
            (
                SignUpError::Password(BadPassword::TooShort).into(),
                bad_password,
            ),
            (SignUpError::Taken.into(), (409, "username_taken")),
            (SignUpError::Hashing(HashingFailed::Broken).into(), internal),
            (SignUpError::Store(store()).into(), unavailable),
            (FeedError::Store(store()).into(), unavailable),
            (FeedError::Stale.into(), unavailable),
            (FeedError::Signing(broken()).into(), internal),
            (FeedError::Crowded.into(), too_many_requests),
        ];
        for (problem, expected) in answers {
            let status = problem.status();
            assert_eq!((status.as_u16(), problem.code()), expected, "{problem:?}");
            assert!(
                problem.cause().is_some() || !status.is_server_error(),
                "{problem:?}"
            );
        }
    }

    #[tokio::test]
    async fn each_error_below_oauth_has_its_status_and_code() {
        let assertion = || UntrustedAssertion::parse("x").unwrap_err();
        let invalid_client = (401, "invalid_client");
        let unavailable = (503, "temporarily_unavailable");
        let answers: Vec<(OauthError, _)> = vec![
            (ClientError::Refused.into(), invalid_client),
            (ClientError::Assertion(assertion()).into(), invalid_client),
            (ClientError::Replayed.into(), invalid_client),
            (ClientError::Store(store()).into(), unavailable),
            (ClientTokenError::Scope.into(), (400, "invalid_scope")),
            (ClientTokenError::Audience.into(), (400, "invalid_target")),
            (ClientTokenError::Lost.into(), unavailable),
            (ClientTokenError::Store(store()).into(), unavailable),
            (
                ClientTokenError::Signing(SignError::NoSigningKey).into(),
                unavailable,
            ),
            (
                ClientTokenError::Signing(broken()).into(),
                (500, "server_error"),
            ),
            (LogoutError::Store(store()).into(), unavailable),
            (follow().into(), unavailable),
            (fence().into(), unavailable),
            (undecided(&Refusal::Stale).unwrap(), unavailable),
        ];
        for (error, (status, code)) in answers {
            let response = error.into_response();
            assert_eq!(response.status(), status);
            let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["error"], code, "{body}");
        }
        assert!(undecided(&Refusal::UnknownKey).is_none());
    }
}
