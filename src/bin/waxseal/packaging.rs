//! Completion scripts and manual pages, which packagers install beside the command.

use std::fs;
use std::path::Path;

use clap_complete::generate;
use clap_mangen::{Man, generate_to};

use crate::cli::{Shell, command};
use crate::failure::Failure;
use crate::output::Output;

/// Prints the completion script of a shell.
pub fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    generate(shell, &mut command(), "waxseal", &mut script);
    Output::plain(&String::from_utf8_lossy(&script))
}

/// Prints the manual page of `waxseal`, or writes one for each command into a folder.
pub fn man(folder: Option<&Path>) -> Result<(), Failure> {
    let Some(folder) = folder else {
        let mut page = Vec::new();
        // As in the folder, `help` has no page of its own.
        let mut command = command().disable_help_subcommand(true);
        command.build();
        let rendered = Man::new(command).render(&mut page);
        rendered.map_err(Failure::refused)?;
        return Output::plain(&String::from_utf8_lossy(&page));
    };
    let refused = |cause| Failure::refused(format!("{}: {cause}", folder.display()));
    fs::create_dir_all(folder).map_err(refused)?;
    generate_to(command(), folder).map_err(refused)
}
