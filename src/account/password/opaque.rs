//! The hashed form of passwords: the mapping of PRECIS `OpaqueString` (RFC 8265, section 4.2.2), so that a password is
//! the same on every keyboard.
//!
//! Code points that `OpaqueString` disallows are accepted. Among them are the joiners and variation selectors of emoji,
//! control characters, and code points that a newer version of Unicode assigns: a password with one of these works
//! today, and must not become impossible to type.

use secrecy::SecretString;
use unicode_normalization::UnicodeNormalization;

/// Maps each non-ASCII space (general category Zs) to U+0020.
const fn space(c: char) -> char {
    match c {
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            ' '
        }
        other => other,
    }
}

/// Returns the hashed form of `text`: spaces mapped, then normalized to NFC. `None` if `text` is already in that form.
/// Normalization of assigned code points is stable across Unicode versions.
pub(super) fn mapped(text: &str) -> Option<SecretString> {
    let mapped = || text.chars().map(space).nfc();
    if text.is_ascii() || text.chars().eq(mapped()) {
        return None;
    }
    // Allocates the exact size: a `String` that grows leaves copies of the secret behind.
    let mut form = String::with_capacity(mapped().map(char::len_utf8).sum());
    form.extend(mapped());
    Some(form.into())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn one_password_has_one_form_and_two_passwords_have_two() {
        let form = |text: &str| {
            mapped(text).map_or_else(
                || text.to_owned(),
                |form| {
                    assert_ne!(form.expose_secret(), text);
                    form.expose_secret().to_owned()
                },
            )
        };
        // One system's encoding, another's, and the hashed form.
        for (one, other, hashed) in [
            ("cafe\u{301}", "caf\u{e9}", "caf\u{e9}"),
            ("a\u{323}\u{302}", "a\u{302}\u{323}", "\u{1ead}"),
            ("\u{1100}\u{1161}\u{11a8}", "\u{ac01}", "\u{ac01}"),
            ("\u{304b}\u{3099}", "\u{304c}", "\u{304c}"),
            ("\u{438}\u{306}", "\u{439}", "\u{439}"),
            (
                "\u{212b}ngstr\u{f6}m",
                "A\u{30a}ngstro\u{308}m",
                "\u{c5}ngstr\u{f6}m",
            ),
            ("two\u{3000}words", "two\u{a0}words", "two words"),
            (
                "\u{2003}\u{2009}\u{1680}",
                "\u{202f}\u{205f}\u{200a}",
                "   ",
            ),
            (
                "\u{1f44d}\u{1f3fd}",
                "\u{1f44d}\u{1f3fd}",
                "\u{1f44d}\u{1f3fd}",
            ),
        ] {
            assert_eq!(form(one), hashed, "{one:?}");
            assert_eq!(form(other), hashed, "{other:?}");
            assert!(mapped(hashed).is_none(), "{hashed:?}");
        }
        for own in [
            "",
            "plain",
            " two  spaces ",
            "a tab\tand a line\n",
            "nul\0",
            // Compatibility variants stay distinct: fullwidth letters, ligatures.
            "\u{ff43}afe",
            "o\u{fb03}ce",
            "Caf\u{e9}",
            // Disallowed by `OpaqueString`: an emoji with joiners and a selector, a zero-width space, an unassigned
            // code point, a private-use code point.
            "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{2764}\u{fe0f}",
            "zero\u{200b}width",
            "\u{378}\u{e000}",
        ] {
            assert!(mapped(own).is_none(), "{own:?}");
        }
    }
}
