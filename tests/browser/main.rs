//! The service in a real browser: the real program, Chromium, and a script per scenario.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod common;

use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};

use common::{Place, Server, program};
use common::{certificate, chromium};
use serde_json::{Value, json};

/// An issuer on the browser's machine, at a port where nothing listens.
const OTHER_PORT: &str = "http://127.0.0.1:9";

/// Returns a free port, for a URL that must be known before the server listens.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Starts the program with these flags, and plays a scenario on it with the users alice and mallory.
fn play(scenario: &str, flags: &[&str]) {
    play_with(scenario, flags, json!({}));
}

fn play_with(scenario: &str, flags: &[&str], mut more: Value) {
    // No URL in the browser has the issuer's port, so the decision must come from the browser's Fetch Metadata.
    let own = ["--listen", "127.0.0.1:0", "--issuer", OTHER_PORT];
    let (_place, server) = serve(&[&own[..], flags].concat());
    more["pid"] = json!(server.child.id());
    chromium::play(scenario, &server.url, more, || server.log());
}

/// Starts the program with these flags and the users alice and mallory.
fn serve(flags: &[&str]) -> (Place, Server) {
    let place = Place::new();
    place.add_user("alice");
    place.add_user("mallory");
    let mut command = program();
    command.arg("serve").args(flags).current_dir(place.path());
    let server = Server::start(command);
    (place, server)
}

#[test]
fn a_login_lives_in_a_cookie_that_no_script_has_and_a_logout_ends_it_in_every_tab() {
    // Below an hour: from an hour on, a countdown omits the seconds.
    play("signing_in_and_out", &["--absolute-timeout", "50m"]);
}

#[test]
fn an_unused_session_ends_and_polling_does_not_keep_it() {
    play("idle", &["--idle-timeout", "10s", "--leeway", "1s"]);
}

#[test]
fn a_renewal_reaches_every_tab_and_the_session_id_before_it_ends_the_session() {
    let flags = ["--renewal-timeout", "4s", "--renewal-grace", "2s"];
    play("renewal", &flags);
}

#[test]
fn a_session_in_use_ends_at_its_absolute_end() {
    let flags = ["--absolute-timeout", "12s", "--idle-timeout", "8s"];
    play("absolute", &[&flags[..], &["--leeway", "1s"]].concat());
}

#[test]
fn sessions_are_seen_and_ended_from_another_browser_and_by_a_new_password() {
    play("other_browsers", &[]);
}

#[test]
fn the_first_user_changes_the_initial_password_and_both_tabs_go_on() {
    let place = Place::new();
    let mut command = program();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--issuer", OTHER_PORT])
        .current_dir(place.path());
    let server = Server::start(command);
    let log = server.log();
    let mut lines = log.lines();
    let initial = lines.find_map(|line| line.strip_prefix("  password: "));
    let more = json!({ "initial": initial.unwrap() });
    chromium::play("new_password", &server.url, more, || server.log());
}

#[test]
fn a_refused_login_says_why_and_keeps_what_was_typed() {
    play("refused_logins", &["--login-limit-account", "3/18s"]);
}

#[test]
fn every_view_is_accessible_on_a_phone() {
    let size = json!({ "width": 390, "height": 844 });
    play_with("looks", &[], json!({ "device": "phone", "size": size }));
}

#[test]
fn every_view_is_accessible_on_a_desktop() {
    let size = json!({ "width": 1280, "height": 800 });
    play_with("looks", &[], json!({ "device": "desktop", "size": size }));
}

#[test]
fn the_client_uses_the_cookie_on_an_own_page_with_a_listed_origin() {
    let port = free_port();
    let origin = format!("http://localhost:{port}");
    play_with(
        "own_page_with_cookie",
        &["--allowed-origins", &origin],
        json!({ "port": port }),
    );
}

#[test]
fn a_bearer_token_stays_within_the_tabs_of_an_own_page() {
    let port = free_port();
    let origin = format!("http://localhost:{port}");
    let flags = ["--idle-timeout", "12s", "--renewal-timeout", "4s"];
    let exactness = ["--renewal-grace", "1s", "--leeway", "1s"];
    play_with(
        "own_page_with_bearer",
        &[
            &flags[..],
            &exactness[..],
            &["--allowed-origins", &origin[..]],
        ]
        .concat(),
        json!({ "port": port }),
    );
}

#[test]
fn pages_of_other_sites_and_of_other_ports_change_nothing() {
    play("other_sites", &[]);
}

#[test]
fn after_sign_in_a_person_goes_where_the_link_says_and_never_to_a_strangers_site() {
    let port = free_port();
    let listed = format!("http://localhost:{port}");
    let listed = format!("{listed},https://app.example");
    play_with(
        "return_to",
        &["--allowed-origins", &listed],
        json!({ "port": port }),
    );
}

/// Returns a non-loopback address of this machine, if it has one. It sends nothing.
fn lan_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    socket.connect((Ipv4Addr::new(198, 51, 100, 1), 9)).ok()?;
    let address = socket.local_addr().unwrap().ip();
    (!address.is_loopback()).then_some(address)
}

#[test]
fn the_pages_say_why_nobody_can_sign_in_over_plain_http_or_without_cookies() {
    // Otherwise a host name that Chromium resolves to loopback, which is not a secure context either.
    let host = lan_address().map_or("waxseal.test".to_owned(), |address| address.to_string());
    let port = free_port();
    let plain = format!("http://{host}:{port}");
    let listen = format!("0.0.0.0:{port}");
    let loopback = format!("http://127.0.0.1:{port}");
    let own = ["--listen", &listen, "--issuer", &plain];
    let (_place, server) = serve(&[&own[..], &["--allowed-origins", &loopback]].concat());
    let more = json!({ "loopback": loopback });
    chromium::play("plain_http", &plain, more, || server.log());
}

#[test]
fn over_https_by_the_service_itself_a_person_signs_in() {
    let folder = tempfile::TempDir::new().unwrap();
    let files = certificate::make(folder.path(), 1).map(|path| path.display().to_string());
    let tls = ["--tls-cert", &files[0], "--tls-key", &files[1]];
    let own = [
        "--listen",
        "127.0.0.1:0",
        "--issuer",
        "https://waxseal.test",
    ];
    let (_place, server) = serve(&[&own[..], &tls].concat());
    // Chromium resolves that name to loopback.
    let url = server.url.replace("127.0.0.1", "waxseal.test");
    chromium::play("https", &url, json!({}), || server.log());
}
