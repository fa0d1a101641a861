//! `POST /oauth/revoke` (RFC 7009).

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use super::client::FromClient;
use super::error::{OauthError, undecided};
use crate::issuer::Issuer;
use crate::issuer::clients::Ended;
use crate::verifier::{Refusal, Verifier};

/// 200 for a token that is dead already, or is none (RFC 7009, section 2.2).
pub(super) async fn revoke(
    State(issuer): State<Arc<Issuer>>,
    State(verifier): State<Arc<Verifier>>,
    FromClient { client, form }: FromClient,
) -> Result<StatusCode, OauthError> {
    let token = form.get("token");
    let token = token.ok_or(OauthError::invalid_request("There is no token."))?;
    let ended = match verifier.verify_issued(token) {
        Ok(verified) => issuer.end_token(&client, &verified).await?,
        Err(Refusal::Superseded(superseded)) => {
            issuer.end_superseded(&superseded).await?;
            Ended::Yes
        }
        Err(refusal) => match undecided(&refusal) {
            Some(error) => return Err(error),
            None => Ended::Yes,
        },
    };
    match ended {
        Ended::Yes => Ok(StatusCode::OK),
        Ended::NotYours => Err(OauthError::invalid_grant()),
    }
}
