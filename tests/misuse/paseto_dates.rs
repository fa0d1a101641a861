//! PASETO dates that some parsers accept and others do not.

use waxseal::key::Algorithm;
use waxseal::token::Malformed;

use crate::fixture::{DATES, Fixture};
use crate::forger::quoted;

/// RFC 3339 allows some of them, and other parsers allow more.
#[tokio::test]
async fn loose_dates() {
    let fixture = Fixture::with(Algorithm::V4Public).await;
    for claim in DATES.into_iter().chain(["nbf"]) {
        // The issuer writes no `nbf`.
        let of = if claim == "nbf" { "iat" } else { claim };
        let good = fixture.date(fixture.second(of));
        let good = good.trim_matches('"');
        let local = good.strip_suffix('Z').unwrap();
        let (day, clock) = local.split_once('T').unwrap();
        let utc = format!("{local}+00:00");
        fixture
            .accepted(&utc, &fixture.with_claim(claim, &quoted(&utc)))
            .await;
        let second = fixture.second(of).to_string();
        let mut loose = vec![
            format!("{day}t{clock}Z"),
            format!("{day} {clock}Z"),
            format!("{day}_{clock}Z"),
            format!("{day}{clock}Z"),
            format!("{day}TT{clock}Z"),
            format!("{day}T{clock}.000Z"),
            format!("{day}T{clock}.0Z"),
            format!("{day}T{clock}.Z"),
            format!("{day}T{clock},0Z"),
            format!("{day}T{}Z", &clock[..5]),
            format!("{day}T{}Z", clock.replace(':', "")),
            format!("{}T{clock}Z", day.replace('-', "")),
            format!("{}T{clock}Z", day.replace('-', "/")),
            format!("{}T{clock}Z", day.replacen("-0", "-", 1)),
            format!("{day}T{}Z", clock.replacen('0', "", 1)),
            format!("{}T{clock}Z", &day[2..]),
            format!("+{local}Z"),
            format!("-{local}Z"),
            format!("0{local}Z"),
            format!("1{local}Z"),
            format!("{day}T{}:60Z", &clock[..5]),
            format!("{day}T24:00:00Z"),
            format!("{day}T08:60:00Z"),
            format!("{}-13-01T{clock}Z", &day[..4]),
            format!("{}-00-01T{clock}Z", &day[..4]),
            format!("{}-02-30T{clock}Z", &day[..4]),
            format!("{}-015T{clock}Z", &day[..4]),
            format!("{}-W02-5T{clock}Z", &day[..4]),
            format!("{good} "),
            format!(" {good}"),
            format!("{good}\0"),
            format!("{good}\n"),
            format!("{good}Z"),
            format!("{good}+00:00"),
            format!("{utc}Z"),
            format!("{good}[UTC]"),
            good.replacen('0', "\u{660}", 1),
            good.replacen('2', "\u{ff12}", 1),
            day.to_owned(),
            format!("{day}Z"),
            clock.to_owned(),
            second.clone(),
            format!("@{second}"),
            "now".to_owned(),
            "tomorrow".to_owned(),
            "1 hour".to_owned(),
            "P1D".to_owned(),
            "Fri, 15 Jan 2027 08:00:00 GMT".to_owned(),
            "10000-01-01T00:00:00Z".to_owned(),
            "+10000-01-01T00:00:00Z".to_owned(),
            "1969-12-31T23:59:59Z".to_owned(),
            "0000-01-01T00:00:00Z".to_owned(),
            "-0001-01-01T00:00:00Z".to_owned(),
        ];
        let offsets = [
            "",
            "z",
            "-00:00",
            "+00",
            "+0000",
            "+00:00:00",
            "+0:00",
            " +00:00",
            "+01:00",
            "-01:00",
            "+00:01",
            "\u{2212}00:00",
            " UTC",
            "GMT",
            "Z0",
        ];
        loose.extend(offsets.map(|offset| format!("{local}{offset}")));
        let mut raw: Vec<_> = loose.iter().map(|text| quoted(text)).collect();
        raw.extend([second.clone(), format!("{second}.0"), format!("-{second}")]);
        for raw in raw {
            let token = fixture.with_claim(claim, &raw);
            let why = Malformed::Claims(claim);
            fixture
                .refused_for(&format!("{claim} {raw}"), &token, why)
                .await;
        }
    }
}
