//! Errors printed together with their causes.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

/// An error with its causes, as one sentence: the value that [`report`] returns.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    error: &'a (dyn Error + 'static),
}

/// Returns an error for printing together with its causes: the outermost first, with `: ` between them. The advice of
/// an [`Advised`] error comes after its cause, behind `; `.
///
/// The errors of this library do not repeat their cause in `Display`. Those of other libraries may: a cause is left out
/// if the text before it contains its text.
#[must_use]
pub fn report<'a>(error: &'a (dyn Error + 'static)) -> Report<'a> {
    Report { error }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.error, None)
    }
}

/// Writes an error and its causes. `outer` is the text of the error that it caused.
fn write(
    f: &mut fmt::Formatter<'_>,
    error: &(dyn Error + 'static),
    outer: Option<&str>,
) -> fmt::Result {
    if let Some(Advised { cause, advice }) = error.downcast_ref() {
        write(f, &**cause, outer)?;
        return write!(f, "; {advice}");
    }
    let text = error.to_string();
    match outer {
        None => f.write_str(&text)?,
        Some(outer) if outer.contains(&text) => {}
        Some(_) => write!(f, ": {text}")?,
    }
    match error.source() {
        None => Ok(()),
        Some(cause) => write(f, cause, Some(&text)),
    }
}

/// An error with advice on what to do about it. `Display` shows the advice, `source` returns the error, and [`report`]
/// puts the advice after the error.
#[derive(Debug)]
pub struct Advised {
    cause: Box<dyn Error + Send + Sync>,
    advice: Cow<'static, str>,
}

impl Advised {
    /// Adds advice to an error.
    pub fn new(
        cause: impl Into<Box<dyn Error + Send + Sync>>,
        advice: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            cause: cause.into(),
            advice: advice.into(),
        }
    }
}

impl fmt::Display for Advised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.advice)
    }
}

impl Error for Advised {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        source: Option<Box<dyn Error + Send + Sync>>,
    }

    fn link(text: &'static str, source: Option<Box<dyn Error + Send + Sync>>) -> Link {
        Link { text, source }
    }

    #[test]
    fn a_report_has_each_cause_once_and_advice_after_what_it_is_about() {
        let refused = || Box::new(link("connection refused", None));
        let repeats = || Box::new(link("io: connection refused", Some(refused())));
        let advised = |cause| Box::new(Advised::new(cause, "is it up?"));
        for (error, expected) in [
            (link("a", None), "a"),
            (link("a", Some(refused())), "a: connection refused"),
            (link("a", Some(repeats())), "a: io: connection refused"),
            (
                link("a", Some(advised(repeats()))),
                "a: io: connection refused; is it up?",
            ),
            (
                link("a", Some(Box::new(link("b", Some(advised(refused())))))),
                "a: b: connection refused; is it up?",
            ),
        ] {
            assert_eq!(report(&error).to_string(), expected);
        }
        let advised = advised(refused());
        assert_eq!(advised.to_string(), "is it up?");
        assert_eq!(advised.source().unwrap().to_string(), "connection refused");
    }
}
