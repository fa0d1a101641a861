//! Fixed keys, a verifier that knows them, and a clock that stands still.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pem::Pem;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use waxseal::claims::{Claims, ClientClaims};
use waxseal::id::{ClientId, Lineage, TokenId, UserId};
use waxseal::key::{Format, SigningKey, VerifyingKey, pem_from_jwk};
use waxseal::keyring::{Keyring, SharedKeyring};
use waxseal::policy::{Policy, Timeouts};
use waxseal::random::SeededRandom;
use waxseal::revocation::freshness::Freshness;
use waxseal::revocation::internals;
use waxseal::revocation::list::RevocationList;
use waxseal::session;
use waxseal::time::{Clock, ManualClock, Timestamp};
use waxseal::token::paseto::sign_message;
use waxseal::verifier::Verifier;

pub const ISSUER: &str = "https://issuer.example";
pub const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
pub const LEEWAY: Duration = Duration::from_secs(5);

/// The client of the fixture.
pub const CLIENT: &str = "client-01a31c41-5000-7000-8000-000000000001";

/// The key of RFC 7515, appendix A.3.
const P256: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;

/// The DER of an Ed25519 key (RFC 8410, section 7), up to the seed.
const ED25519: [u8; 16] = [
    0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
];

/// What the first byte of an input chooses, modulo 4: the rest is a text as it is, or what a key signs.
pub const TEXT: u8 = 0;
pub const EDDSA: u8 = 1;
pub const ES256: u8 = 2;
pub const PASETO: u8 = 3;

/// Separates the header of a JWT, or the footer of a PASETO, from its payload.
pub const SEPARATOR: u8 = 0;

/// A key that signs any bytes.
pub struct Signer {
    pub key: SigningKey,
    pair: Pair,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl Signer {
    fn ed25519(seed: u8, format: Format) -> Self {
        let der = [&ED25519[..], &[seed; 32]].concat();
        let pem = pem::encode(&Pem::new("PRIVATE KEY", der.clone()));
        Self {
            key: SigningKey::from_pem(pem.as_bytes(), format).unwrap(),
            pair: Pair::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).unwrap()),
        }
    }

    fn p256() -> Self {
        let text = pem_from_jwk(P256.as_bytes()).unwrap();
        let der = pem::parse(text.as_bytes()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            der.contents(),
            &generator(),
        );
        Self {
            key: SigningKey::from_pem(text.as_bytes(), Format::Jwt).unwrap(),
            pair: Pair::P256(pair.unwrap()),
        }
    }

    pub fn public(&self) -> &VerifyingKey {
        self.key.public()
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.pair {
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::P256(pair) => pair.sign(&generator(), message).unwrap().as_ref().to_vec(),
        }
    }

    /// Signs a JWT with this header, or a PASETO with this footer.
    pub fn seal(&self, header: &[u8], payload: &[u8], assertion: &[u8]) -> String {
        match self.public().algorithm().format() {
            Format::Jwt => {
                let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
                let signed = format!("{}.{}", encode(header), encode(payload));
                let signature = self.sign(signed.as_bytes());
                format!("{signed}.{}", encode(&signature))
            }
            Format::Paseto => sign_message(payload, header, assertion, &self.key).unwrap(),
        }
    }

    /// The header that the key writes into a JWT of the type `typ`, or its footer.
    pub fn header(&self, typ: &str) -> String {
        let (kid, algorithm) = (self.public().kid(), self.public().algorithm());
        match algorithm.format() {
            Format::Jwt => {
                format!(
                    r#"{{"typ":"{typ}","alg":"{}","kid":"{kid}"}}"#,
                    algorithm.name()
                )
            }
            Format::Paseto => format!(r#"{{"kid":"{kid}"}}"#),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "ring signs ECDSA with no generator but its own"
)]
fn generator() -> SystemRandom {
    SystemRandom::new()
}

pub struct Fixture {
    /// The keys, in the order of [`EDDSA`], [`ES256`] and [`PASETO`].
    signers: [Signer; 3],
    /// A verifier without a memo.
    pub plain: Arc<Verifier>,
    /// The same verifier with a memo.
    pub remembering: Verifier,
    pub policy: Policy,
}

impl Fixture {
    /// The fixture that all inputs of a process share.
    pub fn get() -> &'static Self {
        static STAGE: LazyLock<Fixture> = LazyLock::new(Fixture::new);
        &STAGE
    }

    fn new() -> Self {
        let signers = [
            Signer::ed25519(7, Format::Jwt),
            Signer::p256(),
            Signer::ed25519(8, Format::Paseto),
        ];
        let keys = signers.each_ref().map(|signer| signer.public().clone());
        let timeouts = Timeouts::default();
        assert_eq!(timeouts.leeway, LEEWAY);
        let policy = Policy::new(ISSUER, ISSUER, timeouts).unwrap();
        let clock = Arc::new(ManualClock::at(NOW));
        let freshness = Freshness::new(Duration::from_secs(3600));
        internals::prove(&freshness, clock.uptime());
        let verifier = Verifier::new(
            Arc::new(SharedKeyring::new(
                Keyring::from_verifying_keys(keys).unwrap(),
            )),
            vec![Format::Jwt, Format::Paseto],
            policy.clone(),
            Arc::new(RevocationList::new()),
            Arc::new(freshness),
            clock,
        );
        Self {
            signers,
            plain: Arc::new(verifier.with_token_cache(0)),
            remembering: verifier.with_token_cache(1 << 16),
            policy,
        }
    }

    /// The key that the first byte of an input chooses. None for [`TEXT`].
    pub fn signer(&self, choice: u8) -> Option<&Signer> {
        let at = usize::from(choice % 4).checked_sub(1)?;
        self.signers.get(at)
    }

    /// The key of the fixture that this `kid` names.
    pub fn key(&self, kid: &str) -> &VerifyingKey {
        let mut keys = self.signers.iter().map(Signer::public);
        keys.find(|key| key.kid().as_str() == kid).unwrap()
    }

    /// The signed text of an input: as it is, or signed with a key of the fixture. Without a [`SEPARATOR`], the header is
    /// the key's own for the type `typ`.
    pub fn text(&self, data: &[u8], typ: &str) -> Option<String> {
        let (choice, rest) = data.split_first()?;
        let Some(signer) = self.signer(*choice) else {
            return String::from_utf8(rest.to_vec()).ok();
        };
        let (header, payload) = parts(rest);
        let own = signer.header(typ);
        let header = header.unwrap_or(own.as_bytes());
        Some(signer.seal(header, payload, b""))
    }

    /// The claims of a session, which every call makes anew.
    pub fn claims(&self, seed: u64) -> Claims {
        let random = SeededRandom::new(seed);
        let (user, lineage) = (UserId::new(NOW, &random), Lineage::new(NOW, &random));
        session::begin(&self.policy, user, lineage, NOW, &random)
    }

    /// The claims of a client's own token.
    pub fn client_claims(&self) -> ClientClaims {
        let scopes = "orders:write orders:read".parse().unwrap();
        let token_id = TokenId::new(NOW, &SeededRandom::new(5));
        let lifetime = Duration::from_secs(300);
        let mut claims =
            ClientClaims::new(ISSUER, client(), ISSUER, scopes, token_id, NOW, lifetime);
        claims.not_before = Some(NOW);
        claims
    }
}

pub fn client() -> ClientId {
    CLIENT.parse().unwrap()
}

/// The parts before and after the first [`SEPARATOR`].
fn parts(data: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match data.iter().position(|byte| *byte == SEPARATOR) {
        Some(at) => (Some(&data[..at]), &data[at + 1..]),
        None => (None, data),
    }
}
