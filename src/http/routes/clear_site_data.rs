//! What a logout asks the browser to delete (`Clear-Site-Data`, W3C Clear Site Data, section 3.1).

use std::str::FromStr;

use axum::http::HeaderValue;

/// What a logout asks the browser to delete for the origin of the service. The default is its cache.
///
/// A logout deletes the session cookie by name in any case. There is no choice for all `"cookies"`: it would also
/// delete those of sibling domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClearSiteData {
    /// The browser's cache.
    pub cache: bool,
    /// The storage of pages, such as `localStorage`, IndexedDB and service workers. An app on the same origin loses its
    /// data too.
    pub storage: bool,
}

impl Default for ClearSiteData {
    fn default() -> Self {
        Self {
            cache: true,
            storage: false,
        }
    }
}

/// A text that is not `none` or a list of what to delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not cache, storage, cache,storage or none")]
pub struct InvalidClearSiteData;

impl FromStr for ClearSiteData {
    type Err = InvalidClearSiteData;

    /// Parses `none`, or a list of `cache` and `storage`, separated by commas.
    fn from_str(text: &str) -> Result<Self, InvalidClearSiteData> {
        let mut cleared = Self {
            cache: false,
            storage: false,
        };
        if text.trim() == "none" {
            return Ok(cleared);
        }
        for kind in text.split(',') {
            match kind.trim() {
                "cache" => cleared.cache = true,
                "storage" => cleared.storage = true,
                _ => return Err(InvalidClearSiteData),
            }
        }
        Ok(cleared)
    }
}

impl ClearSiteData {
    /// Returns the header's value. None if nothing is to be deleted.
    pub(super) const fn header(self) -> Option<HeaderValue> {
        match (self.cache, self.storage) {
            (true, true) => Some(HeaderValue::from_static(r#""cache", "storage""#)),
            (true, false) => Some(HeaderValue::from_static(r#""cache""#)),
            (false, true) => Some(HeaderValue::from_static(r#""storage""#)),
            (false, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_kinds_become_the_header_and_others_are_refused() {
        for (text, header) in [
            ("none", None),
            ("cache", Some(r#""cache""#)),
            ("storage", Some(r#""storage""#)),
            ("cache,storage", Some(r#""cache", "storage""#)),
            (" storage , cache ", Some(r#""cache", "storage""#)),
        ] {
            let cleared: ClearSiteData = text.parse().unwrap();
            let sent = cleared.header();
            let sent = sent.as_ref().map(|value| value.to_str().unwrap());
            assert_eq!(sent, header, "{text:?}");
        }
        assert_eq!("cache".parse(), Ok(ClearSiteData::default()));
        for text in ["", ",", "cache,", "none,cache", "Cache", "cookies", "*"] {
            let refused: Result<ClearSiteData, _> = text.parse();
            assert_eq!(refused, Err(InvalidClearSiteData), "{text:?}");
        }
    }
}
