//! Adds advice for the operator to errors of the database.

use std::error::Error;

use sqlx::postgres::PgDatabaseError;

use crate::report::Advised;

/// The cause of a failure.
pub(super) type BoxedError = Box<dyn Error + Send + Sync>;

/// Returns the TLS error inside a socket error, which is how sqlx reports it.
pub(super) fn tls_error(cause: &std::io::Error) -> Option<&rustls::Error> {
    cause.get_ref()?.downcast_ref()
}

/// Adds to the cause what the operator can do about it.
pub(super) fn explained(cause: BoxedError) -> BoxedError {
    let code = match cause.downcast_ref::<sqlx::Error>() {
        Some(sqlx::Error::Database(cause)) => cause
            .try_downcast_ref::<PgDatabaseError>()
            .map(|cause| cause.code().to_owned()),
        Some(sqlx::Error::Tls(_)) => return Advised::new(cause, NO_TLS).into(),
        Some(sqlx::Error::Io(io)) => {
            let advice = tls_error(io).map(advice_about_tls);
            return match advice {
                Some(advice) => Advised::new(cause, advice).into(),
                None => cause,
            };
        }
        _ => None,
    };
    let advice = match code.as_deref() {
        Some("28P01") => "check the user and the password",
        Some("28000") => "check the user and the password, and the server's pg_hba.conf",
        Some("42501") => "make the user the owner of the database",
        Some("3D000") => "make the database first",
        Some("25006") => "it is read-only: give the address of the writable primary",
        Some("53300") => "raise its max_connections",
        Some("53100") => "its disk is full",
        _ => return cause,
    };
    Advised::new(cause, advice).into()
}

const NO_TLS: &str =
    "turn TLS on at the server: its settings are ssl, ssl_cert_file and ssl_key_file";

fn advice_about_tls(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(
            Bad::NotValidForName | Bad::NotValidForNameContext { .. },
        ) => "the server's certificate is for another host: use the name that is in it",
        rustls::Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => {
            "add sslrootcert=/path/to/ca.pem to the address, with the CA of the server's certificate"
        }
        _ => "check the server's certificate, and sslrootcert in the address",
    }
}
