//! The door to the network: connections come in, are asked who they are, and get a session each.
//!
//! Enters: TCP connections, the wish to end. Leaves: sessions. Whoever has no session yet waits in
//! a room of [`MOST_WAITING`]; every connection is a task, and none of them decodes.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::answer::{Answer, Health};
use super::connection::{self, Served};
use super::gate::Gate;
use super::limits::Ending;
use super::request::Asked;
use super::room::Room;
use super::tokens::Tokens;
use super::{AddressError, Limits, ServerError, Settings, address, load, upgrade};

/// Most connections without a session; one more, and the room gives one up. Ten seconds is as long
/// as a connection can stay in there.
const MOST_WAITING: usize = 512;

/// Files that the process needs beside its connections.
const OTHER_FILES: u64 = 64;

/// Whom to serve, and how.
#[derive(Debug)]
pub struct Service {
    /// Where to listen.
    pub addresses: Vec<SocketAddr>,
    /// Sockets that listen already.
    pub sockets: Vec<OwnedFd>,
    /// Who may come; `None`: everybody.
    pub tokens: Option<Tokens>,
    /// Whether everybody may come from other machines as well.
    pub allows_strangers: bool,
    /// Encryption.
    pub tls: Option<Arc<ServerConfig>>,
    /// Proxies that say for whom they speak.
    pub proxies: Vec<IpAddr>,
    /// Most sessions at once.
    pub sessions: usize,
    /// What each may take.
    pub limits: Limits,
    /// How long finals that are owed may take after the wish to end.
    pub drain: Duration,
}

/// Serves until `stop` says to end. `listening` is told each address, with the port that the system
/// chose if it was asked to.
pub async fn listen(
    service: Service,
    settings: Settings,
    mut stop: watch::Receiver<bool>,
    listening: impl Fn(SocketAddr),
) -> Result<(), ServerError> {
    let listeners = address::listen(&service.addresses, service.sockets).await?;
    let is_guarded = service.tokens.is_some();
    let open = listeners.iter().map(|(address, _)| *address);
    for address in open.filter(|address| !address::is_own(*address)) {
        if !is_guarded && !service.allows_strangers {
            return Err(AddressError::Open(address).into());
        }
        if is_guarded && service.tls.is_none() {
            tracing::warn!(
                %address,
                "tokens and speech can be read on the way: give --cert and --key, or put a proxy \
                 with TLS in front"
            );
        }
    }
    allow_files(service.sessions);
    let model = load(&settings).await?;
    let house = Arc::new(House {
        served: Served::new(model, &settings, service.limits),
        gate: Gate::new(service.tokens, service.proxies),
        tls: service.tls,
        places: Arc::new(Semaphore::new(service.sessions)),
        sessions: service.sessions,
        room: Mutex::new(Room::new(MOST_WAITING)),
    });

    let (to_door, mut arrivals) = mpsc::channel(1);
    let mut doors = JoinSet::new();
    for (address, listener) in listeners {
        listening(address);
        doors.spawn(receive(listener, to_door.clone()));
    }
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let mut connections = JoinSet::new();
    let mut last = 0;
    while !*stop.borrow() {
        tokio::select! {
            Some((stream, peer)) = arrivals.recv() => {
                last += 1;
                let meeting = house.clone().meet(stream, peer, last, stop.clone());
                // Held until it is in the room, which it may leave at once.
                let mut room = house.room();
                let end = connections.spawn(meeting);
                let given_up = room.enter(last, peer.ip(), end);
                drop(room);
                if let Some(given_up) = given_up {
                    tracing::debug!("a connection that had not asked for anything was given up");
                    given_up.abort();
                }
            }
            Some(_) = connections.join_next() => {}
            _ = stop.changed() => {}
        }
    }
    // From here on a balancer finds nobody, and takes another server.
    drop(arrivals);
    doors.shutdown().await;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    tracing::info!(
        sessions = house.in_use(),
        "ending: finals that are owed come first"
    );
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if timeout(service.drain, all_ended).await.is_err() {
        tracing::warn!("finals were still owed when the time to end was over");
    }
    house.served.clone().end().await;
    Ok(())
}

/// Takes what comes to one address.
async fn receive(listener: TcpListener, to_door: mpsc::Sender<(TcpStream, SocketAddr)>) {
    loop {
        match listener.accept().await {
            Ok(arrival) => {
                if to_door.send(arrival).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                // Mostly too many open files; it passes when connections end.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// As many files as connections need, where the system lets us; it begins with 1024.
fn allow_files(sessions: usize) {
    let wanted = sessions as u64 + MOST_WAITING as u64 + OTHER_FILES;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(limit.maximum.map_or(wanted, |most| most.min(wanted)));
        // Then connections wait in front of the door, which the log says.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// What all connections share.
#[derive(Debug)]
struct House {
    served: Served,
    gate: Gate,
    tls: Option<Arc<ServerConfig>>,
    /// One for each session.
    places: Arc<Semaphore>,
    sessions: usize,
    /// Held only to enter or to leave.
    room: Mutex<Room<AbortHandle>>,
}

/// A place in the room, left when dropped.
struct Place {
    house: Arc<House>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.house.room().leave(self.number);
    }
}

impl House {
    async fn meet(
        self: Arc<House>,
        stream: TcpStream,
        peer: SocketAddr,
        number: u64,
        stop: watch::Receiver<bool>,
    ) {
        let place = Place {
            house: self.clone(),
            number,
        };
        let until = tokio::time::Instant::now() + upgrade::PATIENCE;
        // Frames are small and each is awaited.
        let _ = stream.set_nodelay(true);
        match self.tls.clone().map(TlsAcceptor::from) {
            None => self.greet(stream, peer, place, until, stop).await,
            Some(tls) => match timeout_at(until, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.greet(stream, peer, place, until, stop).await,
                Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS"),
                Err(_) => tracing::debug!(%peer, "no TLS in time"),
            },
        }
    }

    async fn greet<S>(
        &self,
        mut stream: S,
        peer: SocketAddr,
        place: Place,
        until: tokio::time::Instant,
        stop: watch::Receiver<bool>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (asked, early) = match timeout_at(until, upgrade::read_request(&mut stream)).await {
            Ok(Ok(Some(request))) => request,
            Ok(Ok(None)) => return,
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "lost before it asked for anything");
                return;
            }
            Err(_) => return upgrade::answer(stream, &Answer::TOO_SLOW).await,
        };
        let asked = match asked {
            Asked::Session(asked) => asked,
            Asked::Health { body } => {
                let answer = Answer::health(&self.health(), body);
                return upgrade::answer(stream, &answer).await;
            }
            Asked::Refused(answer) => {
                tracing::debug!(%peer, status = answer.status, "refused");
                return upgrade::answer(stream, &answer).await;
            }
        };
        if let Err(answer) = self.gate.admit(peer.ip(), &asked, Instant::now()) {
            tracing::debug!(%peer, status = answer.status, "refused");
            return upgrade::answer(stream, &answer).await;
        }
        let permit = self.places.clone().try_acquire_owned();
        let most = self.served.limits.message_bytes;
        let upgrading = upgrade::complete(stream, asked, early, most);
        let accepted = match timeout_at(until, upgrading).await {
            Ok(Ok(accepted)) => accepted,
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "lost in the upgrade");
                return;
            }
            Err(_) => return,
        };
        if permit.is_err() {
            tracing::warn!(%peer, "turned away: there are {} sessions", self.sessions);
            return connection::turn_away(accepted, Ending::Busy).await;
        }
        let number = place.number;
        drop(place);
        tracing::info!(session = number, %peer, "arrived");
        connection::serve(accepted, self.served.clone(), number, stop).await;
    }

    fn health(&self) -> Health<'_> {
        Health {
            model: self.served.model.name(),
            sessions: self.in_use(),
            most_sessions: self.sessions,
        }
    }

    fn in_use(&self) -> usize {
        self.sessions
            .saturating_sub(self.places.available_permits())
    }

    fn room(&self) -> MutexGuard<'_, Room<AbortHandle>> {
        self.room
            .lock()
            .expect("nothing that holds this lock can panic")
    }
}
