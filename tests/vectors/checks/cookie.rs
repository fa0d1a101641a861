//! The `Cookie` header against the crate cookie.

use axum::http::HeaderValue;
use axum::http::header::COOKIE;
use cookie::Cookie;
use waxseal::http::COOKIE_NAME;

use super::credentials::{Reading, ask, lines};

pub fn check(data: &[u8]) -> bool {
    let Some(lines) = lines(data) else {
        return false;
    };
    let theirs = values(&lines);
    match ask(&COOKIE, &lines) {
        Reading::Refused => false,
        Reading::Anonymous => {
            assert!(theirs.is_empty(), "overlooked: {lines:?}");
            false
        }
        Reading::Token(token) => {
            assert_eq!(theirs, [token], "{lines:?}");
            true
        }
    }
}

/// The values of all session cookies, by the crate. It gets `?` for what it reads otherwise than browsers do:
///
/// - Unicode's white space, which the crate drops around a name. A site of the same domain can set such a cookie.
/// - White space before `=`, which the crate drops too. No browser sends it.
fn values(lines: &[HeaderValue]) -> Vec<String> {
    let mut values = Vec::new();
    for line in lines {
        let plain = |byte: &u8| {
            if byte.is_ascii() {
                char::from(*byte)
            } else {
                '?'
            }
        };
        let line: String = line.as_bytes().iter().map(plain).collect();
        let line = line.replace(" =", "?=").replace("\t=", "?=");
        let pairs = Cookie::split_parse(&line).filter_map(Result::ok);
        let ours = pairs.filter(|pair| pair.name() == COOKIE_NAME);
        values.extend(ours.map(|pair| pair.value().to_owned()));
    }
    values
}
