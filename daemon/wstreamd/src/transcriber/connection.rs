//! One connection to a transcription server, over the engine's socket pair or over the network.
//!
//! Enters: where to connect, then steps, taken only when the socket has room for them. Leaves: the
//! server's answers, or how the connection was lost. Nothing here waits for a write.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tracing::debug;

use self::socket::{Incoming, Socket};
use super::kept::Manner;
use super::outage::LossKind;
use super::protocol::{Answer, Closed, Output, Protocol, Received};

mod address;
mod loss;
mod open;
mod socket;
mod tls;

pub(super) use self::address::Address;
pub(super) use self::loss::Loss;
pub(super) use self::open::{Offer, over, to};

/// How long a farewell may take; a server that stands still gets none.
const CLOSE_GRACE: Duration = Duration::from_millis(500);

/// What has happened on a connection.
#[derive(Debug)]
pub(super) enum Happened {
    /// The server gave a sign of life, perhaps answers: see [`Connection::take_answer`].
    Heard,
    /// What was told has made answers, without the server.
    Answered,
    /// The connection is over.
    Lost(Loss),
}

/// An open connection.
pub(super) struct Connection {
    socket: Socket,
    protocol: Box<dyn Protocol>,
    out: Output,
    /// The connection is over once its last answers have been taken.
    ended: Option<Loss>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (f.debug_struct("Connection")
            .field("protocol", &self.protocol))
        .finish_non_exhaustive()
    }
}

/// A connection in the making.
pub(super) type Connecting = BoxFuture<'static, Result<Box<Connection>, Loss>>;

impl Connection {
    fn new(socket: Socket, mut protocol: Box<dyn Protocol>) -> Self {
        let mut out = Output::new(Instant::now());
        protocol.opened(&mut out);
        Connection {
            socket,
            protocol,
            out,
            ended: None,
        }
    }

    /// Whether an utterance to be transcribed like this can begin on this connection now.
    pub(super) fn serves(&self, manner: &Manner) -> bool {
        self.protocol.serves(manner)
    }

    /// Whether no utterance can begin any more.
    pub(super) fn is_spent(&self) -> bool {
        self.protocol.is_spent()
    }

    /// Asks for a sign of life; false: there is no way to ask.
    pub(super) fn ping(&mut self) -> bool {
        self.out.now = Instant::now();
        self.protocol.ping(&mut self.out)
    }

    /// When [`Connection::overdue`] is to be called.
    pub(super) fn due(&self) -> Option<Instant> {
        self.protocol.due()
    }

    /// The protocol's time has come.
    pub(super) fn overdue(&mut self, now: Instant) {
        self.out.now = now;
        self.protocol.overdue(&mut self.out);
    }

    /// The next answer.
    pub(super) fn take_answer(&mut self) -> Option<Answer> {
        self.out.answers.pop_front()
    }

    /// Moves the connection on: listens, and as long as the socket takes more, has `tell` tell the
    /// protocol what is next; it returns whether there was anything.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut tell: impl FnMut(&mut dyn Protocol, &mut Output) -> bool,
    ) -> Poll<Happened> {
        if !self.out.answers.is_empty() {
            return Poll::Ready(Happened::Answered);
        }
        if let Some(loss) = self.ended.take() {
            return Poll::Ready(Happened::Lost(loss));
        }
        self.out.now = Instant::now();
        if let Poll::Ready(incoming) = self.socket.poll_next(cx) {
            return Poll::Ready(match self.received(incoming) {
                Ok(()) => Happened::Heard,
                Err(loss) => Happened::Lost(loss),
            });
        }
        match ready!(self.poll_tell(cx, &mut tell)) {
            Ok(()) => Poll::Ready(Happened::Answered),
            Err(loss) => Poll::Ready(Happened::Lost(loss)),
        }
    }

    /// Ready only with answers or an error.
    fn poll_tell(
        &mut self,
        cx: &mut Context<'_>,
        tell: &mut impl FnMut(&mut dyn Protocol, &mut Output) -> bool,
    ) -> Poll<Result<(), Loss>> {
        loop {
            ready!(self.socket.poll_ready(cx))?;
            if let Some(frame) = self.out.frames.pop_front() {
                self.socket.start_send(frame)?;
            } else if !self.out.answers.is_empty() {
                return Poll::Ready(Ok(()));
            } else if !tell(&mut *self.protocol, &mut self.out) {
                ready!(self.socket.poll_flush(cx))?;
                return Poll::Pending;
            }
        }
    }

    fn received(&mut self, incoming: Incoming) -> Result<(), Loss> {
        let received = match &incoming {
            Incoming::Text(text) => Received::Text(text),
            Incoming::Binary(bytes) => Received::Binary(bytes),
            Incoming::Pong => Received::Pong,
            Incoming::Alive => return Ok(()),
            Incoming::Closed(..) => {
                let Incoming::Closed(how, loss) = incoming else {
                    return Ok(());
                };
                return self.closed(how, loss);
            }
        };
        let taken = self.protocol.receive(received, &mut self.out);
        taken.map_err(|error| {
            let reason = format!("it sent what cannot be understood: {error}");
            Loss::lost(LossKind::Garbled, reason)
        })
    }

    /// The protocol's last answers are taken before the connection counts as over.
    fn closed(&mut self, how: Closed, loss: Loss) -> Result<(), Loss> {
        let is_done = self.protocol.closed(how, &mut self.out);
        let loss = if is_done { Loss::Over } else { loss };
        if self.out.answers.is_empty() {
            return Err(loss);
        }
        self.ended = Some(loss);
        Ok(())
    }

    /// Takes leave of the server and closes.
    pub(super) async fn close(mut self) {
        self.out.now = Instant::now();
        self.protocol.farewell(&mut self.out);
        let frames = std::mem::take(&mut self.out.frames);
        let farewell = self.socket.close(frames);
        if let Ok(Err(loss)) = tokio::time::timeout(CLOSE_GRACE, farewell).await {
            debug!(?loss, "the server did not hear the farewell");
        }
    }
}
