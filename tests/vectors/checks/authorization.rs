//! The `Authorization` header against a plain reading of its lines as one list.

use axum::http::HeaderValue;
use axum::http::header::AUTHORIZATION;

use super::credentials::{Reading, ask, lines};

pub fn check(data: &[u8]) -> bool {
    let Some(lines) = lines(data) else {
        return false;
    };
    let theirs = bearers(&lines);
    match ask(&AUTHORIZATION, &lines) {
        Reading::Refused => false,
        Reading::Anonymous => {
            assert!(theirs.is_empty(), "overlooked: {lines:?}");
            false
        }
        Reading::Token(token) => {
            assert_eq!(theirs, [token.as_bytes()], "{lines:?}");
            true
        }
    }
}

/// The bearer tokens of all lines, as a recipient finds them that joins the lines into one list (RFC 9110, section
/// 5.3): in each element, the words after the scheme (section 11.4).
fn bearers(lines: &[HeaderValue]) -> Vec<Vec<u8>> {
    let lines: Vec<_> = lines.iter().map(HeaderValue::as_bytes).collect();
    let list = lines.join(&b","[..]);
    let elements = list.split(|byte| *byte == b',');
    let token = |element: &[u8]| {
        let mut words = element
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let scheme = words.next()?;
        let is_bearer = scheme.eq_ignore_ascii_case(b"bearer");
        is_bearer.then(|| words.collect::<Vec<_>>().join(&b' '))
    };
    elements.filter_map(token).collect()
}
