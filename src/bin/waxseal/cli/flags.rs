//! The settings, as flags and variables.

use clap::Args;

#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub struct Flags {
    /// The file of settings [default: waxseal.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE", env = "WAXSEAL_CONFIG")]
    pub config: Option<String>,
    /// The address and port to listen on [default: 127.0.0.1:8080]
    #[arg(
        long,
        global = true,
        value_name = "ADDRESS:PORT",
        env = "WAXSEAL_LISTEN"
    )]
    pub listen: Option<String>,
    /// The address and port that answers GET /metrics, for operators alone [default: none]
    #[arg(
        long,
        global = true,
        value_name = "ADDRESS:PORT",
        env = "WAXSEAL_METRICS_LISTEN"
    )]
    pub metrics_listen: Option<String>,
    /// The certificate, a PEM file with its chain; with --tls-key the service speaks HTTPS [default: none]
    #[arg(long, global = true, value_name = "FILE", env = "WAXSEAL_TLS_CERT")]
    pub tls_cert: Option<String>,
    /// The private key of the certificate, a PEM file that nobody else may read [default: none]
    #[arg(long, global = true, value_name = "FILE", env = "WAXSEAL_TLS_KEY")]
    pub tls_key: Option<String>,
    /// The folder of the database [default: data]
    #[arg(long, global = true, value_name = "FOLDER", env = "WAXSEAL_DATA_DIR")]
    pub data_dir: Option<String>,
    /// The folder of the private keys [default: keys]
    #[arg(long, global = true, value_name = "FOLDER", env = "WAXSEAL_KEYS_DIR")]
    pub keys_dir: Option<String>,
    /// The folder of the mark, which shows an older copy of the database; not in the data folder [default: mark]
    #[arg(long, global = true, value_name = "FOLDER", env = "WAXSEAL_MARK_DIR")]
    pub mark_dir: Option<String>,
    /// The issuer in tokens, `iss` [default: http://, or https:// with --tls-cert, and the
    /// address to listen on]
    #[arg(long, global = true, value_name = "URL", env = "WAXSEAL_ISSUER")]
    pub issuer: Option<String>,
    /// The audience in tokens, `aud` [default: the issuer]
    #[arg(long, global = true, value_name = "URL", env = "WAXSEAL_AUDIENCE")]
    pub audience: Option<String>,
    /// Where users and revocations are kept: sqlite, or postgres://… for several nodes [default: sqlite]
    #[arg(
        long,
        global = true,
        value_name = "DATABASE",
        env = "WAXSEAL_DATABASE",
        hide_env_values = true
    )]
    pub database: Option<String>,
    /// Whether to connect to a database on another machine without sslmode=verify-full or verify-ca: yes or no [default: no]
    #[arg(
        long,
        global = true,
        value_name = "YES",
        env = "WAXSEAL_DATABASE_INSECURE"
    )]
    pub database_insecure: Option<String>,
    /// What tokens are written in: jwt or paseto [default: jwt]
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        env = "WAXSEAL_TOKEN_FORMAT"
    )]
    pub token_format: Option<String>,
    /// Which formats verify, separated by commas [default: what is issued]
    #[arg(long, global = true, value_name = "FORMATS", env = "WAXSEAL_ACCEPT")]
    pub accept: Option<String>,
    /// What new keys for JWTs sign with: EdDSA or ES256 [default: EdDSA]
    #[arg(
        long,
        global = true,
        value_name = "ALGORITHM",
        env = "WAXSEAL_ALGORITHM"
    )]
    pub algorithm: Option<String>,
    /// A session ends when it was not used for so long: 15m, 90s [default: 15m]
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        env = "WAXSEAL_IDLE_TIMEOUT"
    )]
    pub idle_timeout: Option<String>,
    /// A session ends so long after login, at most 24h [default: 2h]
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        env = "WAXSEAL_ABSOLUTE_TIMEOUT"
    )]
    pub absolute_timeout: Option<String>,
    /// A session gets a new session ID after so long [default: 30m]
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        env = "WAXSEAL_RENEWAL_TIMEOUT"
    )]
    pub renewal_timeout: Option<String>,
    /// Requests move the idle deadline at most this often [default: 1m, or a quarter of a short idle timeout]
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        env = "WAXSEAL_TOUCH_INTERVAL"
    )]
    pub touch_interval: Option<String>,
    /// How long a session ID stays good after it was renewed [default: 30s, or a quarter of a short timeout]
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        env = "WAXSEAL_RENEWAL_GRACE"
    )]
    pub renewal_grace: Option<String>,
    /// How far clocks may differ, at most 60s [default: 5s]
    #[arg(long, global = true, value_name = "DURATION", env = "WAXSEAL_LEEWAY")]
    pub leeway: Option<String>,
    /// Other origins whose pages may use the service, separated by commas: https://app.example [default: none]
    #[arg(
        long,
        global = true,
        value_name = "ORIGINS",
        env = "WAXSEAL_ALLOWED_ORIGINS"
    )]
    pub allowed_origins: Option<String>,
    /// The session cookie's SameSite: lax, strict or none [default: lax]
    #[arg(
        long,
        global = true,
        value_name = "SAMESITE",
        env = "WAXSEAL_SAME_SITE"
    )]
    pub same_site: Option<String>,
    /// What a logout asks the browser to delete: a list of cache and storage, or none [default: cache]
    #[arg(
        long,
        global = true,
        value_name = "KINDS",
        env = "WAXSEAL_CLEAR_SITE_DATA"
    )]
    pub clear_site_data: Option<String>,
    /// For how long browsers use HTTPS alone for an https:// issuer (HSTS): 0s has them forget it, none says nothing
    /// [default: 365d]
    #[arg(long, global = true, value_name = "DURATION", env = "WAXSEAL_HSTS")]
    pub hsts: Option<String>,
    /// Proxies whose X-Forwarded-For is believed, separated by commas: 10.0.0.0/8, ::1 [default: none]
    #[arg(
        long,
        global = true,
        value_name = "NETWORKS",
        env = "WAXSEAL_TRUSTED_PROXIES"
    )]
    pub trusted_proxies: Option<String>,
    /// How long a client's token is good, at most 1h [default: 5m]
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        env = "WAXSEAL_CLIENT_TOKEN_LIFETIME"
    )]
    pub client_token_lifetime: Option<String>,
    /// Tokens are refused once the revocation list may be older than this, at most 1h [default: 5s]
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        env = "WAXSEAL_MAX_STALENESS"
    )]
    pub max_staleness: Option<String>,
    /// What a logout's answer promises of other nodes: bounded, that they refuse within max_staleness; fenced, that they
    /// refuse already [default: bounded]
    #[arg(long, global = true, value_name = "PROMISE", env = "WAXSEAL_LOGOUT")]
    pub logout: Option<String>,
    /// With fenced logouts, how long a node may serve on what it knows, and a silent one delay a logout [default: 2s]
    #[arg(long, global = true, value_name = "DURATION", env = "WAXSEAL_LEASE")]
    pub lease: Option<String>,
    /// After SIGTERM, for how long GET /readyz says that the service stops while it still serves, so that balancers
    /// turn to others first; at most 1h [default: 0s]
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        env = "WAXSEAL_STOP_NOTICE"
    )]
    pub stop_notice: Option<String>,
    /// How much of the tokens that have verified is remembered, to spare checking their signatures again; 0 for
    /// nothing [default: 64MiB]
    #[arg(long, global = true, value_name = "SIZE", env = "WAXSEAL_MEMO")]
    pub memo: Option<String>,
    /// Connections that may be open at once, an eighth of them from one address (IPv6: /64) [default: 8192, or as many
    /// as the limit on open files has room for]
    #[arg(
        long,
        global = true,
        value_name = "NUMBER",
        env = "WAXSEAL_MAX_CONNECTIONS"
    )]
    pub max_connections: Option<String>,
    /// Whom the first start adds, with a password that it shows once and that is good for one hour; or none
    /// [default: admin]
    #[arg(long, global = true, value_name = "NAME", env = "WAXSEAL_FIRST_USER")]
    pub first_user: Option<String>,
    /// Logins from one address (IPv6: /64), so many over a time [default: 20/1m]
    #[arg(
        long,
        global = true,
        value_name = "RATE",
        env = "WAXSEAL_LOGIN_LIMIT_ADDRESS"
    )]
    pub login_limit_address: Option<String>,
    /// Logins at one account, so many over a time [default: 10/1m]
    #[arg(
        long,
        global = true,
        value_name = "RATE",
        env = "WAXSEAL_LOGIN_LIMIT_ACCOUNT"
    )]
    pub login_limit_account: Option<String>,
    /// Words that new passwords must not be made from, besides the username and the issuer's host, separated by commas [default: none]
    #[arg(
        long,
        global = true,
        value_name = "WORDS",
        env = "WAXSEAL_FORBIDDEN_PASSWORD_WORDS"
    )]
    pub forbidden_password_words: Option<String>,
}
