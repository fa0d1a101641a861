//! Flags override variables, variables override the file, the file overrides defaults; errors name the setting.

use std::fs;
use std::process::{Command, Output};

use super::common::{Place, Server, program};

fn serve(place: &Place) -> Command {
    let mut command = program();
    command.arg("serve").current_dir(place.path());
    command
}

fn refused(output: &Output, words: &[&str]) {
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{talk}");
    for word in words {
        assert!(talk.contains(word), "{word:?} is missing in {talk:?}");
    }
}

#[tokio::test]
async fn flags_over_variables_over_the_file_over_defaults() {
    let place = Place::new();
    let issuer_of = async |command: Command| {
        let server = Server::start(command);
        let token = server.login(&reqwest::Client::new(), "alice").await;
        let inspected = place.ok(&["token", "inspect", "--json"], &token);
        let claims =
            serde_json::from_str::<serde_json::Value>(&inspected).unwrap()["claims"].clone();
        assert_eq!(
            claims["aud"], claims["iss"],
            "the audience is the issuer unless it is set"
        );
        claims["iss"].as_str().unwrap().to_owned()
    };
    place.add_user("alice");
    fs::write(
        place.path().join("waxseal.toml"),
        "listen = \"127.0.0.1:0\"\nissuer = \"https://file.example\"\n",
    )
    .unwrap();
    assert_eq!(issuer_of(serve(&place)).await, "https://file.example");
    let with_variable = || {
        let mut command = serve(&place);
        command.env("WAXSEAL_ISSUER", "https://variable.example");
        command
    };
    assert_eq!(issuer_of(with_variable()).await, "https://variable.example");
    let mut with_flag = with_variable();
    with_flag.args(["--issuer", "https://flag.example"]);
    assert_eq!(issuer_of(with_flag).await, "https://flag.example");
    fs::write(
        place.path().join("waxseal.toml"),
        "listen = \"127.0.0.1:0\"\n",
    )
    .unwrap();
    assert_eq!(issuer_of(serve(&place)).await, "http://127.0.0.1:0");
}

#[test]
fn a_wrong_setting_is_named() {
    let place = Place::new();
    let wrong = [
        (
            "WAXSEAL_LISTEN",
            "localhost",
            vec!["listen", "\"localhost\"", "WAXSEAL_LISTEN"],
        ),
        (
            "WAXSEAL_METRICS_LISTEN",
            "9090",
            vec!["metrics_listen", "\"9090\"", "--metrics-listen"],
        ),
        (
            "WAXSEAL_ISSUER",
            "issuer.example",
            vec!["issuer", "https://"],
        ),
        ("WAXSEAL_ISSUER", "https://a b", vec!["issuer"]),
        (
            "WAXSEAL_LISTEN",
            "0.0.0.0:0",
            vec!["issuer is not set", "0.0.0.0:0", "WAXSEAL_ISSUER"],
        ),
        ("WAXSEAL_LISTEN", "[::]:0", vec!["issuer is not set"]),
        ("WAXSEAL_MARK_DIR", "data/mark", vec!["mark_dir", "data"]),
        (
            "WAXSEAL_CLEAR_SITE_DATA",
            "cookies",
            vec![
                "clear_site_data",
                "\"cookies\"",
                "--clear-site-data",
                "none",
            ],
        ),
        (
            "WAXSEAL_ALGORITHM",
            "HS256",
            vec!["algorithm", "HS256", "EdDSA or ES256"],
        ),
        (
            "WAXSEAL_DATABASE",
            "mysql://user:hunter2@host/db",
            vec!["database", "\"mysql\""],
        ),
        (
            "WAXSEAL_DATABASE",
            "postgres://user:hunter2@a.example:5432,b.example:5432/db?target_session_attrs=read-write",
            vec!["the setting database", "several hosts", "writable primary"],
        ),
        (
            "WAXSEAL_ISUER",
            "https://issuer.example",
            vec!["WAXSEAL_ISUER", "waxseal help settings"],
        ),
        (
            "WAXSEAL_TOKEN_CACHE",
            "64",
            vec!["token_cache", "64MiB", "--token-cache"],
        ),
        ("WAXSEAL_TOKEN_CACHE", "-1MiB", vec!["token_cache"]),
        ("WAXSEAL_TOKEN_CACHE", "65537MiB", vec!["65536MiB"]),
        ("WAXSEAL_MEMO", "64", vec!["memo", "64MiB", "--memo"]),
        (
            "WAXSEAL_MAX_CONNECTIONS",
            "0",
            vec!["max_connections", "--max-connections", "a number from 1"],
        ),
        ("WAXSEAL_MAX_CONNECTIONS", "8k", vec!["max_connections"]),
        (
            "WAXSEAL_MAX_CONNECTIONS",
            "1000000000",
            vec!["max_connections is 1000000000", "LimitNOFILE"],
        ),
        (
            "WAXSEAL_CONFIG",
            "absent.toml",
            vec!["setting config", "absent.toml", "--config"],
        ),
    ];
    for (name, value, words) in wrong {
        let output = serve(&place).env(name, value).output().unwrap();
        refused(&output, &words);
        assert!(
            !String::from_utf8_lossy(&output.stderr).contains("hunter2"),
            "a secret is not printed"
        );
    }
    for (flag, word) in [
        ("--audience", "audience"),
        ("--data-dir", "data_dir"),
        ("--keys-dir", "keys_dir"),
        ("--mark-dir", "mark_dir"),
    ] {
        refused(&serve(&place).args([flag, ""]).output().unwrap(), &[word]);
    }
    let both = ["--listen", "127.0.0.1:9", "--metrics-listen", "127.0.0.1:9"];
    refused(
        &serve(&place).args(both).output().unwrap(),
        &["metrics_listen", "another address"],
    );
    for (text, words) in [
        (
            "listne = \"127.0.0.1:0\"",
            vec!["waxseal.toml", "`listne`; see: waxseal help settings"],
        ),
        ("listen = 8080", vec!["waxseal.toml", "listen"]),
        ("listen = ", vec!["waxseal.toml"]),
        ("issuer = \"ftp://x\"", vec!["issuer", "ftp://x"]),
    ] {
        fs::write(place.path().join("waxseal.toml"), text).unwrap();
        refused(&serve(&place).output().unwrap(), &words);
    }
    assert!(
        !place.path().join("data").exists(),
        "what refuses to start leaves nothing behind"
    );
}

/// Kubernetes sets service links for services whose names begin like the settings, and Compose passes an empty value
/// for an unset variable.
#[test]
fn service_links_and_empty_variables_are_left_alone() {
    let place = Place::new();
    place.add_user("alice");
    let _server = place.serve();
    let variables = [
        ("WAXSEAL_SERVICE_HOST", "10.0.0.1"),
        ("WAXSEAL_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("WAXSEAL_DB_SERVICE_HOST", "10.0.0.2"),
        ("WAXSEAL_DB_SERVICE_PORT_POSTGRES", "5432"),
        ("WAXSEAL_DB_PORT_5432_TCP_ADDR", "10.0.0.2"),
        ("WAXSEAL_CONFIG", ""),
        ("WAXSEAL_DATABASE", ""),
        ("WAXSEAL_DATA_DIR", ""),
        ("WAXSEAL_ISSUER", ""),
        ("WAXSEAL_LEEWAY", ""),
        ("WAXSEAL_ISUER", ""),
    ];
    for arguments in [
        &["keys", "list"][..],
        &["user", "list"],
        &["revoke", "user", "alice"],
    ] {
        let mut command = program();
        command.args(arguments).current_dir(place.path());
        let output = command.envs(variables).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    let mut command = serve(&place);
    command.args([
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        "other",
        "--mark-dir",
        "m",
    ]);
    command.env_remove("WAXSEAL_DATA_DIR").envs(variables);
    Server::start(command);
}

#[test]
fn an_issuer_whose_cookies_browsers_do_not_keep_is_warned_of() {
    let place = Place::new();
    let mut command = serve(&place);
    command.args([
        "--listen",
        "127.0.0.1:0",
        "--issuer",
        "http://192.168.1.20:8080",
    ]);
    let log = Server::start(command).log();
    assert!(log.contains("do not keep the session cookie"), "{log}");
}

#[test]
fn an_old_name_of_a_setting_works_with_a_warning_and_not_beside_the_new_one() {
    let place = Place::new();
    let file = place.path().join("waxseal.toml");
    fs::write(&file, "listen = \"127.0.0.1:0\"\nstop_notice = \"0s\"\n").unwrap();
    let started = |flag: &str| {
        let mut command = serve(&place);
        command.arg(flag);
        Server::start(command).log()
    };
    let log = started("--memo=0");
    for line in [
        "the setting memo is deprecated: set token_cache instead",
        "the setting stop_notice is deprecated: set shutdown_delay instead",
    ] {
        assert_eq!(log.matches(line).count(), 1, "{line:?}: {log}");
    }
    fs::write(&file, "listen = \"127.0.0.1:0\"\n").unwrap();
    let log = started("--token-cache=0");
    assert!(!log.contains("deprecated"), "{log}");

    fs::write(&file, "token_cache = \"0\"\n").unwrap();
    let both = ["token_cache", "memo", "--memo", "WAXSEAL_MEMO"];
    let mut command = serve(&place);
    refused(&command.env("WAXSEAL_MEMO", "0").output().unwrap(), &both);
    let mut command = serve(&place);
    command.args(["--stop-notice", "1s", "--shutdown-delay", "1s"]);
    let both = ["shutdown_delay", "stop_notice"];
    refused(&command.output().unwrap(), &both);
}

#[test]
fn an_address_in_use_is_refused_with_what_to_do() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--metrics-listen"] {
        let output = serve(&place).args([flag, &address]).output().unwrap();
        let talk = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            talk.contains(&address) && talk.contains(&format!("with {flag}")),
            "{talk}"
        );
    }
}
