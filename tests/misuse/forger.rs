//! Signs whatever it is given, on ring alone: nothing of the code under test helps or hinders it.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use serde_json::{Map, Value};
use waxseal::key::{Algorithm, generate_pem};
use waxseal::random::OsRandom;

use crate::common::House;

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn decode(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).unwrap()
}

/// Header, payload and signature of a token.
pub fn parts(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().unwrap()
}

/// A private key in the wrong hands.
pub enum Forger {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl Forger {
    /// With the key that a house signs with.
    pub fn of(house: &House) -> Self {
        let mut files: Vec<_> = fs::read_dir(&house.settings.keys_dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        Self::from_pem(&fs::read(files.last().unwrap()).unwrap())
    }

    /// With a key of its own.
    pub fn stranger(algorithm: Algorithm) -> Self {
        Self::from_pem(generate_pem(algorithm, &OsRandom::new()).as_bytes())
    }

    fn from_pem(text: &[u8]) -> Self {
        let pem = pem::parse(text).unwrap();
        let der = pem.contents();
        match Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            Ok(key) => Self::Ed25519(key),
            Err(_) => Self::P256(
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &generator())
                    .unwrap(),
            ),
        }
    }

    pub fn public(&self) -> &[u8] {
        match self {
            Self::Ed25519(key) => key.public_key().as_ref(),
            Self::P256(key) => key.public_key().as_ref(),
        }
    }

    /// The public key as SubjectPublicKeyInfo (RFC 8410, section 4; RFC 5480, section 2).
    pub fn spki(&self) -> Vec<u8> {
        let prefix: &[u8] = match self {
            Self::Ed25519(_) => &[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0],
            Self::P256(_) => &[
                0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86,
                0x48, 0xce, 0x3d, 3, 1, 7, 3, 0x42, 0,
            ],
        };
        [prefix, self.public()].concat()
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Self::P256(key) => key.sign(&generator(), message).unwrap().as_ref().to_vec(),
        }
    }

    /// A token of this header and these claims, whatever they are.
    pub fn seal(&self, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
        self.seal_parts(&encode(header), &encode(claims))
    }

    /// A token of two parts that are encoded already, or badly.
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

/// A JSON object as text, so that members can be doubled and values need not be JSON.
#[derive(Clone)]
pub struct Members(Vec<(String, String)>);

impl Members {
    /// Those of an encoded part.
    pub fn of(part: &str) -> Self {
        let object: Map<String, Value> = serde_json::from_slice(&decode(part)).unwrap();
        let members = object
            .into_iter()
            .map(|(name, value)| (name, value.to_string()));
        Self(members.collect())
    }

    pub fn raw(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        &found.unwrap_or_else(|| panic!("no {name}")).1
    }

    pub fn integer(&self, name: &str) -> i64 {
        self.raw(name).parse().unwrap()
    }

    /// Without the member.
    pub fn without(&self, name: &str) -> Self {
        let rest = self.0.iter().filter(|(known, _)| known != name);
        Self(rest.cloned().collect())
    }

    /// With the member set to that raw text, in the place of any of that name.
    pub fn with(&self, name: &str, raw: &str) -> Self {
        self.without(name).and(name, raw)
    }

    /// With one more member, whatever is there. The name is raw text too.
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

/// A text as a JSON string.
pub fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
