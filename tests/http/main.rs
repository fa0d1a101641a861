//! The HTTP resources, tested in the process.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod common;

mod bad_input;
mod browser;
mod causes;
mod cookies;
mod cors;
mod cross_site;
mod enumeration;
mod fixation;
mod flood;
mod headers;
mod hosts;
mod initial_password;
mod known_networks;
mod limits;
mod log_floods;
mod own_app;
mod own_sessions;
mod pages;
mod password;
mod password_copies;
mod session;
mod sign_up;
mod taken_away;
mod tls;
mod verify;
