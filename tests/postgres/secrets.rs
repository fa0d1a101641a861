//! The database password is never shown.

use std::fs;

use waxseal::Settings;
use waxseal::embedded::Database;
use waxseal::store::sql::{BadPostgresUrl, PostgresUrl};

use super::common::{Place, program};
use super::fixture::is_secret;

const URL: &str = "postgres://waxseal:an%3Aopen%40sea@db.example:5432/waxseal?sslmode=verify-full";

#[test]
fn a_library_shows_where_it_is_alone() {
    let url: PostgresUrl = URL.parse().unwrap();
    let mut settings = Settings::default();
    settings.database = Database::Postgres(url.clone());
    for text in [
        url.to_string(),
        format!("{url:?}"),
        format!("{url:#?}"),
        format!("{settings:?}"),
        format!("{settings:#?}"),
    ] {
        assert!(
            text.contains("postgres://db.example:5432/waxseal"),
            "{text}"
        );
        is_secret(&text);
    }
    for wrong in [
        "postgres://waxseal:an%3Aopen%40sea@db.example:port/waxseal",
        "postgres://waxseal:an:open@sea/100%@db.example/waxseal",
        "mysql://waxseal:an%3Aopen%40sea@db.example/waxseal",
        "postgres:waxseal:an%3Aopen%40sea@db.example/waxseal",
        "an%3Aopen%40sea",
        "postgres://waxseal:an%3Aopen%40sea@db.example/waxseal",
    ] {
        let cause = wrong.parse::<PostgresUrl>().unwrap_err();
        is_secret(&format!("{cause} {cause:?} {cause:#?}"));
    }
}

#[test]
fn a_list_of_hosts_is_refused_for_what_it_is() {
    let user = "postgres://waxseal:an%3Aopen%40sea@";
    for hosts in [
        "a.example,b.example/waxseal",
        "a.example:5432,b.example:5432/waxseal",
        "a.example:5432,b.example:5432/waxseal?target_session_attrs=read-write",
        "a.example,/waxseal",
        ",/waxseal",
        "a.example%2Cb.example/waxseal",
        "[::1]:5432,[::2]:5432/waxseal",
        "/waxseal?host=a.example,b.example",
        "/waxseal?host=a.example%2cb.example",
        "a.example?host=b.example,c.example",
        "/waxseal?sslmode=require&hostaddr=10.0.0.1,10.0.0.2",
        "a.example/waxseal?port=5432,5433",
    ] {
        let cause = format!("{user}{hosts}").parse::<PostgresUrl>().unwrap_err();
        assert_eq!(cause, BadPostgresUrl::SeveralHosts, "{hosts}");
        let said = format!("{cause} {cause:?} {cause:#?}");
        is_secret(&said);
        assert!(!said.contains("example"), "{said}");
    }
    // A comma elsewhere in the URL is harmless.
    for good in [
        "postgres://waxseal:an,open,sea@localhost/waxseal",
        "postgres://wax,seal@localhost/wax,seal",
        "postgres://waxseal@localhost/waxseal?application_name=a,b#a,b",
        "postgres:///waxseal?host=/run/postgresql",
    ] {
        good.parse::<PostgresUrl>().unwrap();
    }
}

#[test]
fn a_command_line_shows_no_password() {
    let place = Place::new();
    let run = |arguments: &[&str], variable: Option<&str>| {
        let mut command = program();
        command.args(arguments).current_dir(place.path());
        if let Some(url) = variable {
            command.env("WAXSEAL_DATABASE", url);
        }
        let output = command.output().unwrap();
        let (out, err) = (&output.stdout, &output.stderr);
        let said = String::from_utf8([&out[..], &err[..]].concat()).unwrap();
        is_secret(&said);
        (output.status.code(), said)
    };
    for help in [&["--help"][..], &["-h"], &["serve", "--help"]] {
        let (code, said) = run(help, Some(URL));
        assert_eq!(code, Some(0));
        assert!(said.contains("WAXSEAL_DATABASE"), "{said}");
    }
    for wrong in [
        "postgres://waxseal:an%3Aopen%40sea@db.example:port/waxseal",
        "mysql://waxseal:an%3Aopen%40sea@db.example/waxseal",
        "waxseal:an%3Aopen%40sea@db.example/waxseal",
        "an%3Aopen%40sea",
        "//an%3Aopen%40sea:x",
    ] {
        for (arguments, variable) in [
            (&["serve"][..], Some(wrong)),
            (&["serve", "--database", wrong][..], None),
        ] {
            let (code, said) = run(arguments, variable);
            assert_eq!(code, Some(2), "{said}");
            assert!(said.contains("the setting database"), "{said}");
        }
    }
    let misspelt = format!("--databse={URL}");
    assert_eq!(run(&["serve", &misspelt], None).0, Some(2));
    let twice = ["serve", "--database", URL, "--database", URL];
    assert_eq!(run(&twice, None).0, Some(2));
    let before = ["--database", URL, "serve", URL];
    assert_eq!(run(&before, None).0, Some(2));
}

#[test]
fn a_file_of_settings_that_is_wrong_is_not_quoted() {
    let place = Place::new();
    for (text, words) in [
        (
            format!("listen = \"127.0.0.1:0\"\ndatabase = \"{URL}\n"),
            "line 2, database",
        ),
        (format!("database = {URL}\n"), "line 1, database"),
        (format!("databse = \"{URL}\"\n"), "databse"),
        (format!("[database]\nurl = \"{URL}\"\n"), "line 1"),
        (format!("database = [\"{URL}\"]\n"), "line 1, database"),
        (format!("{URL}\n"), "line 1"),
        (
            format!("database = \"{URL}\"\ndatabase = \"{URL}\"\n"),
            "line 2, database",
        ),
        (
            format!("listen = 8080 database = \"{URL}\"\n"),
            "line 1, listen",
        ),
        (
            format!("database = \"{URL}\"\n\nlisten = 8080\n"),
            "line 3, listen",
        ),
    ] {
        fs::write(place.path().join("waxseal.toml"), &text).unwrap();
        let output = place.run(&["serve"], "");
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        is_secret(&said);
        assert!(said.contains("waxseal.toml"), "{said}");
        assert!(said.contains(words), "{words}: {said}");
    }
}
