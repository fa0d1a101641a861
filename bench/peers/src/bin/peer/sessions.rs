//! axum-login, with its sessions in SQLite.
//!
//! Its users are in memory, which spares it a second query a request, and a password is only compared:
//! what is measured is the session.

use std::collections::HashMap;
use std::convert::Infallible;
use std::env;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use axum_login::tower_sessions::cookie::time::Duration;
use axum_login::tower_sessions::{Expiry, SessionManagerLayer};
use axum_login::{AuthManagerLayerBuilder, AuthUser, AuthnBackend};
use peers::variable;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous};
use tower_sessions_sqlx_store::SqliteStore;

use crate::Result;

type AuthSession = axum_login::AuthSession<Users>;

#[derive(Clone, Debug)]
struct User {
    name: String,
    password: String,
}

impl AuthUser for User {
    type Id = String;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn session_auth_hash(&self) -> &[u8] {
        self.password.as_bytes()
    }
}

#[derive(Clone)]
struct Users(Arc<HashMap<String, User>>);

#[derive(Clone, Deserialize)]
struct Login {
    username: String,
    password: String,
    /// How long the session lasts without use.
    seconds: i64,
}

impl AuthnBackend for Users {
    type User = User;
    type Credentials = Login;
    type Error = Infallible;

    async fn authenticate(&self, login: Login) -> std::result::Result<Option<User>, Infallible> {
        let user = self.0.get(&login.username);
        Ok(user.filter(|user| user.password == login.password).cloned())
    }

    async fn get_user(&self, name: &String) -> std::result::Result<Option<User>, Infallible> {
        Ok(self.0.get(name).cloned())
    }
}

pub async fn router() -> Result<Router> {
    let options = SqliteConnectOptions::new()
        .filename(env::var(variable::DATABASE)?)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal);
    let store = SqliteStore::new(SqlitePool::connect_with(options).await?);
    store.migrate().await?;
    let users = (0..10).map(|number| {
        let name = format!("user{number}");
        let password = env::var(variable::KEY)?;
        Ok((name.clone(), User { name, password }))
    });
    let users = Users(Arc::new(users.collect::<Result<_>>()?));
    let sessions = SessionManagerLayer::new(store);
    let layer = AuthManagerLayerBuilder::new(users, sessions).build();
    Ok(Router::new()
        .route("/login", post(login))
        .route("/logout", post(logout))
        .route("/session", get(session))
        .layer(layer))
}

#[derive(Serialize)]
struct View {
    id: String,
    subject: String,
    expires_at: i64,
}

async fn session(auth: AuthSession) -> std::result::Result<Json<View>, StatusCode> {
    let user = auth.user.ok_or(StatusCode::UNAUTHORIZED)?;
    let id = auth.session.id().ok_or(StatusCode::UNAUTHORIZED)?;
    Ok(Json(View {
        id: id.to_string(),
        subject: user.name,
        expires_at: auth.session.expiry_date().unix_timestamp(),
    }))
}

async fn login(mut auth: AuthSession, Json(login): Json<Login>) -> StatusCode {
    let seconds = login.seconds;
    let user = match auth.authenticate(login).await {
        Ok(Some(user)) => user,
        Ok(None) => return StatusCode::UNAUTHORIZED,
        Err(_) => return StatusCode::SERVICE_UNAVAILABLE,
    };
    let expiry = Expiry::OnInactivity(Duration::seconds(seconds));
    auth.session.set_expiry(Some(expiry));
    match auth.login(&user).await {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn logout(mut auth: AuthSession) -> StatusCode {
    match auth.logout().await {
        Ok(Some(_)) => StatusCode::NO_CONTENT,
        Ok(None) => StatusCode::UNAUTHORIZED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
