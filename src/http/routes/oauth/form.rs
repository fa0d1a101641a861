//! The form body of a request (RFC 6749, section 3.2). A parameter may appear once; an empty one counts as absent.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use super::error::OauthError;

/// The parameters of a request, including secrets.
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    fn parse(body: &[u8]) -> Result<Self, OauthError> {
        let mut fields = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(body) {
            match fields.entry(name.into_owned()) {
                Entry::Vacant(free) => free.insert(value.into_owned()),
                // RFC 8707, section 2 allows several, for a token with several audiences. This service does not.
                Entry::Occupied(taken) if taken.key() == "resource" => {
                    return Err(OauthError::invalid_target());
                }
                Entry::Occupied(_) => {
                    return Err(OauthError::invalid_request(
                        "A parameter is there more than once.",
                    ));
                }
            };
        }
        fields.retain(|_, value| !value.is_empty());
        Ok(Self(fields))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = OauthError;

    async fn from_request(request: Request, state: &S) -> Result<Self, OauthError> {
        let media_type = request.headers().get(CONTENT_TYPE);
        let media_type = media_type.and_then(|value| value.to_str().ok());
        let essence = media_type.unwrap_or_default().split(';').next();
        let is_form = essence.is_some_and(|essence| {
            essence
                .trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
        if !is_form {
            return Err(OauthError::invalid_request(
                "Send the parameters as application/x-www-form-urlencoded.",
            ));
        }
        let body = Bytes::from_request(request, state).await;
        let body =
            body.map_err(|rejection| OauthError::of_status(rejection.into_response().status()))?;
        Self::parse(&body)
    }
}
