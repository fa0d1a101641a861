//! The pages in Chromium behind real proxies.

use serde_json::json;

use super::caddy::CADDY;
use super::common::chromium;
use super::envoy::ENVOY;
use super::fixture::Fixture;
use super::nginx::{BEHIND_BASIC, BELOW_A_PATH, GATE, NGINX};
use super::service::SENDS_BACK;

#[test]
fn a_deep_link_ends_at_its_page_after_sign_in() {
    let fixtures = [NGINX, CADDY, ENVOY].map(|kind| Fixture::new(&kind));
    let urls = fixtures.each_ref().map(|fixture| fixture.url.as_str());
    chromium::play("deep_links", urls[0], json!({ "edges": urls }), || {
        fixtures
            .iter()
            .map(|fixture| fixture.waxseal.log())
            .collect()
    });
    for fixture in fixtures {
        let seen = fixture.service.seen();
        assert!(seen.iter().all(|seen| seen.identity()[0] == "session"));
        let sent_back = seen.iter().filter(|seen| seen.path == SENDS_BACK);
        assert_eq!(sent_back.count(), 2, "once by the person, and once more");
    }
}

#[test]
fn below_a_path_everything_works_and_nothing_is_asked_for_outside_of_it() {
    let fixture = Fixture::with(
        &BELOW_A_PATH,
        &["--renewal-timeout", "4s", "--renewal-grace", "2s"],
    );
    let url = format!("{}/auth", fixture.url);
    chromium::play("below_a_path", &url, json!({}), || fixture.waxseal.log());
    let seen = fixture.service.seen();
    assert!(seen.is_empty(), "{seen:?}");
}

#[test]
fn behind_a_gate_with_basic_authentication_a_person_can_sign_in() {
    let fixture = Fixture::new(&BEHIND_BASIC);
    let [username, password] = GATE;
    let gate = json!({ "gate": { "username": username, "password": password } });
    chromium::play("behind_basic", &fixture.url, gate, || fixture.waxseal.log());
}
