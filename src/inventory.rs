//! The inventory: which sessions were begun, for their owner to look at, and which session ID each has now.
//! It is written when a session begins and when it is renewed. Verification never reads it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;

use crate::id::{Lineage, SessionId, UserId};
use crate::revocation::log::StoreError;
use crate::time::Timestamp;

/// How much of a browser's description is kept, in characters.
const BROWSER_CHARS: usize = 256;

/// Where a login came from, as it said itself: for its owner to recognise, and proof of nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginOrigin {
    address: Option<IpAddr>,
    browser: Option<String>,
}

impl LoginOrigin {
    /// From an address, and the `User-Agent` of RFC 9110, section 10.1.5: what can be printed of its first
    /// 256 characters.
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

    /// The address.
    #[must_use]
    pub const fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The browser.
    #[must_use]
    pub fn browser(&self) -> Option<&str> {
        self.browser.as_deref()
    }
}

/// A session as it is entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entered {
    /// The session.
    pub lineage: Lineage,
    /// When the user logged in.
    pub auth_time: Timestamp,
    /// The absolute end.
    pub session_expiry: Timestamp,
    /// When the session ID that it has now is due to be renewed.
    pub renew_at: Timestamp,
    /// When that session ID has been idle for too long at the latest, unless it is renewed before.
    pub idle_end: Timestamp,
    /// Where it was begun.
    pub origin: LoginOrigin,
}

/// A generation that is due to be renewed.
#[derive(Clone, Copy, Debug)]
pub struct Renew {
    /// The session ID that was presented.
    pub presented: SessionId,
    /// Whose session the token says that it is, and since and until when: it is the one that was entered.
    pub user: UserId,
    /// When the user logged in.
    pub auth_time: Timestamp,
    /// The absolute end.
    pub session_expiry: Timestamp,
    /// Now.
    pub at: Timestamp,
    /// For how long the generation that is renewed stays good.
    pub grace: Duration,
    /// When the next generation is due.
    pub renew_at: Timestamp,
    /// When the next generation has been idle for too long at the latest.
    pub idle_end: Timestamp,
}

/// A session whose generations so far all end at once, because of a change of the session such as its user's new
/// password.
#[derive(Clone, Copy, Debug)]
pub struct Raise {
    /// The session ID that was presented.
    pub presented: SessionId,
    /// Whose session the token says that it is.
    pub user: UserId,
    /// When the user logged in.
    pub auth_time: Timestamp,
    /// The absolute end.
    pub session_expiry: Timestamp,
    /// Now.
    pub at: Timestamp,
    /// When the next generation is due.
    pub renew_at: Timestamp,
    /// When the next generation has been idle for too long at the latest.
    pub idle_end: Timestamp,
}

/// What became of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// This is the session's generation now: it was made, or had been within the grace.
    Current {
        /// The generation.
        generation: u32,
        /// When it is due to be renewed.
        renew_at: Timestamp,
    },
    /// The generation that was presented was renewed longer ago than the grace.
    Reused,
    /// The generation that was presented was ended by a change of the session. This is no sign of theft.
    Superseded,
    /// There is no such session, or it never had that generation.
    Unknown,
}

/// What the durable inventory can do.
#[async_trait]
pub trait Inventory: Send + Sync + fmt::Debug {
    /// A user's sessions whose absolute end is after `since`, the newest 500 first. What was ended before
    /// its time is not among them.
    async fn sessions(&self, user: UserId, since: Timestamp) -> Result<Vec<Entered>, StoreError>;

    /// A user's session of that lineage.
    async fn session(&self, user: UserId, lineage: Lineage) -> Result<Option<Entered>, StoreError>;

    /// Gives a session its next generation, and writes to the revocation log when the one before dies,
    /// in one transaction. Of many who ask at once, one is first, and the others get what it got.
    async fn renew(&self, renew: Renew) -> Result<Renewed, StoreError>;

    /// Whether a change of the session ended that generation, and not a renewal: then it is no sign of theft that
    /// it is presented again.
    async fn ended_by_a_change(&self, session: SessionId) -> Result<bool, StoreError>;

    /// Forgets sessions that ended at or before `until`. Gives how many.
    async fn forget(&self, until: Timestamp) -> Result<u64, StoreError>;
}
