//! The `waxseal` command.

#![warn(clippy::unwrap_used)]

mod cli;
mod client;
mod config;
mod failure;
mod keys;
mod metrics;
mod passwords;
mod revoke;
mod serve;
mod token;
mod traces;
mod user;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use failure::Failure;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let config = config::load(&cli.flags)?;
    let output = cli.output();
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(&config).await,
        Command::User { action } => user::run(action, &config, output).await,
        Command::Client { action } => client::run(action, &config, output).await,
        Command::Keys { action } => keys::run(action, &config, output).await,
        Command::Token { action } => token::run(action, &config, output).await,
        Command::Revoke { target } => revoke::run(target, &config, output).await,
    }
}
