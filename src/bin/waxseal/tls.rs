//! TLS by the service itself: `--tls-cert` and `--tls-key`. The files are read again when they change.

mod expiry;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use tokio::task::spawn_blocking;
use tokio::time::MissedTickBehavior;
use waxseal::meters;
use waxseal::store::key_folder::read_private;
use waxseal::time::{Clock, SystemClock};
use zeroize::Zeroizing;

use crate::config::TlsFiles;
use crate::failure::Failure;

/// How often the files are compared with what is in use. Kubernetes swaps the folder of a Secret by a symbolic link,
/// which a watch of the files themselves does not see.
const CHECK: Duration = Duration::from_secs(1);

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// No chain is longer.
const MAX_CERTIFICATE_BYTES: u64 = 1024 * 1024;

/// The end of a certificate whose end cannot be read.
const UNKNOWN: i64 = i64::MAX;

/// What the files have.
#[derive(Clone, PartialEq, Eq)]
struct Content {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

/// The certificate in use.
#[derive(Clone)]
pub struct Tls {
    files: TlsFiles,
    config: RustlsConfig,
    /// When the certificate expires, in seconds since 1970.
    expires: Arc<AtomicI64>,
    content: Content,
}

impl Tls {
    /// Reads the files.
    pub fn open(files: &TlsFiles) -> Result<Self, Failure> {
        let loaded = read(files).and_then(|content| Ok((server_config(files, &content)?, content)));
        let ((config, expires), content) =
            loaded.map_err(|why| Failure::refused(format!("TLS cannot be served: {why}")))?;
        warn_if_expired(expires);
        Ok(Self {
            files: files.clone(),
            config: RustlsConfig::from_config(Arc::new(config)),
            expires: Arc::new(AtomicI64::new(expires)),
            content,
        })
    }

    /// TLS around what `inner` accepts.
    pub fn acceptor<A>(&self, inner: A) -> RustlsAcceptor<A> {
        RustlsAcceptor::new(self.config.clone())
            .handshake_timeout(HANDSHAKE)
            .acceptor(inner)
    }

    /// Uses what the files have from now on, whenever they change. Connections that are open keep what they have.
    pub fn follow(mut self) {
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(CHECK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut refusals = Refusals::default();
            loop {
                ticks.tick().await;
                let files = self.files.clone();
                let Ok(read) = spawn_blocking(move || read(&files)).await else {
                    continue;
                };
                match read.and_then(|content| self.take(content)) {
                    Ok(()) => refusals = Refusals::default(),
                    Err(why) if refusals.is_news(&why) => {
                        tracing::error!(
                            %why,
                            "the changed TLS files cannot be used; the certificate from before stays in use"
                        );
                    }
                    Err(_) => {}
                }
            }
        });
    }

    fn take(&mut self, content: Content) -> Result<(), String> {
        if content == self.content {
            return Ok(());
        }
        let (config, expires) = server_config(&self.files, &content)?;
        self.config.reload_from_config(Arc::new(config));
        self.expires.store(expires, Ordering::Relaxed);
        self.content = content;
        tracing::info!("the TLS files have changed: the new certificate is in use");
        warn_if_expired(expires);
        Ok(())
    }

    /// Seconds until the certificate expires, negative afterwards. NaN if it does not say.
    fn left(&self) -> f64 {
        match self.expires.load(Ordering::Relaxed) {
            UNKNOWN => f64::NAN,
            expires => (expires - SystemClock.now().secs()) as f64,
        }
    }
}

/// Measures how long the certificate is good, for a service that has one.
pub fn measure(tls: Option<&Tls>) {
    meters::tls_certificate_expiry().set(tls.map_or(f64::NAN, Tls::left));
}

/// Why the files were refused lately.
#[derive(Default)]
struct Refusals {
    last: Option<String>,
    told: Option<String>,
}

impl Refusals {
    /// Whether somebody must be told: the second time in a row, and once. Of two files one is always written first, so
    /// the first time may be half of a change.
    fn is_news(&mut self, why: &str) -> bool {
        let again = self.last.as_deref() == Some(why);
        self.last = Some(why.to_owned());
        let news = again && self.told.as_deref() != Some(why);
        if news {
            self.told = self.last.clone();
        }
        news
    }
}

fn warn_if_expired(expires: i64) {
    if expires < SystemClock.now().secs() {
        tracing::warn!("the TLS certificate has expired: clients refuse it");
    }
}

fn read(files: &TlsFiles) -> Result<Content, String> {
    for path in [&files.certificate, &files.key] {
        let metadata = path.metadata().map_err(|cause| at(path, cause))?;
        if !metadata.is_file() {
            return Err(at(path, "it is not a file"));
        }
    }
    let key = read_private(&files.key).map_err(|why| why.to_string())?;
    let path = &files.certificate;
    let file = File::open(path).map_err(|cause| at(path, cause))?;
    let mut certificate = Vec::new();
    file.take(MAX_CERTIFICATE_BYTES)
        .read_to_end(&mut certificate)
        .map_err(|cause| at(path, cause))?;
    Ok(Content { certificate, key })
}

/// TLS 1.3 and 1.2 with this certificate, and when that expires.
fn server_config(files: &TlsFiles, content: &Content) -> Result<(ServerConfig, i64), String> {
    let path = &files.certificate;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content.certificate).collect();
    let chain = chain.map_err(|cause| at(path, format_args!("it is not PEM: {cause}")))?;
    let first = chain.first().ok_or_else(|| {
        at(
            path,
            "it has no certificate: a PEM file with BEGIN CERTIFICATE is needed",
        )
    })?;
    let expires = expiry::not_after(first).unwrap_or(UNKNOWN);
    let key = PrivateKeyDer::from_pem_slice(&content.key).map_err(|cause| match cause {
        _ if content.key.windows(9).any(|text| text == b"ENCRYPTED") => at(
            &files.key,
            "it has a passphrase, which nobody can type here; write it without one: openssl pkey -in KEY -out NEW",
        ),
        pem::Error::NoItemsFound => at(
            &files.key,
            "it has no private key: a PEM file with BEGIN PRIVATE KEY, BEGIN EC PRIVATE KEY or BEGIN RSA PRIVATE KEY is needed, without a passphrase",
        ),
        cause => at(&files.key, format_args!("it is not PEM: {cause}")),
    })?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|cause| cause.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key);
    let mut config = config.map_err(|cause| match cause {
        rustls::Error::InconsistentKeys(_) => format!(
            "the key in {} does not match the certificate in {}, whose own certificate must be the first in its file",
            files.key.display(),
            path.display()
        ),
        rustls::Error::InvalidCertificate(_) => at(path, cause),
        cause => at(&files.key, cause),
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((config, expires))
}

fn at(path: &Path, why: impl std::fmt::Display) -> String {
    format!("{}: {why}", path.display())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use axum_server::accept::{Accept, DefaultAcceptor};
    use tokio::time::{sleep, timeout};

    use super::*;

    /// Made by openssl in this folder.
    fn files(folder: &Path) -> TlsFiles {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
            .args([
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-subj",
                "/CN=localhost",
            ])
            .args(["-keyout", "key.pem", "-out", "cert.pem"])
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let [certificate, key] = ["cert.pem", "key.pem"].map(|name| folder.join(name));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        TlsFiles { certificate, key }
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_that_takes_too_long_is_given_up() {
        let folder = tempfile::TempDir::new().unwrap();
        let tls = Tls::open(&files(folder.path())).unwrap();
        let (mut client, server) = tokio::io::duplex(64);
        let accepted = tls.acceptor(DefaultAcceptor::new()).accept(server, ());
        let trickles = async {
            // The head of a record that never comes whole.
            for byte in [0x16, 3, 1, 2, 0].into_iter().chain(std::iter::repeat(0)) {
                tokio::io::AsyncWriteExt::write_u8(&mut client, byte)
                    .await
                    .unwrap();
                sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            accepted = timeout(HANDSHAKE * 2, accepted) => {
                let error = accepted.expect("it is given up").map(|_| ()).unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
            }
            () = trickles => {}
        }
    }

    #[test]
    fn a_refusal_is_told_once_and_not_at_the_first_sight() {
        let mut refusals = Refusals::default();
        let mut news = |why| refusals.is_news(why);
        assert_eq!([news("a"), news("a"), news("a")], [false, true, false]);
        assert_eq!([news("b"), news("a"), news("a")], [false, false, false]);
        assert_eq!([news("b"), news("b")], [false, true]);
    }
}
