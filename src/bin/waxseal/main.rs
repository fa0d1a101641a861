//! The `waxseal` command.

#![warn(clippy::unwrap_used)]

mod cli;
mod client;
mod config;
mod ended;
mod failure;
mod keys;
mod lines;
mod metrics;
mod migrate;
mod passwords;
mod patience;
mod restored;
mod revoke;
mod serve;
mod token;
mod traces;
mod user;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::FromArgMatches;
use tracing_subscriber::EnvFilter;

use cli::{Cli, Command};
use failure::Failure;

/// Of what is written in C too, by its feature `override`: SQLite asks the usual one for so much at once that it
/// gives memory back to the system and takes it again at each statement.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let parsed = config::variables::command()
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Help, or what is wrong with the arguments; but no address, which may have a password in it.
fn misused(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && error.to_string().contains("://") {
        let why = "an address is where none can be, and is not shown: it may have a password in it; see waxseal --help";
        return Failure::Usage(why.to_owned()).report();
    }
    error.exit()
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let config = config::load(&cli.flags)?;
    let output = cli.output();
    let command = cli.command.unwrap_or(Command::Serve);
    if !matches!(command, Command::Serve) {
        say_warnings();
    }
    match command {
        Command::Serve => serve::run(&config).await,
        Command::User { action } => user::run(action, &config, output).await,
        Command::Client { action } => client::run(action, &config, output).await,
        Command::Keys { action } => keys::run(action, &config, output).await,
        Command::Token { action } => token::run(action, &config, output).await,
        Command::Revoke { target, explain } => revoke::run(target, explain, &config, output).await,
        Command::Migrate { to } => migrate::run(to.as_deref(), &config, output).await,
        Command::Restored => restored::run(&config, output).await,
    }
}

/// What the library warns of, an operator at the command line must see too.
fn say_warnings() {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("waxseal=warn"))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .init();
}
