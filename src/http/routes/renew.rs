//! `POST /session/renew`.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::Response;

use super::issued::{Respond, outcome};
use crate::http::presented::{Carrier, Credential};
use crate::http::problem::Problem;
use crate::issuer::{Issuer, RenewError};
use crate::verifier::{Refusal, Superseded, VerifiedClaims, Verifier};

/// A token that was presented for exchange: valid, or superseded, which is a sign of theft.
pub(super) struct ToExchange {
    verdict: Result<VerifiedClaims, Superseded>,
    token: String,
    carrier: Carrier,
}

impl<S> FromRequestParts<S> for ToExchange
where
    Arc<Verifier>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let presented = Credential::of(parts)?.ok_or_else(Problem::no_credentials)?;
        let verdict = match presented.verify(parts, &Arc::<Verifier>::from_ref(state)) {
            Ok(claims) => Ok(claims),
            Err(Refusal::Superseded(superseded)) => Err(superseded),
            Err(refusal) => return Err(presented.refused(refusal)),
        };
        Ok(Self {
            verdict,
            token: presented.token.to_owned(),
            carrier: presented.carrier,
        })
    }
}

pub(super) async fn renew(
    State(issuer): State<Arc<Issuer>>,
    respond: Respond,
    presented: ToExchange,
) -> Result<Response, Problem> {
    let claims = match presented.verdict {
        Ok(claims) => claims,
        Err(superseded) => {
            issuer.reused(&superseded).await?;
            return Err(Problem::invalid_token());
        }
    };
    let exchanged = issuer.exchange(&claims, true).await;
    if let (Err(RenewError::Over), Carrier::Cookie) = (&exchanged, presented.carrier) {
        return Ok(respond.over());
    }
    let (did, claims, token) = outcome(exchanged?, claims.claims());
    let token = token.unwrap_or(presented.token);
    Ok(respond.with(presented.carrier, did, claims, token))
}
