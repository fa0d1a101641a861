//! The inventory: the sessions of each user, for their owner to review, and the current session ID of each session. It
//! is written when a session begins and when it is renewed. Verification never reads it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;

use crate::id::{Lineage, SessionId, UserId};
use crate::revocation::log::StoreError;
use crate::session::LoginMethods;
use crate::time::Timestamp;

/// The maximum stored length of a `User-Agent`, in characters.
const BROWSER_CHARS: usize = 256;

/// The self-reported origin of a login, for the owner to recognise. It proves nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginOrigin {
    address: Option<IpAddr>,
    browser: Option<String>,
}

impl LoginOrigin {
    /// Creates an origin from an address and a `User-Agent` (RFC 9110, section 10.1.5). The first 256 characters of it
    /// are kept, without control characters.
    #[must_use]
    pub fn new(address: Option<IpAddr>, browser: Option<&str>) -> Self {
        let printable = |text: &str| {
            let text = text.chars().filter(|c| !c.is_control());
            text.take(BROWSER_CHARS).collect::<String>()
        };
        Self {
            address,
            browser: browser.map(printable).filter(|text| !text.is_empty()),
        }
    }

    /// Returns the address that the login came from.
    #[must_use]
    pub const fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Returns the `User-Agent`.
    #[must_use]
    pub fn browser(&self) -> Option<&str> {
        self.browser.as_deref()
    }
}

/// A session in the inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entered {
    /// The session's identity.
    pub lineage: Lineage,
    /// When the user logged in.
    pub auth_time: Timestamp,
    /// The absolute end of the session.
    pub session_expiry: Timestamp,
    /// The time at which the current session ID is due for renewal.
    pub renew_at: Timestamp,
    /// The latest time at which the current session ID reaches its idle end, unless it is renewed first.
    pub idle_end: Timestamp,
    /// The methods of the login.
    pub methods: LoginMethods,
    /// The origin of the login.
    pub origin: LoginOrigin,
}

/// A request to renew a generation that is due.
#[derive(Clone, Debug)]
pub struct Renew {
    /// The presented session ID.
    pub presented: SessionId,
    /// The user in the token. A renewal finds the session only if its user, `auth_time`, `session_expiry` and methods
    /// are those of the token.
    pub user: UserId,
    /// When the user logged in.
    pub auth_time: Timestamp,
    /// The absolute end of the session.
    pub session_expiry: Timestamp,
    /// The methods in the token.
    pub methods: LoginMethods,
    /// The current time.
    pub at: Timestamp,
    /// How long the old generation stays valid.
    pub grace: Duration,
    /// The time at which the next generation is due for renewal.
    pub renew_at: Timestamp,
    /// The latest time at which the next generation reaches its idle end.
    pub idle_end: Timestamp,
}

/// A request to raise a session to a new generation and end all earlier ones at once, because of a change such as the
/// user's new password.
#[derive(Clone, Debug)]
pub struct Raise {
    /// The presented session ID.
    pub presented: SessionId,
    /// The user in the token. The session is found as for a renewal.
    pub user: UserId,
    /// When the user logged in.
    pub auth_time: Timestamp,
    /// The absolute end of the session.
    pub session_expiry: Timestamp,
    /// The methods in the token.
    pub methods: LoginMethods,
    /// The current time.
    pub at: Timestamp,
    /// The time at which the next generation is due for renewal.
    pub renew_at: Timestamp,
    /// The latest time at which the next generation reaches its idle end.
    pub idle_end: Timestamp,
}

/// The outcome of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// The session's current generation, created by this request or by another one within the grace.
    Current {
        /// The generation's number.
        generation: u32,
        /// The time at which the generation is due for renewal.
        renew_at: Timestamp,
    },
    /// The presented generation was renewed longer ago than the grace.
    Reused,
    /// The presented generation was ended by a change of the session. This is not a sign of theft.
    Superseded,
    /// The session does not exist or never had that generation.
    Unknown,
}

/// The durable inventory of sessions.
#[async_trait]
pub trait Inventory: Send + Sync + fmt::Debug {
    /// Returns a user's sessions whose absolute end is after `since`, the newest 500 first. Sessions that were ended
    /// early are left out.
    async fn sessions(&self, user: UserId, since: Timestamp) -> Result<Vec<Entered>, StoreError>;

    /// Returns the user's session with that lineage.
    async fn session(&self, user: UserId, lineage: Lineage) -> Result<Option<Entered>, StoreError>;

    /// Renews a session and writes to the revocation log when the previous generation ends, in one transaction. Of
    /// several concurrent requests one creates the generation, and the others get the same one.
    async fn renew(&self, renew: Renew) -> Result<Renewed, StoreError>;

    /// Returns whether that generation was ended by a change of the session and not by a renewal. Presenting it again
    /// is then no sign of theft.
    async fn ended_by_a_change(&self, session: SessionId) -> Result<bool, StoreError>;

    /// Drops sessions that ended at or before `until`. Returns their number.
    async fn forget(&self, until: Timestamp) -> Result<u64, StoreError>;
}
