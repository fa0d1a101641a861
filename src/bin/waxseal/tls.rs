//! TLS in the service itself, with `--tls-cert` and `--tls-key`. The service reloads the files when they change.

mod expiry;

use std::fs::File;
use std::io::Read;
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
use waxseal::report::report;
use waxseal::store::key_folder::read_private;
use waxseal::time::{Clock, SystemClock};
use zeroize::Zeroizing;

use crate::config::TlsFiles;
use crate::failure::Failure;
use expiry::Validity;

/// How often the files are compared with those in use. Kubernetes swaps the folder of a Secret by a symbolic link,
/// which a watch of the files themselves does not notice.
const CHECK: Duration = Duration::from_secs(1);

/// The maximum time of a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The most bytes to read of the certificate file. No chain is longer.
const MAX_CERTIFICATE_BYTES: u64 = 1024 * 1024;

const BEGIN_CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// The expiry of a certificate whose validity cannot be read.
const UNKNOWN: i64 = i64::MAX;

/// The content of both files.
#[derive(Clone, PartialEq, Eq)]
struct Content {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

/// The certificate and key in use.
#[derive(Clone)]
pub struct Tls {
    files: TlsFiles,
    config: RustlsConfig,
    /// When the certificate expires, in seconds since 1970.
    expires: Arc<AtomicI64>,
    content: Content,
}

impl Tls {
    /// Loads the files. Logs a warning if the certificate is not valid now.
    pub fn open(files: &TlsFiles) -> Result<Self, Failure> {
        let loaded = read(files).and_then(|content| Ok((server_config(files, &content)?, content)));
        let ((config, validity), content) =
            loaded.map_err(|why| Failure::refused(format!("TLS cannot be served: {why}")))?;
        warn_unless_valid(validity);
        Ok(Self {
            files: files.clone(),
            config: RustlsConfig::from_config(Arc::new(config)),
            expires: Arc::new(AtomicI64::new(end(validity))),
            content,
        })
    }

    /// Returns an acceptor that adds TLS to the connections of `inner`.
    pub fn acceptor<A>(&self, inner: A) -> RustlsAcceptor<A> {
        RustlsAcceptor::new(self.config.clone())
            .handshake_timeout(HANDSHAKE)
            .acceptor(inner)
    }

    /// Starts a task that loads the files whenever they change. Open connections keep the certificate that they have.
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
                            "the changed TLS files cannot be used; the previous certificate stays in use"
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
        let (config, validity) = server_config(&self.files, &content)?;
        self.config.reload_from_config(Arc::new(config));
        self.expires.store(end(validity), Ordering::Relaxed);
        self.content = content;
        tracing::info!("the TLS files have changed: the new certificate is in use");
        warn_unless_valid(validity);
        Ok(())
    }

    /// Returns the seconds until the certificate expires, negative afterwards. NaN if its validity cannot be read.
    fn left(&self) -> f64 {
        match self.expires.load(Ordering::Relaxed) {
            UNKNOWN => f64::NAN,
            expires => (expires - SystemClock.now().secs()) as f64,
        }
    }
}

/// Sets the metric of the time until the certificate expires; NaN without TLS.
pub fn measure(tls: Option<&Tls>) {
    meters::tls_certificate_expiry().set(tls.map_or(f64::NAN, Tls::left));
}

/// The latest errors of the files, so that each is reported once.
#[derive(Default)]
struct Refusals {
    last: Option<String>,
    told: Option<String>,
}

impl Refusals {
    /// Whether to report the error: only once, and when it occurs the second time in a row. One of the two files is
    /// always written first, so the first time may be half of a change.
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

fn warn_unless_valid(validity: Option<Validity>) {
    let (Some(Validity { from, until }), now) = (validity, SystemClock.now().secs()) else {
        return;
    };
    if until < now {
        tracing::warn!("the TLS certificate has expired: clients refuse it");
    } else if from > now {
        tracing::warn!(
            "the TLS certificate is not valid yet: clients refuse it; is this machine's clock right?"
        );
    }
}

fn end(validity: Option<Validity>) -> i64 {
    validity.map_or(UNKNOWN, |validity| validity.until)
}

fn read(files: &TlsFiles) -> Result<Content, String> {
    let (cert, key) = (files.cert(), files.key());
    for file in [&cert, &key] {
        let metadata = file.path.metadata().map_err(|cause| file.bad(cause))?;
        if !metadata.is_file() {
            return Err(file.bad("it is not a file"));
        }
    }
    let file = File::open(cert.path).map_err(|cause| cert.bad(cause))?;
    let mut certificate = Vec::new();
    file.take(MAX_CERTIFICATE_BYTES)
        .read_to_end(&mut certificate)
        .map_err(|cause| cert.bad(cause))?;
    if has(&certificate, b"PRIVATE KEY-----") && !has(&certificate, BEGIN_CERTIFICATE) {
        return Err(
            cert.bad("it has a private key and no certificate; are tls_cert and tls_key swapped?")
        );
    }
    let key = read_private(key.path).map_err(|why| format!("tls_key: {}", report(&why)))?;
    Ok(Content { certificate, key })
}

fn has(content: &[u8], text: &[u8]) -> bool {
    content.windows(text.len()).any(|part| part == text)
}

/// Returns the configuration of TLS 1.3 and 1.2 with this certificate, and the certificate's validity.
fn server_config(
    files: &TlsFiles,
    content: &Content,
) -> Result<(ServerConfig, Option<Validity>), String> {
    let (cert, key_file) = (files.cert(), files.key());
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content.certificate).collect();
    let chain = chain.map_err(|cause| cert.bad(format_args!("it is not PEM: {cause}")))?;
    let first = chain.first().ok_or_else(|| {
        cert.bad("it has no certificate: a PEM file with BEGIN CERTIFICATE is needed")
    })?;
    let validity = expiry::validity(first);
    let key = PrivateKeyDer::from_pem_slice(&content.key).map_err(|cause| match cause {
        _ if has(&content.key, b"ENCRYPTED") => key_file.bad(
            "it has a passphrase, and the service cannot ask for it; remove it: openssl pkey -in KEY -out NEW",
        ),
        pem::Error::NoItemsFound => key_file.bad(
            "it has no private key: a PEM file with BEGIN PRIVATE KEY, BEGIN EC PRIVATE KEY or BEGIN RSA PRIVATE KEY is needed, without a passphrase",
        ),
        cause => key_file.bad(format_args!("it is not PEM: {cause}")),
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
            files.certificate.display()
        ),
        rustls::Error::InvalidCertificate(_) => cert.bad(cause),
        cause => key_file.bad(cause),
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((config, validity))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::Command;

    use axum_server::accept::{Accept, DefaultAcceptor};
    use tokio::time::{sleep, timeout};

    use super::*;

    /// Generates both files with openssl in this folder.
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
            // The head of a record that never completes.
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
    fn a_refused_certificate_is_logged_once_and_after_a_second_look() {
        let mut refusals = Refusals::default();
        let mut news = |why| refusals.is_news(why);
        assert_eq!([news("a"), news("a"), news("a")], [false, true, false]);
        assert_eq!([news("b"), news("a"), news("a")], [false, false, false]);
        assert_eq!([news("b"), news("b")], [false, true]);
    }
}
