//! The targets of every attack: the library and two resources, which must agree.

use axum::body::Body;
use axum::http::{HeaderValue, Request, StatusCode};
use chrono::DateTime;
use waxseal::Settings;
use waxseal::key::{Algorithm, Format};
use waxseal::token::Malformed;
use waxseal::verifier::{Refusal, VerifiedClaims, Verifier};

use crate::common::{Answer, TestServer};
use crate::forger::{Forger, Members, encode, header_and_claims};

/// The algorithms that JWT keys can have: some attacks concern the choice.
pub const JWT_ALGORITHMS: [Algorithm; 2] = [Algorithm::EdDsa, Algorithm::Es256];

/// The claims that are dates.
pub const DATES: [&str; 5] = ["exp", "iat", "auth_time", "renew_at", "session_expiry"];

/// The longest accepted footer, in base64 characters.
pub const MAX_FOOTER: usize = 128;

/// The resources that a token gives access to.
pub const RESOURCES: [&str; 2] = ["/verify", "/session"];

/// A service, a genuine token of it, and a forger that holds its key.
pub struct Fixture {
    pub server: TestServer,
    pub genuine: String,
    /// The header of a JWT, or the footer of a PASETO.
    pub header: Members,
    pub claims: Members,
    pub forger: Forger,
    /// A verifier without a token cache.
    plain: Verifier,
    /// The body that every 401 for a token must have.
    refusal: Vec<u8>,
}

impl Fixture {
    /// Creates a fixture for JWTs, for attacks that concern only them.
    pub async fn new() -> Self {
        Self::with(Algorithm::EdDsa).await
    }

    /// Creates a fixture for JWTs and one for PASETOs.
    pub async fn of_each_format() -> [Self; 2] {
        [
            Self::with(Algorithm::EdDsa).await,
            Self::with(Algorithm::V4Public).await,
        ]
    }

    /// Creates a fixture, and asserts that it accepts a genuine token and an unchanged forged one: a later refusal is
    /// then due to the one change made.
    pub async fn with(algorithm: Algorithm) -> Self {
        let server = TestServer::with(|settings| of_algorithm(settings, algorithm)).await;
        server.add_user("alice").await;
        let genuine = server.login("alice").await;
        let [header, claims] = header_and_claims(&genuine);
        let refusal = server.get("/verify", "nonsense").await.body;
        let fixture = Self {
            header: Members::of(&header),
            claims: Members::of(&claims),
            forger: Forger::of(&server),
            plain: server.waxseal.verifier().with_token_cache(0),
            genuine,
            server,
            refusal,
        };
        fixture
            .accepted("the genuine token", &fixture.genuine)
            .await;
        let unchanged = fixture.seal(&fixture.header, &fixture.claims);
        fixture.accepted("an unchanged forgery", &unchanged).await;
        fixture
    }

    /// Returns the `kid` of the signing key.
    pub fn kid(&self) -> String {
        serde_json::from_str(self.header.raw("kid")).unwrap()
    }

    pub fn format(&self) -> Format {
        self.server.settings.format
    }

    /// Returns `second` as raw JSON in the format's notation.
    pub fn date(&self, second: i64) -> String {
        date(self.format(), second)
    }

    /// Returns the value of a date claim, in seconds.
    pub fn second(&self, claim: &str) -> i64 {
        self.read_second(self.claims.raw(claim))
    }

    /// Parses a raw date, in seconds.
    pub fn read_second(&self, raw: &str) -> i64 {
        match self.format() {
            Format::Jwt => raw.parse().unwrap(),
            Format::Paseto => {
                let date = DateTime::parse_from_rfc3339(raw.trim_matches('"')).unwrap();
                date.timestamp()
            }
        }
    }

    /// Returns the expected refusal of a header: a footer that is too long is not parsed.
    pub fn header_fault(&self, header: impl AsRef<[u8]>, why: Malformed) -> Malformed {
        let footer = encode(header);
        if self.format() == Format::Paseto && footer.len() > MAX_FOOTER {
            return Malformed::Header("too long");
        }
        why
    }

    pub fn seal(&self, header: &Members, claims: &Members) -> String {
        self.forger.seal(header.text(), claims.text())
    }

    /// Signs again with this header parameter, or member of the footer, set.
    pub fn with_parameter(&self, name: &str, raw: &str) -> String {
        self.seal(&self.header.with(name, raw), &self.claims)
    }

    /// Signs again with this claim set.
    pub fn with_claim(&self, name: &str, raw: &str) -> String {
        self.seal(&self.header, &self.claims.with(name, raw))
    }

    /// Signs again with these claims, which need not be JSON.
    pub fn with_claims(&self, claims: impl AsRef<[u8]>) -> String {
        self.forger.seal(self.header.text(), claims)
    }

    /// Returns the library's verdict. Asserts that a second verification and the verifier without a token cache agree.
    pub fn verify(&self, token: &str) -> Result<VerifiedClaims, Refusal> {
        let verifier = self.server.waxseal.verifier();
        let said = verifier.verify(token);
        assert_eq!(verifier.verify(token), said, "again: {token}");
        assert_eq!(
            self.plain.verify(token),
            said,
            "without a token cache: {token}"
        );
        said
    }

    pub async fn accepted(&self, name: &str, token: &str) {
        let verified = self.verify(token);
        assert!(verified.is_ok(), "{name}: {verified:?}");
        for path in RESOURCES {
            let answer = self.server.get(path, token).await;
            assert_eq!(answer.status, StatusCode::OK, "{name}: {path} {answer:?}");
        }
    }

    /// Asserts that the library and the resources refuse the token. Returns the library's reason, which the resources
    /// must not reveal.
    pub async fn refused(&self, name: &str, token: &str) -> Refusal {
        let refusal = self.verify(token);
        let Err(refusal) = refusal else {
            panic!("{name}: accepted: {token}");
        };
        self.refused_over_http(name, token.as_bytes()).await;
        refusal
    }

    /// Asserts that the token is refused as malformed, claims included.
    pub async fn malformed(&self, name: &str, token: &str) -> Malformed {
        match self.refused(name, token).await {
            Refusal::Malformed(why) => why,
            other => panic!("{name}: refused for another reason: {other:?}"),
        }
    }

    pub async fn refused_for(&self, name: &str, token: &str, why: impl Into<Refusal>) {
        assert_eq!(self.refused(name, token).await, why.into(), "{name}");
    }

    /// Asserts that the resources refuse the token. Bytes that are not text cannot be passed to the library.
    pub async fn refused_over_http(&self, name: &str, token: &[u8]) {
        if token.starts_with(b" ") {
            // Spaces before a token are not part of it (RFC 9110, section 11.4).
            return;
        }
        let Ok(value) = HeaderValue::from_bytes(&[b"Bearer ", token].concat()) else {
            // No request can carry the token.
            return;
        };
        let one_word = |b: &u8| b.is_ascii_graphic() && *b != b',';
        let is_one_word = !token.is_empty() && token.iter().all(one_word);
        for path in RESOURCES {
            let request = Request::get(path).header("authorization", &value);
            let answer = self.server.send(request.body(Body::empty()).unwrap()).await;
            if is_one_word {
                self.is_invalid_token(name, &answer);
            } else {
                is_invalid_request(name, &answer);
            }
        }
    }

    pub fn is_invalid_token(&self, name: &str, answer: &Answer) {
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name} {answer:?}");
        assert_eq!(answer.code(), "invalid_token", "{name}");
        assert_eq!(
            answer.headers["www-authenticate"],
            r#"Bearer realm="waxseal", error="invalid_token""#
        );
        assert_eq!(answer.body, self.refusal, "{name}: another body");
    }
}

/// Returns `second` as raw JSON in the notation of `format`.
pub fn date(format: Format, second: i64) -> String {
    match format {
        Format::Jwt => second.to_string(),
        Format::Paseto => {
            let date = DateTime::from_timestamp(second, 0).unwrap();
            date.format(r#""%Y-%m-%dT%H:%M:%SZ""#).to_string()
        }
    }
}

pub fn of_algorithm(settings: &mut Settings, algorithm: Algorithm) {
    settings.format = algorithm.format();
    settings.accepts = vec![settings.format];
    if settings.format == Format::Jwt {
        settings.algorithm = algorithm;
    }
}

pub fn is_invalid_request(name: &str, answer: &Answer) {
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name} {answer:?}");
    assert_eq!(answer.code(), "invalid_request", "{name}");
    assert_eq!(
        answer.headers["www-authenticate"],
        r#"Bearer realm="waxseal", error="invalid_request""#
    );
}
