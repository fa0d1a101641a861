//! What a service is made from.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::account::limits::LoginRates;
use crate::account::password::PasswordRules;
use crate::http::origins::Origin;
use crate::http::{ClearSiteData, SameSite, hsts};
use crate::key::{Algorithm, Format};
use crate::policy::Timeouts;
use crate::store::sql::PostgresUrl;
use crate::verifier::MEMO_BYTES;

/// How old the revocation list may be before tokens are refused rather than guessed about.
pub const MAX_STALENESS: Duration = Duration::from_secs(5);

/// How long a node may serve on what it knows where logouts are fenced.
pub const LEASE: Duration = Duration::from_secs(2);

/// Where users, clients, sessions and revocations are kept.
#[derive(Clone, Debug, Default)]
pub enum Database {
    /// In a file in the data folder, for one node.
    #[default]
    Sqlite,
    /// At a server, for several nodes.
    Postgres(PostgresUrl),
}

/// What a logout's answer promises of the other nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Logout {
    /// That each of them refuses the session within `max_staleness`.
    #[default]
    Bounded,
    /// That none of them accepts the session any more.
    Fenced,
}

/// What a service is made from.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of the database.
    pub data_dir: PathBuf,
    /// The folder of the private keys.
    pub keys_dir: PathBuf,
    /// The folder of the mark, which shows an older copy of the database: not within the data folder, so
    /// that it is not put back with that.
    pub mark_dir: PathBuf,
    /// The `iss` of tokens.
    pub issuer: String,
    /// The `aud` of tokens.
    pub audience: String,
    /// What a first key for JWTs signs with.
    pub algorithm: Algorithm,
    /// What tokens are written in.
    pub format: Format,
    /// Which formats verify.
    pub accepts: Vec<Format>,
    /// When sessions end.
    pub timeouts: Timeouts,
    /// Pages of which other origins may use the service in the name of their user.
    pub allowed_origins: Vec<Origin>,
    /// When browsers send the session cookie with requests from other sites.
    pub same_site: SameSite,
    /// For how long browsers are to use HTTPS alone for the issuer's host (RFC 6797), from their last visit. It is
    /// told only if the issuer is an `https://` URL and not on this machine. Zero has browsers forget it; `None` says
    /// nothing.
    pub hsts: Option<Duration>,
    /// What a logout asks the browser to delete, besides the session cookie.
    pub clear_site_data: ClearSiteData,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How many logins may be tried.
    pub login_rates: LoginRates,
    /// Words, each of 3 to 64 characters, that a new password must not be made from, besides the username and the
    /// names of the product and of the issuer's host.
    pub forbidden_password_words: Vec<String>,
    /// How long a client's token is good: 1 second to 1 hour.
    pub client_token_lifetime: Duration,
    /// How old the revocation list may be before tokens are refused rather than guessed about: 1 second to
    /// 1 hour.
    pub max_staleness: Duration,
    /// Where everything but keys is kept.
    pub database: Database,
    /// What a logout's answer promises of the other nodes.
    pub logout: Logout,
    /// Where logouts are fenced, how long a node may serve on what it knows, and how much a node that does not
    /// answer delays a logout: 1 second to `max_staleness`.
    pub lease: Duration,
    /// How many bytes of tokens that have verified are remembered, so that their signatures need not be checked
    /// again: 0 is none. It changes no verdict.
    pub memo: u64,
}

/// `data/`, `keys/`, `mark/`, and an issuer that a service on this machine alone can have.
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
            memo: MEMO_BYTES,
        }
    }
}

impl Settings {
    /// The defaults, for a service whose tokens are of `issuer` and meant for `issuer`: the URL at which browsers
    /// and other services reach it.
    #[must_use]
    pub fn for_issuer(issuer: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audience: issuer.to_owned(),
            ..Self::default()
        }
    }

    /// What new keys of the format that is issued sign with.
    #[must_use]
    pub const fn signing_algorithm(&self) -> Algorithm {
        self.algorithm_of(self.format)
    }

    /// The rules for new passwords.
    #[must_use]
    pub fn password_rules(&self) -> PasswordRules {
        PasswordRules::new(&self.issuer, &self.forbidden_password_words)
    }

    /// For how long a node serves on what it knows.
    #[must_use]
    pub const fn bound(&self) -> Duration {
        match self.logout {
            Logout::Bounded => self.max_staleness,
            Logout::Fenced => self.lease,
        }
    }

    /// Whether nodes are entered in a register: where there may be several, or a logout waits for them.
    #[must_use]
    pub const fn registers(&self) -> bool {
        matches!(
            (&self.database, self.logout),
            (Database::Postgres(_), _) | (_, Logout::Fenced)
        )
    }

    pub(super) const fn algorithm_of(&self, format: Format) -> Algorithm {
        match format {
            Format::Jwt => self.algorithm,
            Format::Paseto => Algorithm::V4Public,
        }
    }
}
