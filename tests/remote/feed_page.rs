//! `docs/feed.md` is correct: the test computes its example again.

use std::path::Path;

use ring::digest::{SHA256, digest};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use waxseal::id::ClientId;
use waxseal::revocation::feed::{
    BadPage, Brought, FeedPage, FeedPosition, FeedReading, PAGE, Question, Statement, WireEntry,
};
use waxseal::schedule::{LEAD, MAX_AGE};

use super::forger::{decode, encode};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/feed.md");
    std::fs::read_to_string(path).unwrap()
}

/// The page's fenced blocks in that language, in order.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let begun = page.split(&fence).skip(1);
    begun
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

struct Example {
    statement: Statement,
    entries: Vec<WireEntry>,
    hashes: Vec<String>,
    bytes: Vec<u8>,
}

fn example() -> Example {
    let page = page();
    let [statement, log] = blocks(&page, "json").try_into().unwrap();
    let [hashes, hex] = blocks(&page, "text").try_into().unwrap();
    let hex: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    Example {
        statement: serde_json::from_str(&statement).unwrap(),
        entries: log
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
        hashes: hashes.lines().map(str::to_owned).collect(),
        bytes: hex.chunks(2).map(byte).collect(),
    }
}

fn take(reading: &mut FeedReading, statement: &Statement, entries: &[WireEntry]) {
    try_to_take(reading, statement, entries).unwrap();
}

fn try_to_take(
    reading: &mut FeedReading,
    statement: &Statement,
    entries: &[WireEntry],
) -> Result<Brought, BadPage> {
    let client: ClientId = statement.aud.parse().unwrap();
    let question = Question {
        issuer: &statement.iss,
        client,
        nonce: &statement.nonce,
    };
    reading.take(&question, statement, entries)
}

#[test]
fn the_page_of_the_example_is_one_that_a_reader_takes() {
    let Example {
        statement,
        entries,
        hashes,
        ..
    } = example();
    take(&mut FeedReading::default(), &statement, &entries);
    assert_eq!(hashes.last(), Some(&statement.hash));
    let written: Value = serde_json::to_value(&statement).unwrap();
    let page = page();
    for name in written.as_object().unwrap().keys() {
        assert!(page.contains(&format!("`{name}`")), "{name} is explained");
    }
}

#[test]
fn each_entry_of_the_example_leads_to_its_running_hash() {
    let Example {
        mut statement,
        entries,
        hashes,
        ..
    } = example();
    assert_eq!(entries.len(), hashes.len());
    let mut reading = FeedReading::default();
    let nothing = digest_of(&[]);
    statement.seq = 0;
    statement.hash = encode([0; 32]);
    statement.entries = nothing;
    take(&mut reading, &statement, &[]);
    // A page of every length: the running hash is compared where a page ends.
    for length in 1..=entries.len() {
        let mut reading = reading;
        let entries = &entries[..length];
        let statement = Statement {
            snapshot: false,
            seq: i64::try_from(length).unwrap(),
            hash: hashes[length - 1].clone(),
            entries: digest_of(entries),
            ..statement.clone()
        };
        take(&mut reading, &statement, entries);
    }
}

#[test]
fn a_page_is_made_of_objects_and_an_optional_member_is_not_null() {
    fn strict<T: DeserializeOwned + Serialize>(good: &T, optional: &[&str]) {
        let good = serde_json::to_value(good).unwrap();
        assert!(serde_json::from_value::<T>(good.clone()).is_ok());
        let members: Vec<_> = good.as_object().unwrap().values().cloned().collect();
        assert!(serde_json::from_value::<T>(members.into()).is_err());
        for name in optional {
            let mut page = good.clone();
            page[name] = Value::Null;
            assert!(serde_json::from_value::<T>(page).is_err(), "{name}");
        }
    }
    let example = example();
    strict(&example.statement, &["after_hash"]);
    let optional = ["from", "grace_until", "spared", "expires_at"];
    strict(&example.entries[0], &optional);
    let page = FeedPage {
        page: String::new(),
        entries: example.entries,
    };
    strict(&page, &[]);
}

#[test]
fn an_entry_of_an_unknown_scope_is_skipped_if_it_is_ignorable_and_makes_the_page_unusable_if_not() {
    let Example {
        statement, entries, ..
    } = example();
    let mut reading = FeedReading::default();
    take(&mut reading, &statement, &entries);
    let before = decode(&statement.hash);
    let with_unknown = |scope: &str, key: &str| {
        let unknown = json!({"seq": 5, "scope": scope, "key": key, "reason": "later", "at": 1});
        let unknown: WireEntry = serde_json::from_value(unknown).unwrap();
        let statement = Statement {
            snapshot: false,
            after: 4,
            seq: 5,
            hash: encode(digest(&SHA256, &bytes(&before, &unknown))),
            entries: digest_of(std::slice::from_ref(&unknown)),
            ..statement.clone()
        };
        let mut reading = reading;
        let taken = try_to_take(&mut reading, &statement, &[unknown]);
        (taken.map(|brought| brought.complete), reading.next())
    };
    for (scope, key) in [("ignorable:note", ""), ("ignorable:a_2", "client-7/|!~")] {
        let follows_on = (Ok(true), FeedPosition::Delta(5));
        assert_eq!(with_unknown(scope, key), follows_on, "{scope}");
    }
    for (scope, why) in [
        ("device", BadPage::UnknownKind(5)),
        ("horizon", BadPage::UnknownKind(5)),
        ("ignorable:Note", BadPage::Entries),
    ] {
        let refused = (Err(why), FeedPosition::Delta(4));
        assert_eq!(with_unknown(scope, "x"), refused, "{scope}");
    }
}

#[test]
fn no_entry_follows_the_largest_seq() {
    let Example {
        statement, entries, ..
    } = example();
    let at_the_end = Statement {
        seq: i64::MAX,
        entries: digest_of(&[]),
        ..statement
    };
    let mut reading = FeedReading::default();
    take(&mut reading, &at_the_end, &[]);
    let next = Statement {
        snapshot: false,
        after: i64::MAX,
        entries: digest_of(&entries),
        ..at_the_end
    };
    let taken = try_to_take(&mut reading, &next, &entries);
    assert_eq!(taken.unwrap_err(), BadPage::OtherLog(i64::MAX));
}

/// Computed from the rules on the page, with ring alone.
pub fn digest_of(entries: &[WireEntry]) -> String {
    let start = digest(&SHA256, b"waxseal-revocations").as_ref().to_vec();
    let hash = entries.iter().fold(start, |before, entry| {
        digest(&SHA256, &bytes(&before, entry)).as_ref().to_vec()
    });
    encode(hash)
}

fn bytes(before: &[u8], entry: &WireEntry) -> Vec<u8> {
    let entry = serde_json::to_value(entry).unwrap();
    let number = |name: &str| entry.get(name).map(|number| number.as_i64().unwrap());
    let mut bytes = before.to_vec();
    for name in ["seq", "from", "expires_at", "at"] {
        bytes.extend(number(name).unwrap_or(i64::MAX).to_be_bytes());
    }
    for name in ["scope", "key", "spared", "reason"] {
        let text = entry.get(name).map_or("", |text| text.as_str().unwrap());
        bytes.extend(u64::try_from(text.len()).unwrap().to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    if let Some(until) = number("grace_until") {
        bytes.extend(until.to_be_bytes());
    }
    bytes
}

#[test]
fn the_bytes_of_the_second_entry_are_those_that_are_hashed() {
    let example = example();
    let first = bytes(&[0; 32], &example.entries[0]);
    let first = digest(&SHA256, &first);
    assert_eq!(encode(first), example.hashes[0]);
    assert_eq!(bytes(first.as_ref(), &example.entries[1]), example.bytes);
    assert_eq!(encode(digest(&SHA256, &example.bytes)), example.hashes[1]);
}

#[test]
fn the_numbers_of_the_page_are_those_of_the_code() {
    let page = page();
    for said in [
        format!("up to {PAGE} entries"),
        format!("every {} minutes", MAX_AGE.as_secs() / 60),
        format!("published for {} minutes", LEAD.as_secs() / 60),
    ] {
        assert!(page.contains(&said), "{said}");
    }
}
