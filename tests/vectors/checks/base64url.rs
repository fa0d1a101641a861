//! base64url against the crate base64, and against a decoder that takes one bit at a time.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use waxseal::encoding::base64url::{decode, encode};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub fn check(data: &[u8]) -> bool {
    let ours = decode(data).ok();
    assert_eq!(ours, URL_SAFE_NO_PAD.decode(data).ok(), "the crate base64");
    assert_eq!(ours, bit_by_bit(data), "bit by bit");
    if let Some(bytes) = &ours {
        assert_eq!(encode(bytes).as_bytes(), data, "another text for it");
    }
    assert_eq!(decode(encode(data).as_bytes()).as_deref(), Ok(data));
    ours.is_some()
}

/// Decodes by the definition (RFC 4648, sections 3.5 and 5): six bits a character, and the bits that are left over are
/// fewer than six, and zero.
fn bit_by_bit(text: &[u8]) -> Option<Vec<u8>> {
    let mut bits = Vec::new();
    for character in text {
        let value = ALPHABET.iter().position(|known| known == character)?;
        bits.extend((0..6).rev().map(|bit| value >> bit & 1));
    }
    let (bytes, left) = bits.as_chunks::<8>();
    let is_canonical = left.len() < 6 && left.iter().all(|bit| *bit == 0);
    let byte = |bits: &[usize; 8]| bits.iter().fold(0, |byte, bit| byte << 1 | *bit as u8);
    is_canonical.then(|| bytes.iter().map(byte).collect())
}
