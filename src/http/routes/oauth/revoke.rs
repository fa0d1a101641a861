//! `POST /oauth/revoke` (RFC 7009).

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use super::client::FromClient;
use super::error::OauthError;
use super::quotas::ClientQuotas;
use crate::http::routes::answers::undecided;
use crate::issuer::Issuer;
use crate::issuer::clients::TokenRevocation;
use crate::policy::Unacceptable;
use crate::token::Malformed;
use crate::verifier::{Refusal, Verifier};

/// Revokes a token. Answers 200 for one that is dead already or malformed (RFC 7009, section 2.2), but not for one that
/// is not valid yet or whose format or issuer is not accepted here.
pub(super) async fn revoke(
    State(issuer): State<Arc<Issuer>>,
    State(verifier): State<Arc<Verifier>>,
    State(quotas): State<Arc<ClientQuotas>>,
    FromClient { client, form }: FromClient,
) -> Result<StatusCode, OauthError> {
    let _begun = quotas.revocation(client.client().id)?;
    let token = form.get("token");
    let token = token.ok_or(OauthError::invalid_request("There is no token."))?;
    let ended = match verifier.verify_issued(token) {
        Ok(verified) => issuer.end_token(&client, &verified).await?,
        Err(Refusal::Superseded(superseded)) => {
            issuer.end_superseded(&superseded).await?;
            TokenRevocation::Revoked
        }
        // The request that revoked it can still be waiting for other nodes.
        Err(Refusal::Revoked(_)) => {
            issuer.settle_known().await?;
            TokenRevocation::Revoked
        }
        Err(Refusal::Unacceptable(Unacceptable::Future | Unacceptable::NotYet)) => {
            tracing::warn!("a token from the future cannot be revoked yet; is the clock right?");
            return Err(OauthError::unavailable(
                "The token is not good yet by the clock here. Try again.",
            ));
        }
        Err(
            Refusal::Malformed(Malformed::Format) | Refusal::Unacceptable(Unacceptable::Issuer),
        ) => return Err(OauthError::unsupported_token_type()),
        Err(refusal) => match undecided(&refusal) {
            Some(error) => return Err(error),
            None => TokenRevocation::Revoked,
        },
    };
    match ended {
        TokenRevocation::Revoked => Ok(StatusCode::OK),
        TokenRevocation::WrongClient => Err(OauthError::invalid_grant()),
    }
}
