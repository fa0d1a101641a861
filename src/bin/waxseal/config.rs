//! Settings. Flags override `WAXSEAL_*` variables, which override waxseal.toml, which overrides the defaults. An error
//! names the wrong setting.

pub mod database;
mod issuer;
mod old_names;
mod refusal;
mod settings_file;
mod timeouts;
mod tls;
mod values;
pub mod variables;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use waxseal::Settings;
use waxseal::account::Username;
use waxseal::account::limits::{LoginRates, Rate};
use waxseal::embedded::{Logout, mark_is_apart};
use waxseal::http::{ClearSiteData, SameSite};
use waxseal::key::{Algorithm, Format};

use crate::cli::{Flags, duration};
use crate::failure::Failure;
use database::Takes;
use old_names::{OldNames, Written};
use refusal::bad;
use timeouts::WrittenTimeouts;
pub use tls::TlsFiles;

/// The settings of the service and of the program, checked.
#[derive(Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub metrics_listen: Option<SocketAddr>,
    /// The certificate and the key; `None` if the service speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Whether the issuer was set. Otherwise it is derived from the address to listen on.
    issuer_is_set: bool,
    /// How long the service announces its stop before it stops.
    pub shutdown_delay: Duration,
    /// Whether to connect to a database on another machine without checking its certificate.
    pub takes: Takes,
    /// How many connections may be open at once; `None` if that is not set.
    pub max_connections: Option<usize>,
    /// The user whom a start without users adds; `None` adds nobody.
    pub first_user: Option<Username>,
    /// The old names that settings were set under.
    pub old_names: OldNames,
    pub settings: Settings,
}

/// The keys of waxseal.toml.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<String>,
    metrics_listen: Option<String>,
    tls_cert: Option<String>,
    tls_key: Option<String>,
    data_dir: Option<String>,
    keys_dir: Option<String>,
    mark_dir: Option<String>,
    issuer: Option<String>,
    audience: Option<String>,
    database: Option<String>,
    database_insecure: Option<String>,
    algorithm: Option<String>,
    token_format: Option<String>,
    accept: Option<String>,
    idle_timeout: Option<String>,
    absolute_timeout: Option<String>,
    renewal_timeout: Option<String>,
    touch_interval: Option<String>,
    renewal_grace: Option<String>,
    leeway: Option<String>,
    allowed_origins: Option<String>,
    same_site: Option<String>,
    clear_site_data: Option<String>,
    hsts: Option<String>,
    trusted_proxies: Option<String>,
    login_limit_address: Option<String>,
    login_limit_account: Option<String>,
    forbidden_password_words: Option<String>,
    client_token_lifetime: Option<String>,
    max_staleness: Option<String>,
    logout: Option<String>,
    lease: Option<String>,
    shutdown_delay: Option<String>,
    token_cache: Option<String>,
    max_connections: Option<String>,
    first_user: Option<String>,
    stop_notice: Option<String>,
    memo: Option<String>,
}

pub fn load(flags: &Flags) -> Result<Config, Failure> {
    variables::refuse_unknown()?;
    let file: File = settings_file::read(flags.config.as_deref())?;
    let pick = |flag: &Option<String>, file: Option<String>| flag.clone().or(file);

    let listen = pick(&flags.listen, file.listen).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let listen = address("listen", &listen)?;
    let metrics_listen = pick(&flags.metrics_listen, file.metrics_listen)
        .map(|text| match address("metrics_listen", &text)? {
            same if same == listen && same.port() != 0 => Err(bad(
                "metrics_listen",
                &text,
                "another address than that of the service",
            )),
            other => Ok(other),
        })
        .transpose()?;
    let tls = tls::read(
        pick(&flags.tls_cert, file.tls_cert),
        pick(&flags.tls_key, file.tls_key),
    )?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let issuer = pick(&flags.issuer, file.issuer);
    let issuer_is_set = issuer.is_some();
    let issuer = issuer.unwrap_or_else(|| format!("{scheme}://{listen}"));
    if !(issuer.starts_with("https://") || issuer.starts_with("http://"))
        || issuer.chars().any(|c| c.is_whitespace() || c.is_control())
    {
        return Err(bad("issuer", &issuer, "an http:// or https:// URL"));
    }
    let audience = pick(&flags.audience, file.audience).unwrap_or_else(|| issuer.clone());
    let insecure = pick(&flags.database_insecure, file.database_insecure);
    let takes = database::takes(insecure.as_deref())?;
    let database = database::parse(pick(&flags.database, file.database), takes)?;
    let logout = match pick(&flags.logout, file.logout).as_deref() {
        None | Some("bounded") => Logout::Bounded,
        Some("fenced") => Logout::Fenced,
        Some(other) => return Err(bad("logout", other, "bounded or fenced")),
    };
    let algorithm = match pick(&flags.algorithm, file.algorithm) {
        None => Algorithm::EdDsa,
        Some(text) => {
            let named = |algorithm: &Algorithm| {
                algorithm.format() == Format::Jwt && algorithm.name() == text
            };
            let algorithm = Algorithm::ALL.into_iter().find(named);
            algorithm.ok_or_else(|| bad("algorithm", &text, "EdDSA or ES256"))?
        }
    };
    let format = match pick(&flags.token_format, file.token_format) {
        None => Format::Jwt,
        Some(text) => {
            parse_format(&text).ok_or_else(|| bad("token_format", &text, "jwt or paseto"))?
        }
    };
    let accepts = match pick(&flags.accept, file.accept) {
        None => vec![format],
        Some(text) => {
            let formats = text
                .split(',')
                .map(|text| parse_format(text.trim()))
                .collect::<Option<Vec<_>>>();
            formats.ok_or_else(|| bad("accept", &text, "jwt, paseto or jwt,paseto"))?
        }
    };
    if !accepts.contains(&format) {
        return Err(bad(
            "accept",
            &format!("without {}", format.name()),
            "a list with the format that is issued, token_format",
        ));
    }
    let timeouts = timeouts::read(&WrittenTimeouts {
        idle: pick(&flags.idle_timeout, file.idle_timeout),
        absolute: pick(&flags.absolute_timeout, file.absolute_timeout),
        renewal: pick(&flags.renewal_timeout, file.renewal_timeout),
        touch_interval: pick(&flags.touch_interval, file.touch_interval),
        renewal_grace: pick(&flags.renewal_grace, file.renewal_grace),
        leeway: pick(&flags.leeway, file.leeway),
    })?;
    let allowed_origins = list(
        "allowed_origins",
        pick(&flags.allowed_origins, file.allowed_origins),
        "origins such as https://app.example: lower case, no path, no default port, http only for localhost",
        |text| text.parse().ok(),
    )?;
    let trusted_proxies = list(
        "trusted_proxies",
        pick(&flags.trusted_proxies, file.trusted_proxies),
        "addresses and networks such as 10.0.0.0/8 or ::1",
        |text: &str| {
            text.parse()
                .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
                .ok()
        },
    )?;
    let same_site = match pick(&flags.same_site, file.same_site).as_deref() {
        None | Some("lax") => SameSite::Lax,
        Some("strict") => SameSite::Strict,
        Some("none") => SameSite::None,
        Some(other) => return Err(bad("same_site", other, "lax, strict or none")),
    };
    let clear_site_data = match pick(&flags.clear_site_data, file.clear_site_data) {
        None => ClearSiteData::default(),
        Some(text) => text.parse().map_err(|_| {
            bad(
                "clear_site_data",
                &text,
                "a list of cache and storage, or none",
            )
        })?,
    };
    let rate = |key, text: Option<String>, default| match text {
        None => Ok(default),
        Some(text) => parse_rate(&text)
            .ok_or_else(|| bad(key, &text, "so many over a time, such as 20/1m or 5/30s")),
    };
    let rates = LoginRates::default();
    let login_rates = LoginRates {
        address: rate(
            "login_limit_address",
            pick(&flags.login_limit_address, file.login_limit_address),
            rates.address,
        )?,
        account: rate(
            "login_limit_account",
            pick(&flags.login_limit_account, file.login_limit_account),
            rates.account,
        )?,
    };
    let forbidden_password_words = list(
        "forbidden_password_words",
        pick(
            &flags.forbidden_password_words,
            file.forbidden_password_words,
        ),
        "words of 3 to 64 characters, separated by commas",
        |word| {
            let length = (3..=64).contains(&word.chars().count());
            length.then(|| word.to_owned())
        },
    )?;
    let up_to_an_hour = |key, text: Option<String>, default| match text {
        None => Ok(default),
        Some(text) => duration(&text)
            .ok()
            .filter(|time| (1..=3600).contains(&time.as_secs()))
            .ok_or_else(|| bad(key, &text, "a duration from 1s to 1h")),
    };
    let default = Settings::default();
    let client_token_lifetime = up_to_an_hour(
        "client_token_lifetime",
        pick(&flags.client_token_lifetime, file.client_token_lifetime),
        default.client_token_lifetime,
    )?;
    let max_staleness = up_to_an_hour(
        "max_staleness",
        pick(&flags.max_staleness, file.max_staleness),
        default.max_staleness,
    )?;
    let lease = up_to_an_hour("lease", pick(&flags.lease, file.lease), default.lease)?;
    if logout == Logout::Fenced && lease > max_staleness {
        let wanted = "a duration that is not longer than max_staleness";
        return Err(bad("lease", &format!("{lease:?}"), wanted));
    }
    let written = |key, flag, file| Written {
        key,
        text: pick(flag, file),
    };
    let mut old_names = OldNames::default();
    let shutdown_delay = values::shutdown_delay(old_names.pick(
        written("shutdown_delay", &flags.shutdown_delay, file.shutdown_delay),
        written("stop_notice", &flags.stop_notice, file.stop_notice),
    )?)?;
    let token_cache = values::token_cache(
        old_names.pick(
            written("token_cache", &flags.token_cache, file.token_cache),
            written("memo", &flags.memo, file.memo),
        )?,
        default.token_cache,
    )?;
    let max_connections = match pick(&flags.max_connections, file.max_connections) {
        None => None,
        Some(text) => Some(
            text.parse()
                .ok()
                .filter(|most| *most > 0)
                .ok_or_else(|| bad("max_connections", &text, "a number from 1"))?,
        ),
    };
    let first_user = values::first_user(pick(&flags.first_user, file.first_user))?;
    let folder = |key, flag, file, default: &str| match pick(flag, file) {
        None => Ok(default.into()),
        Some(path) if path.is_empty() => Err(bad(key, "", "the path of a folder")),
        Some(path) => Ok(path.into()),
    };
    let hsts = issuer::hsts(pick(&flags.hsts, file.hsts), default.hsts)?;
    let mut settings = default;
    settings.data_dir = folder("data_dir", &flags.data_dir, file.data_dir, "data")?;
    settings.keys_dir = folder("keys_dir", &flags.keys_dir, file.keys_dir, "keys")?;
    settings.mark_dir = folder("mark_dir", &flags.mark_dir, file.mark_dir, "mark")?;
    settings.issuer = issuer;
    settings.audience = audience;
    settings.algorithm = algorithm;
    settings.format = format;
    settings.accepts = accepts;
    settings.timeouts = timeouts;
    settings.allowed_origins = allowed_origins;
    settings.same_site = same_site;
    settings.clear_site_data = clear_site_data;
    settings.hsts = hsts;
    settings.trusted_proxies = trusted_proxies;
    settings.login_rates = login_rates;
    settings.forbidden_password_words = forbidden_password_words;
    settings.client_token_lifetime = client_token_lifetime;
    settings.max_staleness = max_staleness;
    settings.database = database;
    settings.logout = logout;
    settings.lease = lease;
    settings.token_cache = token_cache;
    if settings.audience.is_empty() {
        return Err(bad(
            "audience",
            "",
            "the URL or name of the service that accepts the tokens",
        ));
    }
    if mark_is_apart(&settings).is_err() {
        let written = settings.mark_dir.display().to_string();
        let wanted = "a folder outside of the data folder, with which it would be put back";
        return Err(bad("mark_dir", &written, wanted));
    }
    Ok(Config {
        listen,
        metrics_listen,
        tls,
        issuer_is_set,
        shutdown_delay,
        takes,
        max_connections,
        first_user,
        old_names,
        settings,
    })
}

impl Config {
    /// Refuses an issuer that is derived from an unspecified address to listen on: no client can reach it.
    pub fn check_issuer(&self) -> Result<(), Failure> {
        if self.issuer_is_set || !self.listen.ip().is_unspecified() {
            return Ok(());
        }
        Err(Failure::Usage(format!(
            "the setting issuer is not set, and {} is not an address that a client can use; set --issuer or WAXSEAL_ISSUER to the URL that clients use, such as https://auth.example",
            self.listen
        )))
    }

    /// Whether browsers discard the issuer's session cookie.
    pub fn loses_cookies(&self) -> bool {
        issuer::loses_cookies(&self.settings.issuer)
    }
}

fn address(key: &str, text: &str) -> Result<SocketAddr, Failure> {
    let wanted = "an address and a port, such as 127.0.0.1:8080 or [::1]:8080";
    text.parse().map_err(|_| bad(key, text, wanted))
}

/// Parses a list separated by commas. An empty text is an empty list.
fn list<T>(
    key: &str,
    text: Option<String>,
    wanted: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, Failure> {
    let text = text.unwrap_or_default();
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let parts = text.split(',').map(str::trim);
    parts
        .map(|part| {
            parse(part).ok_or_else(|| match part {
                "" => bad(key, &text, &format!("{wanted}, without an empty entry")),
                part => bad(key, part, wanted),
            })
        })
        .collect()
}

fn parse_rate(text: &str) -> Option<Rate> {
    let (burst, window) = text.split_once('/')?;
    let plain = !burst.is_empty() && burst.bytes().all(|b| b.is_ascii_digit());
    let burst = plain.then(|| burst.parse().ok()).flatten()?;
    Rate::new(burst, duration(window).ok()?)
}

fn parse_format(text: &str) -> Option<Format> {
    Format::ALL.into_iter().find(|format| format.name() == text)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_setting_is_a_flag_a_variable_and_a_key() {
        let command = Cli::command();
        let keys = [
            "listen",
            "metrics_listen",
            "tls_cert",
            "tls_key",
            "data_dir",
            "keys_dir",
            "mark_dir",
            "issuer",
            "audience",
            "database",
            "database_insecure",
            "algorithm",
            "token_format",
            "accept",
            "idle_timeout",
            "absolute_timeout",
            "renewal_timeout",
            "touch_interval",
            "renewal_grace",
            "leeway",
            "allowed_origins",
            "same_site",
            "clear_site_data",
            "hsts",
            "trusted_proxies",
            "login_limit_address",
            "login_limit_account",
            "forbidden_password_words",
            "client_token_lifetime",
            "max_staleness",
            "logout",
            "lease",
            "shutdown_delay",
            "token_cache",
            "max_connections",
            "first_user",
            "stop_notice",
            "memo",
        ];
        for key in keys {
            let argument = command
                .get_arguments()
                .find(|argument| argument.get_id() == key)
                .unwrap();
            assert_eq!(argument.get_long(), Some(key.replace('_', "-").as_str()));
            let variable = format!("WAXSEAL_{}", key.to_uppercase());
            assert_eq!(
                argument.get_env().and_then(|name| name.to_str()),
                Some(variable.as_str())
            );
            toml::from_str::<File>(&format!("{key} = \"x\"")).unwrap();
        }
        assert!(
            toml::from_str::<File>("listne = \"x\"")
                .unwrap_err()
                .to_string()
                .contains("listne")
        );
        Cli::parse_from(["waxseal", "user", "list", "--data-dir", "x"]);
        Cli::command().debug_assert();
    }
}
