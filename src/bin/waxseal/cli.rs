//! The command line.

use std::io::Write;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde::Serialize;

/// Stateless signed-token sessions that can be revoked at once.
///
/// Each setting is a flag, a variable and a key of waxseal.toml, in this order of precedence.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub flags: Flags,
    /// Print results as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    pub command: Option<Command>,
}

impl Cli {
    pub const fn output(&self) -> Output {
        Output { json: self.json }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub struct Flags {
    /// The file of settings [default: waxseal.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE", env = "WAXSEAL_CONFIG")]
    pub config: Option<String>,
    /// The address and port to listen on [default: 127.0.0.1:8080]
    #[arg(
        long,
        global = true,
        value_name = "ADDRESS:PORT",
        env = "WAXSEAL_LISTEN"
    )]
    pub listen: Option<String>,
    /// The address and port that answers GET /metrics, for operators alone [default: none]
    #[arg(
        long,
        global = true,
        value_name = "ADDRESS:PORT",
        env = "WAXSEAL_METRICS_LISTEN"
    )]
    pub metrics_listen: Option<String>,
    /// The folder of the database [default: data]
    #[arg(long, global = true, value_name = "FOLDER", env = "WAXSEAL_DATA_DIR")]
    pub data_dir: Option<String>,
    /// The folder of the private keys [default: keys]
    #[arg(long, global = true, value_name = "FOLDER", env = "WAXSEAL_KEYS_DIR")]
    pub keys_dir: Option<String>,
    /// The folder of the mark, which shows an older copy of the database; not in the data folder [default: mark]
    #[arg(long, global = true, value_name = "FOLDER", env = "WAXSEAL_MARK_DIR")]
    pub mark_dir: Option<String>,
    /// The issuer in tokens, `iss` [default: http:// and the address to listen on]
    #[arg(long, global = true, value_name = "URL", env = "WAXSEAL_ISSUER")]
    pub issuer: Option<String>,
    /// The audience in tokens, `aud` [default: the issuer]
    #[arg(long, global = true, value_name = "URL", env = "WAXSEAL_AUDIENCE")]
    pub audience: Option<String>,
    /// Where users and revocations are kept: sqlite, or postgres://… for several nodes [default: sqlite]
    #[arg(
        long,
        global = true,
        value_name = "DATABASE",
        env = "WAXSEAL_DATABASE",
        hide_env_values = true
    )]
    pub database: Option<String>,
    /// What tokens are written in: jwt or paseto [default: jwt]
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        env = "WAXSEAL_TOKEN_FORMAT"
    )]
    pub token_format: Option<String>,
    /// Which formats verify, separated by commas [default: what is issued]
    #[arg(long, global = true, value_name = "FORMATS", env = "WAXSEAL_ACCEPT")]
    pub accept: Option<String>,
    /// What new keys for JWTs sign with: EdDSA or ES256 [default: EdDSA]
    #[arg(
        long,
        global = true,
        value_name = "ALGORITHM",
        env = "WAXSEAL_ALGORITHM"
    )]
    pub algorithm: Option<String>,
    /// A session ends when it was not used for so long: 15m, 90s [default: 15m]
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        env = "WAXSEAL_IDLE_TIMEOUT"
    )]
    pub idle_timeout: Option<String>,
    /// A session ends so long after login, at most 24h [default: 2h]
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        env = "WAXSEAL_ABSOLUTE_TIMEOUT"
    )]
    pub absolute_timeout: Option<String>,
    /// A session gets a new session ID after so long [default: 30m]
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        env = "WAXSEAL_RENEWAL_TIMEOUT"
    )]
    pub renewal_timeout: Option<String>,
    /// Requests move the idle deadline at most this often [default: 1m, or a quarter of a short idle timeout]
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        env = "WAXSEAL_TOUCH_INTERVAL"
    )]
    pub touch_interval: Option<String>,
    /// How long a session ID stays good after it was renewed [default: 30s, or a quarter of a short timeout]
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        env = "WAXSEAL_RENEWAL_GRACE"
    )]
    pub renewal_grace: Option<String>,
    /// How far clocks may differ, at most 60s [default: 5s]
    #[arg(long, global = true, value_name = "DURATION", env = "WAXSEAL_LEEWAY")]
    pub leeway: Option<String>,
    /// Other origins whose pages may use the service, separated by commas: https://app.example
    #[arg(
        long,
        global = true,
        value_name = "ORIGINS",
        env = "WAXSEAL_ALLOWED_ORIGINS"
    )]
    pub allowed_origins: Option<String>,
    /// The session cookie's SameSite: lax, strict or none [default: lax]
    #[arg(
        long,
        global = true,
        value_name = "SAMESITE",
        env = "WAXSEAL_SAME_SITE"
    )]
    pub same_site: Option<String>,
    /// What a logout asks the browser to delete: a list of cache and storage, or none [default: cache]
    #[arg(
        long,
        global = true,
        value_name = "KINDS",
        env = "WAXSEAL_CLEAR_SITE_DATA"
    )]
    pub clear_site_data: Option<String>,
    /// Proxies whose X-Forwarded-For is believed, separated by commas: 10.0.0.0/8, ::1
    #[arg(
        long,
        global = true,
        value_name = "NETWORKS",
        env = "WAXSEAL_TRUSTED_PROXIES"
    )]
    pub trusted_proxies: Option<String>,
    /// How long a client's token is good, at most 1h [default: 5m]
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        env = "WAXSEAL_CLIENT_TOKEN_LIFETIME"
    )]
    pub client_token_lifetime: Option<String>,
    /// Tokens are refused once the revocation list may be older than this, at most 1h [default: 5s]
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        env = "WAXSEAL_MAX_STALENESS"
    )]
    pub max_staleness: Option<String>,
    /// What a logout's answer promises of other nodes: bounded, that they refuse within max_staleness; fenced, that they
    /// refuse already [default: bounded]
    #[arg(long, global = true, value_name = "PROMISE", env = "WAXSEAL_LOGOUT")]
    pub logout: Option<String>,
    /// With fenced logouts, how long a node may serve on what it knows, and a silent one delay a logout [default: 2s]
    #[arg(long, global = true, value_name = "DURATION", env = "WAXSEAL_LEASE")]
    pub lease: Option<String>,
    /// After SIGTERM, for how long GET /readyz says that the service stops while it still serves, so that balancers
    /// turn to others first; at most 1h [default: 0s]
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        env = "WAXSEAL_STOP_NOTICE"
    )]
    pub stop_notice: Option<String>,
    /// How much of the tokens that have verified is remembered, to spare checking their signatures again; 0 for
    /// nothing [default: 64MiB]
    #[arg(long, global = true, value_name = "SIZE", env = "WAXSEAL_MEMO")]
    pub memo: Option<String>,
    /// Logins from one address (IPv6: /64), so many over a time [default: 20/1m]
    #[arg(
        long,
        global = true,
        value_name = "RATE",
        env = "WAXSEAL_LOGIN_LIMIT_ADDRESS"
    )]
    pub login_limit_address: Option<String>,
    /// Logins at one account, so many over a time [default: 10/1m]
    #[arg(
        long,
        global = true,
        value_name = "RATE",
        env = "WAXSEAL_LOGIN_LIMIT_ACCOUNT"
    )]
    pub login_limit_account: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service (the default)
    Serve,
    /// Add and change users
    User {
        #[command(subcommand)]
        action: UserAction,
    },
    /// Add and change clients: services with credentials of their own
    Client {
        #[command(subcommand)]
        action: ClientAction,
    },
    /// Look at the signing keys
    Keys {
        #[command(subcommand)]
        action: KeysAction,
    },
    /// Look at a token, read from standard input
    Token {
        #[command(subcommand)]
        action: TokenAction,
    },
    /// End sessions at once, also while servers run; with fenced logouts, waits until no node accepts them
    Revoke {
        #[command(subcommand)]
        target: RevokeTarget,
        /// Show which nodes have it, and the last instant at which it can have been used
        #[arg(long, global = true)]
        explain: bool,
    },
    /// Move the SQLite database to an empty PostgreSQL one, for several nodes; no server may run meanwhile
    Migrate {
        /// Its address. A password in it is seen by others here: better set WAXSEAL_DATABASE instead, or PGPASSFILE
        #[arg(long, value_name = "postgres://…")]
        to: Option<String>,
    },
    /// Go on with an older copy of the database that was put back: ends everything from before
    Restored,
}

#[derive(Debug, Subcommand)]
pub enum UserAction {
    /// Add a user; without --password-stdin a random password is made and printed once
    Add(WithPassword),
    /// List the users
    List,
    /// Forbid a user to log in, and end all of the user's sessions
    Disable { name: String },
    /// Let a user log in again
    Enable { name: String },
    /// Set a new password, and end all of the user's sessions
    Passwd(WithPassword),
    /// Delete a user, and end all of the user's sessions
    Delete { name: String },
}

#[derive(Debug, Args)]
pub struct WithPassword {
    pub name: String,
    /// Read the password from standard input: all of it, but for one line end
    #[arg(long)]
    pub password_stdin: bool,
}

#[derive(Debug, Subcommand)]
pub enum ClientAction {
    /// Add a client; its secret is made and printed once
    Add {
        name: String,
        /// What its tokens may permit, separated by spaces: "orders:read orders:write"
        #[arg(long, value_name = "SCOPES", default_value = "")]
        scope: String,
        /// Whom its tokens may be meant for; may be given more than once [default: this service's audience]
        #[arg(long, value_name = "URL")]
        audience: Vec<String>,
        /// Instead of a secret, take the public keys that it signs with from standard input: a JWK set
        #[arg(long)]
        keys_stdin: bool,
    },
    /// List the clients
    List,
    /// Make a new secret, beside the newest one from before; with --finish end the one from before
    RotateSecret {
        name: String,
        /// Make none: all secrets but the newest end
        #[arg(long)]
        finish: bool,
    },
    /// Take other public keys from standard input: a JWK set
    SetKeys { name: String },
    /// Give a client no more tokens, and end those that it has
    Disable { name: String },
    /// Give a client tokens again
    Enable { name: String },
    /// Delete a client, and end its tokens
    Delete { name: String },
}

#[derive(Debug, Subcommand)]
pub enum KeysAction {
    /// List the keys and their times
    List,
    /// Show the schedule, and whether it is in order (exit code 3: a rotation is due)
    Plan {
        /// A rotation is due this long after the last one: 30d, 12h
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        every: Option<Duration>,
    },
    /// Let the published successor sign, as soon as every verifier must have it, and publish another
    Rotate {
        /// Do nothing until this long after the last rotation: 30d, 12h
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        every: Option<Duration>,
        /// Show the schedule that would be, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Revoke a key at once and for good; its published successor signs
    Revoke {
        #[arg(allow_hyphen_values = true)]
        kid: String,
    },
    /// Remove keys that neither sign nor verify any more
    Prune,
    /// Take in a private key from standard input, PKCS#8 PEM or JWK, as a successor
    Import,
}

#[derive(Debug, Subcommand)]
pub enum TokenAction {
    /// Show what the token on standard input says, without believing it
    Inspect,
    /// Verify the token on standard input: signature, times, audience and revocation
    Verify,
}

#[derive(Debug, Subcommand)]
pub enum RevokeTarget {
    /// One session, by its session ID or its lineage
    Session { id: String },
    /// All sessions of a user, by name or user ID
    User { name: String },
    /// All tokens of a client, by name or client ID
    Client { name: String },
    /// Every session of every user, and every client's tokens
    All,
}

/// `90s`, `15m`, `12h`, `30d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wanted = || format!("{text:?} is no duration such as 90s, 15m, 12h or 30d");
    let unit = text.chars().last().ok_or_else(wanted)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wanted()),
    };
    let number = &text[..text.len() - 1];
    let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = if plain {
        number.parse().map_err(|_| wanted())?
    } else {
        return Err(wanted());
    };
    number
        .checked_mul(seconds)
        .filter(|seconds| *seconds <= 3650 * 86_400)
        .map(Duration::from_secs)
        .ok_or_else(wanted)
}

/// Results: for people, or as JSON.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    /// Prints one result on stdout.
    pub fn print(self, value: &impl Serialize, text: impl FnOnce() -> String) {
        let text = if self.json {
            serde_json::json!(value).to_string()
        } else {
            text()
        };
        if !text.is_empty() {
            say(&text);
        }
    }

    /// Prints a line for people, who see what happens as it does.
    pub fn line(self, text: impl FnOnce() -> String) {
        if !self.json {
            say(&text());
        }
    }
}

fn say(text: &str) {
    // A reader that has seen enough and left is no failure of ours.
    let _ = writeln!(std::io::stdout(), "{text}");
}
