//! Where the server listens.
//!
//! Enters: addresses, or sockets that systemd has opened. Leaves: listeners.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, FromRawFd as _, OwnedFd};

use rustix::net::{AddressFamily, SocketType, sockopt};
use tokio::net::TcpListener;

/// Why there is nothing to listen on.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Not an address.
    #[error("{0:?} is no address: use ADDRESS:PORT, such as 127.0.0.1:8765")]
    Address(String),
    /// Anybody could come.
    #[error(
        "{0} can be reached from other machines: name who may use it with --token-file FILE, \
         or let everybody with --insecure-no-auth"
    )]
    Open(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    /// systemd's sockets cannot be had.
    #[error("cannot take over the sockets that systemd has opened")]
    Activation(#[source] io::Error),
    /// A socket of systemd's is of another kind.
    #[error(
        "a socket that systemd has opened is no TCP socket: the socket unit needs ListenStream=ADDRESS:PORT"
    )]
    Kind,
}

/// Reads `ADDRESS:PORT`; `localhost` is understood.
pub fn parse_address(text: &str) -> Result<SocketAddr, AddressError> {
    let address = match text.strip_prefix("localhost:") {
        Some(port) => port
            .parse()
            .map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
            .ok(),
        None => text.parse().ok(),
    };
    address.ok_or_else(|| AddressError::Address(text.to_owned()))
}

/// The sockets that systemd has opened for this process; none where it was started otherwise. To be
/// called once.
pub fn activated() -> Result<Vec<OwnedFd>, AddressError> {
    let numbers = sd_notify::listen_fds().map_err(AddressError::Activation)?;
    let sockets = numbers.map(|number| {
        // SAFETY: systemd says in this process's environment that it has opened these descriptors
        // for it, and nobody else in it looks there.
        unsafe { OwnedFd::from_raw_fd(number) }
    });
    Ok(sockets.collect())
}

/// Listens on `addresses` and on systemd's `sockets`.
pub(super) async fn listen(
    addresses: &[SocketAddr],
    sockets: Vec<OwnedFd>,
) -> Result<Vec<(SocketAddr, TcpListener)>, AddressError> {
    let mut listeners = Vec::new();
    for &address in addresses {
        let failed = |error| AddressError::Listen(address, error);
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        listeners.push((listener.local_addr().map_err(failed)?, listener));
    }
    for socket in sockets {
        let is_tcp = sockopt::socket_type(socket.as_fd()) == Ok(SocketType::STREAM)
            && sockopt::socket_domain(socket.as_fd())
                .is_ok_and(|family| [AddressFamily::INET, AddressFamily::INET6].contains(&family));
        if !is_tcp {
            return Err(AddressError::Kind);
        }
        let listener = std::net::TcpListener::from(socket);
        let listening = || {
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, TcpListener::from_std(listener)?))
        };
        listeners.push(listening().map_err(AddressError::Activation)?);
    }
    Ok(listeners)
}

/// Whether only this machine's programs can reach `address`.
pub(super) fn is_own(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["127.0.0.1:8765", "localhost:1", "[::1]:0", "0.0.0.0:80"] {
            assert!(parse_address(good).is_ok(), "{good}");
        }
        for bad in ["", "8765", "localhost", "localhost:x", "127.0.0.1"] {
            let error = parse_address(bad).unwrap_err();
            assert!(matches!(error, AddressError::Address(_)), "{bad}");
        }
    }
}
