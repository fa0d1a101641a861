//! Every claim missing, of each wrong type, and of the right type in a wrong form.

use std::time::Duration;

use waxseal::key::Format;
use waxseal::token::Malformed;

use crate::fixture::{DATES, Fixture, date};
use crate::forger::{header_and_claims, quoted};

async fn missing(claim: &'static str) {
    for fixture in Fixture::of_each_format().await {
        let token = fixture.seal(&fixture.header, &fixture.claims.without(claim));
        fixture
            .refused_for(claim, &token, Malformed::Claims(claim))
            .await;
        // Another spelling is another claim.
        for name in [
            claim.to_uppercase(),
            format!("{claim} "),
            format!(" {claim}"),
        ] {
            let claims = fixture
                .claims
                .without(claim)
                .and(&name, fixture.claims.raw(claim));
            fixture
                .refused_for(
                    &name,
                    &fixture.seal(&fixture.header, &claims),
                    Malformed::Claims(claim),
                )
                .await;
        }
    }
}

async fn wrong_type(claim: &'static str) {
    for fixture in Fixture::of_each_format().await {
        let good = fixture.claims.raw(claim);
        let mut wrong = vec![
            "null".to_owned(),
            "true".to_owned(),
            "false".to_owned(),
            "1.5".to_owned(),
            "-1".to_owned(),
            "{}".to_owned(),
            format!("{{\"{claim}\":{good}}}"),
            format!("[{good}]"),
            "[null]".to_owned(),
            "[1]".to_owned(),
        ];
        let is_date = DATES.contains(&claim);
        let is_array = good.starts_with('[');
        if !is_array {
            wrong.extend(["[]".to_owned(), r#"["pwd"]"#.to_owned()]);
        }
        if is_date {
            let other = match fixture.format() {
                Format::Jwt => Format::Paseto,
                Format::Paseto => Format::Jwt,
            };
            let theirs = date(other, fixture.second(claim));
            wrong.extend([r#""""#.to_owned(), quoted(good), theirs]);
        } else {
            wrong.push("7".to_owned());
        }
        if is_array {
            wrong.extend([
                r#""pwd""#.to_owned(),
                r#"["pwd",null]"#.to_owned(),
                r#"["pwd",1]"#.to_owned(),
                r#"["pwd",{}]"#.to_owned(),
                r#"["pwd",["otp"]]"#.to_owned(),
            ]);
        }
        for raw in wrong {
            let token = fixture.with_claim(claim, &raw);
            fixture
                .refused_for(&format!("{claim} {raw}"), &token, Malformed::Claims(claim))
                .await;
        }
    }
}

macro_rules! each_claim {
    ($check:ident: $($name:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            super::$check(stringify!($name)).await;
        })*
    };
}

mod missing {
    each_claim!(missing: iss aud sub sid jti client_id iat exp auth_time renew_at session_expiry amr scope);
}

mod wrong_type {
    each_claim!(wrong_type: iss aud sub sid jti client_id iat exp auth_time renew_at session_expiry amr scope);
}

/// An exchange carries no claim that is unknown here: a key that leaks later may have signed it.
#[tokio::test]
async fn a_claim_that_is_unknown_is_ignored_and_ends_with_its_token() {
    for fixture in Fixture::of_each_format().await {
        fixture.server.pass(Duration::from_secs(60)).await;
        for raw in [r#"["admin"]"#, r#"{"a":[1,null]}"#, "true", "null"] {
            let token = fixture.with_claim("unknown", raw);
            fixture.accepted(raw, &token).await;
            let answer = fixture
                .server
                .post("/session/renew", Some(&token), None)
                .await;
            let touched = answer.json()["access_token"].as_str().unwrap().to_owned();
            assert_ne!(touched, token);
            let [_, claims] = header_and_claims(&touched);
            assert!(!String::from_utf8(claims).unwrap().contains("unknown"));
            fixture.accepted("the touched token", &touched).await;
        }
    }
}

async fn not_this_form(claim: &'static str, texts: &[String]) {
    for fixture in Fixture::of_each_format().await {
        for text in texts {
            let token = fixture.with_claim(claim, &quoted(text));
            fixture
                .refused_for(
                    &format!("{claim} {text:?}"),
                    &token,
                    Malformed::Claims(claim),
                )
                .await;
        }
    }
}

const GOOD: &str = "01938d5c-7b00-7abc-8def-0123456789ab";

/// Returns texts other than the canonical form of a UUID version 7.
fn no_uuid_v7() -> Vec<String> {
    vec![
        String::new(),
        "alice".to_owned(),
        "0".to_owned(),
        GOOD.to_uppercase(),
        GOOD.replace('-', ""),
        format!("{{{GOOD}}}"),
        format!("urn:uuid:{GOOD}"),
        format!("{GOOD} "),
        format!(" {GOOD}"),
        format!("{GOOD}\0"),
        GOOD[1..].to_owned(),
        format!("{GOOD}0"),
        GOOD.replace('a', "g"),
        GOOD.replacen('-', "_", 1),
        GOOD.replacen('0', "\u{660}", 1),
        "00000000-0000-0000-0000-000000000000".to_owned(),
        "ffffffff-ffff-ffff-ffff-ffffffffffff".to_owned(),
        GOOD.replace("-7abc-", "-4abc-"),
        GOOD.replace("-7abc-", "-1abc-"),
        GOOD.replace("-7abc-", "-8abc-"),
        GOOD.replace("-8def-", "-0def-"),
        GOOD.replace("-8def-", "-cdef-"),
        GOOD.replace("-8def-", "-fdef-"),
    ]
}

#[tokio::test]
async fn a_sub_that_is_not_a_user_id() {
    for fixture in Fixture::of_each_format().await {
        fixture
            .accepted("a user ID", &fixture.with_claim("sub", &quoted(GOOD)))
            .await;
        not_this_form("sub", &no_uuid_v7()).await;
    }
}

#[tokio::test]
async fn a_jti_that_is_not_a_token_id() {
    for fixture in Fixture::of_each_format().await {
        fixture
            .accepted("a token ID", &fixture.with_claim("jti", &quoted(GOOD)))
            .await;
        not_this_form("jti", &no_uuid_v7()).await;
    }
}

#[tokio::test]
async fn a_sid_without_a_valid_lineage() {
    let texts = no_uuid_v7();
    let mut texts: Vec<_> = texts.iter().map(|text| format!("{text}.0")).collect();
    texts.extend([GOOD.to_owned(), format!("0.{GOOD}"), format!(".{GOOD}.0")]);
    not_this_form("sid", &texts).await;
}

/// A second spelling of a session ID would bypass its revocation.
#[tokio::test]
async fn sid_with_another_form_of_its_generation() {
    let generations = [
        "",
        "00",
        "01",
        "+0",
        "-0",
        "-1",
        "0.0",
        ".0",
        "0.",
        "0 ",
        " 0",
        "0x0",
        "0e0",
        "1_0",
        "1,0",
        "4294967296",
        "18446744073709551616",
        "\u{660}",
        "a",
        "0\0",
        "null",
        "*",
    ];
    let texts = generations.map(|generation| format!("{GOOD}.{generation}"));
    not_this_form("sid", &texts).await;
}
