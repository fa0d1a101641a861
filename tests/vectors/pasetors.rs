//! The independent library pasetors and Waxseal agree on every token, except for what Waxseal refuses on purpose.

use pasetors::keys::AsymmetricSecretKey;
use pasetors::version4::{PublicToken, V4};
use pem::Pem;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::Config;
use waxseal::key::{Format, SigningKey, VerifyingKey};
use waxseal::token::paseto::{UntrustedMessage, sign_message};

use super::checks::others::paseto;
use super::hex;

/// One key, for both libraries.
struct Keys {
    ours: SigningKey,
    theirs: AsymmetricSecretKey<V4>,
}

impl Keys {
    fn new(seed: &[u8; 32]) -> Self {
        let prefix = hex("302e020100300506032b657004220420");
        let pem = pem::encode(&Pem::new("PRIVATE KEY", [&prefix[..], seed].concat()));
        let ours = SigningKey::from_pem(pem.as_bytes(), Format::Paseto).unwrap();
        let both = [seed, ours.public().public_bytes()].concat();
        let theirs = AsymmetricSecretKey::from(&both).unwrap();
        Self { ours, theirs }
    }

    fn public(&self) -> &VerifyingKey {
        self.ours.public()
    }
}

/// Waxseal's result: the message and the footer.
fn ours(keys: &Keys, token: &str, assertion: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let message = UntrustedMessage::parse(token).ok()?;
    let footer = message.footer().to_vec();
    Some((message.verify(keys.public(), assertion).ok()?, footer))
}

/// The result of pasetors.
fn theirs(keys: &Keys, token: &str, assertion: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    paseto::verified(token, keys.public(), assertion)
}

/// One change of a text, possibly none.
#[derive(Clone, Debug)]
enum Damage {
    None,
    Put(usize, char),
    Insert(usize, char),
    Remove(usize),
    Cut(usize),
    Append(String),
    /// Moves the last dot.
    Move(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<usize>;
    let letter = || {
        prop_oneof![
            8 => proptest::char::ranges(vec!['A'..='Z', 'a'..='z', '0'..='9', '-'..='-', '_'..='_'].into()),
            1 => proptest::sample::select(vec!['.', '=', '+', '/', ' ', '\n', '\0', '\u{e9}']),
        ]
    };
    prop_oneof![
        Just(Damage::None),
        (at(), letter()).prop_map(|(at, letter)| Damage::Put(at, letter)),
        (at(), letter()).prop_map(|(at, letter)| Damage::Insert(at, letter)),
        at().prop_map(Damage::Remove),
        at().prop_map(Damage::Cut),
        "[.=A-Za-z0-9_-]{1,6}".prop_map(Damage::Append),
        at().prop_map(Damage::Move),
    ]
}

fn damaged(token: &str, damage: &Damage) -> String {
    let mut text: Vec<char> = token.chars().collect();
    let length = text.len();
    match damage {
        Damage::None => {}
        Damage::Put(at, letter) => text[at % length] = *letter,
        Damage::Insert(at, letter) => text.insert(at % (length + 1), *letter),
        Damage::Remove(at) => drop(text.remove(at % length)),
        Damage::Cut(at) => text.truncate(at % length),
        Damage::Append(more) => text.extend(more.chars()),
        Damage::Move(at) => {
            let dot = text.iter().rposition(|letter| *letter == '.').unwrap();
            text.remove(dot);
            text.insert(at % length, '.');
        }
    }
    text.into_iter().collect()
}

proptest! {
    #![proptest_config(Config { cases: 1000, failure_persistence: None, ..Config::default() })]

    /// The message is UTF-8 and not empty: pasetors accepts no other.
    #[test]
    fn pasetors_and_waxseal_agree(
        seed in any::<[u8; 32]>(),
        message in ".{1,80}",
        footer in vec(any::<u8>(), 0..60),
        assertion in vec(any::<u8>(), 0..60),
        damage in damage(),
        other_assertion in any::<bool>(),
    ) {
        let keys = Keys::new(&seed);
        let message = message.as_bytes();
        let token = sign_message(message, &footer, &assertion, &keys.ours).unwrap();
        let again = PublicToken::sign(&keys.theirs, message, Some(&footer), Some(&assertion));
        prop_assert_eq!(Ok(&token), again.as_ref());

        let read = Some((message.to_vec(), footer));
        prop_assert_eq!(&ours(&keys, &token, &assertion), &read);
        prop_assert_eq!(&theirs(&keys, &token, &assertion), &read);

        let mut told = assertion.clone();
        if other_assertion {
            told.push(0);
        }
        let bad = damaged(&token, &damage);
        let verdict = ours(&keys, &bad, &told);
        if bad.ends_with('.') {
            prop_assert_eq!(verdict, None);
        } else {
            prop_assert_eq!(&verdict, &theirs(&keys, &bad, &told), "{}", bad);
            prop_assert_eq!(verdict.is_some(), bad == token && !other_assertion);
        }
    }
}

#[test]
fn waxseal_refuses_some_tokens_that_pasetors_accepts() {
    let keys = Keys::new(&[7; 32]);
    let token = sign_message(b"{}", b"", b"", &keys.ours).unwrap();
    assert!(ours(&keys, &token, b"").is_some());
    let dotted = format!("{token}.");
    assert!(
        theirs(&keys, &dotted, b"").is_some(),
        "otherwise the two do not differ"
    );
    assert_eq!(ours(&keys, &dotted, b""), None);

    let long = sign_message(&[b'x'; 9000], b"", b"", &keys.ours).unwrap();
    assert!(theirs(&keys, &long, b"").is_some());
    assert_eq!(ours(&keys, &long, b""), None);
}
