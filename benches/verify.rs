//! Verification and revocation, as ratios.
fn main() {}
