//! The service's own pages. They are compiled into the binary: no files, no build step, no other host.
//!
//! Their URLs are relative, so they work below any path that a proxy adds.

use std::sync::LazyLock;

use axum::extract::{Query, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::crypto::sha256;
use crate::encoding::base64url;
use crate::http::origins::Origins;

/// The `Content-Security-Policy` of the pages: they load their own parts and talk to their own origin, nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// The pages, and what they embed, use no device features (W3C Permissions Policy).
const PERMISSIONS: &str = "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), \
    magnetometer=(), microphone=(), midi=(), payment=(), usb=()";

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const IMAGE: &str = "image/svg+xml";
const ICON: &str = "image/x-icon";
const TEXT: &str = "text/plain; charset=utf-8";

/// Where a password manager sends a user to change a password (W3C, "A Well-Known URL for Changing Passwords").
/// Relative, because a proxy can add a path.
const CHANGE_PASSWORD: &str = "../#/password";

struct StaticFile {
    path: &'static str,
    content_type: &'static str,
    body: &'static [u8],
}

macro_rules! pages {
    ($($path:literal $content_type:ident $file:literal)*) => {
        [$(StaticFile {
            path: $path,
            content_type: $content_type,
            body: include_bytes!(concat!("../../../web/", $file)),
        }),*]
    };
}

static PAGES: [StaticFile; 19] = pages! {
    "/" HTML "pages/index.html"
    "/pages/style.css" STYLE "pages/style.css"
    "/pages/icon.svg" IMAGE "pages/icon.svg"
    "/favicon.ico" ICON "pages/favicon.ico"
    "/robots.txt" TEXT "pages/robots.txt"
    "/pages/app.js" SCRIPT "pages/app.js"
    "/pages/base.js" SCRIPT "pages/base.js"
    "/pages/ending.js" SCRIPT "pages/ending.js"
    "/pages/form.js" SCRIPT "pages/form.js"
    "/pages/instead.js" SCRIPT "pages/instead.js"
    "/pages/password.js" SCRIPT "pages/password.js"
    "/pages/problems.js" SCRIPT "pages/problems.js"
    "/pages/requests.js" SCRIPT "pages/requests.js"
    "/pages/return-to.js" SCRIPT "pages/return-to.js"
    "/pages/session.js" SCRIPT "pages/session.js"
    "/pages/sessions.js" SCRIPT "pages/sessions.js"
    "/pages/sign-in.js" SCRIPT "pages/sign-in.js"
    "/pages/words.js" SCRIPT "pages/words.js"
    "/pages/waxseal.js" SCRIPT "client/waxseal.js"
};

/// The `ETag` of all files. It changes when any of them changes, because they belong together.
static TAG: LazyLock<String> = LazyLock::new(|| {
    let all: Vec<&[u8]> = PAGES.iter().map(|page| page.body).collect();
    format!("\"{}\"", base64url::encode(&sha256(&all.concat())[..12]))
});

pub(super) fn router(origins: &Origins) -> Router {
    let others = Router::new()
        .route(
            "/.well-known/change-password",
            get((StatusCode::SEE_OTHER, [(LOCATION, CHANGE_PASSWORD)])),
        )
        .route("/pages/allowed-origin", get(allowed_origin))
        .with_state(origins.clone());
    PAGES.iter().fold(others, |router, page| {
        router.route(page.path, get(async move |headers| answer(page, &headers)))
    })
}

#[derive(Deserialize)]
struct OriginQuery {
    origin: String,
}

#[derive(Serialize)]
struct OriginVerdict {
    allowed: bool,
}

/// Whether the sign-in page may redirect to this origin: whether it is listed. This is public: CORS reveals the same.
async fn allowed_origin(
    State(origins): State<Origins>,
    Query(asked): Query<OriginQuery>,
) -> impl IntoResponse {
    let origin = HeaderValue::try_from(asked.origin);
    Json(OriginVerdict {
        allowed: origin.is_ok_and(|origin| origins.lists(&origin)),
    })
}

fn answer(page: &StaticFile, headers: &HeaderMap) -> Response {
    let known = headers
        .get(IF_NONE_MATCH)
        .is_some_and(|tag| tag.as_bytes() == TAG.as_bytes());
    let fields = [
        (CONTENT_TYPE, page.content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_FRAME_OPTIONS, "DENY"),
        (PERMISSIONS_POLICY, PERMISSIONS),
        // Pages that open this one, or are opened by it, get no handle to it (HTML, section 7.1.3).
        (OPENER_POLICY, "same-origin"),
        // Pages of other origins cannot embed it (Fetch, section 3.6). An origin that CORS allows can still read it.
        (RESOURCE_POLICY, "same-origin"),
        (CACHE_CONTROL, "no-cache"),
        (ETAG, TAG.as_str()),
    ];
    if known {
        return (StatusCode::NOT_MODIFIED, fields).into_response();
    }
    (fields, page.body).into_response()
}
