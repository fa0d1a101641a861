//! The address of a PostgreSQL database, and the rule that a connection to another machine must be secured.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// The address of a PostgreSQL database, `postgres://…`. It may contain a password, so neither `Debug` nor `Display`
/// shows its credentials.
///
/// Parsing refuses an address on another machine if the server's certificate would not be checked.
/// [`PostgresUrl::insecure`] accepts it.
#[derive(Clone)]
pub struct PostgresUrl {
    options: Box<PgConnectOptions>,
}

/// The reason why a text is not a valid PostgreSQL address. The error never contains the text, which may hold a
/// password.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPostgresUrl {
    /// The text has another form.
    #[error(
        "not an address such as postgres://user:password@host:5432/database, in which a password has its special characters percent-encoded"
    )]
    Malformed,
    /// The `sslmode` of the address is unknown.
    #[error(
        "an address with an unknown sslmode, which must be disable, allow, prefer, require, verify-ca or verify-full"
    )]
    SslMode,
    /// The address lists several hosts. Only one writable primary may take the commits, and a list does not say which
    /// host is the primary.
    #[error(
        "an address of several hosts, and must be an address of one: that of the writable primary, or of a virtual IP address or a proxy that leads to it"
    )]
    SeveralHosts,
    /// The host is neither this machine nor a Unix socket, and the server's certificate would not be checked.
    #[error(
        "an address on another machine with sslmode={sslmode}, which does not check the server's certificate: an attacker on the network could read the password and change the revocation log. Add sslmode=verify-full to the address, and sslrootcert=/path/to/ca.pem if the server's certificate is from a CA of your own"
    )]
    Insecure {
        /// The `sslmode` of the address or of `PGSSLMODE`, or the default.
        sslmode: &'static str,
    },
}

/// Formats the error as `Display` does, because a program whose `main` returns the error prints it with `Debug`.
impl fmt::Debug for BadPostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PostgresUrl {
    type Err = BadPostgresUrl;

    fn from_str(text: &str) -> Result<Self, BadPostgresUrl> {
        let url = Self::insecure(text)?;
        match url.is_insecure() {
            true => Err(BadPostgresUrl::Insecure {
                sslmode: name(url.options.get_ssl_mode()),
            }),
            false => Ok(url),
        }
    }
}

impl PostgresUrl {
    /// Parses an address as [`str::parse`] does, but accepts one on another machine with any `sslmode`: for a network
    /// that is secured by other means, such as a tunnel.
    ///
    /// # Errors
    /// [`BadPostgresUrl`], other than [`BadPostgresUrl::Insecure`].
    pub fn insecure(text: &str) -> Result<Self, BadPostgresUrl> {
        let schemes = ["postgres://", "postgresql://"];
        let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
        let rest = rest.ok_or(BadPostgresUrl::Malformed)?;
        // The end of a password that is not percent-encoded would be parsed as the database's name, which is not kept
        // secret.
        let mut parts = rest.splitn(2, ['/', '?', '#']);
        let authority = parts.next().unwrap_or_default();
        if parts.next().is_some_and(|behind| behind.contains('@')) {
            return Err(BadPostgresUrl::Malformed);
        }
        if lists_hosts(authority, rest) {
            return Err(BadPostgresUrl::SeveralHosts);
        }
        if parameters(rest).any(|(name, mode)| is_sslmode(&name) && !is_known(&mode)) {
            return Err(BadPostgresUrl::SslMode);
        }
        let options: PgConnectOptions = text.parse().map_err(|_| BadPostgresUrl::Malformed)?;
        let options = options.application_name("waxseal");
        Ok(Self {
            options: Box::new(options.disable_statement_logging()),
        })
    }

    /// Returns `true` if the database is on another machine and the certificate of its server is not checked.
    #[doc(hidden)]
    #[must_use]
    pub fn is_insecure(&self) -> bool {
        let is_socket = self.options.get_socket().is_some();
        let is_checked = checks_certificate(self.options.get_ssl_mode());
        !is_socket && !is_local(self.options.get_host()) && !is_checked
    }

    /// Returns `true` if the certificate is checked but the name in it is not.
    pub(super) fn checks_no_name(&self) -> bool {
        matches!(self.options.get_ssl_mode(), PgSslMode::VerifyCa)
            && self.options.get_socket().is_none()
            && !is_local(self.options.get_host())
    }

    pub(super) const fn options(&self) -> &PgConnectOptions {
        &self.options
    }
}

/// Returns `true` if the host is this machine or the folder of a Unix socket. A name other than `localhost` may lead
/// anywhere.
fn is_local(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |ip: IpAddr| ip.to_canonical().is_loopback();
    host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(is_loopback)
}

const fn checks_certificate(mode: PgSslMode) -> bool {
    matches!(mode, PgSslMode::VerifyCa | PgSslMode::VerifyFull)
}

const fn name(mode: PgSslMode) -> &'static str {
    match mode {
        PgSslMode::Disable => "disable",
        PgSslMode::Allow => "allow",
        PgSslMode::Prefer => "prefer",
        PgSslMode::Require => "require",
        PgSslMode::VerifyCa => "verify-ca",
        PgSslMode::VerifyFull => "verify-full",
    }
}

/// Returns `true` if the address lists several hosts, as libpq allows. sqlx would resolve such a list as one name.
fn lists_hosts(authority: &str, rest: &str) -> bool {
    let hosts = authority.rsplit('@').next().unwrap_or_default();
    hosts.contains(',')
        || hosts.to_ascii_lowercase().contains("%2c")
        || parameters(rest).any(|(name, value)| {
            ["host", "hostaddr", "port"].contains(&&*name) && value.contains(',')
        })
}

fn parameters(rest: &str) -> form_urlencoded::Parse<'_> {
    let query = rest.split('#').next().unwrap_or_default().split_once('?');
    let query = query.map(|(_, query)| query.as_bytes()).unwrap_or_default();
    form_urlencoded::parse(query)
}

fn is_sslmode(name: &str) -> bool {
    matches!(name, "sslmode" | "ssl-mode")
}

fn is_known(mode: &str) -> bool {
    mode.parse::<PgSslMode>().is_ok()
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

/// Formats the address without its credentials.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = (self.options.get_host(), self.options.get_port());
        let database = self.options.get_database().unwrap_or_default();
        write!(f, "postgres://{host}:{port}/{database}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_checked_certificate_is_good_for_another_machine() {
        let modes = [
            "disable",
            "allow",
            "prefer",
            "require",
            "verify-ca",
            "verify-full",
        ];
        for (host, local) in [
            ("127.0.0.1", true),
            ("127.8.9.10:5433", true),
            ("[::1]", true),
            ("[::ffff:127.0.0.1]:5432", true),
            ("localhost", true),
            ("LocalHost:5432", true),
            ("%2Frun%2Fpostgresql", true),
            ("db.example", false),
            ("localhost.example", false),
            ("127.0.0.1.example", false),
            ("10.0.0.1", false),
            ("0.0.0.0", false),
            ("192.0.2.7:5432", false),
            ("[::]", false),
            ("[2001:db8::1]", false),
            ("[::ffff:10.0.0.1]", false),
        ] {
            for mode in modes {
                let text = format!("postgres://waxseal:secret@{host}/waxseal?sslmode={mode}");
                let refused = BadPostgresUrl::Insecure { sslmode: mode };
                let wanted = match local || mode.starts_with("verify") {
                    true => None,
                    false => Some(refused),
                };
                assert_eq!(text.parse::<PostgresUrl>().err(), wanted, "{text}");
                assert!(PostgresUrl::insecure(&text).is_ok(), "{text}");
            }
        }
        // The test applies to the host of the actual connection, which a parameter can override.
        for (text, good) in [
            (
                "postgres://u@127.0.0.1/d?host=db.example&sslmode=prefer",
                false,
            ),
            (
                "postgres://u@127.0.0.1/d?hostaddr=10.0.0.1&sslmode=prefer",
                false,
            ),
            (
                "postgres://u@db.example/d?host=/run/postgresql&sslmode=prefer",
                true,
            ),
            (
                "postgres://u@db.example/d?sslmode=verify-full&sslmode=prefer",
                false,
            ),
            ("postgres://u@db.example/d?ssl-mode=VERIFY-FULL", true),
            ("postgres://u@127.0.0.1/d?ssl-mode=bogus", false),
        ] {
            assert_eq!(text.parse::<PostgresUrl>().is_ok(), good, "{text}");
        }
    }
}
