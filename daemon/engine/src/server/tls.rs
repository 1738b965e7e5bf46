//! Encryption: certificate and key files in, how streams are encrypted out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

/// Why there is no encryption.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate's file is not what it should be.
    #[error("{0} is no certificate in PEM")]
    Certificate(PathBuf, #[source] pem::Error),
    /// There is none in it.
    #[error(
        "there is no certificate in {0}: it must have the server's, and those that signed it, in PEM"
    )]
    NoCertificate(PathBuf),
    /// The key's file is not what it should be.
    #[error("{0} has no private key in PEM")]
    Key(PathBuf, #[source] pem::Error),
    /// They do not fit.
    #[error("certificate and key cannot be used together")]
    Pair(#[source] rustls::Error),
}

/// Reads certificates (the server's own first) and the key.
pub fn config(cert_path: &Path, key_path: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let bad = |error| TlsError::Certificate(cert_path.to_owned(), error);
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert_path)
        .map_err(bad)?
        .collect::<Result<_, _>>()
        .map_err(bad)?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate(cert_path.to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(key_path)
        .map_err(|error| TlsError::Key(key_path.to_owned(), error))?;
    // Named, since other parts of a program may bring another provider along.
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(certificates, key)
        })
        .map_err(TlsError::Pair)?;
    Ok(Arc::new(config))
}
