use super::*;
use crate::random::SeededRandom;

fn hasher(memory_kib: u32) -> Hasher {
    Hasher::new(
        Cost {
            memory_kib,
            passes: 1,
        },
        1,
        Arc::new(SeededRandom::new(7)),
    )
    .unwrap()
}

fn password(text: &str) -> Password {
    Password::presented(SecretString::from(text)).unwrap()
}

#[tokio::test]
async fn equivalent_forms_of_a_password_match_and_different_ones_do_not() {
    let hasher = hasher(64);
    // Composed, decomposed and with another space. Then different passwords: with a NUL, with a trailing space, with
    // fullwidth and with upper-case letters.
    let forms = [
        "caf\u{e9} tisch lampe",
        "cafe\u{301} tisch lampe",
        "caf\u{e9}\u{a0}tisch\u{3000}lampe",
        "caf\u{e9} tisch lampe\0",
        "caf\u{e9} tisch lampe ",
        "\u{ff43}af\u{e9} tisch lampe",
        "Caf\u{e9} tisch lampe",
    ];
    let one = |text: &str| forms[..3].contains(&text);
    for chosen in forms {
        let hash = hasher
            .hash(Password::chosen(SecretString::from(chosen), "alice").unwrap())
            .await
            .unwrap();
        for presented in forms {
            let checked = hasher
                .check(password(presented), Some(hash.clone()))
                .await
                .unwrap();
            let same = chosen == presented || (one(chosen) && one(presented));
            assert_eq!(
                matches!(checked, Checked::Right),
                same,
                "{chosen:?}, {presented:?}: {checked:?}"
            );
        }
    }
}

/// Hashes the typed text without mapping, as earlier versions did.
fn hash_of_the_letters(hasher: &Hasher, text: &str) -> PasswordHash {
    hash(&hasher.argon2, text.as_bytes(), &*hasher.random).unwrap()
}

#[tokio::test]
async fn a_hash_of_what_was_typed_before_is_upgraded_to_one_of_the_form() {
    let hasher = hasher(64);
    for (before, again) in [
        ("cafe\u{301} tisch lampe", "caf\u{e9} tisch lampe"),
        ("caf\u{e9}\u{a0}tisch lampe", "cafe\u{301} tisch lampe"),
    ] {
        let old = hash_of_the_letters(&hasher, before);
        let check = |text, hash: &PasswordHash| hasher.check(password(text), Some(hash.clone()));
        assert!(matches!(check(again, &old).await, Ok(Checked::Wrong)));
        let Ok(Checked::RightUpgraded(new)) = check(before, &old).await else {
            panic!("{before:?}")
        };
        for text in [before, again] {
            assert!(matches!(check(text, &new).await, Ok(Checked::Right)));
        }
    }
    // An old hash of a password that was typed in the hashed form is still valid.
    let old = hash_of_the_letters(&hasher, "caf\u{e9} tisch lampe");
    let checked = hasher.check(password("cafe\u{301} tisch lampe"), Some(old));
    assert!(matches!(checked.await, Ok(Checked::Right)));
}

#[tokio::test]
async fn parameters_are_upgraded_and_never_downgraded() {
    let hash = hasher(64).hash(password("correct horse")).await.unwrap();
    let checked = hasher(128)
        .check(password("correct horse"), Some(hash.clone()))
        .await
        .unwrap();
    let Checked::RightUpgraded(better) = checked else {
        panic!("{checked:?}")
    };
    assert!(better.as_str().starts_with("$argon2id$v=19$m=128,t=1,p=1$"));
    assert!(matches!(
        hasher(64)
            .check(password("correct horse"), Some(better))
            .await,
        Ok(Checked::Right)
    ));
    assert!(matches!(
        hasher(128).check(password("wrong horse"), Some(hash)).await,
        Ok(Checked::Wrong)
    ));
}

#[tokio::test]
async fn the_empty_password_of_an_unknown_user_is_wrong() {
    let hasher = hasher(64);
    assert!(matches!(
        hasher.check(password(""), None).await,
        Ok(Checked::Wrong)
    ));
}

#[test]
fn common_passwords_are_refused_and_no_composition_is_asked_for() {
    let chosen = |text: &str| Password::chosen(SecretString::from(text), "wilhelmina").map(drop);
    for common in [
        "password",
        "Password1",
        "P@ssw0rd",
        "12345678",
        "qwertyuiop",
        "aaaaaaaa",
        "iloveyou",
        "drowssap",
    ] {
        assert_eq!(chosen(common), Err(BadPassword::TooCommon), "{common}");
    }
    for expected in ["wilhelmina", "Wilhelmina1", "waxseal1"] {
        assert_eq!(chosen(expected), Err(BadPassword::Expected), "{expected}");
    }
    assert_eq!(chosen("x7!Kq"), Err(BadPassword::TooShort));
    assert_eq!(chosen("ſ€ñ7kq!"), Err(BadPassword::TooShort));
    // The hashed form has seven characters. The typed text has eight, and other spaces.
    assert_eq!(chosen("ſ€n\u{303}7kq!"), Err(BadPassword::TooShort));
    assert_eq!(
        chosen("iloveyou\u{3000}"),
        Err(BadPassword::TooCommon),
        "as with a plain space"
    );
    assert_eq!(chosen(&"x7!Kq".repeat(205)), Err(BadPassword::TooLong));
    let long = "every word of this one is common, and there are many of them: more than 64 letters";
    for good in [
        "vgxqkzpw",
        "correct horse battery",
        "пароль моей бабушки",
        long,
        &long.repeat(12),
    ] {
        assert_eq!(chosen(good), Ok(()), "{good}");
    }
}

#[test]
fn owasp_is_the_floor() {
    let cost = Cost::default();
    assert!(cost.memory_kib >= 19 * 1024 && cost.passes >= 2);
}
