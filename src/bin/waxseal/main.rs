//! The `waxseal` command.

#![warn(clippy::unwrap_used)]

mod cli;
mod client;
mod config;
mod connections;
mod ended;
mod failure;
mod first_user;
mod keys;
mod lines;
mod listen;
mod metrics;
mod migrate;
mod misuse;
mod output;
mod packaging;
mod passwords;
mod patience;
mod repeats;
mod restored;
mod revoke;
mod serve;
mod streams;
mod table;
mod terminal;
mod tls;
mod token;
mod traces;
mod user;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::FromArgMatches;
use tracing_subscriber::EnvFilter;

use cli::{Cli, Command};
use failure::Failure;
use output::Output;

/// The allocator of the whole process. The feature `override` makes C code use it too: SQLite's allocations are so
/// large that the system's allocator returns memory to the system and takes it again at each statement.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let matches = cli::command().try_get_matches();
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return misuse::answer(&error),
    };
    let output = cli.output();
    match run(cli, output).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(output.json),
    }
}

async fn run(cli: Cli, output: Output) -> Result<(), Failure> {
    let command = match cli.command.unwrap_or(Command::Serve) {
        // These commands read no settings.
        Command::Settings => return misuse::show_settings(),
        Command::Completions { shell } => return packaging::completions(shell),
        Command::Man { out } => return packaging::man(out.as_deref()),
        command => command,
    };
    let config = config::load(&cli.flags)?;
    match command {
        Command::Serve => {}
        Command::Migrate { .. } if std::io::stderr().is_terminal() => {
            say("waxseal=warn,waxseal::store::sql::moving=info");
        }
        _ => say("waxseal=warn"),
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
        Command::Settings | Command::Completions { .. } | Command::Man { .. } => Ok(()),
    }
}

/// Logs to standard error with this filter, so that an operator at the command line sees the library's warnings.
fn say(filter: &str) {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(streams::Log)
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .init();
}
