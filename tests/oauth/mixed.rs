//! Neither kind of token passes for the other, and a mixture passes for neither, even if the service's own key signed
//! it.

use serde_json::json;
use waxseal::key::{Algorithm, Format};
use waxseal::policy::Unacceptable;
use waxseal::token::Malformed;
use waxseal::verifier::{Refusal, Verified};

use super::common::{ISSUER, TestServer};
use super::fixture::{add_client, token};
use super::forger::{Forger, Members, header_and_claims, quoted};

const SESSION_CLAIMS: [&str; 5] = ["sid", "auth_time", "renew_at", "session_expiry", "amr"];

/// A service, a forger that holds its key, and the genuine claims of both kinds of token.
struct Fixture {
    server: TestServer,
    forger: Forger,
    header: Members,
    session: Members,
    client: Members,
}

impl Fixture {
    async fn of_each_format() -> [Self; 2] {
        [
            Self::new(Format::Jwt).await,
            Self::new(Format::Paseto).await,
        ]
    }

    async fn new(format: Format) -> Self {
        let server = TestServer::with(|settings| {
            settings.format = format;
            settings.accepts = vec![format];
        })
        .await;
        server.add_user("alice").await;
        let client = add_client(&server, "billing", "orders:read", &[]).await;
        let [header, session] = header_and_claims(&server.login("alice").await);
        let [_, client] = header_and_claims(&token(&server, &client).await);
        let fixture = Self {
            forger: Forger::of(&server),
            header: Members::of(&header),
            session: Members::of(&session),
            client: Members::of(&client),
            server,
        };
        // The unchanged claims are accepted, so a refusal below is due to the change made to them.
        let verdict = fixture.judge(&fixture.session).await;
        assert!(matches!(verdict, Ok(Verified::Session(_))), "{verdict:?}");
        let verdict = fixture.judge(&fixture.client).await;
        assert!(matches!(verdict, Ok(Verified::Client(_))), "{verdict:?}");
        fixture
    }

    /// Returns the library's verdict. Asserts that the HTTP resource agrees.
    async fn judge(&self, claims: &Members) -> Result<Verified, Refusal> {
        let token = self.forger.seal(self.header.text(), claims.text());
        let verdict = self.server.waxseal.verifier().verify_any(&token);
        let status = self.server.verify(&token).await.as_u16();
        assert_eq!(status, if verdict.is_ok() { 200 } else { 401 });
        verdict
    }

    async fn malformed(&self, what: &str, claims: &Members) {
        let verdict = self.judge(claims).await;
        let claims = matches!(verdict, Err(Refusal::Malformed(Malformed::Claims(_))));
        assert!(claims, "{what}: {verdict:?}");
    }
}

#[tokio::test]
async fn a_mixture_of_session_and_client_claims_is_refused() {
    for fixture in Fixture::of_each_format().await {
        let (session, client) = (&fixture.session, &fixture.client);
        let id = client.raw("sub");
        let other = quoted("client-01a20636-65a6-7b0b-ba2c-8e6795508a1e");
        for (what, claims) in [
            ("a session of a client", session.with("sub", id)),
            (
                "a session of a client, by that client",
                session.with("sub", id).with("client_id", id),
            ),
            (
                "a user's session by a client",
                session.with("client_id", id),
            ),
            (
                "a user's token by a client",
                client.with("sub", session.raw("sub")),
            ),
            (
                "a user's token without a session",
                client
                    .with("sub", session.raw("sub"))
                    .with("client_id", session.raw("client_id")),
            ),
            (
                "a client's token by the login",
                client.with("client_id", session.raw("client_id")),
            ),
            (
                "a client's token by another",
                client.with("client_id", &other),
            ),
            ("another's token by this client", client.with("sub", &other)),
            ("two subjects", client.and("sub", session.raw("sub"))),
            ("two subjects, the other way", session.and("sub", id)),
            ("two client IDs", client.and("client_id", &other)),
            ("a list of subjects", client.with("sub", &format!("[{id}]"))),
            ("a client ID in capitals", {
                let loud = id.to_uppercase();
                client.with("sub", &loud).with("client_id", &loud)
            }),
            (
                "a space before the subject",
                client.with("sub", &id.replacen('"', "\" ", 1)),
            ),
        ] {
            fixture.malformed(what, &claims).await;
        }
    }
}

#[tokio::test]
async fn a_client_token_with_a_session_claim_is_refused() {
    for fixture in Fixture::of_each_format().await {
        let mut all = fixture.client.clone();
        for name in SESSION_CLAIMS {
            let raw = fixture.session.raw(name);
            fixture
                .malformed(name, &fixture.client.and(name, raw))
                .await;
            fixture
                .malformed(name, &fixture.client.and(name, "null"))
                .await;
            all = all.and(name, raw);
        }
        fixture.malformed("all of them", &all).await;
        for name in SESSION_CLAIMS {
            fixture
                .malformed(name, &fixture.session.without(name))
                .await;
        }
    }
}

#[tokio::test]
async fn claims_of_a_client_token_are_required_and_typed() {
    for fixture in Fixture::of_each_format().await {
        let names: Vec<_> = fixture.client.names().map(str::to_owned).collect();
        assert_eq!(names.len(), 8);
        for name in names {
            fixture
                .malformed(&name, &fixture.client.without(&name))
                .await;
            for raw in ["null", "true", "[]", "{}", "1.5", "-1", "\"\u{7f}\""] {
                let claims = fixture.client.with(&name, raw);
                // Any text is well-formed as an issuer or audience: only the value is wrong.
                if matches!((name.as_str(), raw), ("iss" | "aud", "\"\u{7f}\"")) {
                    assert!(fixture.judge(&claims).await.is_err());
                } else {
                    fixture.malformed(&format!("{name} {raw}"), &claims).await;
                }
            }
            let raw = fixture.client.raw(&name).to_owned();
            fixture
                .malformed(&name, &fixture.client.and(&name, &raw))
                .await;
        }
        for scope in [" ", "a  b", "a ", "a\\tb", "\\u0000"] {
            let claims = fixture.client.with("scope", &format!("\"{scope}\""));
            fixture.malformed(scope, &claims).await;
        }
        let list = format!("[{}]", quoted(ISSUER));
        fixture
            .malformed("a list of audiences", &fixture.client.with("aud", &list))
            .await;
    }
}

#[tokio::test]
async fn times_issuer_and_audience_are_checked_alike_for_clients_and_sessions() {
    let fixture = Fixture::new(Format::Jwt).await;
    let now = 1_800_000_000_i64;
    for (name, value, why) in [
        (
            "iss",
            json!("https://elsewhere.example"),
            Unacceptable::Issuer,
        ),
        ("iss", json!(format!("{ISSUER}/")), Unacceptable::Issuer),
        (
            "aud",
            json!("https://elsewhere.example"),
            Unacceptable::Audience,
        ),
        ("exp", json!(now - 5), Unacceptable::Expired),
        ("exp", json!(now), Unacceptable::Times),
        ("exp", json!(now + 24 * 3600 + 1), Unacceptable::Times),
        ("iat", json!(now + 6), Unacceptable::Future),
    ] {
        let verdict = fixture
            .judge(&fixture.client.with(name, &value.to_string()))
            .await;
        assert_eq!(verdict, Err(why.into()), "{name} {value}");
    }
}

/// An app that asks for a session gets one or an error.
#[tokio::test]
async fn the_library_refuses_a_client_token_as_a_session() {
    let server = TestServer::new().await;
    let client = add_client(&server, "billing", "session", &[]).await;
    let token = token(&server, &client).await;
    let verifier = server.waxseal.verifier();
    assert_eq!(verifier.verify(&token), Err(Refusal::NoSession));
    assert!(verifier.verify_any(&token).is_ok());
    let stranger = Forger::stranger(Algorithm::EdDsa);
    assert!(verifier.verify_any(&stranger.resign(&token)).is_err());
}
