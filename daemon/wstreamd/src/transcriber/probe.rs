//! A trial of a remote that is away: a connection of its own, on which nothing is told, that has
//! to hold for a while.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::connection::{self, Connecting, Connection, Happened, Loss, Offer};
use super::kept::Manner;
use super::link::LOADING_LIMIT;
use super::protocol::Answer;
use super::remote::Remote;

/// See the module.
pub(super) struct Probe {
    remote: Remote,
    manner: Manner,
    /// How long it has to hold.
    trial: Duration,
    stage: Stage,
}

enum Stage {
    Opening {
        connecting: Connecting,
        until: Instant,
    },
    /// The server is not ready yet.
    Loading {
        connection: Box<Connection>,
        until: Instant,
    },
    /// It is, and was asked for a sign of life.
    Holding {
        connection: Box<Connection>,
        /// Whether it gave one, or cannot be asked.
        alive: bool,
        until: Instant,
    },
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probe")
            .field("remote", &self.remote.name)
            .finish_non_exhaustive()
    }
}

/// What has become of a trial.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It goes on.
    Goes,
    /// The remote is well.
    Well,
    /// It is not.
    Failed,
}

impl Probe {
    /// Begins to try `remote`, as if for an utterance that is to be transcribed like this.
    pub(super) fn start(remote: Remote, manner: Manner, trial: Duration, now: Instant) -> Self {
        let connecting = connection::to(remote.clone(), manner.clone(), Offer::Subprotocols);
        let until = now + remote.connect_timeout;
        Probe {
            remote,
            manner,
            trial,
            stage: Stage::Opening { connecting, until },
        }
    }

    /// The remote's name.
    pub(super) fn name(&self) -> &str {
        &self.remote.name
    }

    /// When [`Probe::overdue`] is to be called.
    pub(super) fn due(&self) -> Instant {
        match &self.stage {
            Stage::Opening { until, .. } => *until,
            Stage::Loading { connection, until }
            | Stage::Holding {
                connection, until, ..
            } => connection.due().map_or(*until, |due| due.min(*until)),
        }
    }

    /// A time has come.
    pub(super) fn overdue(&mut self, now: Instant) -> Outcome {
        match &mut self.stage {
            Stage::Opening { until, .. } | Stage::Loading { until, .. } if *until <= now => {
                Outcome::Failed
            }
            Stage::Holding { alive, until, .. } if *until <= now => match alive {
                true => Outcome::Well,
                false => Outcome::Failed,
            },
            Stage::Loading { connection, .. } | Stage::Holding { connection, .. } => {
                connection.overdue(now);
                Outcome::Goes
            }
            Stage::Opening { .. } => Outcome::Goes,
        }
    }

    /// Moves the trial on.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        loop {
            match &mut self.stage {
                Stage::Opening { connecting, .. } => {
                    match ready!(connecting.as_mut().poll(cx)) {
                        Ok(connection) => {
                            let until = Instant::now() + LOADING_LIMIT;
                            self.stage = Stage::Loading { connection, until };
                        }
                        Err(Loss::Unchosen) => {
                            let (remote, manner) = (self.remote.clone(), self.manner.clone());
                            let connecting = connection::to(remote, manner, Offer::Nothing);
                            let until = Instant::now() + self.remote.connect_timeout;
                            self.stage = Stage::Opening { connecting, until };
                        }
                        Err(_) => return Poll::Ready(Outcome::Failed),
                    }
                    // Its due time is another now.
                    return Poll::Ready(Outcome::Goes);
                }
                Stage::Loading { connection, .. } => {
                    match ready!(connection.poll(cx, |_, _| false)) {
                        Happened::Lost(_) => return Poll::Ready(Outcome::Failed),
                        Happened::Heard | Happened::Answered => {}
                    }
                    let mut is_ready = false;
                    while let Some(answer) = connection.take_answer() {
                        match answer {
                            Answer::Ready { .. } => is_ready = true,
                            Answer::Error { .. }
                            | Answer::Refused { .. }
                            | Answer::Later { .. } => {
                                return Poll::Ready(Outcome::Failed);
                            }
                            _ => {}
                        }
                    }
                    if is_ready {
                        return Poll::Ready(self.hold());
                    }
                }
                Stage::Holding {
                    connection, alive, ..
                } => {
                    match ready!(connection.poll(cx, |_, _| false)) {
                        Happened::Lost(_) => return Poll::Ready(Outcome::Failed),
                        Happened::Heard => *alive = true,
                        Happened::Answered => {}
                    }
                    while connection.take_answer().is_some() {}
                }
            }
        }
    }

    fn hold(&mut self) -> Outcome {
        let until = Instant::now() + self.trial;
        let gone = Stage::Opening {
            connecting: Box::pin(std::future::pending()),
            until,
        };
        if let Stage::Loading { mut connection, .. } = std::mem::replace(&mut self.stage, gone) {
            let alive = !connection.ping();
            self.stage = Stage::Holding {
                connection,
                alive,
                until,
            };
        }
        Outcome::Goes
    }

    /// What is left to take leave of.
    pub(super) fn into_connection(self) -> Option<Box<Connection>> {
        match self.stage {
            Stage::Opening { .. } => None,
            Stage::Loading { connection, .. } | Stage::Holding { connection, .. } => {
                Some(connection)
            }
        }
    }
}
