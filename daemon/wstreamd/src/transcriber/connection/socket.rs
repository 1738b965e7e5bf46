//! What carries a protocol's frames: a WebSocket, or a stream of bytes without any framing.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};

use super::Loss;
use super::loss::{classify, farewell};
use crate::transcriber::protocol::{Closed, Frame};

/// The read buffer. Messages of a server are small; the WebSocket library's default is eight times
/// as much for each connection.
pub(super) const READ_BUFFER_BYTES: usize = 16 * 1024;

/// What a socket reads from and writes to: a socket pair, TCP, TLS.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// See the module.
pub(super) enum Socket {
    /// Messages.
    WebSocket(Box<WebSocketStream<Box<dyn Io>>>),
    /// Bytes.
    Stream(Stream),
}

/// What has come.
pub(super) enum Incoming {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message, or some bytes.
    Binary(Bytes),
    /// The answer to a ping of ours.
    Pong,
    /// Nothing for the protocol, but a sign of life.
    Alive,
    /// Nothing more comes; the loss that it is unless the protocol ends like this.
    Closed(Closed, Loss),
}

impl Socket {
    /// The next thing that comes. Not to be called again behind [`Incoming::Closed`].
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        let socket = match self {
            Socket::WebSocket(socket) => socket,
            Socket::Stream(stream) => return stream.poll_next(cx),
        };
        Poll::Ready(match ready!(Pin::new(socket).poll_next(cx)) {
            Some(Ok(Message::Text(text))) => Incoming::Text(text),
            Some(Ok(Message::Binary(bytes))) => Incoming::Binary(bytes),
            Some(Ok(Message::Close(frame))) => {
                let (how, loss) = farewell(frame.as_ref());
                Incoming::Closed(how, loss)
            }
            Some(Ok(Message::Pong(_))) => Incoming::Pong,
            // Pings are the library's to answer.
            Some(Ok(_)) => Incoming::Alive,
            Some(Err(error)) => Incoming::Closed(Closed::Broken, classify(error)),
            None => Incoming::Closed(Closed::Broken, Loss::broken("the connection was closed")),
        })
    }

    /// Ready when everything that was sent has been handed to the system.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Loss>> {
        match self {
            Socket::WebSocket(socket) => Pin::new(socket).poll_ready(cx).map_err(classify),
            Socket::Stream(stream) => stream.poll_write(cx),
        }
    }

    /// Sends; only when ready.
    pub(super) fn start_send(&mut self, frame: Frame) -> Result<(), Loss> {
        match self {
            Socket::WebSocket(socket) => {
                let message = match frame {
                    Frame::Text(text) => Message::text(text),
                    Frame::Binary(bytes) => Message::binary(bytes),
                    Frame::Ping => Message::Ping(Bytes::new()),
                };
                Pin::new(socket).start_send(message).map_err(classify)
            }
            Socket::Stream(stream) => {
                match frame {
                    Frame::Text(text) => stream.unsent.extend(text.into_bytes()),
                    Frame::Binary(bytes) => stream.unsent.extend(bytes),
                    Frame::Ping => {}
                }
                Ok(())
            }
        }
    }

    /// Ready when nothing waits to be written.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Loss>> {
        match self {
            Socket::WebSocket(socket) => Pin::new(socket).poll_flush(cx).map_err(classify),
            Socket::Stream(stream) => {
                ready!(stream.poll_write(cx))?;
                Pin::new(&mut stream.io).poll_flush(cx).map_err(Loss::io)
            }
        }
    }

    /// Sends these last frames, and closes in an orderly way.
    pub(super) async fn close(mut self, frames: VecDeque<Frame>) -> Result<(), Loss> {
        for frame in frames {
            std::future::poll_fn(|cx| self.poll_ready(cx)).await?;
            self.start_send(frame)?;
        }
        std::future::poll_fn(|cx| self.poll_flush(cx)).await?;
        match self {
            Socket::WebSocket(mut socket) => socket.close(None).await.map_err(classify),
            Socket::Stream(mut stream) => {
                std::future::poll_fn(|cx| Pin::new(&mut stream.io).poll_shutdown(cx))
                    .await
                    .map_err(Loss::io)
            }
        }
    }
}

/// Bytes in and out.
pub(super) struct Stream {
    io: Box<dyn Io>,
    /// At most what one step of a protocol puts out.
    unsent: VecDeque<u8>,
    buffer: Box<[u8]>,
}

impl Stream {
    /// Over this.
    pub(super) fn new(io: Box<dyn Io>) -> Self {
        Stream {
            io,
            unsent: VecDeque::new(),
            buffer: vec![0; READ_BUFFER_BYTES].into(),
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        let mut buffer = ReadBuf::new(&mut self.buffer);
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer));
        Poll::Ready(match read {
            Ok(()) if buffer.filled().is_empty() => {
                let loss = Loss::broken("it closed the connection");
                Incoming::Closed(Closed::Orderly, loss)
            }
            Ok(()) => Incoming::Binary(Bytes::copy_from_slice(buffer.filled())),
            Err(error) => Incoming::Closed(Closed::Broken, Loss::io(error)),
        })
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Loss>> {
        while !self.unsent.is_empty() {
            let (front, _) = self.unsent.as_slices();
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, front));
            match written.map_err(Loss::io)? {
                0 => return Poll::Ready(Err(Loss::broken("the connection was closed"))),
                written => drop(self.unsent.drain(..written)),
            }
        }
        Poll::Ready(Ok(()))
    }
}
