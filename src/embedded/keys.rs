//! Reloads the keys of a running service and checks that one of them signs.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::Waxseal;
use crate::id::KeyId;
use crate::report::report;
use crate::store::key_folder;

impl Waxseal {
    /// The keys in use that the revocation log revokes, for
    /// [`KeyFolder::rotate`](crate::embedded::KeyFolder::rotate).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use waxseal::embedded::{KeyFolder, KeyFolderError};
    /// use waxseal::random::OsRandom;
    /// use waxseal::time::SystemClock;
    /// use waxseal::{Settings, Waxseal};
    ///
    /// fn rotate(waxseal: &Waxseal, settings: &Settings) -> Result<(), KeyFolderError> {
    ///     let keys = KeyFolder::new(&settings.keys_dir);
    ///     let month = Duration::from_secs(30 * 24 * 3600);
    ///     let (revoked, random) = (waxseal.revoked_keys(), OsRandom::new());
    ///     keys.rotate(settings.signing_algorithm(), Some(month), &revoked, &SystemClock, &random)?;
    ///     keys.prune(&SystemClock)?;
    ///     Ok(())
    /// }
    /// ```
    #[must_use]
    pub fn revoked_keys(&self) -> HashSet<KeyId> {
        let keyring = self.keyring.load_full();
        let kids = keyring.plan().iter().map(|key| key.kid.clone());
        kids.filter(|kid| self.list.key_revoked(kid)).collect()
    }

    /// Reloads the keyring from the key folder. If the folder is broken, the previous keyring stays in use.
    #[doc(hidden)]
    pub async fn reload_keys(&self) {
        let (folder, before) = (self.keys.clone(), self.keyring.load_full());
        let reload = move || key_folder::reload(folder.path(), &before);
        let loaded = tokio::task::spawn_blocking(reload).await;
        match loaded {
            Ok(Ok(keyring)) => {
                self.meters.keys_unread.store(false, Ordering::Relaxed);
                if !self.keyring.is_current() {
                    tracing::info!("the key folder is in order again");
                }
                if self.keyring.replace(keyring) {
                    tracing::info!("the keys changed");
                }
            }
            Ok(Err(cause)) if cause.is_out_of_descriptors() => {
                if !self.meters.keys_unread.swap(true, Ordering::Relaxed) {
                    tracing::warn!(cause = %report(&cause), "the key folder cannot be read for now; the previous keys stay in use");
                }
            }
            Ok(Err(cause)) => {
                if self.keyring.source_broken() {
                    tracing::error!(cause = %report(&cause), "the key folder is broken; the previous keys stay in use");
                }
            }
            Err(cause) => {
                if self.keyring.source_broken() {
                    tracing::error!(cause = %report(&cause), "loading the keys panicked; the previous keys stay in use");
                }
            }
        }
    }

    /// Checks that a key signs, and logs an error if none does.
    ///
    /// Re-dates keys that were created while the clock was ahead, if they have signed nothing and no other node has a
    /// copy of them.
    #[doc(hidden)]
    pub async fn keep_signing(&self) {
        if self.issuer.can_sign() {
            self.meters.cannot_sign.store(false, Ordering::Relaxed);
            return;
        }
        // A log that has entries may have replaced another log, under which these keys signed tokens.
        if self.keys_are_own && self.list.is_unused() && self.list.applied() == 0 {
            let (folder, now) = (self.keys.clone(), self.issuer.now());
            let date = move || folder.date_anew(now);
            match tokio::task::spawn_blocking(date).await {
                Ok(Ok(true)) => {
                    tracing::warn!(
                        "the keys were made by a clock that was ahead; nothing was signed with them, so they were re-dated"
                    );
                    return self.reload_keys().await;
                }
                Ok(Ok(false)) => {}
                Err(cause) => {
                    tracing::error!(cause = %report(&cause), "re-dating the keys panicked")
                }
                Ok(Err(cause)) => {
                    tracing::debug!(cause = %report(&cause), "the keys could not be re-dated")
                }
            }
        }
        if !self.meters.cannot_sign.swap(true, Ordering::Relaxed) {
            match self.issuer.not_yet() {
                Some(why) => tracing::error!("{why}"),
                None => {
                    tracing::error!("no key signs, so nobody can log in; run: waxseal keys plan")
                }
            }
        }
    }
}
