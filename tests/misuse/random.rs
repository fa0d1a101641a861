//! Random changes, for attacks not listed elsewhere.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::Value;
use tokio::runtime::Runtime;
use waxseal::key::Algorithm;

use crate::common::{ISSUER, START, campaign};
use crate::fixture::Fixture;
use crate::forger::header_and_claims;

/// A run of so many cases by night, and of a tenth of them by day.
fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases: campaign(cases / 10, cases),
        failure_persistence: None,
        ..Config::default()
    })
}

/// One edit of a text.
#[derive(Clone, Debug)]
enum Edit {
    Put(usize, u8),
    Insert(usize, u8),
    Remove(usize),
    Swap(usize, usize),
    Repeat(usize, usize),
    Cut(usize, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<usize>;
    let byte = || {
        prop_oneof![
            8 => proptest::sample::select(
                &b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[..],
            ),
            1 => proptest::sample::select(&b".=+/ ,{}[]\"\\:"[..]),
            1 => 0x21..0x7f_u8,
        ]
    };
    prop_oneof![
        (at(), byte()).prop_map(|(at, byte)| Edit::Put(at, byte)),
        (at(), byte()).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        at().prop_map(Edit::Remove),
        (at(), at()).prop_map(|(one, other)| Edit::Swap(one, other)),
        (at(), 1..40_usize).prop_map(|(at, length)| Edit::Repeat(at, length)),
        (at(), 1..40_usize).prop_map(|(at, length)| Edit::Cut(at, length)),
    ]
}

fn edited(original: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut text = original.to_vec();
    for edit in edits {
        let length = text.len();
        if length == 0 {
            break;
        }
        let range = |at: usize, count: usize| at % length..length.min(at % length + count);
        match *edit {
            Edit::Put(at, byte) => text[at % length] = byte,
            Edit::Insert(at, byte) => text.insert(at % (length + 1), byte),
            Edit::Remove(at) => drop(text.remove(at % length)),
            Edit::Swap(one, other) => text.swap(one % length, other % length),
            Edit::Repeat(at, count) => {
                let piece = text[range(at, count)].to_vec();
                let end = range(at, count).end;
                text.splice(end..end, piece);
            }
            Edit::Cut(at, count) => drop(text.drain(range(at, count))),
        }
    }
    text
}

#[test]
fn a_mutated_token() {
    let runtime = Runtime::new().unwrap();
    for algorithm in Algorithm::ALL {
        let fixture = runtime.block_on(Fixture::with(algorithm));
        let mutated = |edits: Vec<Edit>| {
            String::from_utf8(edited(fixture.genuine.as_bytes(), &edits)).unwrap()
        };
        runner(2500)
            .run(&vec(edit(), 1..6), |edits| {
                let token = mutated(edits);
                let verified = fixture.verify(&token).is_ok();
                prop_assert_eq!(verified, token == fixture.genuine, "{}", token);
                Ok(())
            })
            .unwrap();
        runner(300)
            .run(&vec(edit(), 1..6), |edits| {
                let token = mutated(edits);
                if token != fixture.genuine {
                    runtime.block_on(fixture.refused("mutated", &token));
                }
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn garbage() {
    let runtime = Runtime::new().unwrap();
    let part = "[A-Za-z0-9_-]{0,90}";
    let three_parts = format!("{part}\\.{part}\\.{part}");
    let paseto = format!("v[1-4]\\.(public|local)\\.{part}(\\.{part})?");
    let texts = prop_oneof![
        any::<String>(),
        ".{0,200}",
        "[ -~]{0,200}",
        three_parts.as_str(),
        paseto.as_str(),
        "([A-Za-z0-9_-]{0,6}[.]){0,6}",
    ];
    for fixture in runtime.block_on(Fixture::of_each_format()) {
        runner(1500)
            .run(&texts, |text| {
                runtime.block_on(fixture.refused("garbage", &text));
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn garbage_in_the_header() {
    let runtime = Runtime::new().unwrap();
    for fixture in runtime.block_on(Fixture::of_each_format()) {
        runner(3000)
            .run(&vec(any::<u8>(), 0..300), |header| {
                let token = fixture.forger.seal(header, fixture.claims.text());
                prop_assert!(fixture.verify(&token).is_err());
                Ok(())
            })
            .unwrap();
        runner(3000)
            .run(&vec(edit(), 1..4), |edits| {
                let header = edited(fixture.header.text().as_bytes(), &edits);
                let token = fixture.forger.seal(&header, fixture.claims.text());
                if fixture.verify(&token).is_ok() {
                    let header: Value = serde_json::from_slice(&header).unwrap();
                    let good: Value = serde_json::from_str(&fixture.header.text()).unwrap();
                    prop_assert_eq!(header, good);
                }
                Ok(())
            })
            .unwrap();
    }
}

/// Correctly signed, so that verification reaches the claims.
#[test]
fn garbage_that_our_key_signed() {
    let runtime = Runtime::new().unwrap();
    for fixture in runtime.block_on(Fixture::of_each_format()) {
        runner(3000)
            .run(&vec(any::<u8>(), 0..600), |claims| {
                prop_assert!(fixture.verify(&fixture.with_claims(claims)).is_err());
                Ok(())
            })
            .unwrap();
        // An accepted token must mean the same to another JSON parser.
        runner(3000)
            .run(&vec(edit(), 1..4), |edits| {
                let token = fixture.with_claims(edited(fixture.claims.text().as_bytes(), &edits));
                if let Ok(verified) = fixture.verify(&token) {
                    let read: Value = serde_json::from_slice(&header_and_claims(&token)[1])
                        .map_err(|why| TestCaseError::fail(why.to_string()))?;
                    prop_assert_eq!(&read["iss"], ISSUER);
                    prop_assert_eq!(&read["aud"], ISSUER);
                    prop_assert_eq!(&read["sub"], &verified.subject().to_string());
                    prop_assert_eq!(&read["sid"], &verified.session_id().to_string());
                    let exp = fixture.read_second(&read["exp"].to_string());
                    prop_assert_eq!(exp, verified.expires_at().secs());
                    prop_assert!(exp > START.secs() - 5);
                }
                Ok(())
            })
            .unwrap();
    }
}
