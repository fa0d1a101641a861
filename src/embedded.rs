//! The whole service in one process: the embedded store, a folder of keys, and the services built on them.

mod first_keys;
mod keys;
mod maintain;
mod measure;
mod meters;
mod migrate;
mod open_error;
mod settings;
mod sign_up;
mod store;

pub use crate::issuer::SignUpError;
pub use crate::schedule::{NotYet, Planned, Rotation, Times};
pub use crate::store::files::UnsafeFile;
pub use crate::store::key_folder::{Imported, KeyFolder, KeyFolderError, Rotated};
pub use crate::store::mark::MarkError;
pub use crate::store::sql::{BadPostgresUrl, PostgresUrl};
use meters::ServiceMetrics;
pub use migrate::migrate;
pub use open_error::OpenError;
pub use settings::{Database, LEASE, Logout, MAX_STALENESS, Settings};
pub use store::{
    Restored, database_file, look_into_store, make_data_dir, mark_is_apart, moved_file,
    open_or_make_store, open_store, recover_from_restore,
};

use std::sync::Arc;
use std::thread::available_parallelism;

use axum::Router;
use axum::http::HeaderValue;

use crate::account::Accounts;
use crate::account::client::Clients;
use crate::account::limits::LoginLimits;
use crate::account::password::{Cost, Hasher};
use crate::http::origins::Origins;
use crate::http::session_cookies::SessionCookies;
use crate::http::{
    ClearSiteData, ClientQuotas, Doorbell, Services, TrustedProxies, hsts, pages, router,
};
use crate::id::NodeId;
use crate::inventory::Inventory;
use crate::issuer::{Issuer, IssuerParts};
use crate::keyring::SharedKeyring;
use crate::meters::Compactions;
use crate::policy::{
    BadPolicy, LIFETIME_CAP, MAX_LEEWAY, Policy, check_client_token_lifetime, check_lease,
    check_max_staleness,
};
use crate::random::{OsRandom, Random};
use crate::revocation::fence::Fence;
use crate::revocation::follower::{FollowError, Follower};
use crate::revocation::list::RevocationList;
use crate::revocation::log::RevocationLog;
use crate::revocation::register::Register;
use crate::store::key_folder;
use crate::store::sql::SqlStore;
use crate::time::{Clock, SystemClock};
use crate::verifier::Verifier;

/// The service in one process, with its revocation log replayed, ready to verify.
#[derive(Clone, Debug)]
pub struct Waxseal {
    store: Arc<SqlStore>,
    register: Option<Arc<dyn Register>>,
    list: Arc<RevocationList>,
    follower: Arc<Follower>,
    issuer: Arc<Issuer>,
    verifier: Arc<Verifier>,
    limits: Arc<LoginLimits>,
    quotas: Arc<ClientQuotas>,
    cookies: SessionCookies,
    clear_site_data: ClearSiteData,
    hsts: Option<HeaderValue>,
    proxies: TrustedProxies,
    doorbell: Doorbell,
    keyring: Arc<SharedKeyring>,
    keys: KeyFolder,
    /// `true` if no other node has a copy of the key folder.
    keys_are_own: bool,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    meters: Arc<ServiceMetrics>,
}

impl Waxseal {
    /// Opens the service: creates missing folders, a first key and the database, and replays the revocation log.
    ///
    /// # Errors
    /// [`OpenError`] names the cause.
    pub async fn open(settings: &Settings) -> Result<Self, OpenError> {
        Self::open_with(
            settings,
            Arc::new(SystemClock),
            Arc::new(OsRandom::new()),
            Cost::default(),
        )
        .await
    }

    /// Opens the service as [`Waxseal::open`] does, with the caller's clock, randomness and password hashing cost.
    ///
    /// # Errors
    /// [`OpenError`] names the cause.
    pub async fn open_with(
        settings: &Settings,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        cost: Cost,
    ) -> Result<Self, OpenError> {
        let policy = Policy::new(&settings.issuer, &settings.audience, settings.timeouts)?;
        check_max_staleness(settings.max_staleness)?;
        if settings.logout == Logout::Fenced {
            check_lease(settings.lease, settings.max_staleness)?;
        }
        check_client_token_lifetime(settings.client_token_lifetime)?;
        let had_keys = first_keys::first(settings, &*clock)?;
        let keyring = Arc::new(SharedKeyring::new(key_folder::keyring(&settings.keys_dir)?));
        let store = Arc::new(store::open_or_make_by(settings, &clock, &random).await?);
        let log: Arc<dyn RevocationLog> = Arc::clone(&store) as _;
        let follower = Follower::new(
            Arc::clone(&store) as _,
            settings.bound(),
            Arc::clone(&clock),
        );
        let list = follower.list();
        let node = NodeId::new(clock.now(), &*random);
        let register: Option<Arc<dyn Register>> =
            settings.registers().then(|| Arc::clone(&store) as _);
        let follower = Arc::new(match &register {
            None => follower,
            Some(register) => follower.registered(Arc::clone(register), node, host_name()),
        });
        let fence = register
            .clone()
            .filter(|_| settings.logout == Logout::Fenced);
        let fence = fence
            .map(|register| Fence::new(register, Arc::clone(&clock), Some(node), settings.bound()));
        // Keys that existed before may have signed sessions that another log had revoked.
        let (id, newest) = first_keys::identity(&keyring.load());
        // A clock that is behind the keys is also behind the tokens that they signed.
        let at = clock.now().max(newest);
        if store.begin_log(had_keys, id, at).await? {
            tracing::warn!(
                keys = %settings.keys_dir.display(),
                "the keys are older than the revocation log, which is new: tokens that they signed before now are refused"
            );
        }
        log.change_leeway(settings.timeouts.leeway, clock.now())
            .await?;
        follower.keep_fresh().await?;
        list.observe(clock.now(), settings.timeouts.leeway);
        let permits = available_parallelism().map_or(1, |cores| cores.get() / 2);
        let issuer = Arc::new(Issuer::new(IssuerParts {
            accounts: Arc::clone(&store) as _,
            clients: Arc::clone(&store) as _,
            hasher: Hasher::new(cost, permits, Arc::clone(&random))?
                .with_rules(settings.password_rules()),
            log,
            follower: Arc::clone(&follower),
            fence,
            list: Arc::clone(&list),
            inventory: Arc::clone(&store) as _,
            keyring: Arc::clone(&keyring),
            format: settings.format,
            policy: policy.clone(),
            client_token_lifetime: settings.client_token_lifetime,
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
        }));
        let verifier = Verifier::following(
            Arc::clone(&keyring),
            settings.accepts.clone(),
            policy,
            &follower,
        );
        let verifier = Arc::new(verifier.with_token_cache(settings.token_cache));
        let limits = LoginLimits::new(settings.login_rates, Arc::clone(&clock));
        let limits = limits.ok_or(BadPolicy {
            key: "login_limit",
            why: "must be a rate that can be kept",
        })?;
        let limits = limits.stored(store.limit_stores()).await?;
        let clients = Clients::clients(&*store).await?;
        let origins = Origins::new(&settings.issuer, &settings.allowed_origins);
        let exchange = Arc::clone(&issuer) as _;
        let waxseal = Self {
            store,
            register,
            doorbell: Doorbell::new(Arc::clone(&list)),
            list,
            follower,
            issuer,
            verifier,
            limits: Arc::new(limits),
            quotas: ClientQuotas::new(&clock, clients.iter().map(|client| client.id)),
            cookies: SessionCookies::exchanging(origins, settings.same_site, exchange),
            clear_site_data: settings.clear_site_data,
            hsts: hsts::value(&settings.issuer, settings.hsts),
            proxies: TrustedProxies::new(&settings.trusted_proxies),
            keyring,
            keys: KeyFolder::new(&settings.keys_dir),
            keys_are_own: !settings.database.is_shared(),
            clock,
            random,
            meters: Arc::default(),
        };
        waxseal.keep_signing().await;
        Ok(waxseal)
    }

    /// Returns the router of the service's own resources, to serve alone or to merge into an app. [`Waxseal::maintain`]
    /// must run beside it.
    pub fn router(&self) -> Router {
        router(Services {
            issuer: Arc::clone(&self.issuer),
            verifier: Arc::clone(&self.verifier),
            accounts: self.accounts(),
            limits: Arc::clone(&self.limits),
            quotas: Arc::clone(&self.quotas),
            cookies: self.cookies.clone(),
            clear_site_data: self.clear_site_data,
            hsts: self.hsts.clone(),
            proxies: self.proxies.clone(),
            doorbell: self.doorbell.clone(),
            random: Arc::clone(&self.random),
        })
    }

    /// Returns the router of the service's own pages, at `/` and below `/pages`: login, session list and password
    /// change. The router also has `/favicon.ico`, `/robots.txt` and `/.well-known/change-password`: an app that
    /// already has one of these paths cannot merge it. The pages need [`Waxseal::router`] on the same origin.
    pub fn pages(&self) -> Router {
        pages(&self.cookies, self.hsts.clone(), &self.random)
    }

    /// Returns the layer that lets an app's own handlers take sessions from the cookie: put it around their router.
    #[must_use]
    pub fn cookies(&self) -> SessionCookies {
        self.cookies.clone()
    }

    /// Closes the streams of the feed, which otherwise stay open for as long as their readers do, so that the server
    /// can stop. From now on `/readyz` reports the shutdown.
    pub fn close_streams(&self) {
        self.doorbell.close();
    }

    /// Returns the store of the clients.
    #[must_use]
    pub fn clients(&self) -> Arc<dyn Clients> {
        Arc::clone(&self.store) as _
    }

    /// Returns the service that verifies tokens.
    #[must_use]
    pub fn verifier(&self) -> Arc<Verifier> {
        Arc::clone(&self.verifier)
    }

    /// Returns the service that issues and revokes sessions.
    #[doc(hidden)]
    #[must_use]
    pub fn issuer(&self) -> Arc<Issuer> {
        Arc::clone(&self.issuer)
    }

    /// Returns the store of the users.
    #[must_use]
    pub fn accounts(&self) -> Arc<dyn Accounts> {
        Arc::clone(&self.store) as _
    }

    /// Returns the revocation log.
    #[doc(hidden)]
    #[must_use]
    pub fn log(&self) -> Arc<dyn RevocationLog> {
        Arc::clone(&self.store) as _
    }

    /// Applies the log's new entries to the list, and proves the list fresh.
    ///
    /// # Errors
    /// [`FollowError`] if the log cannot be read or does not continue.
    #[doc(hidden)]
    pub async fn catch_up(&self) -> Result<(), FollowError> {
        let leeway = self.verifier.policy().timeouts().leeway;
        self.list.observe(self.clock.now(), leeway);
        self.follower.keep_fresh().await
    }

    /// Drops expired revocations from the log and then from the list, and returns the number dropped from the log.
    ///
    /// # Errors
    /// [`FollowError`] if the log cannot be read or written, or does not continue.
    #[doc(hidden)]
    pub async fn compact(&self) -> Result<u64, FollowError> {
        let begun = self.meters.compactions.begun(Compactions::Failed);
        let dropped = self.drop_expired().await?;
        begun.ended(Compactions::Done);
        self.meters.dropped.increment(dropped);
        Ok(dropped)
    }

    async fn drop_expired(&self) -> Result<u64, FollowError> {
        // Fails if the log does not continue from the last read, and so leaves it unchanged for an operator to examine.
        self.catch_up().await?;
        // Subtracts the largest leeway: the horizon must not refuse a token that a verifier may still accept.
        let dropped = self
            .store
            .compact(self.clock.now().minus(MAX_LEEWAY))
            .await?;
        self.store.raise_horizon(self.list.expired_until()).await?;
        self.store
            .forget(self.clock.now().minus(MAX_LEEWAY))
            .await?;
        // A clock that runs hours ahead and is then set back must not make a used assertion valid again.
        self.store
            .forget_assertions(self.clock.now().minus(LIFETIME_CAP))
            .await?;
        self.follower.catch_up().await?;
        let follower = Arc::clone(&self.follower);
        if tokio::task::spawn_blocking(move || follower.drop_covered())
            .await
            .is_err()
        {
            tracing::error!("dropping expired revocations from the list panicked");
        }
        Ok(dropped)
    }
}

/// The machine's host name, by which operators know this node.
fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}
