//! Refused key files: each refusal names the file and says what to do.

use waxseal::key::{Algorithm, Format, KeyError, SigningKey, generate_pem};
use waxseal::random::OsRandom;
use waxseal::report::report;
use waxseal::store::key_folder::{KeyFolderError, load};

use super::{Keys, der, new_ec, new_ed25519, openssl, private_pem};

/// Asserts that a file with this content is refused for this reason, with advice.
fn refused(what: &str, content: &[u8], expected: &KeyError) {
    let folder = Keys::new();
    let path = folder.write("mine.pem", content);
    let error = load(folder.path()).expect_err(what);
    let text = report(&error).to_string();
    let KeyFolderError::Key { path: named, why } = error else {
        panic!("{what}: {text}");
    };
    assert_eq!((&named, &why), (&path, expected), "{what}");
    let advice = match expected {
        KeyError::NotPem => "unencrypted PKCS#8 (openssl pkcs8 -topk8 -nocrypt)",
        KeyError::Malformed => "make a new one with: openssl genpkey -algorithm ed25519",
        KeyError::UnknownAlgorithm => "neither Ed25519 nor ECDSA on P-256; use one of the two",
        KeyError::PublicHalfDiffers => "restore it from a copy",
        other => panic!("{what}: no key file is {other:?}"),
    };
    assert!(text.contains(advice), "{what}: {text}");
    assert!(text.contains(path.to_str().unwrap()), "{what}: {text}");
}

#[test]
fn other_algorithms() {
    let parameters = openssl(
        "genpkey -genparam -algorithm DSA -pkeyopt dsa_paramgen_bits:1024",
        b"",
    );
    let dsa = Keys::new();
    let dsa = dsa.write("parameters", &parameters);
    for (what, arguments) in [
        (
            "RSA",
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048",
        ),
        (
            "RSA-PSS",
            "genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048",
        ),
        (
            "P-384",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384",
        ),
        (
            "P-521",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521",
        ),
        (
            "secp256k1",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1",
        ),
        (
            "P-256 spelt out, which RFC 5480 forbids",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit",
        ),
        ("Ed448", "genpkey -algorithm ed448"),
        ("X25519", "genpkey -algorithm x25519"),
        ("X448", "genpkey -algorithm x448"),
        ("DSA", &format!("genpkey -paramfile {}", dsa.display())),
    ] {
        let pem = openssl(arguments, b"");
        refused(what, &pem, &KeyError::UnknownAlgorithm);
    }
}

#[test]
fn other_containers() {
    let (ed25519, ec) = (new_ed25519(), new_ec("P-256"));
    let not_pem = |what, content: &[u8]| refused(what, content, &KeyError::NotPem);
    let sec1 = openssl("pkey -traditional", &ec);
    assert!(sec1.starts_with(b"-----BEGIN EC PRIVATE KEY-----"));
    not_pem("SEC 1", &sec1);
    not_pem(
        "SEC 1 with its parameters",
        &openssl("ecparam -genkey -name prime256v1", b""),
    );
    for key in [&ed25519, &ec] {
        let encrypted = openssl("pkcs8 -topk8 -passout pass:secret", key);
        assert!(encrypted.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY-----"));
        not_pem("encrypted", &encrypted);
        not_pem("the public key", &openssl("pkey -pubout", key));
        not_pem("two keys", &[&key[..], &new_ed25519()].concat());
        not_pem("one key twice", &[&key[..], key].concat());
        let public = openssl("pkey -pubout", key);
        not_pem("both halves", &[&key[..], &public].concat());
        not_pem("DER", &der(key));
        not_pem("half a file", &key[..key.len() / 2]);
    }
    not_pem("nothing", b"");
    not_pem("a line end", b"\n");
    not_pem("garbage", &[0xff; 300]);
    not_pem("a word", b"PRIVATE KEY");
    let text = String::from_utf8(ed25519).unwrap();
    not_pem(
        "two labels",
        text.replacen("PRIVATE", "PUBLIC", 1).as_bytes(),
    );
    not_pem("not base64", text.replace("MC4", "M.4").as_bytes());
}

#[test]
fn a_second_key_is_seen_however_far_behind() {
    let filler = "# why this key is here\n".repeat(1000);
    let both = [&new_ed25519()[..], filler.as_bytes(), &new_ed25519()].concat();
    refused("two keys, far apart", &both, &KeyError::NotPem);
}

#[test]
fn damaged_der() {
    let malformed = |what, der: &[u8]| refused(what, &private_pem(der), &KeyError::Malformed);
    let (ed25519, ec) = (der(&new_ed25519()), der(&new_ec("P-256")));
    malformed("an empty block", b"");
    malformed("no DER", &[0xff; 48]);
    for good in [&ed25519, &ec] {
        malformed("a byte too many", &[&good[..], &[0]].concat());
        malformed("a byte too few", &good[..good.len() - 1]);
        let mut version = good.clone();
        let at = version.iter().position(|&byte| byte == 0).unwrap();
        assert_eq!(version[at - 2..at], [2, 1], "the first zero is the version");
        version[at] = 2;
        malformed("version 3", &version);
    }
    // RFC 5958: version 1 (0) has no public half, and version 2 (1) must have one here.
    let mut no_public = ed25519.clone();
    no_public[4] = 1;
    malformed("version 2 without its public half", &no_public);
    let without = openssl("ec -no_public", &private_pem(&ec));
    let without = openssl("pkcs8 -topk8 -nocrypt", &without);
    refused("P-256, private half alone", &without, &KeyError::Malformed);
    let mut zero = ec.clone();
    let at = 36;
    assert_eq!(zero[at - 2..at], [4, 32], "the scalar follows");
    zero[at..at + 32].fill(0);
    let error = SigningKey::from_pem(&private_pem(&zero), Format::Jwt).unwrap_err();
    assert!(matches!(
        error,
        KeyError::Malformed | KeyError::PublicHalfDiffers
    ));
}

/// Encodes Ed25519 as PKCS#8 version 2 (RFC 5958), with a public half under each tag in use.
fn version_2(seed: &[u8], public: &[u8]) -> [Vec<u8>; 2] {
    // RFC 8410, section 7 and erratum 5930: [1] IMPLICIT BIT STRING; before, some wrote EXPLICIT.
    let tagged = [vec![0x81, 0x21, 0], vec![0xa1, 0x23, 3, 0x21, 0]];
    tagged.map(|tag| {
        let head = [2, 1, 1, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        let body = [&head, seed, &tag, public].concat();
        [&[0x30, u8::try_from(body.len()).unwrap()], &body[..]].concat()
    })
}

#[test]
fn an_ed25519_public_half_of_another_key() {
    let pem = new_ed25519();
    let seed = der(&pem)[16..].to_vec();
    let spki = openssl("pkey -pubout -outform DER", &pem);
    let public = &spki[spki.len() - 32..];
    let kid = SigningKey::from_pem(&pem, Format::Jwt)
        .unwrap()
        .public()
        .kid()
        .clone();
    for good in version_2(&seed, public) {
        let key = SigningKey::from_pem(&private_pem(&good), Format::Jwt).unwrap();
        assert_eq!(key.public().kid(), &kid);
    }
    for at in [0, 15, 31] {
        let mut public = public.to_vec();
        public[at] ^= 1;
        for bad in version_2(&seed, &public) {
            refused(
                "a bit flipped",
                &private_pem(&bad),
                &KeyError::PublicHalfDiffers,
            );
        }
    }
    let mut other_seed = seed.clone();
    other_seed[0] ^= 1;
    for bad in version_2(&other_seed, public) {
        refused(
            "another seed",
            &private_pem(&bad),
            &KeyError::PublicHalfDiffers,
        );
    }
    for bad in version_2(&seed, &public[..31]) {
        refused("a short half", &private_pem(&bad), &KeyError::Malformed);
    }
    // Version 1 has no public half; one that is present must not be silently ignored.
    for mut bad in version_2(&seed, &[7; 32]) {
        bad[4] = 0;
        refused(
            "version 1 with one",
            &private_pem(&bad),
            &KeyError::Malformed,
        );
    }
}

#[test]
fn a_p256_public_half_of_another_key() {
    let mine = generate_pem(Algorithm::Es256, &OsRandom::new());
    for (mine, theirs) in [
        (new_ec("P-256"), new_ec("P-256")),
        (mine.as_bytes().to_vec(), new_ec("P-256")),
    ] {
        let (mine, theirs) = (der(&mine), der(&theirs));
        let half = mine.len() - 65;
        assert_eq!(mine[half], 4, "an uncompressed point ends the file");
        let swapped = [&mine[..half], &theirs[theirs.len() - 65..]].concat();
        refused(
            "another's",
            &private_pem(&swapped),
            &KeyError::PublicHalfDiffers,
        );
        let mut flipped = mine.clone();
        *flipped.last_mut().unwrap() ^= 1;
        refused(
            "a bit flipped",
            &private_pem(&flipped),
            &KeyError::PublicHalfDiffers,
        );
    }
}
