//! TLS over a connection to a remote: the certificates of the system, and of a file beside them.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, RootCertStore};
use tracing::debug;

use super::Loss;
use super::address::Address;
use super::socket::Io;
use crate::transcriber::outage::LossKind;

/// Speaks TLS over `stream`; the server's certificate must be for the host of `address`.
pub(super) async fn wrap(
    stream: TcpStream,
    address: &Address,
    ca_file: Option<PathBuf>,
) -> Result<Box<dyn Io>, Loss> {
    let name = ServerName::try_from(address.host.clone())
        .map_err(|_| denied("its host is no name that a certificate can have: check its url"))?;
    // The system's certificates are a file of some 200 kB, read and parsed.
    let config = tokio::task::spawn_blocking(move || config(ca_file)).await;
    let config = config.map_err(|error| Loss::broken(error.to_string()))??;
    match TlsConnector::from(config).connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(of_handshake(error)),
    }
}

fn config(ca_file: Option<PathBuf>) -> Result<Arc<ClientConfig>, Loss> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        debug!(%error, "some of the system's certificates cannot be read");
    }
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = ca_file {
        let extra = CertificateDer::pem_file_iter(&path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| {
                let path = path.display();
                denied(format!(
                    "the certificates in {path} cannot be read ({error}): check ca_file"
                ))
            })?;
        let (added, _) = roots.add_parsable_certificates(extra);
        if added == 0 {
            let path = path.display();
            return Err(denied(format!(
                "there is no certificate in {path}: check ca_file"
            )));
        }
    }
    let config = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| denied(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// What a handshake that failed means. A connection that breaks is tried again; what a server is
/// will not change by that.
fn of_handshake(error: io::Error) -> Loss {
    let cause = error
        .get_ref()
        .and_then(|cause| cause.downcast_ref::<Error>());
    let Some(cause) = cause else {
        return Loss::io(error);
    };
    denied(match cause {
        Error::InvalidCertificate(problem) => match problem {
            CertificateError::UnknownIssuer => {
                "its certificate is from an authority that this machine does not know: name that \
                 authority's certificate in ca_file"
                    .to_owned()
            }
            // An authority of one's own that was made anew has the name of the one before.
            CertificateError::BadSignature => {
                "its certificate is not signed by the authority that it names: if that was made \
                 anew, put its certificate into ca_file; if not, somebody is in between"
                    .to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another name: use the one in url that it is for".to_owned()
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => {
                "its certificate is out of date: have it renewed, and check this machine's clock"
                    .to_owned()
            }
            // The library's name for it is another library's: openssl makes such ones by itself.
            CertificateError::Other(cause) if cause.to_string().contains("CaUsedAsEndEntity") => {
                "its certificate is an authority's, which signs and is shown by no server: have one \
                 made for the server, with basicConstraints CA:FALSE"
                    .to_owned()
            }
            other => format!("its certificate cannot be trusted ({other}): have it replaced"),
        },
        Error::InvalidMessage(_) => "it does not speak TLS: use ws:// in url".to_owned(),
        other => format!("TLS with it fails ({other}): check its url and its settings"),
    })
}

fn denied(reason: impl Into<String>) -> Loss {
    Loss::lost(LossKind::Denied, reason)
}
