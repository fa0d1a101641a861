//! The paths that the layers around all routes must know.

/// The prefix of the paths where every refusal, also one of a layer, is an OAuth error.
pub(super) const OAUTH: &str = "/oauth/";

/// The path that proxies call.
pub(super) const VERIFY: &str = "/verify";
