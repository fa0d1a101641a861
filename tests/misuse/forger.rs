//! Signs any input with ring alone, independent of the code under test.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use serde_json::{Map, Value};
use waxseal::key::{Algorithm, Format, generate_pem};
use waxseal::random::OsRandom;

use crate::common::{TestServer, signing_pem};

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn decode(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).unwrap()
}

/// The prefix of every PASETO here.
pub const PASETO: &str = "v4.public.";

/// Splits a JWT into header, payload and signature.
pub fn parts(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().unwrap()
}

/// Returns a token's prefix before its base64, and its base64 parts: three of a JWT, body and footer of a PASETO.
pub fn base64_parts(token: &str) -> (&str, Vec<&str>) {
    let (start, rest) = match token.strip_prefix(PASETO) {
        Some(rest) => (PASETO, rest),
        None => ("", token),
    };
    (start, rest.split('.').collect())
}

/// Decodes the message, signature and footer of a PASETO.
pub fn paseto_parts(token: &str) -> [Vec<u8>; 3] {
    let (_, parts) = base64_parts(token);
    let mut message = decode(parts[0]);
    let signature = message.split_off(message.len() - 64);
    [message, signature, decode(parts[1])]
}

/// Builds a PASETO from its message, signature and footer.
pub fn paseto(message: &[u8], signature: &[u8], footer: &[u8]) -> String {
    let body = encode([message, signature].concat());
    format!("{PASETO}{body}.{}", encode(footer))
}

/// Decodes the header or footer of a token, and its claims.
pub fn header_and_claims(token: &str) -> [Vec<u8>; 2] {
    if token.starts_with(PASETO) {
        let [message, _, footer] = paseto_parts(token);
        return [footer, message];
    }
    let [header, payload, _] = parts(token);
    [header, payload].map(decode)
}

/// Pre-authentication encoding (PASETO, Common Implementation Details).
pub fn pae(pieces: &[&[u8]]) -> Vec<u8> {
    let length = |length: usize| u64::try_from(length).unwrap().to_le_bytes();
    let mut encoded = length(pieces.len()).to_vec();
    for piece in pieces {
        encoded.extend(length(piece.len()));
        encoded.extend(*piece);
    }
    encoded
}

/// A private key in an attacker's hands.
pub struct Forger {
    pair: Pair,
    format: Format,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl Forger {
    /// Creates a forger with a service's signing key.
    pub fn of(server: &TestServer) -> Self {
        let settings = &server.settings;
        let pem = signing_pem(&settings.keys_dir, settings.format);
        Self::from_pem(pem.as_bytes(), settings.format)
    }

    /// Creates a forger with a key of its own.
    pub fn stranger(algorithm: Algorithm) -> Self {
        let pem = generate_pem(algorithm, &OsRandom::new());
        Self::from_pem(pem.as_bytes(), algorithm.format())
    }

    pub fn from_pem(text: &[u8], format: Format) -> Self {
        let pem = pem::parse(text).unwrap();
        let der = pem.contents();
        let pair = match Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            Ok(key) => Pair::Ed25519(key),
            Err(_) => Pair::P256(
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &generator())
                    .unwrap(),
            ),
        };
        Self { pair, format }
    }

    pub fn public(&self) -> &[u8] {
        match &self.pair {
            Pair::Ed25519(key) => key.public_key().as_ref(),
            Pair::P256(key) => key.public_key().as_ref(),
        }
    }

    /// Returns the public key as SubjectPublicKeyInfo (RFC 8410, section 4; RFC 5480, section 2).
    pub fn spki(&self) -> Vec<u8> {
        let prefix: &[u8] = match &self.pair {
            Pair::Ed25519(_) => &[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0],
            Pair::P256(_) => &[
                0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86,
                0x48, 0xce, 0x3d, 3, 1, 7, 3, 0x42, 0,
            ],
        };
        [prefix, self.public()].concat()
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.pair {
            Pair::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Pair::P256(key) => key.sign(&generator(), message).unwrap().as_ref().to_vec(),
        }
    }

    /// Signs a token with this header, or footer, and these claims, valid or not.
    pub fn seal(&self, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
        match self.format {
            Format::Jwt => self.seal_parts(&encode(header), &encode(claims)),
            Format::Paseto => self.seal_message(claims.as_ref(), header.as_ref(), b""),
        }
    }

    /// Signs a PASETO, optionally with an implicit assertion.
    pub fn seal_message(&self, message: &[u8], footer: &[u8], assertion: &[u8]) -> String {
        let signature = self.sign(&pae(&[PASETO.as_bytes(), message, footer, assertion]));
        paseto(message, &signature, footer)
    }

    /// Returns the same token with a signature of this key.
    pub fn resign(&self, token: &str) -> String {
        match self.format {
            Format::Jwt => {
                let [header, payload, _] = parts(token);
                self.seal_parts(header, payload)
            }
            Format::Paseto => {
                let [message, _, footer] = paseto_parts(token);
                self.seal_message(&message, &footer, b"")
            }
        }
    }

    /// Signs a JWT of two parts that are already encoded, correctly or not.
    pub fn seal_parts(&self, header: &str, payload: &str) -> String {
        let signed = format!("{header}.{payload}");
        let signature = encode(self.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "ring signs ECDSA with no generator but its own"
)]
fn generator() -> SystemRandom {
    SystemRandom::new()
}

/// A JSON object as text, so that members can repeat and values need not be JSON.
#[derive(Clone)]
pub struct Members(Vec<(String, String)>);

impl Members {
    /// Parses the members of a JSON text.
    pub fn of(json: &[u8]) -> Self {
        let object: Map<String, Value> = serde_json::from_slice(json).unwrap();
        let members = object
            .into_iter()
            .map(|(name, value)| (name, value.to_string()));
        Self(members.collect())
    }

    pub fn raw(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        &found.unwrap_or_else(|| panic!("no {name}")).1
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Returns the members without this one.
    pub fn without(&self, name: &str) -> Self {
        let rest = self.0.iter().filter(|(known, _)| known != name);
        Self(rest.cloned().collect())
    }

    /// Returns the members with `name` set to this raw text, replacing any of that name.
    pub fn with(&self, name: &str, raw: &str) -> Self {
        self.without(name).and(name, raw)
    }

    /// Returns the members with one more, even if the name exists. The name is raw text too.
    pub fn and(&self, name: &str, raw: &str) -> Self {
        let mut members = self.clone();
        members.0.push((name.to_owned(), raw.to_owned()));
        members
    }

    pub fn text(&self) -> String {
        let members: Vec<_> = self
            .0
            .iter()
            .map(|(name, raw)| format!("\"{name}\":{raw}"))
            .collect();
        format!("{{{}}}", members.join(","))
    }
}

/// Returns a text as a JSON string.
pub fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
