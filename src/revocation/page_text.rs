//! The text of a feed page: JSON, plain or compressed. The entries are costly to encode, so they are encoded once and
//! reused with another signed statement: nothing in them depends on when they were read.

use std::io::{self, Write};
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

use super::Revocation;
use super::feed::WireEntry;

/// Below this size in bytes, compressing a page costs more than sending it.
const WORTH_IT: usize = 2048;

/// From this size in bytes on, compression takes milliseconds.
const LARGE: usize = 128 * 1024;

/// The member header of RFC 1952, section 2.3: deflate, no flags, no time, no system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// A page's entries as JSON.
#[derive(Debug)]
pub struct EntriesText {
    json: String,
    packed: OnceLock<Piece>,
}

/// The body of an answer.
#[derive(Clone, Debug)]
pub struct PageBody {
    /// The bytes of the body.
    pub bytes: Bytes,
    /// Whether the bytes are compressed.
    pub gzip: bool,
}

impl EntriesText {
    /// Encodes the entries.
    ///
    /// # Errors
    /// A JSON error, which entries cannot cause.
    pub fn new<'a>(
        revocations: impl IntoIterator<Item = &'a Revocation>,
    ) -> serde_json::Result<Self> {
        let entries: Vec<_> = revocations.into_iter().map(WireEntry::from).collect();
        Ok(Self {
            json: serde_json::to_string(&entries)?,
            packed: OnceLock::new(),
        })
    }

    /// Whether compressing the entries will take milliseconds. False once they are compressed.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.json.len() >= LARGE && self.packed.get().is_none()
    }

    /// Builds the page with this signed statement. Compresses it if `takes_gzip` is true and the page is large enough.
    ///
    /// # Errors
    /// A JSON error, which no statement causes.
    pub fn page(&self, statement: &str, takes_gzip: bool) -> io::Result<PageBody> {
        let statement = serde_json::to_string(statement)?;
        let (start, end) = (format!(r#"{{"page":{statement},"entries":"#), "}");
        if takes_gzip && start.len() + self.json.len() >= WORTH_IT {
            let bytes = self.gzip(start.as_bytes(), end.as_bytes())?;
            return Ok(PageBody { bytes, gzip: true });
        }
        let bytes = Bytes::from(start + &self.json + end);
        Ok(PageBody { bytes, gzip: false })
    }

    /// Builds one gzip member from three pieces. The middle one may have been compressed for an earlier page: a piece
    /// ends at a byte boundary and refers to nothing before it.
    fn gzip(&self, start: &[u8], end: &[u8]) -> io::Result<Bytes> {
        let packed = match self.packed.get() {
            Some(packed) => packed,
            None => {
                let packed = Piece::new(self.json.as_bytes())?;
                self.packed.get_or_init(|| packed)
            }
        };
        let start = Piece::new(start)?;
        let mut bytes = Vec::with_capacity(start.deflated.len() + packed.deflated.len() + 64);
        bytes.extend(GZIP_HEADER);
        bytes.extend(&start.deflated);
        bytes.extend(&packed.deflated);
        let mut last = DeflateEncoder::new(bytes, Compression::fast());
        last.write_all(end)?;
        let mut bytes = last.finish()?;
        let mut check = start.check;
        check.combine(&packed.check);
        check.update(end);
        bytes.extend(check.sum().to_le_bytes());
        bytes.extend(check.amount().to_le_bytes());
        Ok(bytes.into())
    }
}

/// Deflated text without the final block, and its checksum.
#[derive(Debug)]
struct Piece {
    deflated: Vec<u8>,
    check: Crc,
}

impl Piece {
    fn new(text: &[u8]) -> io::Result<Self> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text)?;
        encoder.flush()?;
        let deflated = std::mem::take(encoder.get_mut());
        let mut check = Crc::new();
        check.update(text);
        Ok(Self { deflated, check })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;
    use crate::id::TokenId;
    use crate::random::SeededRandom;
    use crate::revocation::feed::FeedPage;
    use crate::revocation::{ALL, Reason, Target};
    use crate::time::Timestamp;

    fn entries(count: i64) -> EntriesText {
        let random = SeededRandom::new(7);
        let revocations: Vec<_> = (1..=count)
            .map(|seq| Revocation {
                seq,
                target: Target::Token(TokenId::new(Timestamp::from_millis(seq), &random)),
                from: ALL,
                grace_until: None,
                spared: None,
                expires_at: Timestamp::NEVER,
                reason: Reason::Client,
                at: Timestamp::from_millis(seq),
            })
            .collect();
        EntriesText::new(&revocations).unwrap()
    }

    #[test]
    fn a_compressed_page_has_the_bytes_of_the_plain_one() {
        for count in [0, 1, 7, 100, 4096] {
            let entries = entries(count);
            for statement in ["a statement", "another", &"long".repeat(1000)] {
                let plain = entries.page(statement, false).unwrap();
                assert!(!plain.gzip);
                let page: FeedPage = serde_json::from_slice(&plain.bytes).unwrap();
                assert_eq!(
                    (page.page.as_str(), page.entries.len() as i64),
                    (statement, count)
                );
                let packed = entries.page(statement, true).unwrap();
                assert_eq!(packed.gzip, plain.bytes.len() >= WORTH_IT);
                if packed.gzip {
                    assert!(packed.bytes.len() < plain.bytes.len());
                    let mut unpacked = Vec::new();
                    // The decoder reads one member, and checks its sum and length.
                    let mut decoder = GzDecoder::new(&*packed.bytes);
                    decoder.read_to_end(&mut unpacked).unwrap();
                    assert_eq!(unpacked, plain.bytes);
                    assert!(decoder.into_inner().is_empty());
                }
            }
        }
    }
}
