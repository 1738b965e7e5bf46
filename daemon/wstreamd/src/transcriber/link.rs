//! Where the utterances go, and the state of the way there: no connection, one in the making, one
//! that is open, a pause after a loss, or a reason not to try.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::connection::{self, Connecting, Connection, Offer};
use super::kept::Manner;
use super::local::{self, Engine};
use super::outage::{LossKind, Outage};
use super::target::Target;
use crate::fault::{Fault, FaultKind};

/// How long a server may take to load its model: the largest, 3 GB, from a slow disk.
pub(super) const LOADING_LIMIT: Duration = Duration::from_secs(120);

/// What an engine gets to end by itself once its socket is closed.
const ENGINE_GRACE: Duration = Duration::from_secs(2);

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
        /// When it began.
        since: Instant,
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
    /// Let the protocol do what it has waited for.
    Protocol,
    /// Give the connection up, because of this.
    Over(LossKind, &'static str),
    /// Let go of it.
    Unload,
}

impl Open {
    /// The next thing that will be due, and when. `None`: there is nothing to wait for.
    /// `idle_limit`: how long the connection is kept without anything to do.
    pub(super) fn due(
        &self,
        is_owed: bool,
        idle_limit: Option<Duration>,
    ) -> Option<(Instant, Due)> {
        let protocol = self.connection.due().map(|at| (at, Due::Protocol));
        let times = self.target.times();
        let dead = "it gives no sign of life";
        let dues = match self.ready {
            None => {
                let loading = Due::Over(LossKind::Broken, "it does not get ready");
                [Some((self.opened + LOADING_LIMIT, loading)), None, None]
            }
            Some(_) if is_owed => [
                Some((self.heard.max(self.pinged) + times.ping, Due::Ping)),
                Some((self.heard + times.dead, Due::Over(LossKind::Broken, dead))),
                Some((
                    self.progress + times.answer,
                    Due::Over(LossKind::Unanswered, "it does not answer"),
                )),
            ],
            Some(ready) => {
                let idle = self.idle.unwrap_or(ready.at);
                // Asked once, and then waited for.
                let alive = times
                    .keep_alive
                    .map(|pause| match self.pinged > self.heard {
                        true => (self.pinged + times.dead, Due::Over(LossKind::Broken, dead)),
                        false => (self.heard + pause, Due::Ping),
                    });
                // A time that is too long to be counted never comes.
                let idle =
                    idle_limit.and_then(|limit| Some((idle.checked_add(limit)?, Due::Unload)));
                [idle, alive, None]
            }
        };
        dues.into_iter()
            .flatten()
            .chain(protocol)
            .min_by_key(|due| due.0)
    }

    /// Asks for a sign of life.
    pub(super) fn ping(&mut self, now: Instant) {
        self.pinged = now;
        if !self.connection.ping() {
            // Where there is no way to ask, silence proves nothing.
            self.heard = now;
        }
    }
}

/// What is left of a connection, or of an attempt, when it is over.
#[derive(Debug)]
pub(super) struct Ended {
    /// To whom it was.
    pub(super) target: Target,
    /// For how long the server, once it was ready, gave signs of life.
    pub(super) held: Option<Duration>,
    /// When the attempt began, or when the last sign of life came.
    pub(super) since: Option<Instant>,
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
        manner: Manner,
        now: Instant,
    ) -> Result<(), Fault> {
        let (connecting, engine) = match &target {
            Target::Local(settings) => match local::start(settings) {
                Ok((engine, stream)) => (connection::over(stream, manner), Some(engine)),
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
                (connection::to(remote.clone(), manner, offer), None)
            }
        };
        let until = now + target.times().opening;
        self.state = State::Opening {
            target,
            connecting,
            engine,
            since: now,
            until,
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
        let (target, held, since, left) = match std::mem::take(&mut self.state) {
            State::Closed => return None,
            State::Waiting { target, .. } | State::Blocked { target, .. } => {
                (target, None, None, Left::default())
            }
            State::Opening {
                target,
                engine,
                since,
                ..
            } => {
                let connection = None;
                (target, None, Some(since), Left { connection, engine })
            }
            State::Open(open) => {
                let held = open.ready.map(|ready| open.heard - ready.at);
                let left = Left {
                    connection: Some(open.connection),
                    engine: open.engine,
                };
                (open.target, held, Some(open.heard), left)
            }
        };
        Some(Ended {
            target,
            held,
            since,
            left,
        })
    }

    /// Since when there has been no server that listens, though one is wanted; `None`: there is
    /// one, or none is wanted.
    pub(super) fn missing_since(&self) -> Option<Instant> {
        let began = match &self.state {
            State::Closed | State::Blocked { .. } => None,
            State::Waiting { until, .. } => Some(*until),
            State::Opening { since, .. } => Some(*since),
            State::Open(open) => (open.ready.is_none()).then_some(open.opened),
        };
        began.map(|began| self.outage.since().unwrap_or(began))
    }

    /// Takes leave of a connection that is not the link's own.
    pub(super) fn dismiss(&mut self, connection: Box<Connection>) {
        self.endings.spawn(connection.close());
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
