//! W3C Trace Context: the trace that a request belongs to.

use axum::http::HeaderValue;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// Parses `traceparent` (W3C Trace Context, section 3.2). A malformed header is ignored, as the standard requires.
pub(super) fn parent(header: &HeaderValue) -> Option<SpanContext> {
    let text = header.to_str().ok()?;
    let (fields, rest) = text.split_at_checked(55)?;
    let mut fields = fields.split('-');
    let mut field = |length: usize| {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        fields
            .next()
            .filter(|field| field.len() == length && field.bytes().all(digit))
    };
    let (version, trace, parent, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
    // A later version may append fields after another dash.
    let ends = rest.is_empty() || (version != "00" && rest.starts_with('-'));
    let parent = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(parent).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::NONE,
    );
    (ends && version != "ff" && parent.is_valid()).then_some(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_trace_is_taken_from_a_traceparent_and_from_nothing_else() {
        let taken = |text: &str| {
            let parent = parent(&HeaderValue::from_str(text).unwrap());
            parent.map(|parent| parent.trace_id().to_string())
        };
        let good = format!("00-{TRACE}-00f067aa0ba902b7-01");
        for text in [
            &good,
            &format!("cc-{}", &good[3..]),
            &format!("cc-{}-more", &good[3..]),
        ] {
            assert_eq!(taken(text).as_deref(), Some(TRACE), "{text}");
        }
        for text in [
            "",
            &good[..54],
            &format!("{good}-more"),
            &format!("ff-{}", &good[3..]),
            &format!("cc-{}more", &good[3..]),
            &good.to_uppercase(),
            &good.replace(TRACE, &"0".repeat(32)),
            &good.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &good.replace("4bf9", "4bg9"),
            &good.replace("-01", "--1"),
            &good.replace('-', "_"),
        ] {
            assert_eq!(taken(text), None, "{text}");
        }
        assert!(parent(&HeaderValue::from_bytes(&[0xff; 55]).unwrap()).is_none());
    }
}
