//! The doors: TCP for clients (`listen`), one socket pair for the program that started us.
//!
//! Enters: addresses or standard input, and the wish to end. Leaves: connections, each served by a
//! task of its own. Everything here runs on the async runtime's threads; decoding never does.

mod address;
pub mod answer;
mod attempts;
mod connection;
mod gate;
mod limits;
mod listen;
pub mod request;
mod room;
pub mod tls;
pub mod tokens;
pub mod upgrade;

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::timeout;

pub use address::{AddressError, activated, parse_address};
pub use limits::Limits;
pub use listen::{Service, listen};

use crate::decode::{BackendChoice, LoadError, Model};
use crate::scheduler::Scheduler;
use connection::Served;
use request::Asked;

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

/// How long finals that are owed may take after the wish to end, unless told otherwise.
pub const LAST_FINALS: Duration = Duration::from_secs(20);

/// Why the server cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// There is nothing to listen on.
    #[error(transparent)]
    Address(#[from] AddressError),
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

/// Serves the one client at the other end of standard input, until it closes or `stop` says to end.
pub async fn stdio(settings: Settings, stop: watch::Receiver<bool>) -> Result<(), ServerError> {
    let mut stream = socket_on_stdin()?;
    // The upgrade is answered at once; the model may take seconds.
    let loading = tokio::spawn({
        let settings = settings.clone();
        async move { load(&settings).await }
    });
    let asked = timeout(upgrade::PATIENCE, upgrade::read_request(&mut stream)).await;
    let (asked, early) = match asked {
        Ok(Ok(Some((Asked::Session(asked), early)))) => (asked, early),
        Ok(Ok(Some((Asked::Refused(answer), _)))) => {
            upgrade::answer(stream, &answer).await;
            return Ok(());
        }
        Ok(Ok(_) | Err(_)) | Err(_) => {
            tracing::debug!("no request for a session came");
            return Ok(());
        }
    };
    let limits = Limits::NONE;
    let Ok(accepted) = upgrade::complete(stream, asked, early, limits.message_bytes).await else {
        tracing::debug!("the client has gone in the upgrade");
        return Ok(());
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
    let served = Served::new(model, &settings, limits);
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
    fn new(model: Arc<Model>, settings: &Settings, limits: Limits) -> Served {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Served {
            scheduler: Scheduler::new(model.clone(), cores, settings.threads),
            model,
            partial_interval: settings.partial_interval,
            limits,
        }
    }

    /// Waits for the decoding threads: the process must not end under whisper.cpp's feet.
    async fn end(self) {
        let ended = tokio::task::spawn_blocking(move || self.scheduler.end()).await;
        ended.expect("ending the decoding threads does not panic");
    }
}
