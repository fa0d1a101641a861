//! Paths that the layers around all routes know.

/// The beginning of the paths where every refusal is OAuth's, also that of a layer.
pub(super) const OAUTH: &str = "/oauth/";

/// The path that proxies ask.
pub(super) const VERIFY: &str = "/verify";
