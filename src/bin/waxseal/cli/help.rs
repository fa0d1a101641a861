//! Help of each command. It shows the settings that the command uses; the command accepts the hidden ones too.

use clap::{Arg, Command, CommandFactory};

use super::Cli;
use crate::config::variables;

const POINTER: &str = "Every setting, with its variable and default: waxseal help settings";

/// The settings of a command that reads the database.
const LOOK: &[&str] = &[
    "json",
    "config",
    "data_dir",
    "database",
    "database_insecure",
    "leeway",
];
/// The further settings of a command that changes the database.
const CHANGE: &[&str] = &["mark_dir"];
/// The settings of a command that waits until no node accepts what it revoked.
const END: &[&str] = &["logout", "lease", "max_staleness"];
/// The settings that decide which new passwords are accepted.
const PASSWORD: &[&str] = &["forbidden_password_words", "issuer"];
const KEYS: &[&str] = &["keys_dir"];
const ROTATE: &[&str] = &["keys_dir", "token_format", "algorithm"];

enum Shown {
    All,
    These(&'static [&'static [&'static str]]),
}

/// The settings that the help of a command shows.
fn shown(command: &str) -> Option<Shown> {
    use Shown::{All, These};
    Some(match command {
        "" => These(&[&[
            "json", "config", "listen", "tls_cert", "tls_key", "data_dir", "keys_dir", "mark_dir",
            "issuer", "database",
        ]]),
        "serve" | "settings" => All,
        "user" | "client" | "keys" | "token" | "revoke" | "completions" | "man" => These(&[]),
        "user list" | "client list" => These(&[LOOK]),
        "user add" => These(&[LOOK, CHANGE, PASSWORD]),
        "user passwd" => These(&[LOOK, CHANGE, END, PASSWORD]),
        "user enable"
        | "client add"
        | "client rotate-secret"
        | "client set-keys"
        | "client enable"
        | "restored" => These(&[LOOK, CHANGE]),
        "user disable" | "user delete" | "client disable" | "client delete" | "revoke session"
        | "revoke user" | "revoke client" | "revoke all" => These(&[LOOK, CHANGE, END]),
        "keys list" => These(&[LOOK, KEYS]),
        "keys plan" | "keys rotate" => These(&[LOOK, ROTATE]),
        "keys revoke" => These(&[LOOK, CHANGE, END, KEYS]),
        "keys prune" => These(&[&["json", "config"], KEYS]),
        "keys import" => These(&[LOOK, KEYS, &["token_format"]]),
        "token inspect" => These(&[&["json", "config"]]),
        "token verify" => These(&[
            LOOK,
            KEYS,
            &[
                "token_format",
                "accept",
                "issuer",
                "audience",
                "listen",
                "tls_cert",
                "tls_key",
            ],
        ]),
        "migrate" => These(&[LOOK, CHANGE, KEYS]),
        _ => return None,
    })
}

/// Returns the command line. The help of each command shows only the settings that the command uses.
pub fn command() -> Command {
    let root = variables::empty_is_unset(Cli::command());
    let is_global = |argument: &&Arg| argument.is_global_set();
    let globals: Vec<_> = root.get_arguments().filter(is_global).cloned().collect();
    // Help hides the values of variables: the wrong variable may have a secret in it.
    let root = root.mut_args(|argument| fitted("", argument.hide_env_values(true)));
    with_fitting_help(root.after_help(POINTER), "", &globals)
}

/// Gives each subcommand its own copy of every global argument, shown or hidden. clap then adds no global argument.
fn with_fitting_help(command: Command, path: &str, globals: &[Arg]) -> Command {
    command.mut_subcommands(|inner| {
        let path = format!("{path} {}", inner.get_name());
        let path = path.trim_start();
        let fitted = |argument: &Arg| fitted(path, argument.clone().hide_env_values(true));
        // `client add` has an --audience of its own.
        let own: Vec<_> = inner
            .get_arguments()
            .map(|own| own.get_id().clone())
            .collect();
        let new = globals
            .iter()
            .filter(|global| !own.contains(global.get_id()));
        let inner = inner.args(new.map(fitted));
        let inner = match shown(path) {
            Some(Shown::All) => inner,
            _ => inner.after_help(POINTER),
        };
        with_fitting_help(inner, path, globals)
    })
}

fn fitted(command: &str, argument: Arg) -> Arg {
    let id = argument.get_id().to_string();
    let unused = match shown(command) {
        Some(Shown::These(groups)) => {
            let named = groups.iter().any(|group| group.contains(&id.as_str()));
            argument.is_global_set() && !named
        }
        Some(Shown::All) => id == "json",
        None => false,
    };
    // The old names of settings are hidden everywhere.
    let hidden = unused || argument.is_hide_set();
    argument.hide(hidden)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn every_command(command: &Command, path: &str, found: &mut Vec<String>) {
        found.push(path.to_owned());
        for inner in command.get_subcommands() {
            let path = format!("{path} {}", inner.get_name());
            every_command(inner, path.trim_start(), found);
        }
    }

    #[test]
    fn every_command_says_which_settings_it_uses_and_each_is_one() {
        command().debug_assert();
        let root = Cli::command();
        let mut all = Vec::new();
        every_command(&root, "", &mut all);
        assert!(all.len() > 30, "{all:?}");
        for path in all {
            match shown(&path) {
                Some(Shown::These(groups)) => {
                    for id in groups.iter().copied().flatten() {
                        let known = root.get_arguments().any(|known| known.get_id() == id);
                        assert!(known, "{path} names {id}");
                    }
                }
                Some(Shown::All) => {}
                None => panic!("{path:?} is in no list of settings"),
            }
        }
    }

    #[test]
    fn a_setting_that_is_hidden_is_taken_wherever_it_was() {
        for words in [
            "waxseal --token-cache 1MiB user add bob",
            "waxseal user --token-cache 1MiB add bob",
            "waxseal user add bob --token-cache 1MiB",
        ] {
            let words: Vec<_> = words.split(' ').collect();
            let by = |matches| <Cli as clap::FromArgMatches>::from_arg_matches(&matches).unwrap();
            let fitted = by(command().try_get_matches_from(&words).unwrap());
            let taken = fitted.flags.token_cache;
            assert_eq!(taken.as_deref(), Some("1MiB"), "{words:?}");
            assert_eq!(Cli::parse_from(&words).flags.token_cache, taken);
        }
    }
}
