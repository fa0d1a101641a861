//! Where every attack is tried: the library and two resources, which must agree.

use axum::body::Body;
use axum::http::{HeaderValue, Request, StatusCode};
use chrono::DateTime;
use waxseal::Settings;
use waxseal::key::{Algorithm, Format};
use waxseal::token::Malformed;
use waxseal::verifier::{Refusal, VerifiedClaims, Verifier};

use crate::common::{Answer, House};
use crate::forger::{Forger, Members, encode, header_and_claims};

/// What a JWT's key can sign with: some attacks are about that.
pub const JWT_ALGORITHMS: [Algorithm; 2] = [Algorithm::EdDsa, Algorithm::Es256];

/// The claims that are dates.
pub const DATES: [&str; 5] = ["exp", "iat", "auth_time", "renew_at", "session_expiry"];

/// The longest footer, in base64.
pub const MAX_FOOTER: usize = 128;

/// The resources that a token opens.
pub const RESOURCES: [&str; 2] = ["/verify", "/session"];

/// A house, a genuine token of it, and a forger with its key.
pub struct Stage {
    pub house: House,
    pub genuine: String,
    /// The header of a JWT, the footer of a PASETO.
    pub header: Members,
    pub claims: Members,
    pub forger: Forger,
    /// Remembers nothing.
    plain: Verifier,
    /// The one body of every 401 for a token.
    refusal: Vec<u8>,
}

impl Stage {
    /// Of JWTs, for what only they have.
    pub async fn new() -> Self {
        Self::with(Algorithm::EdDsa).await
    }

    /// Of JWTs, and of PASETOs.
    pub async fn of_each_format() -> [Self; 2] {
        [
            Self::with(Algorithm::EdDsa).await,
            Self::with(Algorithm::V4Public).await,
        ]
    }

    /// Shows first that a genuine token and a forged one to which nothing was done are accepted: what
    /// is refused afterwards is refused for the one thing that was done to it.
    pub async fn with(algorithm: Algorithm) -> Self {
        let house = House::with(|settings| of_algorithm(settings, algorithm)).await;
        house.add_user("alice").await;
        let genuine = house.login("alice").await;
        let [header, claims] = header_and_claims(&genuine);
        let refusal = house.get("/verify", "nonsense").await.body;
        let stage = Self {
            header: Members::of(&header),
            claims: Members::of(&claims),
            forger: Forger::of(&house),
            plain: house.waxseal.verifier().with_memo(0),
            genuine,
            house,
            refusal,
        };
        stage.accepted("the genuine token", &stage.genuine).await;
        let unchanged = stage.seal(&stage.header, &stage.claims);
        stage.accepted("an unchanged forgery", &unchanged).await;
        stage
    }

    /// The name of the key that signs.
    pub fn kid(&self) -> String {
        serde_json::from_str(self.header.raw("kid")).unwrap()
    }

    pub fn format(&self) -> Format {
        self.house.settings.format
    }

    /// That second as its format writes it, raw.
    pub fn date(&self, second: i64) -> String {
        date(self.format(), second)
    }

    /// The second that a claim says.
    pub fn second(&self, claim: &str) -> i64 {
        self.read_second(self.claims.raw(claim))
    }

    /// The second that a date says.
    pub fn read_second(&self, raw: &str) -> i64 {
        match self.format() {
            Format::Jwt => raw.parse().unwrap(),
            Format::Paseto => {
                let date = DateTime::parse_from_rfc3339(raw.trim_matches('"')).unwrap();
                date.timestamp()
            }
        }
    }

    /// Why such a header is refused: a long footer is not looked at.
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

    /// Signed anew with that header parameter, or member of the footer, set.
    pub fn with_parameter(&self, name: &str, raw: &str) -> String {
        self.seal(&self.header.with(name, raw), &self.claims)
    }

    /// Signed anew with that claim set.
    pub fn with_claim(&self, name: &str, raw: &str) -> String {
        self.seal(&self.header, &self.claims.with(name, raw))
    }

    /// Signed anew with these claims, which need not be JSON.
    pub fn with_claims(&self, claims: impl AsRef<[u8]>) -> String {
        self.forger.seal(self.header.text(), claims)
    }

    /// What the library says: the same when it is asked again, and where nothing is remembered.
    pub fn verify(&self, token: &str) -> Result<VerifiedClaims, Refusal> {
        let verifier = self.house.waxseal.verifier();
        let said = verifier.verify(token);
        assert_eq!(verifier.verify(token), said, "again: {token}");
        assert_eq!(self.plain.verify(token), said, "without a memo: {token}");
        said
    }

    pub async fn accepted(&self, name: &str, token: &str) {
        let verified = self.verify(token);
        assert!(verified.is_ok(), "{name}: {verified:?}");
        for path in RESOURCES {
            let answer = self.house.get(path, token).await;
            assert_eq!(answer.status, StatusCode::OK, "{name}: {path} {answer:?}");
        }
    }

    /// Refused by the library, for the reason that is given back, and by the resources, which do not
    /// give it away.
    pub async fn refused(&self, name: &str, token: &str) -> Refusal {
        let refusal = self.verify(token);
        let Err(refusal) = refusal else {
            panic!("{name}: accepted: {token}");
        };
        self.refused_over_http(name, token.as_bytes()).await;
        refusal
    }

    /// Refused for a fault of form, claims included.
    pub async fn malformed(&self, name: &str, token: &str) -> Malformed {
        match self.refused(name, token).await {
            Refusal::Malformed(why) => why,
            other => panic!("{name}: refused for another reason: {other:?}"),
        }
    }

    pub async fn refused_for(&self, name: &str, token: &str, why: impl Into<Refusal>) {
        assert_eq!(self.refused(name, token).await, why.into(), "{name}");
    }

    /// Refused by the resources. What is no text at all cannot be put to the library.
    pub async fn refused_over_http(&self, name: &str, token: &[u8]) {
        if token.starts_with(b" ") {
            // Spaces before a token are not a part of it (RFC 9110, section 11.4).
            return;
        }
        let Ok(value) = HeaderValue::from_bytes(&[b"Bearer ", token].concat()) else {
            // No request can carry it.
            return;
        };
        let one_word = |b: &u8| b.is_ascii_graphic() && *b != b',';
        let is_one_word = !token.is_empty() && token.iter().all(one_word);
        for path in RESOURCES {
            let request = Request::get(path).header("authorization", &value);
            let answer = self.house.send(request.body(Body::empty()).unwrap()).await;
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

/// That second as `format` writes it, raw.
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
