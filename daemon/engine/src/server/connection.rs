//! One client from upgrade to close.
//!
//! Enters: a WebSocket. Leaves: its session's answers. One task per connection, which never waits
//! for a decode: pings are answered while decodes run. A client that does not take its answers is
//! not read either, so that nothing piles up for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, coop};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use wstream_wire::v2::{self, ServerMessage, codes};
use wstream_wire::{path, v1};

use super::limits::{Due, Ending, GONE_AFTER, Limits, Watch};
use super::upgrade::{self, Accepted};
use crate::decode::{LoadError, Model};
use crate::scheduler::{JobName, Scheduler, ToSession};
use crate::session::v1::V1;
use crate::session::v2::{V2, WINDOW_SAMPLES};
use crate::session::{Action, Session};

/// Outcomes under way to a session: one job runs, and aborted ones may still report.
/// Full: cannot be, since a session's jobs are ended long before sixteen newer ones are.
const OUTCOMES: usize = 16;

/// Messages that a client may send before the model is loaded; after that many it is not read.
const EARLY_MESSAGES: usize = 64;

/// What every connection shares.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) scheduler: Scheduler,
    pub(super) model: Arc<Model>,
    pub(super) partial_interval: Duration,
    pub(super) limits: Limits,
}

/// Serves a client that has just connected.
pub(super) async fn serve<S>(
    accepted: Accepted<S>,
    served: Served,
    session_number: u64,
    stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    serve_after(accepted, Vec::new(), served, session_number, stop).await;
}

/// Serves a client of whom some messages have been read already.
pub(super) async fn serve_after<S>(
    mut accepted: Accepted<S>,
    early: Vec<Message>,
    served: Served,
    session_number: u64,
    stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let strategy = match &accepted.strategy {
        Ok(strategy) => *strategy,
        Err(error) => {
            let code = CloseCode::from(path::CLOSE_CODE);
            upgrade::close(&mut accepted.socket, code, &error.to_string()).await;
            return;
        }
    };
    let interval = served.partial_interval;
    let session: Box<dyn Session> = if accepted.is_v2 {
        Box::new(V2::new(served.model.clone(), interval))
    } else {
        Box::new(V1::new(strategy, interval, Instant::now()))
    };
    let (to_session, from_scheduler) = mpsc::channel(OUTCOMES);
    let began = Instant::now();
    let mut connection = Connection {
        socket: accepted.socket,
        is_v2: accepted.is_v2,
        session,
        watch: Watch::new(served.limits, began),
        limits: served.limits,
        scheduler: served.scheduler.clone(),
        number: session_number,
        to_session,
    };
    tracing::info!(session = session_number, v2 = accepted.is_v2, %strategy, "connected");
    let ready = accepted.is_v2.then(|| ready(&served.model));
    let ended = connection.run(ready, early, from_scheduler, stop).await;
    served.scheduler.leave(session_number);
    let (session, seconds) = (session_number, began.elapsed().as_secs());
    match ended {
        Ok(None) => tracing::info!(session, seconds, "disconnected"),
        Ok(Some(ending)) => {
            tracing::info!(session, seconds, code = ending.code(), "disconnected by us");
        }
        Err(error) => tracing::info!(session, seconds, %error, "connection lost"),
    }
}

/// Waits until the model is loaded, without losing what the client sends. `None`: it has gone.
pub(super) async fn wait_for_model<S>(
    mut accepted: Accepted<S>,
    mut loading: JoinHandle<Result<Arc<Model>, LoadError>>,
) -> Option<(Accepted<S>, Vec<Message>, Result<Arc<Model>, LoadError>)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut early = Vec::new();
    loop {
        tokio::select! {
            model = &mut loading => {
                let model = model.expect("loading a model does not panic");
                return Some((accepted, early, model));
            }
            message = accepted.socket.next(), if early.len() < EARLY_MESSAGES => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(message)) => early.push(message),
            },
        }
    }
}

/// Tells the one client why there will be no transcription.
pub(super) async fn tell_failure<S>(mut accepted: Accepted<S>, failure: &LoadError)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let message = failure.to_string();
    let text = if accepted.is_v2 {
        let code = match failure {
            LoadError::Cpu(_) => codes::CPU_UNSUPPORTED,
            LoadError::Missing { .. } => codes::MODEL_MISSING,
            LoadError::Invalid { .. } | LoadError::Whisper { .. } => codes::MODEL_INVALID,
        };
        v2::encode_server(&ServerMessage::Error {
            code: code.to_owned(),
            message,
            utterance: None,
        })
    } else {
        v1::encode_server(&v1::ServerMessage::Error { message })
    };
    if accepted.socket.send(Message::text(text)).await.is_ok() {
        upgrade::close(&mut accepted.socket, CloseCode::Error, "no model").await;
    }
}

/// Tells a client that there is no place for it.
pub(super) async fn turn_away<S>(mut accepted: Accepted<S>, ending: Ending)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let told = async {
        if let Some(farewell) = ending.farewell(accepted.is_v2) {
            accepted.socket.send(Message::text(farewell)).await?;
        }
        upgrade::close(&mut accepted.socket, ending.close_code(), &ending.reason()).await;
        Ok::<(), Error>(())
    };
    // It may have gone, or not listen.
    let _ = timeout(upgrade::PATIENCE, told).await;
}

fn ready(model: &Model) -> String {
    v2::encode_server(&ServerMessage::Ready {
        protocol: 2,
        model: model.name().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        multilingual: model.is_multilingual(),
        window_samples: WINDOW_SAMPLES as u64,
    })
}

struct Connection<S> {
    socket: WebSocketStream<S>,
    is_v2: bool,
    session: Box<dyn Session>,
    watch: Watch,
    limits: Limits,
    scheduler: Scheduler,
    number: u64,
    to_session: ToSession,
}

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Serves until either side ends; returns why we did.
    async fn run(
        &mut self,
        ready: Option<String>,
        early: Vec<Message>,
        mut from_scheduler: mpsc::Receiver<crate::scheduler::Outcome>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<Option<Ending>, Error> {
        if let Some(ready) = ready {
            self.send(ready).await?;
        }
        for message in early {
            let actions = self.message(message);
            self.perform(actions).await?;
        }
        // Once it is set, nothing is read any more, and finals of what had ended are delivered.
        let mut ending = (*stop.borrow()).then_some(Ending::GoingAway);
        // Whether the client's bytes can no longer be understood.
        let mut is_broken = false;
        let mut was_read = true;
        loop {
            if let Some(ending) = ending
                && !self.session.owes_finals()
            {
                self.end(ending, is_broken).await?;
                return Ok(Some(ending));
            }
            let is_read = ending.is_none() && !self.session.is_full();
            if is_read && !was_read {
                self.watch.heard(Instant::now());
            }
            was_read = is_read;
            let next = self.watch.next(is_read);
            let actions = tokio::select! {
                Some(outcome) = from_scheduler.recv() => {
                    self.session.outcome(outcome, Instant::now())
                }
                message = self.socket.next(), if is_read => match message {
                    Some(Ok(message)) => {
                        let actions = self.message(message);
                        let unanswered = self.session.unanswered_samples();
                        ending = self.watch.answered_too_little(unanswered);
                        actions
                    }
                    Some(Err(error)) => {
                        ending = Some(self.unreadable(error)?);
                        is_broken = true;
                        continue;
                    }
                    None => return Ok(None),
                },
                due = wait(next), if ending.is_none() => match due {
                    Due::Ask => {
                        self.watch.asked(Instant::now());
                        self.put(Message::Ping(Vec::new().into())).await?;
                        continue;
                    }
                    Due::Gone => return Err(gone()),
                    Due::End(why) => {
                        ending = Some(why);
                        continue;
                    }
                },
                _ = stop.changed(), if ending.is_none() => {
                    ending = Some(Ending::GoingAway);
                    continue;
                }
            };
            self.perform(actions).await?;
            // Messages that are in the buffer already come without a wait; others' turn it is.
            coop::consume_budget().await;
        }
    }

    fn message(&mut self, message: Message) -> Vec<Action> {
        let now = Instant::now();
        match message {
            Message::Text(text) => {
                self.watch.spoke(now);
                self.session.text(text.as_str(), now)
            }
            Message::Binary(bytes) => {
                self.watch.spoke(now);
                self.session.binary(&bytes, now)
            }
            // The library answers pings and closes by itself.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {
                self.watch.heard(now);
                Vec::new()
            }
        }
    }

    /// Why the session ends when what the client sends cannot be read; an error where the
    /// connection has ended.
    fn unreadable(&self, error: Error) -> Result<Ending, Error> {
        match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                Ok(Ending::MessageSize(self.limits.message_bytes))
            }
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Err(error),
            Error::Capacity(_) | Error::Protocol(_) => Ok(Ending::Garbage),
            Error::Utf8(_) => Ok(Ending::NotText),
            error => Err(error),
        }
    }

    async fn end(&mut self, ending: Ending, is_broken: bool) -> Result<(), Error> {
        if let Some(farewell) = ending.farewell(self.is_v2) {
            self.send(farewell).await?;
        }
        upgrade::close(&mut self.socket, ending.close_code(), &ending.reason()).await;
        if is_broken {
            // A client that sends on until it is done is let, for as long as a close may take.
            let _ = timeout(upgrade::PATIENCE, upgrade::linger(self.socket.get_mut())).await;
        }
        Ok(())
    }

    async fn perform(&mut self, actions: Vec<Action>) -> Result<(), Error> {
        let session = self.number;
        let name = |job| JobName { session, job };
        for action in actions {
            match action {
                Action::Send(text) => self.send(text).await?,
                Action::Decode { job, kind, request } => {
                    let to_session = self.to_session.clone();
                    self.scheduler.submit(name(job), kind, request, to_session);
                }
                Action::Refresh { job, request } => self.scheduler.refresh(name(job), request),
                Action::Promote { job } => self.scheduler.promote(name(job)),
                Action::Abort { job } => self.scheduler.abort(name(job)),
            }
        }
        Ok(())
    }

    async fn send(&mut self, text: String) -> Result<(), Error> {
        self.put(Message::text(text)).await
    }

    /// Sends; a client that takes nothing for long has gone.
    async fn put(&mut self, message: Message) -> Result<(), Error> {
        timeout(GONE_AFTER, self.socket.send(message))
            .await
            .unwrap_or_else(|_| Err(gone()))
    }
}

fn gone() -> Error {
    Error::Io(std::io::ErrorKind::TimedOut.into())
}

async fn wait(next: Option<(Instant, Due)>) -> Due {
    match next {
        Some((at, due)) => {
            tokio::time::sleep_until(at.into()).await;
            due
        }
        None => std::future::pending().await,
    }
}
