//! base64url without padding (RFC 4648, section 5; RFC 7515, section 2), in its one canonical form.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Not canonical base64url: padding, `+`, `/`, white space, or bits left over in the last character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not canonical base64url")]
pub struct NotBase64Url;

/// The text for `bytes`.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of `text`.
///
/// # Errors
/// [`NotBase64Url`] for every text but the one that [`encode`] gives.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, NotBase64Url> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| NotBase64Url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_accepted_text_is_the_canonical_one(text in "[A-Za-z0-9_=+/ -]{0,12}") {
            if let Ok(bytes) = decode(text.as_bytes()) {
                prop_assert_eq!(encode(&bytes), text);
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
