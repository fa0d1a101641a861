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
/// Each setting is a flag, a variable and a key of waxseal.toml, in this order of precedence.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    /// Print results, and an error, as JSON
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
    /// Show every setting, with its variable and default
    Settings,
    /// Print a shell's completion script
    Completions { shell: Shell },
    /// Print the manual page, or write the pages of all commands
    Man {
        /// The folder to write them to, such as /usr/share/man/man1
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
    /// Add a user. Asks for the password on a terminal; elsewhere makes a random one and prints it once
    Add(WithPassword),
    /// List the users
    List,
    /// Forbid a user to log in, and end all of the user's sessions
    Disable { name: String },
    /// Let a user log in again
    Enable { name: String },
    /// Set a new password, and end all of the user's sessions. Takes the password as `user add` does
    Passwd(WithPassword),
    /// Delete a user, and end all of the user's sessions
    Delete { name: String },
}

#[derive(Debug, Args)]
pub struct WithPassword {
    pub name: String,
    /// Read the password from standard input: all of it, but for one line end
    #[arg(long, conflicts_with = "generate")]
    pub password_stdin: bool,
    /// Make a random password and print it once, on a terminal too
    #[arg(long)]
    pub generate: bool,
    /// Give an initial password: it works for one hour, and the user must change it
    #[arg(long)]
    pub initial: bool,
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
