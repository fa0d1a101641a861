//! Pages of the revocation feed, as a verifier in another process reads them: against serde_json's untyped values,
//! jsonwebtoken and pasetors, and against the page that the issuer would write for the same entries.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::read::GzDecoder;
use serde_json::{Map, Value};
use waxseal::key::Format;
use waxseal::revocation::feed::{FeedPage, FeedReading, Question, Statement, WireEntry, digest};
use waxseal::revocation::list::RevocationList;
use waxseal::revocation::log::Cursor;
use waxseal::revocation::page_text::EntriesText;
use waxseal::revocation::{ALL, Revocation, Target, internals};
use waxseal::time::Timestamp;
use waxseal::token::statement::UntrustedStatement;
use waxseal::token::types::REVOCATIONS;

use super::fixture::{CLIENT, Fixture, ISSUER, SEPARATOR, Signer, client};
use super::others::{jose, paseto};

/// The nonce of every question.
pub const NONCE: &str = "bm9uY2U";

/// In a statement, this stands for the digest of the page's entries.
pub const DIGEST: &str = "DIGEST";

/// In a statement, this stands for the running hash after the page's entries, if they begin the log.
pub const HASH: &str = "HASH";

/// The input is a page as text, or pairs of a statement and entries: pages that one reader reads one after the other.
pub fn check(data: &[u8]) -> bool {
    let fixture = Fixture::get();
    let Some((choice, rest)) = data.split_first() else {
        return false;
    };
    let Some(signer) = fixture.signer(*choice) else {
        return as_text(rest);
    };
    let mut parts = rest.split(|byte| *byte == SEPARATOR);
    let mut readings = [FeedReading::default(), caught_up()];
    let mut accepted = false;
    while let (Some(statement), Some(entries)) = (parts.next(), parts.next()) {
        for reading in &mut readings {
            accepted |= signed(signer, statement, entries, reading);
        }
    }
    accepted
}

/// Reads a page whose signature no key of the fixture made.
fn as_text(json: &[u8]) -> bool {
    let Ok(page) = serde_json::from_slice::<FeedPage>(json) else {
        return false;
    };
    let untyped: Map<String, Value> = serde_json::from_slice(json).unwrap();
    assert_eq!(untyped["page"].as_str(), Some(&*page.page));
    assert_eq!(
        untyped["entries"].as_array().map(Vec::len),
        Some(page.entries.len())
    );
    assert_eq!(untyped.len(), 2);
    let written = serde_json::to_vec(&page).unwrap();
    let again: FeedPage = serde_json::from_slice(&written).unwrap();
    assert_eq!(
        (again.page, again.entries),
        (page.page.clone(), page.entries)
    );
    UntrustedStatement::parse(&page.page, REVOCATIONS).is_ok()
}

/// Reads a page that a key of the fixture signs.
fn signed(signer: &Signer, statement: &[u8], json: &[u8], reading: &mut FeedReading) -> bool {
    let (Ok(statement), Ok(json)) = (str::from_utf8(statement), str::from_utf8(json)) else {
        return false;
    };
    let read = untyped_entries(json);
    let (entries_digest, hash) = match &read {
        Some(entries) => (digest(entries), chained(entries)),
        None => Default::default(),
    };
    let statement = statement
        .replace(DIGEST, &URL_SAFE_NO_PAD.encode(entries_digest))
        .replace(HASH, &URL_SAFE_NO_PAD.encode(hash));
    let header = signer.header(REVOCATIONS);
    let text = signer.seal(
        header.as_bytes(),
        statement.as_bytes(),
        REVOCATIONS.as_bytes(),
    );
    let said = UntrustedStatement::parse(&text, REVOCATIONS);
    let Ok(said) = said.and_then(|untrusted| untrusted.verify(signer.public())) else {
        return false;
    };
    assert_eq!(said, statement.as_bytes());
    let (Ok(said), Ok(entries)) = (
        serde_json::from_slice::<Statement>(&said),
        serde_json::from_str::<Vec<WireEntry>>(json),
    ) else {
        return false;
    };
    let question = Question {
        issuer: ISSUER,
        client: client(),
        nonce: NONCE,
    };
    let before = *reading;
    let Ok(brought) = reading.take(&question, &said, &entries) else {
        return false;
    };
    agrees(signer, &text, &said);
    assert_eq!(Some(&brought.revocations), read.as_ref());
    assert_eq!(brought.complete, !said.more);
    let (from, to) = (said.after, reading.cursor().seq);
    assert_eq!(to, said.seq);
    assert_eq!(
        URL_SAFE_NO_PAD.encode(reading.cursor().hash),
        said.hash,
        "the cursor"
    );
    let seqs: Vec<_> = brought.revocations.iter().map(|entry| entry.seq).collect();
    assert!(seqs.is_sorted_by(|one, next| one < next), "{seqs:?}");
    assert!(seqs.iter().all(|seq| from < *seq && *seq <= to), "{seqs:?}");
    if !said.snapshot {
        assert_eq!(seqs.len() as i64, to - from, "a delta has no gaps");
    }
    let written = EntriesText::new(&brought.revocations).unwrap();
    for takes_gzip in [false, true] {
        let body = written.page(&text, takes_gzip).unwrap();
        let mut plain = Vec::new();
        if body.gzip {
            GzDecoder::new(&*body.bytes)
                .read_to_end(&mut plain)
                .unwrap();
        } else {
            plain.extend_from_slice(&body.bytes);
        }
        let again: FeedPage = serde_json::from_slice(&plain).unwrap();
        assert_eq!(again.page, text);
        let mut reading = before;
        let again = reading.take(&question, &said, &again.entries).unwrap();
        assert_eq!(again.revocations, brought.revocations);
    }
    let list = RevocationList::new();
    for revocation in &brought.revocations {
        internals::apply(&list, revocation);
    }
    internals::learn_horizon(&list, Timestamp::from_millis(said.horizon));
    internals::drop_covered(&list);
    true
}

/// Asserts that another implementation accepts the signed statement, and reads the same in it.
fn agrees(signer: &Signer, text: &str, said: &Statement) {
    let key = signer.public();
    let theirs = match key.algorithm().format() {
        Format::Jwt => {
            let expected = jose::Expected {
                issuer: ISSUER,
                audience: CLIENT,
                required: &["aud", "iss"],
            };
            jose::verified(text, key, &expected).unwrap().claims
        }
        Format::Paseto => {
            let (message, _) = paseto::verified(text, key, REVOCATIONS.as_bytes()).unwrap();
            serde_json::from_slice(&message).unwrap()
        }
    };
    let ours = serde_json::to_value(said).unwrap();
    for (name, ours) in ours.as_object().unwrap() {
        assert_eq!(theirs.get(name), Some(ours), "{name}");
    }
    assert_eq!(
        (&*said.iss, &*said.aud, &*said.nonce),
        (ISSUER, CLIENT, NONCE)
    );
}

/// A reading that has reached the head of an empty log, and asks for a delta next.
fn caught_up() -> FeedReading {
    let hash = URL_SAFE_NO_PAD.encode(Cursor::START.hash);
    let statement = Statement {
        iss: ISSUER.to_owned(),
        aud: CLIENT.to_owned(),
        nonce: NONCE.to_owned(),
        now: 0,
        age: 0,
        after: 0,
        after_hash: None,
        snapshot: true,
        more: false,
        seq: 0,
        hash,
        entries: URL_SAFE_NO_PAD.encode(digest(&[])),
        horizon: 0,
        newest: 0,
    };
    let question = Question {
        issuer: ISSUER,
        client: client(),
        nonce: NONCE,
    };
    let mut reading = FeedReading::default();
    reading.take(&question, &statement, &[]).unwrap();
    reading
}

fn chained(entries: &[Revocation]) -> [u8; 32] {
    let chain = |before: [u8; 32], entry: &Revocation| entry.chain(&before);
    entries.iter().fold(Cursor::START.hash, chain)
}

/// The entries, read member by member from an untyped value.
fn untyped_entries(json: &str) -> Option<Vec<Revocation>> {
    let entries: Value = serde_json::from_str(json).ok()?;
    entries.as_array()?.iter().map(untyped_entry).collect()
}

fn untyped_entry(entry: &Value) -> Option<Revocation> {
    let entry = entry.as_object()?;
    let known = [
        "seq",
        "scope",
        "key",
        "from",
        "grace_until",
        "spared",
        "expires_at",
        "reason",
        "at",
    ];
    if entry.keys().any(|name| !known.contains(&&**name)) {
        return None;
    }
    let text = |name| entry.get(name).and_then(Value::as_str);
    let number = |name| entry.get(name).and_then(Value::as_i64);
    let optional = |name| match entry.get(name) {
        None => Some(None),
        Some(value) => value.as_i64().map(Some),
    };
    Some(Revocation {
        seq: number("seq")?,
        target: Target::from_log(text("scope")?, text("key")?).ok()?,
        from: optional("from")?.unwrap_or(ALL),
        grace_until: optional("grace_until")?.map(Timestamp::from_millis),
        spared: match entry.get("spared") {
            None => None,
            Some(lineage) => Some(lineage.as_str()?.parse().ok()?),
        },
        expires_at: optional("expires_at")?.map_or(Timestamp::NEVER, Timestamp::from_millis),
        reason: text("reason")?.parse().ok()?,
        at: Timestamp::from_millis(number("at")?),
    })
}
