//! The set of common and breached passwords: a Bloom filter in the binary, built by `scripts/common-passwords`.
//!
//! The filter has 561,448 entries in lower case: passwords of 8 to 40 characters, and words of 3 to 7 letters that
//! passwords are made from. There are no false negatives. The false-positive rate is one in 16,000 for texts shorter
//! than 16 bytes and one in 270 million for longer ones, which are entered twice.

use crate::crypto::sha256;

static FILTER: &[u8] = include_bytes!("common.bloom");

/// The number of bits that an entry sets, for each time that it is entered.
const HASHES: u64 = 14;

/// The length, in bytes, from which an entry is entered twice.
const LONG: usize = 16;

/// Returns whether the lower-case `text` is in the set.
pub(super) fn contains(text: &str) -> bool {
    let digest = sha256(text.as_bytes());
    let (first, second) = digest.split_at(16);
    has(first) && (text.len() < LONG || has(second))
}

/// Looks up one digest half by double hashing: position `i` is `first + i * step`.
fn has(half: &[u8]) -> bool {
    let number = |bytes: &[u8]| {
        let whole = bytes.iter().rev();
        whole.fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let (first, step) = half.split_at(8);
    let (first, step) = (number(first), number(step) | 1);
    let bits = FILTER.len() as u64 * 8;
    (0..HASHES).all(|hash| {
        let bit = first.wrapping_add(hash.wrapping_mul(step)) % bits;
        let byte = usize::try_from(bit / 8).ok().and_then(|at| FILTER.get(at));
        byte.is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::base64url;
    use crate::random::{Random, SeededRandom};

    #[test]
    fn entries_are_found_and_few_others() {
        for common in [
            "password",
            "admin123",
            "password1!",
            "qwerty123",
            "welcome",
            "test",
            "admin",
            "1234567891234567",
        ] {
            assert!(contains(common), "{common}");
        }
        let random = SeededRandom::new(18);
        let found = |bytes: usize| {
            let texts = (0..100_000).map(|_| {
                let mut text = [0; 16];
                random.fill(&mut text[..bytes]);
                base64url::encode(&text[..bytes]).to_lowercase()
            });
            texts.filter(|text| contains(text)).count()
        };
        // About 6 of the short texts and none of the long ones are expected.
        let (short, long) = (found(8), found(16));
        assert!(short <= 20, "{short}");
        assert_eq!(long, 0);
    }
}
