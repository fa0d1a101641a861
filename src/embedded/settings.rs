//! The settings of an embedded service.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use crate::account::limits::LoginRates;
use crate::account::password::PasswordRules;
use crate::http::origins::Origin;
use crate::http::{ClearSiteData, SameSite, hsts};
use crate::key::{Algorithm, Format};
use crate::policy::Timeouts;
use crate::store::sql::PostgresUrl;
use crate::verifier::TOKEN_CACHE_BYTES;

/// The default of [`Settings::max_staleness`].
pub const MAX_STALENESS: Duration = Duration::from_secs(5);

/// The default of [`Settings::lease`].
pub const LEASE: Duration = Duration::from_secs(2);

/// The store for users, clients, sessions and revocations.
#[derive(Clone, Debug, Default)]
pub enum Database {
    /// A file in the data folder, for one node.
    #[default]
    Sqlite,
    /// A PostgreSQL server, for several nodes.
    Postgres(PostgresUrl),
}

impl Database {
    /// Returns `true` if other nodes can use the database. They then share its log, have copies of the keys, and are
    /// entered in its register.
    #[doc(hidden)]
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }
}

/// The guarantee about the other nodes that a logout's answer gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Logout {
    /// Each node refuses the session within `max_staleness`.
    #[default]
    Bounded,
    /// No node accepts the session any more.
    Fenced,
}

/// The settings of an embedded service. Begin with [`Settings::for_issuer`], and set the fields that differ.
///
/// ```
/// use waxseal::Settings;
/// use waxseal::embedded::Logout;
///
/// let mut settings = Settings::for_issuer("https://auth.example");
/// settings.logout = Logout::Fenced;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The folder of the database.
    pub data_dir: PathBuf,
    /// The folder of the private keys.
    pub keys_dir: PathBuf,
    /// The folder of the mark, which detects an older copy of the database. It must not be in the data folder, because
    /// a restored data folder would bring the older mark along.
    pub mark_dir: PathBuf,
    /// The `iss` claim of tokens.
    pub issuer: String,
    /// The `aud` claim of tokens.
    pub audience: String,
    /// The signing algorithm of new JWT keys.
    pub algorithm: Algorithm,
    /// The format in which tokens are issued.
    pub format: Format,
    /// The formats that the service accepts.
    pub accepts: Vec<Format>,
    /// The idle, absolute and renewal timeouts of sessions, and the leeway.
    pub timeouts: Timeouts,
    /// The other origins whose pages may use the service on behalf of their user.
    pub allowed_origins: Vec<Origin>,
    /// The `SameSite` attribute of the session cookie.
    pub same_site: SameSite,
    /// The time for which browsers use only HTTPS for the issuer's host (RFC 6797), counted from their last visit. The
    /// header is sent only if the issuer is an `https://` URL and not on this machine. Zero makes browsers forget the
    /// rule; `None` sends no header.
    pub hsts: Option<Duration>,
    /// The data, besides the session cookie, that a logout asks the browser to delete.
    pub clear_site_data: ClearSiteData,
    /// The proxies whose `X-Forwarded-For` header is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// The limits on login attempts.
    pub login_rates: LoginRates,
    /// Words, each of 3 to 64 characters, that a new password must not be made from. The username and the names of the
    /// product and of the issuer's host are always forbidden.
    pub forbidden_password_words: Vec<String>,
    /// The lifetime of a client's token: 1 second to 1 hour.
    pub client_token_lifetime: Duration,
    /// The greatest age of the revocation list, 1 second to 1 hour. With an older list the service refuses every token,
    /// because it cannot know what was revoked.
    pub max_staleness: Duration,
    /// The store for everything but keys.
    pub database: Database,
    /// The guarantee about the other nodes that a logout's answer gives.
    pub logout: Logout,
    /// The time for which a node may serve on its last read of the log where logouts are fenced: 1 second to
    /// `max_staleness`. A node that does not answer delays a logout by about this time.
    pub lease: Duration,
    /// The size, in bytes, of the cache of verified tokens, whose signatures are not checked again. 0 disables it. The
    /// cache changes no verdict.
    pub token_cache: u64,
}

/// The folders `data/`, `keys/` and `mark/`, and an issuer URL that only this machine can reach.
impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: "data".into(),
            keys_dir: "keys".into(),
            mark_dir: "mark".into(),
            issuer: "http://127.0.0.1:8080".into(),
            audience: "http://127.0.0.1:8080".into(),
            algorithm: Algorithm::EdDsa,
            format: Format::Jwt,
            accepts: vec![Format::Jwt],
            timeouts: Timeouts::default(),
            allowed_origins: Vec::new(),
            same_site: SameSite::default(),
            hsts: Some(hsts::MAX_AGE),
            clear_site_data: ClearSiteData::default(),
            trusted_proxies: Vec::new(),
            login_rates: LoginRates::default(),
            forbidden_password_words: Vec::new(),
            client_token_lifetime: Duration::from_secs(300),
            max_staleness: MAX_STALENESS,
            database: Database::default(),
            logout: Logout::default(),
            lease: LEASE,
            token_cache: TOKEN_CACHE_BYTES,
        }
    }
}

impl Settings {
    /// Returns the default settings with `issuer` as the issuer and the audience of tokens: the URL at which browsers
    /// and other services reach the service.
    #[must_use]
    pub fn for_issuer(issuer: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audience: issuer.to_owned(),
            ..Self::default()
        }
    }

    /// Returns these settings with the folders `data`, `keys` and `mark` in `folder`.
    #[must_use]
    pub fn in_folder(self, folder: &Path) -> Self {
        Self {
            data_dir: folder.join("data"),
            keys_dir: folder.join("keys"),
            mark_dir: folder.join("mark"),
            ..self
        }
    }

    /// Returns the signing algorithm of new keys of the issued format.
    #[must_use]
    pub const fn signing_algorithm(&self) -> Algorithm {
        self.algorithm_of(self.format)
    }

    /// Returns the rules for new passwords.
    #[must_use]
    pub fn password_rules(&self) -> PasswordRules {
        PasswordRules::new(&self.issuer, &self.forbidden_password_words)
    }

    /// Returns the time for which a node may serve on its last read of the log.
    #[doc(hidden)]
    #[must_use]
    pub const fn bound(&self) -> Duration {
        match self.logout {
            Logout::Bounded => self.max_staleness,
            Logout::Fenced => self.lease,
        }
    }

    /// Returns `true` if nodes are entered in a register: where there may be several, or where a logout waits for them.
    #[doc(hidden)]
    #[must_use]
    pub const fn registers(&self) -> bool {
        self.database.is_shared() || matches!(self.logout, Logout::Fenced)
    }

    pub(super) const fn algorithm_of(&self, format: Format) -> Algorithm {
        match format {
            Format::Jwt => self.algorithm,
            Format::Paseto => Algorithm::V4Public,
        }
    }
}
