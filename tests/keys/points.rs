//! Ed25519 public keys for which a signature proves nothing, or that have two encodings.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use waxseal::key::{KeyError, VerifyingKey};
use waxseal::keyring::{Keyring, KeyringError};

/// The points of order 1, 2, 4 and 8 in their canonical encodings, little-endian.
const LOW_ORDER: [&str; 8] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
];

/// The same points in non-canonical encodings: x = 0 with a sign, and y of p or p + 1.
const LOW_ORDER_OTHERWISE: [&str; 6] = [
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

/// RFC 8032, section 7.1, tests 1 to 3.
const GOOD: [&str; 3] = [
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn jwk(point: &[u8]) -> String {
    let x = URL_SAFE_NO_PAD.encode(point);
    format!(r#"{{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","x":"{x}"}}"#)
}

/// Asserts that every constructor refuses the point.
fn refused(point: &[u8]) {
    let (jwk, raw) = (jwk(point), VerifyingKey::from_ed25519(point));
    assert_eq!(raw.unwrap_err(), KeyError::WeakPoint, "{point:02x?}");
    let from_jwk = VerifyingKey::from_jwk(jwk.as_bytes());
    assert_eq!(from_jwk.unwrap_err(), KeyError::WeakPoint, "{point:02x?}");
    let set = format!(r#"{{"keys":[{jwk}]}}"#);
    let from_set = Keyring::from_jwks(set.as_bytes());
    assert_eq!(
        from_set.unwrap_err(),
        KeyringError::Key(0, KeyError::WeakPoint),
        "{point:02x?}"
    );
}

fn accepted(point: &[u8]) {
    let key = VerifyingKey::from_ed25519(point).unwrap();
    let from_jwk = VerifyingKey::from_jwk(jwk(point).as_bytes()).unwrap();
    assert_eq!(key.kid(), from_jwk.kid());
}

#[test]
fn points_of_low_order() {
    for point in LOW_ORDER.iter().chain(&LOW_ORDER_OTHERWISE) {
        refused(&bytes(point));
    }
    for point in GOOD {
        accepted(&bytes(point));
    }
}

/// Returns the encoding of y = `small`, and that of the same y plus p.
fn two_encodings(small: u8) -> [[u8; 32]; 2] {
    let mut canonical = [0; 32];
    canonical[0] = small;
    // p is 2^255 - 19; nothing carries as long as `small` is below 19.
    let mut other = [0xff; 32];
    other[0] = 0xed + small;
    other[31] = 0x7f;
    [canonical, other]
}

#[test]
fn every_y_that_is_not_reduced() {
    for small in 0..19 {
        let [_, mut other] = two_encodings(small);
        refused(&other);
        other[31] |= 0x80;
        refused(&other);
    }
}

#[test]
fn points_that_are_not_on_the_curve() {
    // Whether each small y has an x, computed from the curve's equation.
    for (small, on_curve) in [
        (2, false),
        (3, true),
        (4, true),
        (5, true),
        (6, true),
        (7, false),
        (8, false),
        (9, true),
        (10, true),
        (11, false),
        (12, false),
        (13, false),
        (14, true),
        (15, true),
        (16, true),
        (17, false),
        (18, true),
    ] {
        let [mut point, _] = two_encodings(small);
        for sign in [0, 0x80] {
            point[31] = sign;
            if on_curve {
                accepted(&point);
            } else {
                refused(&point);
            }
        }
    }
}

#[test]
fn points_of_another_length() {
    let good = bytes(GOOD[0]);
    for length in [0, 1, 31] {
        assert!(VerifyingKey::from_ed25519(&good[..length]).is_err());
        assert!(VerifyingKey::from_jwk(jwk(&good[..length]).as_bytes()).is_err());
    }
    for more in [1, 32] {
        let long = [&good[..], &vec![0; more]].concat();
        assert!(VerifyingKey::from_ed25519(&long).is_err());
        assert!(VerifyingKey::from_jwk(jwk(&long).as_bytes()).is_err());
    }
}
