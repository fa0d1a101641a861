//! Help, completions and manual pages, and what they and messages about arguments must not show.

use std::fs;
use std::process::Command;

use super::common::{Place, program};
use super::output::every_command;

const GROUPS: [&str; 5] = ["user", "client", "keys", "token", "revoke"];
const ADDRESS: &str = "postgres://waxseal:an%3Aopen%40sea@db.example:5432/waxseal";

fn words(command: &str) -> Vec<&str> {
    command.split(' ').collect()
}

#[test]
fn a_group_without_a_command_shows_its_commands() {
    let place = Place::new();
    for (group, command) in GROUPS
        .iter()
        .zip(["add", "rotate-secret", "plan", "verify", "all"])
    {
        let run = |setting: Option<&str>| {
            let mut bare = program();
            bare.env_remove("WAXSEAL_LOGIN_LIMIT_ADDRESS");
            bare.env_remove("WAXSEAL_LOGIN_LIMIT_ACCOUNT");
            bare.envs(setting.map(|value| ("WAXSEAL_DATABASE", value)));
            bare.arg(group).current_dir(place.path()).output().unwrap()
        };
        let output = run(None);
        assert_eq!(run(Some(ADDRESS)), output, "whatever the settings are");
        let talk = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{talk}");
        assert!(output.stdout.is_empty());
        for wanted in ["Usage: waxseal ", "Commands:", &format!("\n  {command}")] {
            assert!(talk.contains(wanted), "{wanted:?} is missing in {talk}");
        }
    }
}

/// The address may contain a password.
#[test]
fn an_address_that_was_typed_is_never_shown() {
    let place = Place::new();
    let bare = ADDRESS.split_once("://").unwrap().1;
    let mut commands = every_command(&place);
    commands.extend(GROUPS.map(str::to_owned));
    for command in &commands {
        for address in [ADDRESS, bare] {
            let flag = format!("--databse={address}");
            for more in [
                &[address, address][..],
                &["x", address, address],
                &["x", &flag],
                &["--every", address],
                &["--every", address, "--json"],
                &["--help", address],
            ] {
                let mut arguments = words(command);
                arguments.extend(more);
                let mut command = program();
                // The address can also be given for another setting.
                command
                    .env("WAXSEAL_ISSUER", ADDRESS)
                    .current_dir(place.path());
                let output = command.args(&arguments).output().unwrap();
                let said = [output.stdout, output.stderr].concat();
                let said = String::from_utf8(said).unwrap();
                let code = if more[0] == "--help" { 0 } else { 2 };
                assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
                assert!(!said.contains("sea@db"), "{arguments:?}: {said}");
                assert!(!said.contains("open%40sea"), "{arguments:?}: {said}");
            }
        }
    }
    let output = place.run(&["revoke", "nobody@example"], "");
    let talk = String::from_utf8(output.stderr).unwrap();
    assert!(talk.contains("nobody@example"), "not an address: {talk}");
}

#[test]
fn help_shows_the_settings_that_the_command_uses() {
    let place = Place::new();
    let settings = place.ok(&["help", "settings"], "");
    assert_eq!(settings, place.ok(&["settings"], ""));
    let variables: Vec<_> = settings
        .split(|c: char| !c.is_ascii_uppercase() && c != '_')
        .filter(|word| word.starts_with("WAXSEAL_"))
        .collect();
    let defaults = settings.matches("[default: ").count();
    assert!(variables.len() >= 28, "{settings}");
    assert_eq!(defaults, variables.len(), "{settings}");
    let serve = place.ok(&["serve", "--help"], "");
    for variable in &variables {
        assert!(serve.contains(variable), "{variable} is missing in {serve}");
    }

    let named = |command: &str, names: &[&str]| {
        let help = place.ok(&[&words(command)[..], &["--help"]].concat(), "");
        let mut shown: Vec<_> = variables
            .iter()
            .filter(|name| help.contains(&format!("[env: {name}]")))
            .map(|name| name.trim_start_matches("WAXSEAL_").to_lowercase())
            .collect();
        shown.sort();
        assert_eq!(shown, names, "{command}: {help}");
        help
    };
    let store = [
        "config",
        "data_dir",
        "database",
        "database_insecure",
        "leeway",
        "mark_dir",
    ];
    let mut chooses = [&store[..], &["forbidden_password_words", "issuer"]].concat();
    chooses.sort_unstable();
    let help = named("user add", &chooses);
    assert!(help.lines().count() < 36, "{help}");
    named("client rotate-secret", &store);
    named("keys prune", &["config", "keys_dir"]);
    named("token inspect", &["config"]);
    named("completions", &[]);
    named("user", &[]);
    for command in every_command(&place) {
        let arguments = [&words(&command)[..], &["--help"]].concat();
        assert!(place.ok(&arguments, "").contains("Usage: waxseal"));
    }
}

#[test]
fn the_completion_scripts_load() {
    let place = Place::new();
    let mut bash = Command::new("bash");
    bash.args([
        "-ec",
        "source <(\"$0\" completions bash); complete -p waxseal",
    ]);
    let output = bash.arg(program().get_program()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let loaded = String::from_utf8(output.stdout).unwrap();
    assert!(loaded.contains("_waxseal"), "{loaded}");
    for (shell, wanted) in [("zsh", "#compdef waxseal"), ("fish", "complete -c waxseal")] {
        let script = place.ok(&["completions", shell], "");
        assert!(script.contains(wanted), "{script}");
    }
    let output = place.run(&["completions", "tcsh"], "");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    let place = Place::new();
    assert_eq!(place.ok(&["man", "--out", "man1"], ""), "");
    for command in every_command(&place) {
        let name = format!("waxseal-{}", command.replace(' ', "-"));
        let file = place.path().join("man1").join(format!("{name}.1"));
        let page = fs::read_to_string(&file).unwrap();
        let title = format!(".TH {name} 1");
        assert!(page.contains(&title), "{page}");
        let all = ["serve", "settings"].contains(&&*command);
        assert_eq!(
            page.replace('\\', "").contains("WAXSEAL_TOKEN_CACHE"),
            all,
            "{page}"
        );
    }
    let page = fs::read_to_string(place.path().join("man1/waxseal.1")).unwrap();
    assert_eq!(page, place.ok(&["man"], ""));
    fs::write(place.path().join("file"), "").unwrap();
    let output = place.run(&["man", "--out", "file"], "");
    assert_eq!(output.status.code(), Some(1));
}
