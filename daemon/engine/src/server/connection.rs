//! One client from upgrade to close.
//!
//! Enters: a WebSocket. Leaves: its session's answers. One task per connection, which never waits
//! for a decode: pings are answered while decodes run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use wstream_wire::v2::{self, ServerMessage, codes};
use wstream_wire::{path, v1};

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
    let mut connection = Connection {
        socket: accepted.socket,
        session,
        scheduler: served.scheduler.clone(),
        number: session_number,
        to_session,
    };
    tracing::info!(session = session_number, v2 = accepted.is_v2, %strategy, "connected");
    let ready = accepted.is_v2.then(|| ready(&served.model));
    if let Err(error) = connection.run(ready, early, from_scheduler, stop).await {
        tracing::debug!(session = session_number, %error, "connection lost");
    }
    served.scheduler.leave(session_number);
    tracing::info!(session = session_number, "disconnected");
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
    session: Box<dyn Session>,
    scheduler: Scheduler,
    number: u64,
    to_session: ToSession,
}

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    async fn run(
        &mut self,
        ready: Option<String>,
        early: Vec<Message>,
        mut from_scheduler: mpsc::Receiver<crate::scheduler::Outcome>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), Error> {
        if let Some(ready) = ready {
            self.socket.send(Message::text(ready)).await?;
        }
        for message in early {
            let actions = self.message(message);
            self.perform(actions).await?;
        }
        let mut stopping = *stop.borrow();
        loop {
            if stopping && !self.session.owes_finals() {
                if let Some(farewell) = self.session.farewell() {
                    self.socket.send(Message::text(farewell)).await?;
                }
                upgrade::close(&mut self.socket, CloseCode::Away, "the server is ending").await;
                return Ok(());
            }
            let actions = tokio::select! {
                Some(outcome) = from_scheduler.recv() => {
                    self.session.outcome(outcome, Instant::now())
                }
                message = self.socket.next(), if !self.session.is_full() && !stopping => {
                    match message {
                        Some(Ok(message)) => self.message(message),
                        Some(Err(error)) => return Err(error),
                        None => return Ok(()),
                    }
                }
                _ = stop.changed(), if !stopping => {
                    stopping = true;
                    continue;
                }
            };
            self.perform(actions).await?;
        }
    }

    fn message(&mut self, message: Message) -> Vec<Action> {
        let now = Instant::now();
        match message {
            Message::Text(text) => self.session.text(text.as_str(), now),
            Message::Binary(bytes) => self.session.binary(&bytes, now),
            // The library answers pings and closes by itself.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {
                Vec::new()
            }
        }
    }

    async fn perform(&mut self, actions: Vec<Action>) -> Result<(), Error> {
        let name = |job| JobName {
            session: self.number,
            job,
        };
        for action in actions {
            match action {
                Action::Send(text) => self.socket.send(Message::text(text)).await?,
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
}
