//! Unwritable output: closed, full, or without a reader. The table covers every command.

mod shown_first;
mod start;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use waxseal::key::{Algorithm, Format, SigningKey, generate_pem};
use waxseal::random::OsRandom;

use super::commands::json;
use super::common::postgres::Postgres;
use super::common::{ISSUER, PASSWORD, Place, Server, program, program_at};

/// The message of a command that changes nothing, or that changed nothing because it could not show its secret.
const NOTHING: &str = "nothing was changed";

#[derive(Clone, Copy, Debug)]
pub enum Sink {
    Closed,
    Full,
    Broken,
}

pub const SINKS: [Sink; 3] = [Sink::Closed, Sink::Full, Sink::Broken];

impl Sink {
    /// Runs the program with `descriptor`, 1 or 2, connected to the unwritable sink.
    pub fn command(self, descriptor: u8, arguments: &[&str]) -> Command {
        if let Self::Closed = self {
            let mut shell = program_at(Path::new("sh"));
            let script = format!("exec \"$0\" \"$@\" {descriptor}>&-");
            shell.args(["-c", &script]).arg(program().get_program());
            shell.args(arguments);
            return shell;
        }
        let sink = match self {
            Self::Full => Stdio::from(File::options().write(true).open("/dev/full").unwrap()),
            _ => Stdio::from(std::io::pipe().unwrap().1),
        };
        let mut command = program();
        command.args(arguments);
        match descriptor {
            1 => command.stdout(sink),
            _ => command.stderr(sink),
        };
        command
    }

    fn run(self, place: &Path, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(1, arguments);
        command.current_dir(place).stderr(Stdio::piped());
        let file = place.join("input");
        fs::write(&file, input).unwrap();
        command.stdin(File::open(file).unwrap());
        command.spawn().unwrap().wait_with_output().unwrap()
    }
}

/// Returns the commands without subcommands, as their help lists them.
pub fn every_command(place: &Place) -> BTreeSet<String> {
    let listed = |path: &str| -> Vec<String> {
        let words = path.split(' ').filter(|word| !word.is_empty());
        let arguments: Vec<_> = ["help"].into_iter().chain(words).collect();
        let help = place.ok(&arguments, "");
        let Some((_, rest)) = help.split_once("Commands:\n") else {
            return Vec::new();
        };
        let lines = rest.lines().take_while(|line| !line.is_empty());
        let names = lines.filter_map(|line| line.split_whitespace().next());
        let names = names.filter(|name| *name != "help");
        names.map(|name| format!("{path} {name}")).collect()
    };
    let (mut leaves, mut open) = (BTreeSet::new(), vec![String::new()]);
    while let Some(path) = open.pop() {
        let inner = listed(&path);
        if inner.is_empty() {
            leaves.insert(path.trim().to_owned());
        }
        open.extend(inner);
    }
    leaves
}

struct Case {
    command: &'static str,
    more: Vec<String>,
    input: String,
    /// The text that standard error must contain: what was changed, or that nothing was.
    named: &'static str,
}

fn case(command: &'static str, more: &[&str], input: &str, named: &'static str) -> Case {
    Case {
        command,
        more: more.iter().map(|word| (*word).to_owned()).collect(),
        input: input.to_owned(),
        named,
    }
}

/// An installation that contains what each case changes.
struct Fixture {
    place: Place,
    server: Server,
    client: [String; 2],
    token: String,
}

impl Fixture {
    async fn new() -> Self {
        let place = Place::new();
        for name in ["alice", "bob", "carol"] {
            place.add_user(name);
        }
        let added = json(&place.ok(&["client", "add", "billing", "--json"], ""));
        let client = ["client_id", "client_secret"].map(|name| text(&added, name));
        place.ok(&["client", "add", "spare"], "");
        let server = place.serve();
        let token = server.login(&reqwest::Client::new(), "alice").await;
        Self {
            place,
            server,
            client,
            token,
        }
    }

    fn cases(&self) -> Vec<Case> {
        let keys = json(&self.place.ok(&["keys", "list", "--json"], ""));
        let successor = text(&keys[1], "kid");
        let inspected = json(&self.place.ok(&["token", "inspect", "--json"], &self.token));
        let session = text(&inspected["claims"], "sid");
        let pem = generate_pem(Algorithm::EdDsa, &OsRandom::new());
        let public = SigningKey::from_pem(pem.as_bytes(), Format::Jwt).unwrap();
        let jwk = serde_json::to_string(&public.public().jwk().unwrap()).unwrap();
        let stdin = "--password-stdin";
        vec![
            case("completions", &["bash"], "", NOTHING),
            case("man", &[], "", NOTHING),
            case("settings", &[], "", NOTHING),
            case("user list", &[], "", NOTHING),
            case("client list", &[], "", NOTHING),
            case("keys list", &[], "", NOTHING),
            case("keys plan", &[], "", NOTHING),
            case("token inspect", &[], &self.token, NOTHING),
            case("token verify", &["--issuer", ISSUER], &self.token, NOTHING),
            case("user add", &["dave"], "", NOTHING),
            case("user add", &["erin", stdin], PASSWORD, "erin added"),
            case("user passwd", &["alice"], "", NOTHING),
            case(
                "user passwd",
                &["bob", stdin],
                PASSWORD,
                "bob has a new password",
            ),
            case("user disable", &["bob"], "", "bob disabled"),
            case("user enable", &["bob"], "", "bob enabled"),
            case("user delete", &["carol"], "", "carol deleted"),
            case("client add", &["orders"], "", NOTHING),
            case(
                "client add",
                &["signer", "--keys-stdin"],
                &jwk,
                "signer added",
            ),
            case("client rotate-secret", &["billing"], "", NOTHING),
            case("client rotate-secret", &["billing"], "", NOTHING),
            case(
                "client rotate-secret",
                &["billing", "--finish"],
                "",
                "billing has one secret",
            ),
            case("client set-keys", &["spare"], &jwk, "spare has other keys"),
            case("client disable", &["spare"], "", "spare disabled"),
            case("client enable", &["spare"], "", "spare enabled"),
            case("client delete", &["spare"], "", "spare deleted"),
            case("keys rotate", &["--dry-run"], "", NOTHING),
            case("keys rotate", &[], "", "signs from"),
            case("keys import", &[], &pem, "is a successor"),
            case("keys revoke", &[&successor], "", "revoked key"),
            case("keys prune", &[], "", "removed "),
            case("revoke session", &[&session], "", "revoked session"),
            case("revoke user", &["alice"], "", "revoked user"),
            case("revoke user", &["bob", "--explain"], "", "revoked user"),
            case("revoke client", &["billing"], "", "revoked client"),
            case("revoke all", &[], "", "revoked everything"),
        ]
    }

    fn names(&self, what: &str, member: &str) -> Vec<String> {
        let listed = json(&self.place.ok(&[what, "list", "--json"], ""));
        let rows = listed.as_array().unwrap().iter();
        rows.map(|row| text(row, member)).collect()
    }

    /// Asserts that every secret in force is known to its owner.
    async fn has_lost_no_secret(&self) {
        assert_eq!(self.names("user", "username"), ["alice", "bob", "erin"]);
        assert_eq!(self.names("client", "name"), ["billing", "signer"]);
        let http = reqwest::Client::new();
        for name in ["alice", "bob", "erin"] {
            self.server.login(&http, name).await;
        }
        let [id, secret] = &self.client;
        let request = http.post(format!("{}/oauth/token", self.server.url));
        let request = request.basic_auth(id, Some(secret));
        let form = "application/x-www-form-urlencoded";
        let request = request.header("content-type", form);
        let answer = request.body("grant_type=client_credentials").send().await;
        assert_eq!(answer.unwrap().status(), 200);
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap().to_owned()
}

fn fails(sink: Sink, place: &Path, case: &Case) {
    let more = case.more.iter().map(String::as_str);
    let arguments: Vec<_> = case.command.split(' ').chain(more).collect();
    let output = sink.run(place, &arguments, &case.input);
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(1),
        "{sink:?} {arguments:?}: {talk}"
    );
    for words in ["standard output", case.named] {
        assert!(talk.contains(words), "{sink:?} {arguments:?}: {talk}");
    }
    assert!(!talk.contains("panicked"), "{talk}");
    assert!(!talk.contains("wxs_"), "no secret is shown: {talk}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_succeeds_without_its_output_and_no_secret_is_lost() {
    let postgres = Postgres::start();
    for sink in SINKS {
        let mut fixture = Fixture::new().await;
        let place = fixture.place.path().to_owned();
        let copy = |from: &str, to: &str| {
            let _ = fs::remove_dir_all(place.join(to));
            let from = place.join(from);
            let mut copy = Command::new("cp");
            copy.arg("-rp").args([from, place.join(to)]);
            assert!(copy.status().unwrap().success());
        };
        let mut cases = fixture.cases();
        for case in &cases {
            fails(sink, &place, case);
        }
        fixture.has_lost_no_secret().await;

        assert!(fixture.server.terminate().success());
        copy("data", "copy");
        fixture.place.ok(&["revoke", "all"], "");
        copy("copy", "data");
        let restored = case("restored", &[], "", "every session");
        fails(sink, &place, &restored);
        let url = postgres.url();
        let migrate = case("migrate", &["--to", &url], "", "waxseal.db.migrated");
        fails(sink, &place, &migrate);
        postgres.empty();

        cases.extend([restored, migrate]);
        let commands = cases.iter().map(|case| case.command.to_owned());
        let mut tried: BTreeSet<_> = commands.collect();
        // `serve` writes nothing to standard output; tests/cli/output/start.rs covers its standard error.
        tried.insert("serve".to_owned());
        assert_eq!(tried, every_command(&fixture.place));
    }
}

#[test]
fn help_and_version_fail_without_their_output_too() {
    let place = Place::new();
    for sink in SINKS {
        for arguments in [
            &["--help"][..],
            &["-h"],
            &["help", "user"],
            &["user", "add", "--help"],
            &["--version"],
        ] {
            let output = sink.run(place.path(), arguments, "");
            let talk = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {talk}");
            assert!(talk.contains(NOTHING), "{arguments:?}: {talk}");
        }
    }
}

/// Output discarded on purpose is not a failure, whatever mode `/dev/null` is opened in.
#[test]
fn an_output_that_is_discarded_is_a_success() {
    let place = Place::new();
    for (write_only, name) in [(true, "alice"), (false, "bob")] {
        let null = File::options()
            .read(!write_only)
            .write(true)
            .open("/dev/null")
            .unwrap();
        let mut command = program();
        command
            .args(["user", "add", name])
            .current_dir(place.path());
        command.stdin(Stdio::null()).stdout(null);
        assert!(command.status().unwrap().success(), "{name}");
    }
}

#[test]
fn an_unwritable_message_does_not_change_the_exit_code() {
    let place = Place::new();
    for sink in SINKS {
        for (arguments, code) in [
            (&["user", "list"][..], 1),
            (&["nonsense"], 2),
            (&["user"], 2),
            (&["user", "list", "--json"], 1),
        ] {
            let mut command = sink.command(2, arguments);
            let output = command.current_dir(place.path()).output().unwrap();
            assert_eq!(output.status.code(), Some(code), "{sink:?} {arguments:?}");
        }
    }
}

#[test]
fn with_json_the_lost_output_is_an_error_in_json() {
    let place = Place::new();
    place.add_user("alice");
    for (arguments, words) in [
        (["user", "add", "bob", "--json"], NOTHING),
        (["user", "disable", "alice", "--json"], "alice disabled"),
    ] {
        let output = Sink::Full.run(place.path(), &arguments, "");
        assert_eq!(output.status.code(), Some(1));
        let error = json(std::str::from_utf8(&output.stderr).unwrap());
        assert_eq!(error["error"]["code"], "output");
        assert!(text(&error["error"], "message").contains(words), "{error}");
    }
}
