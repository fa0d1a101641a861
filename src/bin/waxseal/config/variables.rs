//! The `WAXSEAL_*` variables: which of them are settings.

use std::env;

use clap::{Command, CommandFactory};

use crate::cli::Cli;
use crate::failure::Failure;

const PREFIX: &str = "WAXSEAL_";

/// Returns the command, for which an empty variable counts as unset: Docker Compose passes `NAME=` for a variable that
/// is missing in its own environment.
pub fn empty_is_unset(command: Command) -> Command {
    command.mut_args(|argument| {
        let value = argument.get_env().and_then(env::var_os);
        match value.is_some_and(|value| value.is_empty()) {
            true => argument.env(None::<&str>),
            false => argument,
        }
    })
}

/// Refuses a `WAXSEAL_*` variable that the program does not read: somebody believes that it is a setting.
pub fn refuse_unknown() -> Result<(), Failure> {
    let command = Cli::command();
    let known: Vec<_> = command
        .get_arguments()
        .filter_map(|argument| argument.get_env())
        .collect();
    for (name, value) in env::vars_os() {
        let text = name.to_string_lossy();
        let is_ours = text.starts_with(PREFIX) && !value.is_empty() && !is_service_link(&text);
        if is_ours && !known.contains(&name.as_os_str()) {
            return Err(Failure::Usage(format!(
                "the variable {text} is not a setting; see waxseal help settings, or unset it"
            )));
        }
    }
    Ok(())
}

/// Whether Kubernetes or Docker sets the variable in a container for a service whose name begins with `waxseal`
/// (Kubernetes: "Discovering services", environment variables).
fn is_service_link(name: &str) -> bool {
    // NAME_SERVICE_HOST, NAME_SERVICE_PORT and NAME_SERVICE_PORT_<the port's name>.
    let of_service = name
        .match_indices("_SERVICE_")
        .map(|(at, text)| &name[at + text.len()..]);
    let mut of_service = of_service.filter(|rest| {
        let named = rest.strip_prefix("PORT_");
        matches!(*rest, "HOST" | "PORT") || named.is_some_and(|port| !port.is_empty())
    });
    // NAME_PORT, NAME_PORT_<number>_<protocol>, and the latter with _ADDR, _PORT or _PROTO.
    let of_port = name
        .match_indices("_PORT")
        .map(|(at, text)| &name[at + text.len()..]);
    let mut of_port = of_port.filter(|rest| rest.is_empty() || is_port(rest));
    of_service.next().is_some() || of_port.next().is_some()
}

/// Whether the text is of the form `_5432_TCP`, optionally with `_ADDR`, `_PORT` or `_PROTO`.
fn is_port(text: &str) -> bool {
    let parts: Vec<_> = text.split('_').collect();
    let is_number = |text: &str| text.parse::<u16>().is_ok() && !text.starts_with('+');
    match parts.as_slice() {
        ["", number, "TCP" | "UDP" | "SCTP"]
        | [
            "",
            number,
            "TCP" | "UDP" | "SCTP",
            "ADDR" | "PORT" | "PROTO",
        ] => is_number(number),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_links_are_told_from_settings() {
        for service in ["WAXSEAL", "WAXSEAL_DB", "WAXSEAL_AUTH_V2"] {
            for rest in [
                "SERVICE_HOST",
                "SERVICE_PORT",
                "SERVICE_PORT_HTTP",
                "SERVICE_PORT_HTTP_METRICS",
                "PORT",
                "PORT_5432_TCP",
                "PORT_53_UDP",
                "PORT_9_SCTP",
                "PORT_5432_TCP_ADDR",
                "PORT_5432_TCP_PORT",
                "PORT_5432_TCP_PROTO",
            ] {
                let name = format!("{service}_{rest}");
                assert!(is_service_link(&name), "{name}");
            }
        }
        for name in [
            "WAXSEAL_ISUER",
            "WAXSEAL_LISTEN",
            "WAXSEAL_PORTS",
            "WAXSEAL_PORT_",
            "WAXSEAL_PORT_TCP",
            "WAXSEAL_PORT_5432",
            "WAXSEAL_PORT_5432_QUIC",
            "WAXSEAL_PORT_99999_TCP",
            "WAXSEAL_PORT_5432_TCP_HOST",
            "WAXSEAL_PORT_5432_TCP_ADDR_X",
            "WAXSEAL_DATABASE_HOST",
            "WAXSEAL_SERVICE",
            "WAXSEAL_SERVICE_",
            "WAXSEAL_SERVICE_PORT_",
            "WAXSEAL_SERVICE_NAME",
        ] {
            assert!(!is_service_link(name), "{name}");
        }
    }
}
