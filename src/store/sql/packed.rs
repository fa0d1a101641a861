//! Entries of the log as one row, which both engines pack and one function reads.

use std::str::Split;

use super::reader::unreadable;
use crate::revocation::log::Entry;
use crate::revocation::{LogHash, Revocation, Target};
use crate::time::Timestamp;

/// How many columns of [`ENTRIES`](super::statements::ENTRIES) are texts. The hashes come after them.
pub(super) const COLUMNS: usize = 9;

/// The entries of such a row, in the order of `seq`.
pub(super) fn entries(columns: &[String], hashes: &[u8]) -> sqlx::Result<Vec<Entry>> {
    const ROW: &str = "row of the revocation log";
    let (hashes, rest) = hashes.as_chunks();
    let mut columns: Vec<_> = columns.iter().map(|column| column.split(' ')).collect();
    let entries = hashes.iter().map(|hash| entry(&mut columns, hash));
    let entries: Result<Vec<_>, _> = entries.map(|entry| entry.unwrap_or(Err(ROW))).collect();
    let mut entries = entries.map_err(unreadable)?;
    let more = columns.iter_mut().any(|column| column.next().is_some());
    if more || !rest.is_empty() {
        return Err(unreadable(ROW));
    }
    // Both engines hand on the rows as they come, and neither promises it.
    let seq = |entry: &Entry| entry.revocation.seq;
    if !entries.is_sorted_by_key(seq) {
        entries.sort_unstable_by_key(seq);
    }
    Ok(entries)
}

/// The next entry, or what of it this version does not know. None if a value is missing or no number.
fn entry(columns: &mut [Split<'_, char>], hash: &LogHash) -> Option<Result<Entry, &'static str>> {
    let [
        seq,
        scope,
        key,
        from,
        spared,
        expires_at,
        reason,
        at,
        grace_until,
    ] = columns
    else {
        return None;
    };
    let number = |column: &mut Split<'_, char>| column.next()?.parse::<i64>().ok();
    let (seq, from, expires_at, at) = (
        number(seq)?,
        number(from)?,
        number(expires_at)?,
        number(at)?,
    );
    let grace_until = match grace_until.next()? {
        "" => None,
        until => Some(Timestamp::from_millis(until.parse().ok()?)),
    };
    let Some(target) = Target::from_log(scope.next()?, key.next()?) else {
        return Some(Err("revocation"));
    };
    let spared = match spared.next()? {
        "" => None,
        lineage => match lineage.parse() {
            Ok(lineage) => Some(lineage),
            Err(_) => return Some(Err("spared session")),
        },
    };
    let Ok(reason) = reason.next()?.parse() else {
        return Some(Err("reason"));
    };
    let revocation = Revocation {
        seq,
        target,
        from,
        grace_until,
        spared,
        expires_at: Timestamp::from_millis(expires_at),
        reason,
        at: Timestamp::from_millis(at),
    };
    let hash = *hash;
    Some(Ok(Entry { revocation, hash }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{KeyId, Lineage, UserId};
    use crate::random::SeededRandom;
    use crate::revocation::{ALL, Reason};

    fn pack(entries: &[Entry]) -> (Vec<String>, Vec<u8>) {
        let or_empty = |text: Option<String>| text.unwrap_or_default();
        let grace = |until: Timestamp| until.millis().to_string();
        let column = |of: &dyn Fn(&Revocation) -> String| {
            let values: Vec<_> = entries.iter().map(|entry| of(&entry.revocation)).collect();
            values.join(" ")
        };
        let columns = vec![
            column(&|entry| entry.seq.to_string()),
            column(&|entry| entry.target.scope().to_string()),
            column(&|entry| entry.target.key()),
            column(&|entry| entry.from.to_string()),
            column(&|entry| or_empty(entry.spared.map(|lineage| lineage.to_string()))),
            column(&|entry| entry.expires_at.millis().to_string()),
            column(&|entry| entry.reason.name().to_owned()),
            column(&|entry| entry.at.millis().to_string()),
            column(&|entry| or_empty(entry.grace_until.map(grace))),
        ];
        let hashes = entries.iter().flat_map(|entry| entry.hash);
        (columns, hashes.collect())
    }

    fn some() -> Vec<Entry> {
        let (at, random) = (Timestamp::from_secs(1_700_000_000), SeededRandom::new(1));
        let lineage = Lineage::new(at, &random);
        let kid: KeyId = r#"a/|,;:"'\~"#.parse().unwrap();
        let targets = [
            (Target::Session(lineage), None, Some(at)),
            (Target::User(UserId::new(at, &random)), Some(lineage), None),
            (Target::Key(kid), None, None),
            (Target::Everything, None, None),
        ];
        let of = |(seq, (target, spared, grace_until))| Revocation {
            seq,
            target,
            from: ALL,
            grace_until,
            spared,
            expires_at: Timestamp::NEVER,
            reason: Reason::PasswordChanged,
            at,
        };
        let revocations = (1..).zip(targets).map(of);
        let hashed = |revocation: Revocation| Entry {
            hash: revocation.chain(&[7; 32]),
            revocation,
        };
        revocations.map(hashed).collect()
    }

    #[test]
    fn what_was_packed_is_read_again_in_order() {
        let some = some();
        let (columns, hashes) = pack(&some);
        assert_eq!(entries(&columns, &hashes).unwrap(), some);
        let turned: Vec<_> = some.iter().rev().cloned().collect();
        let (columns, hashes) = pack(&turned);
        assert_eq!(entries(&columns, &hashes).unwrap(), some);
    }

    #[test]
    fn what_no_engine_packed_is_refused() {
        let (good, hashes) = pack(&some());
        let last = hashes.len() - 1;
        assert!(entries(&good, &hashes[..last]).is_err());
        assert!(entries(&good, &hashes[..last - 31]).is_err());
        assert!(entries(&good, &[&hashes[..], &[0; 32]].concat()).is_err());
        for column in 0..COLUMNS {
            let mut less = good.clone();
            less.remove(column);
            assert!(entries(&less, &hashes).is_err(), "without column {column}");
            let values: Vec<_> = good[column].split(' ').collect();
            for at in 0..values.len() {
                let (mut other, mut without) = (values.clone(), values.clone());
                other[at] = "é";
                without.remove(at);
                for changed in [other, without] {
                    let mut columns = good.clone();
                    columns[column] = changed.join(" ");
                    let read = entries(&columns, &hashes);
                    assert!(read.is_err(), "value {at} of column {column}");
                }
            }
        }
    }
}
