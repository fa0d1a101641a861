//! base64url without padding (RFC 4648, section 5; RFC 7515, section 2), in its one canonical form.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The text is not canonical base64url: it has padding, `+`, `/`, white space, or leftover bits in the last character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not canonical base64url")]
pub struct NotBase64Url;

/// The length of the text for `bytes` bytes.
pub(crate) const fn length(bytes: usize) -> usize {
    (bytes * 8).div_ceil(6)
}

/// Encodes `bytes`.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Appends the encoding of `bytes` to `text`.
pub(crate) fn encode_onto(text: &mut String, bytes: &[u8]) {
    URL_SAFE_NO_PAD.encode_string(bytes, text);
}

/// Decodes `text`.
///
/// # Errors
/// [`NotBase64Url`] for every text that [`encode`] does not return.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, NotBase64Url> {
    let mut bytes = Vec::new();
    decode_onto(&mut bytes, text)?;
    Ok(bytes)
}

/// Decodes `text` and appends the result to `bytes`.
///
/// # Errors
/// [`NotBase64Url`] for every text that [`encode`] does not return.
pub(crate) fn decode_onto(bytes: &mut Vec<u8>, text: &[u8]) -> Result<(), NotBase64Url> {
    let start = bytes.len();
    bytes.resize(start + base64::decoded_len_estimate(text.len()), 0);
    let decoded = decode_in(&mut bytes[start..], text)?.len();
    bytes.truncate(start + decoded);
    Ok(())
}

/// Decodes `text` into `place`, which needs as many bytes as `text` has.
///
/// # Errors
/// [`NotBase64Url`] for every text that [`encode`] does not return.
pub(crate) fn decode_in<'a>(place: &'a mut [u8], text: &[u8]) -> Result<&'a [u8], NotBase64Url> {
    let (wide, rest) = text.as_chunks();
    let (places, _) = place.as_chunks_mut();
    let mut good = places.len() >= wide.len();
    for (wide, place) in wide.iter().zip(places) {
        good &= decode_wide(wide, place);
    }
    if !good {
        return Err(NotBase64Url);
    }
    let decoded = wide.len() * WIDE / 4 * 3;
    let length = URL_SAFE_NO_PAD.decode_slice(rest, &mut place[decoded..]);
    let length = length.map_err(|_| NotBase64Url)?;
    place.get(..decoded + length).ok_or(NotBase64Url)
}

/// The number of characters that are decoded at once. They encode whole bytes, so they have only one form; the library
/// decodes the end of the text.
const WIDE: usize = 32;

/// Decodes without a branch, so that the compiler vectorizes it. Returns whether every character is base64url.
fn decode_wide(text: &[u8; WIDE], place: &mut [u8; WIDE / 4 * 3]) -> bool {
    let mut sextets = [0; WIDE];
    let mut bad = 0;
    for (sextet, byte) in sextets.iter_mut().zip(text) {
        let in_range = |first: u8, last: u8, value: u8| {
            let offset = byte.wrapping_sub(first);
            if offset <= last - first {
                value.wrapping_add(offset)
            } else {
                0xff
            }
        };
        // A character is in at most one range; every other range yields 0xff.
        *sextet = in_range(b'A', b'Z', 0)
            & in_range(b'a', b'z', 26)
            & in_range(b'0', b'9', 52)
            & in_range(b'-', b'-', 62)
            & in_range(b'_', b'_', 63);
        bad |= *sextet;
    }
    let (eights, _) = sextets.as_chunks();
    let (sixes, _) = place.as_chunks_mut();
    for (six, eight) in sixes.iter_mut().zip(eights) {
        // Eight sextets of one byte each become four of 12 bits, then two of 24, then one of 48.
        let bits = u64::from_be_bytes(*eight);
        let bits = (bits & 0x003f_003f_003f_003f) | ((bits & 0x3f00_3f00_3f00_3f00) >> 2);
        let bits = (bits & 0x0000_0fff_0000_0fff) | ((bits & 0x0fff_0000_0fff_0000) >> 4);
        let bits = (bits & 0x00ff_ffff) | ((bits >> 32) << 24);
        let [_, _, bytes @ ..] = bits.to_be_bytes();
        *six = bytes;
    }
    bad < 64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_accepted_text_is_the_canonical_one(text in "[A-Za-z0-9_-]{0,80}([A-Za-z0-9_=+/ -]{0,3}[A-Za-z0-9_-]{0,40}){0,2}") {
            let decoded = decode(text.as_bytes());
            let library = URL_SAFE_NO_PAD.decode(&text).map_err(|_| NotBase64Url);
            prop_assert_eq!(&decoded, &library);
            let mut place = [0; 200];
            prop_assert_eq!(decode_in(&mut place, text.as_bytes()).map(<[u8]>::to_vec), decoded.clone());
            let mut onto = Vec::new();
            prop_assert_eq!(decode_onto(&mut onto, text.as_bytes()).map(|()| onto), decoded.clone());
            if let Ok(bytes) = decoded {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }

    /// Tests every position of a wide block.
    #[test]
    fn every_byte_means_what_it_means_to_the_library() {
        for at in 0..WIDE + 8 {
            for byte in 0..=255 {
                let mut text = b"Az09-_".repeat(7)[..WIDE + 8].to_vec();
                text[at] = byte;
                let library = URL_SAFE_NO_PAD.decode(&text).map_err(|_| NotBase64Url);
                assert_eq!(decode(&text), library, "{byte} at {at}");
            }
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for bad in [
            "Zg==", "Zm9=", "Zh", "+/", "Z", "Zm 9v", "Zm9v\n", "Zm9v=", "Zm9v.",
        ] {
            assert_eq!(decode(bad.as_bytes()), Err(NotBase64Url), "{bad}");
        }
    }
}
