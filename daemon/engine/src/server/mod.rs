//! The doors: TCP for anybody on this machine, one socket pair for the program that started us.
//!
//! Enters: an address or standard input, and the wish to end. Leaves: connections, each served by a
//! task of its own. Everything here runs on the async runtime's threads; decoding never does.

mod connection;
mod upgrade;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::decode::{BackendChoice, LoadError, Model};
use crate::scheduler::Scheduler;
use connection::Served;

/// How the server works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The model's file.
    pub model_path: PathBuf,
    /// What runs the model.
    pub backend: BackendChoice,
    /// Threads of each decode; the scheduler decides where it is missing.
    pub threads: Option<usize>,
    /// Time between partials.
    pub partial_interval: Duration,
}

/// Most connections at once; one more is closed with "try again later". A session costs up to
/// 40 MB when its client is faster than the decoder.
const MOST_CONNECTIONS: usize = 64;

/// How long finals that are owed may take after the wish to end.
const LAST_FINALS: Duration = Duration::from_secs(20);

/// Why the server cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address is not this machine's own.
    #[error(
        "{0} can be reached from other machines, and nothing would ask who they are: \
         listen on 127.0.0.1 or [::1]"
    )]
    NotLoopback(SocketAddr),
    /// Not an address.
    #[error("{0:?} is no address: use ADDRESS:PORT, such as 127.0.0.1:8765")]
    Address(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    /// Standard input is not what `--stdio` needs.
    #[error(
        "standard input is no Unix stream socket: --stdio is for programs that start the engine \
         with one; use --listen to serve clients"
    )]
    NoSocket,
    /// The socket cannot be used.
    #[error("cannot use the socket on standard input")]
    Socket(#[source] io::Error),
    /// There is no model.
    #[error(transparent)]
    Model(#[from] LoadError),
}

/// Reads `ADDRESS:PORT`; `localhost` is understood.
pub fn parse_address(text: &str) -> Result<SocketAddr, ServerError> {
    let address = match text.strip_prefix("localhost:") {
        Some(port) => port
            .parse()
            .map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
            .ok(),
        None => text.parse().ok(),
    };
    let address: SocketAddr = address.ok_or_else(|| ServerError::Address(text.to_owned()))?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err(ServerError::NotLoopback(address))
    }
}

/// Serves TCP clients until `stop` says to end. `listening` is told the address, with the port that
/// the system chose if it was asked to.
pub async fn listen(
    address: SocketAddr,
    settings: Settings,
    mut stop: watch::Receiver<bool>,
    listening: impl FnOnce(SocketAddr),
) -> Result<(), ServerError> {
    let failed = |error| ServerError::Listen(address, error);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let model = load(&settings).await?;
    let served = Served::new(model, &settings);
    listening(address);

    let mut connections = JoinSet::new();
    let mut last_session = 0;
    while !*stop.borrow() {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Mostly too many open files; it passes when connections end.
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
            _ = stop.changed() => continue,
        };
        // Frames are small and each is awaited.
        let _ = stream.set_nodelay(true);
        last_session += 1;
        let is_full = connections.len() >= MOST_CONNECTIONS;
        let (served, stop) = (served.clone(), stop.clone());
        connections.spawn(async move {
            match upgrade::accept(stream).await {
                Ok(accepted) if is_full => upgrade::turn_away(accepted).await,
                Ok(accepted) => connection::serve(accepted, served, last_session, stop).await,
                Err(error) => tracing::debug!(%error, "the upgrade failed"),
            }
        });
    }
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(LAST_FINALS, all_ended).await.is_err() {
        tracing::warn!("finals were still owed when the time to end was over");
    }
    served.end().await;
    Ok(())
}

/// Serves the one client at the other end of standard input, until it closes or `stop` says to end.
pub async fn stdio(settings: Settings, stop: watch::Receiver<bool>) -> Result<(), ServerError> {
    let stream = socket_on_stdin()?;
    // The upgrade is answered at once; the model may take seconds.
    let loading = tokio::spawn({
        let settings = settings.clone();
        async move { load(&settings).await }
    });
    let accepted = match upgrade::accept(stream).await {
        Ok(accepted) => accepted,
        Err(error) => {
            tracing::debug!(%error, "the upgrade failed");
            return Ok(());
        }
    };
    let Some((accepted, early, model)) = connection::wait_for_model(accepted, loading).await else {
        return Ok(());
    };
    let model = match model {
        Ok(model) => model,
        Err(error) => {
            connection::tell_failure(accepted, &error).await;
            return Err(error.into());
        }
    };
    let served = Served::new(model, &settings);
    let served_to_end = served.clone();
    let mut deadline = stop.clone();
    tokio::select! {
        () = connection::serve_after(accepted, early, served, 1, stop) => {}
        () = async {
            // An error means that nobody can ask any more; then the client decides.
            if deadline.wait_for(|&stop| stop).await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(LAST_FINALS).await;
        } => tracing::warn!("finals were still owed when the time to end was over"),
    }
    served_to_end.end().await;
    Ok(())
}

async fn load(settings: &Settings) -> Result<Arc<Model>, LoadError> {
    let (path, backend) = (settings.model_path.clone(), settings.backend);
    let started = Instant::now();
    let model = tokio::task::spawn_blocking(move || Model::load_for(&path, backend))
        .await
        .expect("loading a model does not panic")?;
    tracing::info!(
        model = model.name(),
        ms = started.elapsed().as_millis() as u64,
        "model loaded"
    );
    Ok(Arc::new(model))
}

fn socket_on_stdin() -> Result<UnixStream, ServerError> {
    use rustix::net::{AddressFamily, SocketType, sockopt};
    let stdin = io::stdin();
    let is_stream = sockopt::socket_type(stdin.as_fd()) == Ok(SocketType::STREAM)
        && sockopt::socket_domain(stdin.as_fd()) == Ok(AddressFamily::UNIX);
    if !is_stream {
        return Err(ServerError::NoSocket);
    }
    let owned = stdin
        .as_fd()
        .try_clone_to_owned()
        .map_err(ServerError::Socket)?;
    let stream = StdUnixStream::from(owned);
    stream.set_nonblocking(true).map_err(ServerError::Socket)?;
    UnixStream::from_std(stream).map_err(ServerError::Socket)
}

impl Served {
    fn new(model: Arc<Model>, settings: &Settings) -> Served {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Served {
            scheduler: Scheduler::new(model.clone(), cores, settings.threads),
            model,
            partial_interval: settings.partial_interval,
        }
    }

    /// Waits for the decoding threads: the process must not end under whisper.cpp's feet.
    async fn end(self) {
        let ended = tokio::task::spawn_blocking(move || self.scheduler.end()).await;
        ended.expect("ending the decoding threads does not panic");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_listened_to() {
        for good in ["127.0.0.1:8765", "localhost:1", "[::1]:0", "127.8.8.8:80"] {
            assert!(parse_address(good).is_ok(), "{good}");
        }
        for bad in ["0.0.0.0:8765", "[::]:8765", "192.168.1.2:8765"] {
            let error = parse_address(bad).unwrap_err();
            assert!(matches!(error, ServerError::NotLoopback(_)), "{bad}");
        }
        for bad in ["", "8765", "localhost", "localhost:x", "127.0.0.1"] {
            let error = parse_address(bad).unwrap_err();
            assert!(matches!(error, ServerError::Address(_)), "{bad}");
        }
    }
}
