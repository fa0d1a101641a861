//! The command line.

mod flags;
mod help;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use flags::Flags;
pub use help::command;

use crate::output::Output;

/// Stateless signed-token sessions that can be revoked at once.
///
/// Each setting is a flag, an environment variable and a key of waxseal.toml, in this order of precedence.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    /// Print results and errors as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    pub flags: Flags,
    #[command(subcommand)]
    pub command: Option<Command>,
}

impl Cli {
    pub const fn output(&self) -> Output {
        Output { json: self.json }
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service (the default)
    Serve,
    /// Manage users
    User {
        #[command(subcommand)]
        action: UserAction,
    },
    /// Manage clients: services with credentials of their own
    Client {
        #[command(subcommand)]
        action: ClientAction,
    },
    /// Manage the signing keys
    Keys {
        #[command(subcommand)]
        action: KeysAction,
    },
    /// Inspect or verify a token from standard input
    Token {
        #[command(subcommand)]
        action: TokenAction,
    },
    /// Revoke sessions and tokens at once, also while servers run; with fenced logouts, wait until no node accepts them
    Revoke {
        #[command(subcommand)]
        target: RevokeTarget,
        /// Show which nodes have applied the revocation, and when a node can last have accepted what it ends
        #[arg(long, global = true)]
        explain: bool,
    },
    /// Move the SQLite database to an empty PostgreSQL database, for several nodes; stop the server first
    Migrate {
        /// The PostgreSQL address. Others on this machine can see a password in it: set WAXSEAL_DATABASE or PGPASSFILE
        /// instead
        #[arg(long, value_name = "postgres://…")]
        to: Option<String>,
    },
    /// Accept a database that was restored from an older copy, and end every earlier session and client token
    Restored,
    /// Show every setting, with its variable and default
    Settings,
    /// Print a shell's completion script
    Completions { shell: Shell },
    /// Print the manual page, or write the pages of all commands
    Man {
        /// Write the pages of all commands to this folder, such as /usr/share/man/man1
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Subcommand)]
pub enum UserAction {
    /// Add a user. Asks for the password on a terminal; otherwise generates one and prints it once
    Add(WithPassword),
    /// List the users
    List,
    /// Disable a user: refuse logins and end all of the user's sessions
    Disable { name: String },
    /// Let a disabled user log in again
    Enable { name: String },
    /// Set a new password and end all of the user's sessions. Takes the password as `user add` does
    Passwd(WithPassword),
    /// Delete a user and end all of the user's sessions
    Delete { name: String },
}

#[derive(Debug, Args)]
pub struct WithPassword {
    pub name: String,
    /// Read the password from standard input, without one trailing line end
    #[arg(long, conflicts_with = "generate")]
    pub password_stdin: bool,
    /// Generate a random password and print it once, even on a terminal
    #[arg(long)]
    pub generate: bool,
    /// Set an initial password: it works for one hour, and the user must change it
    #[arg(long)]
    pub initial: bool,
}

#[derive(Debug, Subcommand)]
pub enum ClientAction {
    /// Add a client. Generates a secret and prints it once
    Add {
        name: String,
        /// The scopes that the client's tokens may have, separated by spaces: "orders:read orders:write"
        #[arg(long, value_name = "SCOPES", default_value = "")]
        scope: String,
        /// An audience that the client's tokens may have; repeat the flag for more [default: this service's audience]
        #[arg(long, value_name = "URL")]
        audience: Vec<String>,
        /// Instead of a secret, read the client's public keys from standard input, as a JWK set
        #[arg(long)]
        keys_stdin: bool,
    },
    /// List the clients
    List,
    /// Add a new secret and keep the newest earlier one valid; with --finish, end every secret except the newest
    RotateSecret {
        name: String,
        /// Add no secret, and end every secret except the newest
        #[arg(long)]
        finish: bool,
    },
    /// Replace the client's public keys with a JWK set from standard input
    SetKeys { name: String },
    /// Disable a client: issue no more tokens to it, and end its tokens
    Disable { name: String },
    /// Let a disabled client get tokens again
    Enable { name: String },
    /// Delete a client and end its tokens
    Delete { name: String },
}

#[derive(Debug, Subcommand)]
pub enum KeysAction {
    /// List the keys, and when each signs and verifies
    List,
    /// Show the schedule and check it (exit code 3: a rotation is due)
    Plan {
        /// A rotation is due this long after the last one: 30d, 12h
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        every: Option<Duration>,
    },
    /// Let the published successor sign as soon as every verifier must have it, and publish the next one
    Rotate {
        /// Do nothing until this long after the last rotation: 30d, 12h
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        every: Option<Duration>,
        /// Show the resulting schedule, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Revoke a key at once and permanently; the published successor signs instead
    Revoke {
        #[arg(allow_hyphen_values = true)]
        kid: String,
    },
    /// Remove keys that no longer sign or verify
    Prune,
    /// Import a private key from standard input, PKCS#8 PEM or JWK, as a successor
    Import,
}

#[derive(Debug, Subcommand)]
pub enum TokenAction {
    /// Decode the token on standard input without verifying it
    Inspect,
    /// Verify the token on standard input: signature, times, audience and revocation
    Verify,
}

#[derive(Debug, Subcommand)]
pub enum RevokeTarget {
    /// One session, by session ID or lineage
    Session { id: String },
    /// All sessions of a user, by name or user ID
    User { name: String },
    /// All tokens of a client, by name or client ID
    Client { name: String },
    /// Every user's sessions and every client's tokens
    All,
}

/// Parses a duration such as `90s`, `15m`, `12h` or `30d`, of at most 3650 days.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wanted = || format!("{text:?} is not a duration such as 90s, 15m, 12h or 30d");
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
