//! The address of the database, and whether the connection to it must be secured.

use waxseal::embedded::Database;
use waxseal::store::sql::{BadPostgresUrl, PostgresUrl};

use super::refusal::{FILE, bad};
use crate::failure::Failure;

/// Which addresses of a database on another machine are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Only addresses whose connection checks the server's certificate.
    Secured,
    /// Every address.
    Insecure,
}

pub fn takes(text: Option<&str>) -> Result<Takes, Failure> {
    match text {
        None | Some("no") => Ok(Takes::Secured),
        Some("yes") => Ok(Takes::Insecure),
        Some(other) => Err(bad("database_insecure", other, "yes or no")),
    }
}

/// Parses the setting `database`. It may have a password in it, so an error does not quote it.
pub fn parse(text: Option<String>, takes: Takes) -> Result<Database, Failure> {
    let text = match text.as_deref() {
        None | Some("sqlite") => return Ok(Database::Sqlite),
        Some(text) => text,
    };
    let wanted = "sqlite or postgres://user:password@host:5432/database, in which a password has its special characters percent-encoded";
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    let is_word = |text: &&str| text.bytes().all(|b| b.is_ascii_lowercase());
    let kind = scheme.filter(is_word).unwrap_or("another text");
    let refused = |why| match why {
        BadPostgresUrl::Malformed => bad("database", kind, wanted),
        _ => Failure::Usage(format!(
            "the setting database is {}; it is set by --database, WAXSEAL_DATABASE or {FILE}",
            said(why)
        )),
    };
    address(text, takes)
        .map(Database::Postgres)
        .map_err(refused)
}

pub fn address(text: &str, takes: Takes) -> Result<PostgresUrl, BadPostgresUrl> {
    match takes {
        Takes::Secured => text.parse(),
        Takes::Insecure => PostgresUrl::insecure(text),
    }
}

/// Says what is wrong with an address, and how to accept it anyway.
pub fn said(why: BadPostgresUrl) -> String {
    match why {
        BadPostgresUrl::Insecure { .. } => format!(
            "{why}; WAXSEAL_DATABASE_INSECURE=yes accepts the address, for a network that is secured by other means"
        ),
        _ => why.to_string(),
    }
}
