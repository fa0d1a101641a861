//! The table of cases that the Rust and the JavaScript verifier share: what happens at the issuer, and the verdict on
//! each token.

use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use super::common::{PASSWORD, is_nightly};
use super::javascript::{Both, GRACE, Verdict, claims};
use super::log::append_ignorable;
use super::service::{Client, until};
use super::wire::State;
use Verdict::{Client as Service, Refused, Session, Unavailable};

/// What happens at the issuer.
#[derive(Clone, Copy, Debug)]
enum Action {
    Nothing,
    /// A later version writes an entry that says that it ends nothing.
    IgnorableEntry,
    LogOut,
    LogOutTouched,
    LogOutOthers,
    LogOutAll,
    EndTheOther,
    ChangePassword,
    SetPassword,
    DisableUser,
    DeleteUser,
    RevokeUser,
    RevokeSession,
    ClientEndsSession,
    ClientEndsToken,
    DisableClient,
    DeleteClient,
    RevokeClient,
    RevokeKey,
    RevokeAll,
}

/// Whose token is judged.
#[derive(Clone, Copy, Debug)]
enum Which {
    /// The session in which it happens.
    This,
    /// The same session with a later idle deadline.
    Touched,
    /// The same session after a change of the password.
    Changed,
    /// The same user's other session.
    Other,
    /// Another user's session.
    Stranger,
    /// A session that the user begins afterwards.
    Later,
    /// A client's token.
    Called,
    /// Another token of that client.
    CalledAgain,
    /// Another client's token.
    OtherClient,
    /// A token that the client gets afterwards.
    CalledLater,
}
use Which::{
    Called, CalledAgain, CalledLater, Changed, Later, Other, OtherClient, Stranger, This, Touched,
};

const TABLE: [(Action, &[(Which, Verdict)]); 20] = [
    (
        Action::Nothing,
        &[
            (This, Session),
            (Touched, Session),
            (Other, Session),
            (Stranger, Session),
            (Called, Service),
            (OtherClient, Service),
        ],
    ),
    (
        Action::IgnorableEntry,
        &[(This, Session), (Other, Session), (Called, Service)],
    ),
    (
        Action::LogOut,
        &[
            (This, Refused),
            (Touched, Refused),
            (Other, Session),
            (Called, Service),
        ],
    ),
    (
        Action::LogOutTouched,
        &[
            (This, Refused),
            (Touched, Refused),
            (Other, Session),
            (Later, Session),
        ],
    ),
    (
        Action::LogOutOthers,
        &[
            (Other, Refused),
            (This, Session),
            (Touched, Session),
            (Stranger, Session),
            (Later, Session),
        ],
    ),
    (
        Action::LogOutAll,
        &[
            (This, Refused),
            (Touched, Refused),
            (Other, Refused),
            (Stranger, Session),
            (Later, Session),
        ],
    ),
    (
        Action::EndTheOther,
        &[(Other, Refused), (This, Session), (Later, Session)],
    ),
    (
        Action::ChangePassword,
        &[
            (This, Refused),
            (Other, Refused),
            (Changed, Session),
            (Stranger, Session),
        ],
    ),
    (
        Action::SetPassword,
        &[(This, Refused), (Other, Refused), (Stranger, Session)],
    ),
    (
        Action::DisableUser,
        &[(This, Refused), (Other, Refused), (Stranger, Session)],
    ),
    (
        Action::DeleteUser,
        &[(This, Refused), (Other, Refused), (Called, Service)],
    ),
    (
        Action::RevokeUser,
        &[
            (This, Refused),
            (Other, Refused),
            (Later, Session),
            (Stranger, Session),
        ],
    ),
    (Action::RevokeSession, &[(This, Refused), (Other, Session)]),
    (
        Action::ClientEndsSession,
        &[(This, Refused), (Other, Session), (Called, Service)],
    ),
    (
        Action::ClientEndsToken,
        &[
            (Called, Refused),
            (CalledAgain, Service),
            (OtherClient, Service),
            (This, Session),
        ],
    ),
    (
        Action::DisableClient,
        &[
            (Called, Refused),
            (CalledAgain, Refused),
            (OtherClient, Service),
            (This, Session),
        ],
    ),
    (
        Action::DeleteClient,
        &[(Called, Refused), (OtherClient, Service)],
    ),
    (
        Action::RevokeClient,
        &[
            (Called, Refused),
            (CalledAgain, Refused),
            (CalledLater, Service),
            (OtherClient, Service),
        ],
    ),
    (
        Action::RevokeAll,
        &[
            (This, Refused),
            (Stranger, Refused),
            (Called, Refused),
            (OtherClient, Refused),
            (Later, Session),
            (CalledLater, Service),
        ],
    ),
    (
        Action::RevokeKey,
        &[
            (This, Refused),
            (Stranger, Refused),
            (Called, Refused),
            (Later, Session),
            (CalledLater, Service),
        ],
    ),
];

/// The tokens of one row.
struct Cast {
    user: String,
    client: Client,
    this: String,
    touched: String,
    changed: OnceLock<String>,
    other: String,
    stranger: String,
    called: String,
    called_again: String,
    other_client: String,
}

impl Cast {
    async fn new(both: &Both, row: usize, needs_touched: bool) -> Self {
        let user = format!("user-{row}");
        let stranger = format!("stranger-{row}");
        let clients = [format!("caller-{row}"), format!("other-{row}")];
        both.place.add_user(&user);
        both.place.add_user(&stranger);
        let add = |name: &str| {
            let audience = Some(super::javascript::ORDERS);
            Client::add(&both.place, name, "orders:read", audience)
        };
        let [client, other_client] = [add(&clients[0]), add(&clients[1])];
        let login = async |name: &str| both.issuer.login(&both.http, name).await;
        let call = async |client: &Client| client.token(&both.http, &both.issuer.url).await;
        let this = login(&user).await;
        let touched = match needs_touched {
            true => {
                let before = claims(&this);
                let (touched, _) = both
                    .renewed(&this, |after| after["jti"] != before["jti"])
                    .await;
                assert_eq!(claims(&touched)["sid"], claims(&this)["sid"]);
                touched
            }
            false => String::new(),
        };
        Self {
            this,
            touched,
            changed: OnceLock::new(),
            other: login(&user).await,
            stranger: login(&stranger).await,
            called: call(&client).await,
            called_again: call(&client).await,
            other_client: call(&other_client).await,
            user,
            client,
        }
    }

    async fn token(&self, both: &Both, which: Which) -> String {
        match which {
            This => self.this.clone(),
            Touched => self.touched.clone(),
            Changed => self.changed.get().unwrap().clone(),
            Other => self.other.clone(),
            Stranger => self.stranger.clone(),
            Called => self.called.clone(),
            CalledAgain => self.called_again.clone(),
            OtherClient => self.other_client.clone(),
            Later => both.issuer.login(&both.http, &self.user).await,
            CalledLater => self.client.token(&both.http, &both.issuer.url).await,
        }
    }

    async fn end_token(&self, both: &Both, token: &str) {
        let answer = both
            .http
            .post(format!("{}/oauth/revoke", both.issuer.url))
            .basic_auth(&self.client.id, Some(&self.client.secret))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("token={token}"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
    }

    async fn do_it(&self, both: &Both, action: Action) {
        let cli = |arguments: &[&str], input: &str| drop(both.place.ok(arguments, input));
        let logout = async |token: &str, scope: &str| {
            let body = json!({ "scope": scope });
            both.post("/logout", token, Some(body)).await;
        };
        match action {
            Action::Nothing => {}
            Action::IgnorableEntry => append_ignorable(&both.place).await,
            Action::LogOut => drop(both.post("/logout", &self.this, None).await),
            Action::LogOutTouched => drop(both.post("/logout", &self.touched, None).await),
            Action::LogOutOthers => logout(&self.this, "others").await,
            Action::LogOutAll => logout(&self.this, "all").await,
            Action::EndTheOther => {
                let sid = claims(&self.other)["sid"].as_str().unwrap().to_owned();
                let lineage = sid.split('.').next().unwrap();
                let ended = both
                    .http
                    .delete(format!("{}/sessions/{lineage}", both.issuer.url))
                    .bearer_auth(&self.this)
                    .send()
                    .await
                    .unwrap();
                assert_eq!(ended.status(), 204);
            }
            Action::ChangePassword => {
                let body = json!({ "current_password": PASSWORD, "new_password": "another horse battery" });
                let answer = both.post("/password", &self.this, Some(body)).await;
                let answer: Value = answer.json().await.unwrap();
                let token = answer["access_token"].as_str().unwrap().to_owned();
                self.changed.set(token).unwrap();
            }
            Action::SetPassword => cli(
                &["user", "passwd", &self.user, "--password-stdin"],
                "another horse battery",
            ),
            Action::DisableUser => cli(&["user", "disable", &self.user], ""),
            Action::DeleteUser => cli(&["user", "delete", &self.user], ""),
            Action::RevokeUser => cli(&["revoke", "user", &self.user], ""),
            Action::RevokeSession => {
                let sid = claims(&self.this)["sid"].as_str().unwrap().to_owned();
                cli(&["revoke", "session", &sid], "");
            }
            Action::ClientEndsSession => self.end_token(both, &self.this).await,
            Action::ClientEndsToken => self.end_token(both, &self.called).await,
            Action::DisableClient => cli(&["client", "disable", &self.client.id], ""),
            Action::DeleteClient => cli(&["client", "delete", &self.client.id], ""),
            Action::RevokeClient => cli(&["revoke", "client", &self.client.id], ""),
            Action::RevokeAll => cli(&["revoke", "all"], ""),
            Action::RevokeKey => cli(&["keys", "revoke", &super::javascript::kid(&self.this)], ""),
        }
    }
}

/// Runs the rows in order: a row's last action ends what the rows before have.
async fn the_table_holds(algorithm: &str) {
    let both = Both::new(algorithm, "30m").await;
    let mut dead = Vec::new();
    for (row, (action, cases)) in TABLE.into_iter().enumerate() {
        let needs_touched = cases.iter().any(|(which, _)| matches!(which, Touched));
        let cast = Cast::new(&both, row, needs_touched).await;
        for (which, _) in cases {
            let token = match which {
                Changed | Later | CalledLater => continue,
                _ => cast.token(&both, *which).await,
            };
            let good = match which {
                Called | CalledAgain | OtherClient => Service,
                _ => Session,
            };
            both.until(&format!("before {action:?}, {which:?}"), &token, good)
                .await;
        }
        cast.do_it(&both, action).await;
        // The refused tokens come first: after that, a good verdict is given with knowledge of the action.
        let (refused, good): (Vec<_>, Vec<_>) = cases
            .iter()
            .partition(|(_, verdict)| matches!(verdict, Refused));
        for (which, verdict) in refused {
            let token = cast.token(&both, which).await;
            both.until(&format!("{action:?}, {which:?}"), &token, verdict)
                .await;
            dead.push(token);
        }
        for (which, verdict) in good {
            let token = cast.token(&both, which).await;
            let what = format!("{action:?}, {which:?}");
            match which {
                // The issuer has a new key now, which the two verifiers have yet to fetch.
                Later | CalledLater => both.until(&what, &token, verdict).await,
                _ => both.is(&what, &token, verdict).await,
            }
        }
    }
    for token in &dead {
        both.is("what was refused stays refused", token, Refused)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verifiers_in_rust_and_javascript_agree_on_every_revocation() {
    the_table_holds("EdDSA").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_agree_on_every_revocation_of_es256_too() {
    if !is_nightly() {
        return;
    }
    the_table_holds("ES256").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_agree_that_a_renewed_session_id_is_good_until_its_grace_is_over() {
    let both = Both::new("EdDSA", "4s").await;
    both.place.add_user("alice");
    let before = both.issuer.login(&both.http, "alice").await;
    both.until("before", &before, Session).await;
    let sid = claims(&before)["sid"].clone();
    let (token, asked) = both.renewed(&before, |after| after["sid"] != sid).await;
    loop {
        let verdicts = both.judge(&before);
        let elapsed = asked.elapsed();
        // A millisecond for the rounding of the wall clock.
        let early = elapsed + Duration::from_millis(1) < GRACE;
        assert!(
            !early || !verdicts.contains(&Refused),
            "after {elapsed:?}: {verdicts:?}"
        );
        if verdicts == [Refused; 2] {
            break;
        }
        assert!(elapsed < Duration::from_secs(60), "never refused");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    both.is("the new session ID", &token, Session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_agree_on_503_once_the_feed_is_cut_off_or_hangs() {
    let both = Both::new("EdDSA", "30m").await;
    both.place.add_user("alice");
    let [live, dead, late] = [
        both.issuer.login(&both.http, "alice").await,
        both.issuer.login(&both.http, "alice").await,
        both.issuer.login(&both.http, "alice").await,
    ];
    both.until("live", &live, Session).await;
    both.until("late", &late, Session).await;
    both.post("/logout", &dead, None).await;
    both.until("dead", &dead, Refused).await;
    for outage in [State::Cut, State::Held] {
        both.wire.set(outage);
        both.until("after the bound", &live, Unavailable).await;
        both.is("what was learned binds", &dead, Refused).await;
        both.is("garbage", "garbage", Refused).await;
        if outage == State::Held {
            both.post("/logout", &late, None).await;
            both.is("nobody has heard of it", &late, Unavailable).await;
        }
        both.wire.set(State::Whole);
        both.until("it is over", &live, Session).await;
        both.is("what was learned still binds", &dead, Refused)
            .await;
    }
    until("what was done meanwhile is learned", async || {
        both.judge(&late) == [Refused; 2]
    })
    .await;
}
