//! Arguments that run no command: help, the version, and errors of usage.

use std::env;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::command;
use crate::failure::Failure;
use crate::output::Output;
use crate::streams;

/// Prints every setting, as `waxseal help settings` does.
pub fn show_settings() -> Result<(), Failure> {
    match command().try_get_matches_from(["waxseal", "help", "settings"]) {
        Err(help) => Output::plain(&shown(&help, io::stdout().is_terminal())),
        Ok(_) => Err(Failure::refused("there is no help for the settings")),
    }
}

/// Prints help or the version, or says what is wrong with the arguments.
pub fn answer(error: &clap::Error) -> ExitCode {
    let typed: Vec<_> = env::args_os().skip(1).collect();
    let typed: Vec<_> = typed.iter().map(|word| word.to_string_lossy()).collect();
    let words = typed.iter().take_while(|word| *word != "--");
    let json = words.clone().any(|word| word == "--json");
    if !error.use_stderr() {
        return match Output::plain(&shown(error, io::stdout().is_terminal())) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.report(json),
        };
    }
    let missing = [
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
        ErrorKind::MissingSubcommand,
    ];
    let missing = missing.contains(&error.kind());
    if !missing && quotes_address(error, &typed) {
        let why = "an argument looks like an address where none is expected. It is not shown, because it may contain a password; see waxseal --help";
        return Failure::Usage(why.to_owned()).report(json);
    }
    if json {
        let why = if missing {
            "a command is missing; see waxseal --help".to_owned()
        } else {
            let text = error.to_string();
            let first = text.split("\n\n").next().unwrap_or_default();
            let words: Vec<_> = first.split_whitespace().collect();
            words.join(" ").trim_start_matches("error: ").to_owned()
        };
        return Failure::Usage(why).report(json);
    }
    let help = help_in_place_of(error);
    let _ = streams::err(&shown(
        help.as_ref().unwrap_or(error),
        io::stderr().is_terminal(),
    ));
    ExitCode::from(2)
}

/// Returns the help of a group whose command is missing. clap shows it only while no variable has a setting.
fn help_in_place_of(error: &clap::Error) -> Option<clap::Error> {
    if error.kind() != ErrorKind::MissingSubcommand {
        return None;
    }
    let ContextValue::String(path) = error.get(ContextKind::InvalidSubcommand)? else {
        return None;
    };
    let words = path.split(' ').chain(["--help"]);
    command().try_get_matches_from(words).err()
}

fn shown(error: &clap::Error, terminal: bool) -> String {
    let text = error.render();
    if terminal && env::var_os("NO_COLOR").is_none_or(|set| set.is_empty()) {
        text.ansi().to_string()
    } else {
        text.to_string()
    }
}

/// Whether the message quotes an address that was typed. The `postgres://…` in the help text was not typed. Help never
/// shows the value of a variable: `cli::help` hides them all.
fn quotes_address(error: &clap::Error, typed: &[impl AsRef<str>]) -> bool {
    let typed = |text: &str| typed.iter().any(|word| word.as_ref().contains(text));
    let quoted = error.context().flat_map(|(_, value)| match value {
        ContextValue::String(text) => vec![text.as_str()],
        ContextValue::Strings(texts) => texts.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    });
    quoted
        .into_iter()
        .any(|text| may_be_address(text) && typed(text))
}

/// Whether the text may be `postgres://…`, or the part of it that may have a password: `user:password@host`.
fn may_be_address(text: &str) -> bool {
    let login = text
        .split_once('@')
        .is_some_and(|(login, _)| login.contains(':'));
    text.contains("://") || login
}
