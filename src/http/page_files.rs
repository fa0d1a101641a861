//! The service's own pages. They are in the binary: no file, no build step, no other host.

use std::sync::LazyLock;

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::crypto::sha256;
use crate::token::base64url;

/// What the pages may do, which is to load their own parts and to talk to their own origin.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

struct Page {
    path: &'static str,
    content_type: &'static str,
    body: &'static str,
}

macro_rules! pages {
    ($($path:literal $content_type:ident $file:literal)*) => {
        [$(Page {
            path: $path,
            content_type: $content_type,
            body: include_str!(concat!("../../web/", $file)),
        }),*]
    };
}

static PAGES: [Page; 14] = pages! {
    "/" HTML "pages/index.html"
    "/pages/style.css" STYLE "pages/style.css"
    "/pages/icon.svg" IMAGE "pages/icon.svg"
    "/pages/app.js" SCRIPT "pages/app.js"
    "/pages/ending.js" SCRIPT "pages/ending.js"
    "/pages/form.js" SCRIPT "pages/form.js"
    "/pages/password.js" SCRIPT "pages/password.js"
    "/pages/problems.js" SCRIPT "pages/problems.js"
    "/pages/requests.js" SCRIPT "pages/requests.js"
    "/pages/session.js" SCRIPT "pages/session.js"
    "/pages/sessions.js" SCRIPT "pages/sessions.js"
    "/pages/sign-in.js" SCRIPT "pages/sign-in.js"
    "/pages/words.js" SCRIPT "pages/words.js"
    "/pages/waxseal.js" SCRIPT "client/waxseal.js"
};

/// Changes with the program's version of any of them: they belong together.
static TAG: LazyLock<String> = LazyLock::new(|| {
    let all: String = PAGES.iter().map(|page| page.body).collect();
    format!("\"{}\"", base64url::encode(&sha256(all.as_bytes())[..12]))
});

pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    PAGES.iter().fold(Router::new(), |router, page| {
        router.route(page.path, get(async move |headers| answer(page, &headers)))
    })
}

fn answer(page: &Page, headers: &HeaderMap) -> Response {
    let known = headers
        .get(IF_NONE_MATCH)
        .is_some_and(|tag| tag.as_bytes() == TAG.as_bytes());
    let fields = [
        (CONTENT_TYPE, page.content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_FRAME_OPTIONS, "DENY"),
        (CACHE_CONTROL, "no-cache"),
        (ETAG, TAG.as_str()),
    ];
    if known {
        return (StatusCode::NOT_MODIFIED, fields).into_response();
    }
    (fields, page.body).into_response()
}
