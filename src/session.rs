//! How a session begins: pure rules, time and randomness as arguments.

use crate::claims::Claims;
use crate::id::{Lineage, SessionId, TokenId, UserId};
use crate::policy::Policy;
use crate::random::Random;
use crate::time::Timestamp;

/// The `client_id` of tokens from Waxseal's own login.
pub const LOGIN_CLIENT: &str = "waxseal";

/// The `scope` of tokens from Waxseal's own login.
pub const LOGIN_SCOPE: &str = "session";

/// The claims of a new session of `subject`, begun now by password. The lineage's time is the
/// store's to give; all other times are `now`'s.
#[must_use]
pub fn begin(
    policy: &Policy,
    subject: UserId,
    lineage: Lineage,
    now: Timestamp,
    random: &dyn Random,
) -> Claims {
    let timeouts = policy.timeouts();
    let begun = now.whole_second();
    let session_expiry = begun.plus(timeouts.absolute).whole_second();
    Claims {
        issuer: policy.issuer().to_owned(),
        subject,
        audience: policy.audience().to_owned(),
        client_id: LOGIN_CLIENT.to_owned(),
        issued_at: begun,
        expires_at: begun.plus(timeouts.idle).whole_second().min(session_expiry),
        token_id: TokenId::new(now, random),
        session_id: SessionId {
            lineage,
            generation: 0,
        },
        auth_time: begun,
        renew_at: begun.plus(timeouts.renewal).whole_second(),
        session_expiry,
        methods: vec!["pwd".to_owned()],
        scope: LOGIN_SCOPE.to_owned(),
    }
}
