//! The validity of a certificate: `notBefore` and `notAfter` of X.509 (RFC 5280, section 4.1.2.5).

use chrono::NaiveDate;

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// The first and the last second at which a certificate is valid, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub from: i64,
    pub until: i64,
}

/// Reads the validity of a certificate. Returns `None` if the input is not a certificate in DER.
pub fn validity(certificate: &[u8]) -> Option<Validity> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (rest, _) = element(certificate, SEQUENCE)?;
    // A certificate of version 1 has no version field.
    let rest = element(rest, VERSION).map_or(rest, |(_, rest)| rest);
    let (_serial, rest) = element(rest, INTEGER)?;
    let (_algorithm, rest) = element(rest, SEQUENCE)?;
    let (_issuer, rest) = element(rest, SEQUENCE)?;
    let (validity, _) = element(rest, SEQUENCE)?;
    let (from, rest) = time(validity)?;
    let (until, _) = time(rest)?;
    Some(Validity { from, until })
}

/// Returns the content of an element with this tag, and the rest of the input.
fn element(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let rest = input.strip_prefix(&[tag])?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = bytes
                .iter()
                .fold(0, |length, byte| (length << 8) | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// Reads `YYMMDDHHMMSSZ`, of the years 1950 to 2049, or `YYYYMMDDHHMMSSZ`. Returns seconds since 1970, and the rest.
fn time(input: &[u8]) -> Option<(i64, &[u8])> {
    let (digits, is_short, rest) = match element(input, UTC_TIME) {
        Some((text, rest)) => (text, true, rest),
        None => {
            let (text, rest) = element(input, GENERALIZED_TIME)?;
            (text, false, rest)
        }
    };
    let digits = digits.strip_suffix(b"Z")?;
    let (year, others) = digits.split_at_checked(if is_short { 2 } else { 4 })?;
    let (pairs, []) = others.as_chunks::<2>() else {
        return None;
    };
    let [month, day, hour, minute, second] = pairs else {
        return None;
    };
    let year = match (number(year)?, is_short) {
        (year, false) => year,
        (year @ 50.., true) => 1900 + year,
        (year, true) => 2000 + year,
    };
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, number(month)?, number(day)?)?;
    let time = date.and_hms_opt(number(hour)?, number(minute)?, number(second)?)?;
    Some((time.and_utc().timestamp(), rest))
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + u32::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], &length[..], content].concat()
    }

    fn certificate(not_after: &[u8]) -> Vec<u8> {
        let not_before = of(UTC_TIME, b"260101000000Z");
        let parts = [
            of(VERSION, &[2, 1, 2]),
            of(INTEGER, &[7]),
            of(SEQUENCE, &[]),
            of(SEQUENCE, b"an issuer"),
            of(SEQUENCE, &[&not_before[..], not_after].concat()),
            of(SEQUENCE, b"a subject and a key"),
        ];
        of(SEQUENCE, &of(SEQUENCE, &parts.concat()))
    }

    #[test]
    fn both_forms_of_a_time_are_read() {
        for (tag, text, seconds) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "261130112421Z", Some(1_796_037_861)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (UTC_TIME, "500101000000Z", Some(-631_152_000)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (UTC_TIME, "261330112421Z", None),
            (UTC_TIME, "2611301124Z", None),
            (UTC_TIME, "26113011242xZ", None),
            (GENERALIZED_TIME, "20500101000000", None),
            (INTEGER, "261130112421Z", None),
        ] {
            let certificate = certificate(&of(tag, text.as_bytes()));
            let wanted = seconds.map(|until| Validity {
                from: 1_767_225_600,
                until,
            });
            assert_eq!(validity(&certificate), wanted, "{text}");
        }
    }

    #[test]
    fn a_truncated_certificate_has_no_expiry() {
        let whole = certificate(&of(UTC_TIME, b"261130112421Z"));
        for end in 0..whole.len() {
            assert_eq!(validity(&whole[..end]), None, "{end}");
        }
        assert_eq!(validity(&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
