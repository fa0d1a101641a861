//! The settings, as flags and variables.

use clap::Args;

#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub struct Flags {
    /// The settings file [default: waxseal.toml, if it is there]
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
    /// The address and port of GET /metrics, for operators alone [default: none]
    #[arg(
        long,
        global = true,
        value_name = "ADDRESS:PORT",
        env = "WAXSEAL_METRICS_LISTEN"
    )]
    pub metrics_listen: Option<String>,
    /// The certificate with its chain, a PEM file; with --tls-key the service speaks HTTPS [default: none]
    #[arg(long, global = true, value_name = "FILE", env = "WAXSEAL_TLS_CERT")]
    pub tls_cert: Option<String>,
    /// The private key of the certificate, a PEM file that nobody else may read [default: none]
    #[arg(long, global = true, value_name = "FILE", env = "WAXSEAL_TLS_KEY")]
    pub tls_key: Option<String>,
    /// The folder of the SQLite database [default: data]
    #[arg(long, global = true, value_name = "FOLDER", env = "WAXSEAL_DATA_DIR")]
    pub data_dir: Option<String>,
    /// The folder of the private keys [default: keys]
    #[arg(long, global = true, value_name = "FOLDER", env = "WAXSEAL_KEYS_DIR")]
    pub keys_dir: Option<String>,
    /// The folder of the mark, which detects a restored older database; not in the data folder [default: mark]
    #[arg(long, global = true, value_name = "FOLDER", env = "WAXSEAL_MARK_DIR")]
    pub mark_dir: Option<String>,
    /// The issuer, `iss` in tokens [default: http://, or https:// with --tls-cert, and the
    /// address to listen on]
    #[arg(long, global = true, value_name = "URL", env = "WAXSEAL_ISSUER")]
    pub issuer: Option<String>,
    /// The audience, `aud` in tokens [default: the issuer]
    #[arg(long, global = true, value_name = "URL", env = "WAXSEAL_AUDIENCE")]
    pub audience: Option<String>,
    /// The database: sqlite, or postgres://… for several nodes [default: sqlite]
    #[arg(
        long,
        global = true,
        value_name = "DATABASE",
        env = "WAXSEAL_DATABASE",
        hide_env_values = true
    )]
    pub database: Option<String>,
    /// Connect to a database on another machine without sslmode=verify-full or verify-ca: yes or no [default: no]
    #[arg(
        long,
        global = true,
        value_name = "YES",
        env = "WAXSEAL_DATABASE_INSECURE"
    )]
    pub database_insecure: Option<String>,
    /// The format of new tokens: jwt or paseto [default: jwt]
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        env = "WAXSEAL_TOKEN_FORMAT"
    )]
    pub token_format: Option<String>,
    /// The formats that verify, separated by commas [default: what is issued]
    #[arg(long, global = true, value_name = "FORMATS", env = "WAXSEAL_ACCEPT")]
    pub accept: Option<String>,
    /// The algorithm of new keys for JWTs: EdDSA or ES256 [default: EdDSA]
    #[arg(
        long,
        global = true,
        value_name = "ALGORITHM",
        env = "WAXSEAL_ALGORITHM"
    )]
    pub algorithm: Option<String>,
    /// A session ends this long after its last request: 15m, 90s [default: 15m]
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        env = "WAXSEAL_IDLE_TIMEOUT"
    )]
    pub idle_timeout: Option<String>,
    /// A session ends this long after its login, at most 24h [default: 2h]
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        env = "WAXSEAL_ABSOLUTE_TIMEOUT"
    )]
    pub absolute_timeout: Option<String>,
    /// A session gets a new session ID after this time [default: 30m]
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
    /// How long a session ID stays good after its renewal [default: 30s, or a quarter of a short timeout]
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
    /// How long browsers use HTTPS alone for an https:// issuer (HSTS): 0s makes them forget the rule, none leaves the
    /// header out [default: 365d]
    #[arg(long, global = true, value_name = "DURATION", env = "WAXSEAL_HSTS")]
    pub hsts: Option<String>,
    /// Proxies whose X-Forwarded-For counts, separated by commas: 10.0.0.0/8, ::1 [default: none]
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
    /// The maximum age of the revocation list, at most 1h; beyond it tokens are refused with 503 [default: 5s]
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        env = "WAXSEAL_MAX_STALENESS"
    )]
    pub max_staleness: Option<String>,
    /// What the answer to a logout promises of other nodes: bounded, they refuse within max_staleness; fenced, they
    /// refuse already [default: bounded]
    #[arg(long, global = true, value_name = "PROMISE", env = "WAXSEAL_LOGOUT")]
    pub logout: Option<String>,
    /// With fenced logouts, how long a node may serve on what it knows, and how long a silent node can delay a logout
    /// [default: 2s]
    #[arg(long, global = true, value_name = "DURATION", env = "WAXSEAL_LEASE")]
    pub lease: Option<String>,
    /// How long GET /readyz answers 503 after SIGTERM while everything else is still served, so that load balancers
    /// notice before the port closes; at most 1h [default: 0s]
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        env = "WAXSEAL_SHUTDOWN_DELAY"
    )]
    pub shutdown_delay: Option<String>,
    /// How much memory holds tokens whose signatures were checked already, so that they need not be checked again;
    /// 0 for none [default: 64MiB]
    #[arg(long, global = true, value_name = "SIZE", env = "WAXSEAL_TOKEN_CACHE")]
    pub token_cache: Option<String>,
    /// How many connections may be open at once, an eighth of them from one address (IPv6: /64) [default: 8192, or as
    /// many as the limit on open files has room for]
    #[arg(
        long,
        global = true,
        value_name = "NUMBER",
        env = "WAXSEAL_MAX_CONNECTIONS"
    )]
    pub max_connections: Option<String>,
    /// The user whom the first start adds, with a password that it shows once and that works for one hour; or none
    /// [default: admin]
    #[arg(long, global = true, value_name = "NAME", env = "WAXSEAL_FIRST_USER")]
    pub first_user: Option<String>,
    /// Failed logins allowed from one address (IPv6: /64), as a number per time [default: 20/1m]
    #[arg(
        long,
        global = true,
        value_name = "RATE",
        env = "WAXSEAL_LOGIN_LIMIT_ADDRESS"
    )]
    pub login_limit_address: Option<String>,
    /// Failed logins allowed at one account, as a number per time [default: 10/1m]
    #[arg(
        long,
        global = true,
        value_name = "RATE",
        env = "WAXSEAL_LOGIN_LIMIT_ACCOUNT"
    )]
    pub login_limit_account: Option<String>,
    /// Words that new passwords must not be made from, besides the username and the issuer's host, separated by commas
    /// [default: none]
    #[arg(
        long,
        global = true,
        value_name = "WORDS",
        env = "WAXSEAL_FORBIDDEN_PASSWORD_WORDS"
    )]
    pub forbidden_password_words: Option<String>,
    /// The old name of --shutdown-delay
    #[arg(
        long,
        global = true,
        hide = true,
        value_name = "DURATION",
        env = "WAXSEAL_STOP_NOTICE"
    )]
    pub stop_notice: Option<String>,
    /// The old name of --token-cache
    #[arg(
        long,
        global = true,
        hide = true,
        value_name = "SIZE",
        env = "WAXSEAL_MEMO"
    )]
    pub memo: Option<String>,
}
