//! The host that a request is for: `Host` (RFC 9112, section 3.2), and whether the session cookie may be used there
//! (RFC 9110, section 15.5.20).

use std::net::Ipv4Addr;

use axum::http::header::HOST;
use axum::http::{HeaderMap, Uri};

use super::problem::Problem;

/// Returns the host of a `Host` or `:authority` value, without its port. None if the value is malformed. An IPv6
/// address keeps its brackets.
pub(super) fn without_port(authority: &[u8]) -> Option<&str> {
    let end = match authority {
        [b'[', rest @ ..] => rest.iter().position(|b| *b == b']')? + 2,
        _ => authority
            .iter()
            .position(|b| *b == b':')
            .unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(end);
    let name = match host {
        [b'[', address @ .., b']'] => address,
        name => name,
    };
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let is_bracketed = name.len() != host.len();
    let fits = |b: &u8| {
        if is_bracketed {
            b.is_ascii_hexdigit() || matches!(b, b':' | b'.')
        } else {
            b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(b)
        }
    };
    if name.is_empty() || !is_port || !name.iter().all(fits) {
        return None;
    }
    str::from_utf8(host).ok()
}

/// Returns the host that a request names: that of its target (`:authority`, RFC 9113, section 8.3.1, or the absolute
/// form), else that of `Host`. None without either.
///
/// # Errors
/// 400 for two `Host` headers, or for a malformed one.
pub(super) fn named<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<Option<&'a str>, Problem> {
    let mut lines = headers.get_all(HOST).iter();
    let host = match (lines.next(), lines.next()) {
        (None, _) => None,
        (Some(line), None) => Some(without_port(line.as_bytes()).ok_or(Problem::bad_host())?),
        (Some(_), Some(_)) => return Err(Problem::bad_host()),
    };
    Ok(uri.host().or(host))
}

/// Whether a host is the browser's own machine. Such a name needs no name server, so an attacker cannot point it
/// elsewhere.
pub(super) fn is_loopback(host: &str) -> bool {
    let ends_in_localhost = |host: &str| {
        host.len() > ".localhost".len()
            && host.is_char_boundary(host.len() - ".localhost".len())
            && host[host.len() - ".localhost".len()..].eq_ignore_ascii_case(".localhost")
    };
    host.eq_ignore_ascii_case("localhost")
        || ends_in_localhost(host)
        || host == "[::1]"
        || host
            .parse()
            .is_ok_and(|address: Ipv4Addr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_read_without_its_port_and_nothing_else_is_one() {
        for (text, host) in [
            ("auth.example", "auth.example"),
            ("Auth.Example:8443", "Auth.Example"),
            ("auth.example:", "auth.example"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("[2001:db8::1]", "[2001:db8::1]"),
            ("[::1]:8080", "[::1]"),
        ] {
            assert_eq!(without_port(text.as_bytes()), Some(host), "{text}");
        }
        for text in [
            "", ":80", "[]", "[::1", "::1", "[::1]x", "a b", "a/b", "a@b", "a:b", "a:1:2", "a\"",
            "[a.b]x:1", "a, b", "ä",
        ] {
            assert_eq!(without_port(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn this_machine_has_few_names() {
        for host in [
            "localhost",
            "LOCALHOST",
            "a.localhost",
            "127.0.0.1",
            "127.8.9.1",
            "[::1]",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "localhost.example",
            "notlocalhost",
            ".localhost",
            "127.0.0.1.example",
            "192.168.0.1",
            "[::2]",
            "0.0.0.0",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
