//! Where the utterances go, and the state of the way there: no connection, one in the making, one
//! that is open, a pause after a loss, or a reason not to try.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use wstream_wire::Strategy;

use super::connection::{self, Connecting, Connection, Offer};
use super::local::{self, Engine};
use super::outage::{LossKind, Outage};
use super::{EngineSettings, Remote, TranscriberSettings};
use crate::fault::{Fault, FaultKind};
use crate::speech::SessionOptions;

/// How long a server may take to accept a connection. An engine that is stopped for 20 s in the
/// middle of its start is not dead.
const OPENING_LIMIT: Duration = Duration::from_secs(30);

/// How long a server may take to load its model: the largest, 3 GB, from a slow disk.
const LOADING_LIMIT: Duration = Duration::from_secs(120);

/// Silence after which a server that owes something is asked for a sign of life.
const PING_AFTER: Duration = Duration::from_secs(10);

/// Silence after which it is taken for dead.
const DEAD_AFTER: Duration = Duration::from_secs(30);

/// How long a final may take after the end was told and nothing more was heard of any text: ten
/// times the longest piece that Whisper takes. A model that is slower is of no use for dictation.
const ANSWER_LIMIT: Duration = Duration::from_secs(300);

/// What an engine gets to end by itself once its socket is closed.
const ENGINE_GRACE: Duration = Duration::from_secs(2);

/// Who is to transcribe.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// An engine of ours, started like this.
    Local(EngineSettings),
    /// A server of somebody else's.
    Remote(Remote),
}

impl Target {
    /// The backend that `options` and `settings` ask for.
    pub(super) fn resolve(
        settings: &TranscriberSettings,
        options: &SessionOptions,
    ) -> Result<Self, Fault> {
        let name = options.backend.as_ref().unwrap_or(&settings.backend);
        if name == wstream_api::BACKEND_LOCAL {
            return Ok(Target::Local(settings.engine.clone()));
        }
        let remote = settings.remotes.iter().find(|remote| remote.name == *name);
        let remote = remote.cloned().ok_or_else(|| {
            let message = format!(
                "no backend {name} is configured: use local, or add a table [remote.{name}]"
            );
            Fault::new(FaultKind::UnknownBackend, message)
        })?;
        Ok(Target::Remote(remote))
    }

    /// `local`, or the remote's name.
    pub(super) fn name(&self) -> &str {
        match self {
            Target::Local(_) => wstream_api::BACKEND_LOCAL,
            Target::Remote(remote) => &remote.name,
        }
    }

    /// Whether it is our own engine.
    pub(super) fn is_local(&self) -> bool {
        matches!(self, Target::Local(_))
    }

    /// Whether a connection to `other` is one to this.
    pub(super) fn is(&self, other: &Target) -> bool {
        match (self, other) {
            (Target::Local(engine), Target::Local(other)) => {
                engine.program == other.program
                    && engine.model_path == other.model_path
                    && engine.threads == other.threads
                    && engine.partial_interval_ms == other.partial_interval_ms
            }
            (Target::Remote(remote), Target::Remote(other)) => remote == other,
            _ => false,
        }
    }
}

/// The way to the server.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// What it is now.
    pub(super) state: State,
    /// How long it has been away.
    pub(super) outage: Outage,
    /// A remote that chooses no subprotocol.
    plain: Option<Target>,
    /// Connections and engines on their way out; each ends within its grace.
    endings: JoinSet<()>,
}

/// What the way to the server is now.
#[derive(Default)]
pub(super) enum State {
    /// Nothing; no timer.
    #[default]
    Closed,
    /// A pause before the next attempt.
    Waiting {
        /// To whom.
        target: Target,
        /// When.
        until: Instant,
    },
    /// A connection in the making.
    Opening {
        /// To whom.
        target: Target,
        /// The attempt.
        connecting: Connecting,
        /// The engine, if the backend is local.
        engine: Option<Engine>,
        /// When it is given up.
        until: Instant,
    },
    /// A connection.
    Open(Box<Open>),
    /// Trying again is of no use until the user changes something.
    Blocked {
        /// Whom.
        target: Target,
        /// Why.
        fault: Fault,
    },
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            State::Closed => "Closed",
            State::Waiting { .. } => "Waiting",
            State::Opening { .. } => "Opening",
            State::Open(_) => "Open",
            State::Blocked { .. } => "Blocked",
        })
    }
}

/// An open connection and what is known of its server.
#[derive(Debug)]
pub(super) struct Open {
    /// To whom.
    pub(super) target: Target,
    /// The connection.
    pub(super) connection: Box<Connection>,
    /// When the server was ready, and its window; `None`: its model is loading.
    pub(super) ready: Option<Ready>,
    /// When something was last heard, or began to be owed.
    pub(super) heard: Instant,
    /// When text last came, or the oldest utterance was not yet told to its end.
    pub(super) progress: Instant,
    /// Since when there is nothing to do.
    pub(super) idle: Option<Instant>,
    engine: Option<Engine>,
    opened: Instant,
    pinged: Instant,
}

/// What a server says when it is ready.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    /// When.
    pub(super) at: Instant,
    /// Most samples that it takes unanswered.
    pub(super) window_samples: u64,
}

/// What is due on an open connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Ask for a sign of life.
    Ping,
    /// Give the connection up, because of this.
    Over(LossKind, &'static str),
    /// Let go of it.
    Unload,
}

impl Open {
    /// The next thing that will be due, and when. `None`: there is nothing to wait for.
    pub(super) fn due(&self, is_owed: bool, unload_after: Duration) -> Option<(Instant, Due)> {
        let Some(ready) = self.ready else {
            let loading = Due::Over(LossKind::Broken, "it does not get ready");
            return Some((self.opened + LOADING_LIMIT, loading));
        };
        if !is_owed {
            // A time that is too long to be counted never comes.
            let at = self.idle.unwrap_or(ready.at).checked_add(unload_after)?;
            return Some((at, Due::Unload));
        }
        let dues = [
            (self.heard.max(self.pinged) + PING_AFTER, Due::Ping),
            (
                self.heard + DEAD_AFTER,
                Due::Over(LossKind::Broken, "it gives no sign of life"),
            ),
            (
                self.progress + ANSWER_LIMIT,
                Due::Over(LossKind::Unanswered, "it does not answer"),
            ),
        ];
        dues.into_iter().min_by_key(|due| due.0)
    }

    /// Asks for a sign of life.
    pub(super) fn ping(&mut self, now: Instant) {
        self.pinged = now;
        self.connection.ping();
    }
}

/// What is left of a connection, or of an attempt, when it is over.
#[derive(Debug)]
pub(super) struct Ended {
    /// To whom it was.
    pub(super) target: Target,
    /// For how long the server, once it was ready, gave signs of life.
    pub(super) held: Option<Duration>,
    left: Left,
}

/// What has to be ended.
#[derive(Debug, Default)]
struct Left {
    connection: Option<Box<Connection>>,
    engine: Option<Engine>,
}

impl Link {
    /// Starts to connect; what cannot even be started is blocked, for the reason returned.
    pub(super) fn open(
        &mut self,
        target: Target,
        strategy: Strategy,
        now: Instant,
    ) -> Result<(), Fault> {
        let (connecting, engine) = match &target {
            Target::Local(settings) => match local::start(settings) {
                Ok((engine, stream)) => (connection::over(stream, strategy), Some(engine)),
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    let message = format!(
                        "{error} ({}): {}; install it again, or set program in [engine]",
                        settings.program.display(),
                        cause.unwrap_or_default(),
                    );
                    let fault = Fault::new(FaultKind::EngineFailed, message);
                    self.block(target, fault.clone());
                    return Err(fault);
                }
            },
            Target::Remote(remote) => {
                let offer = match &self.plain {
                    Some(plain) if plain.is(&target) => Offer::Nothing,
                    _ => Offer::Subprotocols,
                };
                (connection::to(remote, strategy, offer), None)
            }
        };
        self.state = State::Opening {
            target,
            connecting,
            engine,
            until: now + OPENING_LIMIT,
        };
        Ok(())
    }

    /// Trying again is of no use.
    pub(super) fn block(&mut self, target: Target, fault: Fault) {
        self.state = State::Blocked { target, fault };
    }

    /// The attempt has led to a connection.
    pub(super) fn opened(&mut self, connection: Box<Connection>, now: Instant) {
        self.state = match std::mem::take(&mut self.state) {
            State::Opening { target, engine, .. } => State::Open(Box::new(Open {
                target,
                connection,
                engine,
                ready: None,
                heard: now,
                progress: now,
                idle: None,
                opened: now,
                pinged: now,
            })),
            other => other,
        };
    }

    /// The server speaks no subprotocol: the next attempt offers none.
    pub(super) fn remember_plain(&mut self, target: Target) {
        self.plain = Some(target);
    }

    /// Next time subprotocols are offered again: the server may be another by then.
    pub(super) fn forget_plain(&mut self) {
        self.plain = None;
    }

    /// Lets go of whatever there is, with a farewell; connections and engines end on their own.
    pub(super) fn close(&mut self) {
        let Some(Ended { left, .. }) = self.take() else {
            return;
        };
        self.endings.spawn(async move {
            if let Some(connection) = left.connection {
                connection.close().await;
            }
            if let Some(engine) = left.engine {
                engine.end(ENGINE_GRACE).await;
            }
        });
    }

    /// Gives up whatever there is: nothing more is expected of the connection, and its engine is
    /// killed if it still lives. Returns what it was.
    pub(super) fn give_up(&mut self) -> Option<Ended> {
        let mut ended = self.take()?;
        if let Some(engine) = std::mem::take(&mut ended.left).engine {
            self.endings.spawn(engine.end(Duration::ZERO));
        }
        Some(ended)
    }

    fn take(&mut self) -> Option<Ended> {
        let (target, held, left) = match std::mem::take(&mut self.state) {
            State::Closed => return None,
            State::Waiting { target, .. } | State::Blocked { target, .. } => {
                (target, None, Left::default())
            }
            State::Opening { target, engine, .. } => {
                let connection = None;
                (target, None, Left { connection, engine })
            }
            State::Open(open) => {
                let held = open.ready.map(|ready| open.heard - ready.at);
                let left = Left {
                    connection: Some(open.connection),
                    engine: open.engine,
                };
                (open.target, held, left)
            }
        };
        Some(Ended { target, held, left })
    }

    /// Forgets the endings that are over.
    pub(super) fn reap(&mut self) {
        while self.endings.try_join_next().is_some() {}
    }

    /// Closes, and waits until everything has ended.
    pub(super) async fn end(&mut self) {
        self.close();
        while self.endings.join_next().await.is_some() {}
    }

    /// To whom there is a connection, or will be.
    pub(super) fn target(&self) -> Option<&Target> {
        match &self.state {
            State::Closed => None,
            State::Waiting { target, .. }
            | State::Opening { target, .. }
            | State::Blocked { target, .. } => Some(target),
            State::Open(open) => Some(&open.target),
        }
    }

    /// The connection with a server that is ready, and its window.
    pub(super) fn ready(&self) -> Option<Ready> {
        match &self.state {
            State::Open(open) => open.ready,
            _ => None,
        }
    }
}
