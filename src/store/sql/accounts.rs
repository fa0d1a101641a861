//! Implements the storage of accounts.

use async_trait::async_trait;

use super::commands::user::{AddUser, ChangeUser, EnableUser, UpgradeHash};
use super::reader;
use super::store::SqlStore;
use crate::account::password::PasswordHash;
use crate::account::{
    Accounts, AddUserError, BeginSession, LoginStart, LoginUser, OwnPassword, OwnPasswordChange,
    User, UserChange, Username,
};
use crate::id::UserId;
use crate::revocation::log::StoreError;
use crate::time::Timestamp;

#[async_trait]
impl Accounts for SqlStore {
    async fn users(&self) -> Result<Vec<User>, StoreError> {
        self.read("list the users", reader::users(&self.readers))
            .await
    }

    async fn user(&self, name: &Username) -> Result<Option<User>, StoreError> {
        self.read("find the user", reader::user(&self.readers, name))
            .await
    }

    async fn add_user(&self, user: &User, password: &PasswordHash) -> Result<(), AddUserError> {
        let added = self.write(AddUser(user.clone(), password.clone())).await?;
        added.then_some(()).ok_or(AddUserError::Taken)
    }

    async fn change_user(
        &self,
        user: UserId,
        change: UserChange,
        at: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        self.write(ChangeUser { user, change, at }).await
    }

    async fn change_own_password(
        &self,
        change: OwnPassword,
    ) -> Result<OwnPasswordChange, StoreError> {
        self.write(change).await
    }

    async fn enable_user(&self, user: UserId) -> Result<bool, StoreError> {
        self.write(EnableUser(user)).await
    }

    async fn login_user(&self, user: UserId) -> Result<Option<LoginUser>, StoreError> {
        let read = reader::login_user(&self.readers, user);
        self.read("look up the user", read).await
    }

    async fn start_login(&self, name: &Username) -> Result<LoginStart, StoreError> {
        let read = reader::start_login(&self.readers, name);
        self.read("look up the user", read).await
    }

    async fn begin_session(&self, begin: BeginSession) -> Result<bool, StoreError> {
        self.write(begin).await
    }

    async fn upgrade_hash(
        &self,
        user: UserId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<(), StoreError> {
        let (old, new) = (old.clone(), new.clone());
        self.write(UpgradeHash { user, old, new }).await
    }
}
