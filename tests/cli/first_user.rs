//! The first user and the initial password: creation, output, and expiry.

use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};

use super::commands::{json, refused};
use super::common::{ISSUER, PASSWORD, Place, Server, program};

/// Starts the server with these flags.
fn serve(place: &Place, flags: &[&str]) -> Server {
    let mut command = program();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--issuer", ISSUER])
        .args(flags)
        .current_dir(place.path());
    Server::start(command)
}

fn said(log: &str, start: &str) -> String {
    let line = log.lines().find_map(|line| line.strip_prefix(start));
    line.unwrap_or_else(|| panic!("{start:?} is missing in {log}"))
        .to_owned()
}

async fn login(server: &Server, username: &str, password: &str) -> (u16, Value) {
    let body = json!({ "username": username, "password": password });
    let request = reqwest::Client::new().post(format!("{}/login", server.url));
    let answer = request.json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn every_start_says_that_an_initial_password_must_be_changed_and_later_that_it_is_dead() {
    let place = Place::new();
    let server = place.serve();
    let log = server.log();
    let password = said(&log, "  password: ");
    said(&log, "waxseal: this password works for one hour, until ");
    let (status, body) = login(&server, "admin", &password).await;
    assert_eq!(status, 200);
    let by = body["password_change_required_by"].clone();
    let listed = json(&place.ok(&["user", "list", "--json"], ""));
    assert_eq!(listed[0]["password_change_required_by"], by);
    drop(server);

    let reminder = "waxseal: admin still has the initial password, which works until ";
    let server = place.serve();
    let log = server.log();
    let by = by.as_str().unwrap();
    assert!(said(&log, reminder).starts_with(by), "{log}");
    assert!(!log.contains(&password), "it is shown once");
    drop(server);

    // One hour later.
    let database = place.path().join("data/waxseal.db");
    let url = format!("sqlite:{}", database.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query(
        r#"UPDATE "user" SET password_change_required_by = password_change_required_by - 3600000"#,
    )
    .execute(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
    let server = place.serve();
    let log = server.log();
    let over = said(
        &log,
        "waxseal: the initial password of admin was not changed by ",
    );
    assert!(
        over.ends_with("Set a new one with: waxseal user passwd admin"),
        "{log}"
    );
    assert_eq!(login(&server, "admin", &password).await.0, 401);

    place.ok(&["user", "passwd", "admin", "--password-stdin"], PASSWORD);
    let (status, body) = login(&server, "admin", PASSWORD).await;
    assert_eq!(status, 200);
    assert!(body.get("password_change_required_by").is_none(), "{body}");
    drop(server);
    assert!(!place.serve().log().contains("initial password"));
}

#[tokio::test]
async fn the_first_user_has_the_chosen_name_or_is_left_out() {
    let place = Place::new();
    let server = serve(&place, &["--first-user", "none"]);
    let log = server.log();
    assert!(
        log.contains("waxseal user add NAME") && !log.contains("password:"),
        "{log}"
    );
    assert_eq!(json(&place.ok(&["user", "list", "--json"], "")), json!([]));
    drop(server);

    let server = serve(&place, &["--first-user", "Olga"]);
    let log = server.log();
    assert_eq!(said(&log, "  username: "), "olga");
    let password = said(&log, "  password: ");
    assert_eq!(login(&server, "olga", &password).await.0, 200);
    assert_eq!(login(&server, "admin", &password).await.0, 401);
    drop(server);

    for bad in ["", "o l g a", "olga!"] {
        let words = ["the setting first_user is", "or none", "WAXSEAL_FIRST_USER"];
        refused(&place.run(&["serve", "--first-user", bad], ""), 2, &words);
    }
}

#[tokio::test]
async fn a_password_that_an_administrator_gives_can_be_an_initial_one() {
    let place = Place::new();
    let server = serve(&place, &["--first-user", "none"]);
    for command in ["add", "passwd"] {
        let args = ["user", command, "alice", "--initial", "--json"];
        let text = place.ok(&["user", command, "bob", "--initial"], "");
        assert!(text.contains("and must be changed"), "{text}");
        let given = json(&place.ok(&args, ""));
        let by = &given["password_change_required_by"];
        let password = given["password"].as_str().unwrap();
        let (status, body) = login(&server, "alice", password).await;
        assert_eq!(status, 200, "{command}");
        assert_eq!(&body["password_change_required_by"], by);
        assert!(by.is_string());
    }
    place.ok(&["user", "passwd", "alice", "--password-stdin"], PASSWORD);
    let (_, body) = login(&server, "alice", PASSWORD).await;
    assert!(body.get("password_change_required_by").is_none(), "{body}");
}
