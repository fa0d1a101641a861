//! The quotas of clients, and the rate limit of failed client authentications.

use std::net::IpAddr;
use std::sync::Arc;

use super::error::OauthError;
use crate::account::client_limits::{ClientLimits, Quota, QuotaUse, Quotas, RetryAfter};
use crate::id::ClientId;
use crate::meters::{ClientAuthentication, ClientTokens, Counters};
use crate::time::Clock;

/// A page of the feed with more bytes counts as large.
const LARGE_PAGE: usize = 64 * 1024;

/// The limits and quotas of clients. All routers of a service share one instance.
#[derive(Debug)]
pub struct ClientQuotas {
    failures: ClientLimits,
    tokens: Arc<Quotas>,
    revocations: Arc<Quotas>,
    introspections: Arc<Quotas>,
    streams: Arc<Quotas>,
    pages: Arc<Quotas>,
    large_pages: Arc<Quotas>,
    authentications: Counters<ClientAuthentication>,
    client_tokens: Counters<ClientTokens>,
}

impl ClientQuotas {
    /// Creates unused quotas. `clients` are the IDs of the existing clients.
    #[must_use]
    pub fn new(clock: &Arc<dyn Clock>, clients: impl IntoIterator<Item = ClientId>) -> Arc<Self> {
        let quotas = |quota| Quotas::new(quota, Arc::clone(clock));
        Arc::new(Self {
            failures: ClientLimits::new(Arc::clone(clock), clients),
            tokens: quotas(Quota::TOKENS),
            revocations: quotas(Quota::REVOCATIONS),
            introspections: quotas(Quota::INTROSPECTIONS),
            streams: quotas(Quota::STREAMS),
            pages: quotas(Quota::PAGES),
            large_pages: quotas(Quota::LARGE_PAGES),
            authentications: Counters::default(),
            client_tokens: Counters::default(),
        })
    }

    pub(super) fn admit(
        &self,
        claimed: Option<ClientId>,
        address: Option<IpAddr>,
    ) -> Result<(), OauthError> {
        self.failures.admit(claimed, address).map_err(|after| {
            self.authentications.count(ClientAuthentication::Limited);
            tracing::info!("client authentication was rate-limited: too many failures from one network");
            OauthError::too_many(
                after,
                "Too many client authentications from this network failed. Wait for the time in Retry-After.",
            )
        })
    }

    pub(super) fn failed(&self, claimed: Option<ClientId>, address: Option<IpAddr>) {
        self.failures.failed(claimed, address);
    }

    pub(super) fn authenticated(&self, client: ClientId, address: Option<IpAddr>) {
        self.failures.succeeded(client, address);
    }

    pub(super) fn token(&self, client: ClientId) -> Result<QuotaUse, OauthError> {
        let begun = self.tokens.begin(client);
        begun.map_err(|after| {
            self.client_tokens.count(ClientTokens::Limited);
            over(after)
        })
    }

    pub(super) fn revocation(&self, client: ClientId) -> Result<QuotaUse, OauthError> {
        self.revocations.begin(client).map_err(over)
    }

    pub(super) fn introspection(&self, client: ClientId) -> Result<QuotaUse, OauthError> {
        self.introspections.begin(client).map_err(over)
    }

    /// The quota for pages of the feed of this size that are being sent.
    pub(in super::super) const fn pages(&self, bytes: usize) -> &Arc<Quotas> {
        if bytes > LARGE_PAGE {
            &self.large_pages
        } else {
            &self.pages
        }
    }

    /// The quota for open streams of the feed.
    pub(in super::super) const fn streams(&self) -> &Arc<Quotas> {
        &self.streams
    }
}

fn over(after: RetryAfter) -> OauthError {
    tracing::info!("a client exceeded its quota");
    OauthError::too_many(
        after,
        "The client exceeded its quota. Wait for the time in Retry-After.",
    )
}
