//! The command line.

use std::io::Write;

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
    /// The folder of the database [default: data]
    #[arg(long, global = true, value_name = "FOLDER", env = "WAXSEAL_DATA_DIR")]
    pub data_dir: Option<String>,
    /// The folder of the private keys [default: keys]
    #[arg(long, global = true, value_name = "FOLDER", env = "WAXSEAL_KEYS_DIR")]
    pub keys_dir: Option<String>,
    /// The issuer in tokens, `iss` [default: http:// and the address to listen on]
    #[arg(long, global = true, value_name = "URL", env = "WAXSEAL_ISSUER")]
    pub issuer: Option<String>,
    /// The audience in tokens, `aud` [default: the issuer]
    #[arg(long, global = true, value_name = "URL", env = "WAXSEAL_AUDIENCE")]
    pub audience: Option<String>,
    /// Where users and revocations are kept: sqlite [default: sqlite]
    #[arg(long, global = true, value_name = "DATABASE", env = "WAXSEAL_DATABASE")]
    pub database: Option<String>,
    /// What a first key signs with: EdDSA or ES256 [default: EdDSA]
    #[arg(
        long,
        global = true,
        value_name = "ALGORITHM",
        env = "WAXSEAL_ALGORITHM"
    )]
    pub algorithm: Option<String>,
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
    /// End sessions at once, also while a server runs
    Revoke {
        #[command(subcommand)]
        target: RevokeTarget,
    },
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
pub enum KeysAction {
    /// List the keys
    List,
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
    /// Every session of every user
    All,
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
            // A reader that has seen enough and left is no failure of ours.
            let _ = writeln!(std::io::stdout(), "{text}");
        }
    }
}
