//! Entries of the log packed into one row. Both engines pack it, and one function unpacks it.

use super::row::unreadable;
use crate::revocation::log::Entry;
use crate::revocation::{BadTarget, LogHash, Revocation, Target};
use crate::time::Timestamp;

/// The number of text columns of [`ENTRIES`](super::statements::ENTRIES). The hashes come after them.
pub(super) const COLUMNS: usize = 9;

const UNREADABLE: &str = "row of the revocation log";

/// A row of packed entries.
pub(super) struct Packed {
    pub columns: Vec<String>,
    pub hashes: Vec<u8>,
}

impl Packed {
    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        self.hashes.len() / size_of::<LogHash>()
    }

    /// The highest `seq` in the row.
    pub(super) fn newest(&self) -> sqlx::Result<i64> {
        let column = self.columns.first().map(String::as_str).unwrap_or_default();
        let newest = PackedValues(Some(column)).map(|seq| seq.parse().ok()).max();
        newest.flatten().ok_or_else(|| unreadable(UNREADABLE))
    }

    /// Appends the row's entries to `entries`, in the order of `seq`.
    pub(super) fn unpack_onto(&self, entries: &mut Vec<Entry>) -> sqlx::Result<()> {
        let (hashes, rest) = self.hashes.as_chunks();
        let columns = self.columns.iter().map(|column| PackedValues(Some(column)));
        let mut columns: Vec<_> = columns.collect();
        let before = entries.len();
        entries.reserve(hashes.len());
        for hash in hashes {
            let entry = entry(&mut columns, hash).unwrap_or(Err(UNREADABLE));
            entries.push(entry.map_err(unreadable)?);
        }
        let more = columns.iter_mut().any(|column| column.next().is_some());
        if more || !rest.is_empty() {
            return Err(unreadable(UNREADABLE));
        }
        // Both engines keep the order of the rows in practice, but neither guarantees it.
        let (unpacked, seq) = (&mut entries[before..], |entry: &Entry| entry.revocation.seq);
        if !unpacked.is_sorted_by_key(seq) {
            unpacked.sort_unstable_by_key(seq);
        }
        Ok(())
    }
}

/// The remaining values of a column. The values are short, so splitting them by hand is faster than with the standard
/// library.
struct PackedValues<'a>(Option<&'a str>);

impl<'a> Iterator for PackedValues<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let left = self.0?;
        let end = left.bytes().position(|byte| byte == b' ');
        let (value, left) = match end {
            Some(end) => (&left[..end], Some(&left[end + 1..])),
            None => (left, None),
        };
        self.0 = left;
        Some(value)
    }
}

/// Returns the next entry, or the name of the part that this version does not know. `None` if a value is missing or not
/// a number.
fn entry(columns: &mut [PackedValues<'_>], hash: &LogHash) -> Option<Result<Entry, &'static str>> {
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
    let number = |column: &mut PackedValues<'_>| column.next()?.parse::<i64>().ok();
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
    let target = match Target::from_log(scope.next()?, key.next()?) {
        Ok(target) => target,
        Err(BadTarget::Scope) => return Some(Err("kind of revocation")),
        Err(BadTarget::Key) => return Some(Err("revocation")),
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

    fn unpack(columns: &[String], hashes: &[u8]) -> sqlx::Result<Vec<Entry>> {
        let (columns, hashes) = (columns.to_vec(), hashes.to_vec());
        let mut entries = Vec::new();
        Packed { columns, hashes }.unpack_onto(&mut entries)?;
        Ok(entries)
    }

    fn pack(entries: &[Entry]) -> (Vec<String>, Vec<u8>) {
        let or_empty = |text: Option<String>| text.unwrap_or_default();
        let grace = |until: Timestamp| until.millis().to_string();
        let column = |of: &dyn Fn(&Revocation) -> String| {
            let values: Vec<_> = entries.iter().map(|entry| of(&entry.revocation)).collect();
            values.join(" ")
        };
        let columns = vec![
            column(&|entry| entry.seq.to_string()),
            column(&|entry| entry.target.scope().to_owned()),
            column(&|entry| entry.target.key()),
            column(&|entry| entry.from.to_string()),
            column(&|entry| or_empty(entry.spared.map(|lineage| lineage.to_string()))),
            column(&|entry| entry.expires_at.millis().to_string()),
            column(&|entry| entry.reason.word().to_owned()),
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
            (
                Target::from_log("ignorable:note", "for_a_later_version").unwrap(),
                None,
                None,
            ),
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
        assert_eq!(unpack(&columns, &hashes).unwrap(), some);
        let newest = |columns: Vec<String>| {
            let hashes = Vec::new();
            Packed { columns, hashes }.newest()
        };
        assert_eq!(newest(columns).unwrap(), 5);
        let turned: Vec<_> = some.iter().rev().cloned().collect();
        let (columns, hashes) = pack(&turned);
        assert_eq!(unpack(&columns, &hashes).unwrap(), some);
        assert_eq!(newest(columns).unwrap(), 5);
        assert!(newest(Vec::new()).is_err());
    }

    #[test]
    fn what_no_engine_packed_is_refused() {
        let (good, hashes) = pack(&some());
        let last = hashes.len() - 1;
        assert!(unpack(&good, &hashes[..last]).is_err());
        assert!(unpack(&good, &hashes[..last - 31]).is_err());
        assert!(unpack(&good, &[&hashes[..], &[0; 32]].concat()).is_err());
        for column in 0..COLUMNS {
            let mut less = good.clone();
            less.remove(column);
            assert!(unpack(&less, &hashes).is_err(), "without column {column}");
            let values: Vec<_> = good[column].split(' ').collect();
            for at in 0..values.len() {
                let (mut other, mut without) = (values.clone(), values.clone());
                other[at] = "é";
                without.remove(at);
                for changed in [other, without] {
                    let mut columns = good.clone();
                    columns[column] = changed.join(" ");
                    let read = unpack(&columns, &hashes);
                    assert!(read.is_err(), "value {at} of column {column}");
                }
            }
        }
    }
}
