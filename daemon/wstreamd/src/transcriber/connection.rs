//! One WebSocket connection to a transcription server, over the engine's socket pair or over TCP.
//!
//! Enters: where to connect, then steps, taken only when the socket has room for them. Leaves: the
//! server's answers, or how the connection was lost. Nothing here waits for a write.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError, SubProtocolError};
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use tracing::debug;
use wstream_wire::{MAX_MESSAGE_BYTES, Strategy, path};

use super::Remote;
use super::outage::LossKind;
use super::protocol::{Answer, Frame, Output, PROTOCOLS, Protocol, chosen};
use crate::fault::{Fault, FaultKind};

/// How long a farewell may take; a server that stands still gets none.
const CLOSE_GRACE: Duration = Duration::from_millis(500);

/// The socket's read buffer. Messages of a server are small; the default is eight times as much
/// for each connection.
const READ_BUFFER_BYTES: usize = 16 * 1024;

/// Why there is no connection any more, or none at all.
#[derive(Debug)]
pub(super) enum Loss {
    /// To be tried again.
    Lost(LossKind, String),
    /// Trying again is of no use before something is changed.
    Fatal(Fault),
    /// The server chooses none of the subprotocols; it is to be connected without an offer.
    Unchosen,
}

impl Loss {
    fn broken(reason: impl Into<String>) -> Self {
        Loss::Lost(LossKind::Broken, reason.into())
    }
}

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

trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// An open connection.
pub(super) struct Connection {
    socket: WebSocketStream<Box<dyn Transport>>,
    protocol: Box<dyn Protocol>,
    out: Output,
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

/// Connects over the engine's socket.
pub(super) fn over(stream: tokio::net::UnixStream, strategy: Strategy) -> Connecting {
    Box::pin(async move {
        let url = format!("ws://localhost{}", path::of(strategy));
        upgrade(Box::new(stream), url, strategy, Offer::Subprotocols).await
    })
}

/// Connects over the network.
pub(super) fn to(remote: &Remote, strategy: Strategy, offer: Offer) -> Connecting {
    let address = Address::parse(remote, strategy);
    Box::pin(async move {
        let address = address.map_err(Loss::Fatal)?;
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await;
        let stream = stream.map_err(|error| classify(Error::Io(error)))?;
        // Frames are small and wanted at once.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "small messages may be delayed");
        }
        upgrade(Box::new(stream), address.url, strategy, offer).await
    })
}

/// Whether subprotocols are offered. A server that chooses none of several has to be connected
/// again without an offer: the WebSocket library takes it for an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// All that there are.
    Subprotocols,
    /// None.
    Nothing,
}

#[derive(Debug, PartialEq)]
struct Address {
    host: String,
    port: u16,
    url: String,
}

impl Address {
    fn parse(remote: &Remote, strategy: Strategy) -> Result<Self, Fault> {
        let Remote { name, url } = remote;
        let bad = |what: &str| {
            let message = format!("the url of remote {name} {what}; use ws://HOST:PORT");
            Fault::new(FaultKind::BadConfig, message)
        };
        let uri: Uri = url.parse().map_err(|_| bad("cannot be read"))?;
        match uri.scheme_str() {
            Some("ws") => {}
            Some("wss") => return Err(bad("asks for wss://, which is not supported yet")),
            _ => return Err(bad("does not begin with ws://")),
        }
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| bad("names no host"))?;
        let authority = uri.authority().map(|it| it.as_str()).unwrap_or_default();
        // The strategy's place is behind whatever path a proxy needs.
        let front = uri.path().split(path::PREFIX).next().unwrap_or_default();
        let front = front.trim_end_matches('/');
        Ok(Address {
            // An IPv6 address stands in brackets in a URL only.
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(80),
            url: format!("ws://{authority}{front}{}", path::of(strategy)),
        })
    }
}

async fn upgrade(
    stream: Box<dyn Transport>,
    url: String,
    strategy: Strategy,
    offer: Offer,
) -> Result<Box<Connection>, Loss> {
    let mut request = url.into_client_request().map_err(classify)?;
    if offer == Offer::Subprotocols {
        let names: Vec<&str> = (PROTOCOLS.iter())
            .filter_map(|entry| entry.subprotocol)
            .collect();
        let names = HeaderValue::from_str(&names.join(", ")).expect("subprotocols are tokens");
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, names);
    }
    // Every message is written at once: what cannot be written stays in our own store.
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES));
    let upgraded = client_async_with_config(request, stream, Some(config)).await;
    let (socket, response) = upgraded.map_err(classify)?;
    let subprotocol = response.headers().get(SEC_WEBSOCKET_PROTOCOL);
    let subprotocol = subprotocol.and_then(|name| name.to_str().ok());
    let Some(entry) = chosen(subprotocol) else {
        let reason = "it speaks a protocol that was not asked for".to_owned();
        return Err(Loss::Lost(LossKind::Refused, reason));
    };
    debug!(protocol = entry.name, "connected to a transcription server");
    let mut protocol = (entry.new)(strategy);
    let mut out = Output::default();
    protocol.opened(&mut out);
    Ok(Box::new(Connection {
        socket,
        protocol,
        out,
    }))
}

impl Connection {
    /// Whether an utterance of this strategy can be told on this connection.
    pub(super) fn serves(&self, strategy: Strategy) -> bool {
        self.protocol.serves(strategy)
    }

    /// Asks for a sign of life.
    pub(super) fn ping(&mut self) {
        self.protocol.ping(&mut self.out);
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
        if let Poll::Ready(received) = Pin::new(&mut self.socket).poll_next(cx) {
            return Poll::Ready(match self.received(received) {
                Ok(()) => Happened::Heard,
                Err(loss) => Happened::Lost(loss),
            });
        }
        match ready!(self.poll_tell(cx, &mut tell)) {
            Ok(()) => Poll::Ready(Happened::Answered),
            Err(error) => Poll::Ready(Happened::Lost(classify(error))),
        }
    }

    /// Ready only with answers or an error.
    fn poll_tell(
        &mut self,
        cx: &mut Context<'_>,
        tell: &mut impl FnMut(&mut dyn Protocol, &mut Output) -> bool,
    ) -> Poll<Result<(), Error>> {
        loop {
            ready!(Pin::new(&mut self.socket).poll_ready(cx))?;
            if let Some(frame) = self.out.frames.pop_front() {
                Pin::new(&mut self.socket).start_send(message(frame))?;
            } else if !self.out.answers.is_empty() {
                return Poll::Ready(Ok(()));
            } else if !tell(&mut *self.protocol, &mut self.out) {
                ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
                return Poll::Pending;
            }
        }
    }

    fn received(&mut self, received: Option<Result<Message, Error>>) -> Result<(), Loss> {
        let text = match &received {
            Some(Ok(Message::Text(text))) => text.as_str(),
            Some(Ok(Message::Close(frame))) => return Err(closed(frame.as_ref())),
            // No protocol has binary answers; pings and pongs are the library's.
            Some(Ok(_)) => return Ok(()),
            Some(Err(_)) | None => {
                return Err(match received {
                    Some(Err(error)) => classify(error),
                    _ => Loss::broken("the connection was closed"),
                });
            }
        };
        let taken = self.protocol.receive(text, &mut self.out);
        taken.map_err(|error| Loss::broken(format!("it sent what cannot be understood: {error}")))
    }

    /// Takes leave of the server and closes.
    pub(super) async fn close(mut self) {
        let farewell = self.socket.close(None);
        if let Ok(Err(error)) = tokio::time::timeout(CLOSE_GRACE, farewell).await {
            debug!(%error, "the server did not hear the farewell");
        }
    }
}

fn message(frame: Frame) -> Message {
    match frame {
        Frame::Text(text) => Message::text(text),
        Frame::Binary(bytes) => Message::binary(bytes),
        Frame::Ping => Message::Ping(Bytes::new()),
    }
}

fn closed(frame: Option<&CloseFrame>) -> Loss {
    match frame {
        Some(frame) if frame.code == CloseCode::Policy => Loss::Lost(
            LossKind::Refused,
            format!("it says {:?}", frame.reason.as_str()),
        ),
        Some(frame) => Loss::broken(format!("it closed with code {}", u16::from(frame.code))),
        None => Loss::broken("it closed the connection"),
    }
}

fn classify(error: Error) -> Loss {
    let refused = |reason: String| Loss::Lost(LossKind::Refused, reason);
    match error {
        Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(
            SubProtocolError::NoSubProtocol,
        )) => Loss::Unchosen,
        Error::Http(response) => {
            let status = response.status();
            // 408 and 429 ask to come again later.
            if status.is_server_error() || matches!(status.as_u16(), 408 | 429) {
                Loss::broken(format!("it answers with HTTP {status}"))
            } else {
                refused(format!("it answers with HTTP {status}"))
            }
        }
        Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            refused("nothing listens at its address".to_owned())
        }
        Error::Io(error) => Loss::broken(error.to_string()),
        Error::Protocol(
            error @ (ProtocolError::ResetWithoutClosingHandshake
            | ProtocolError::HandshakeIncomplete),
        ) => Loss::broken(error.to_string()),
        Error::Protocol(error) => refused(format!("it does not keep to WebSocket: {error}")),
        error => Loss::broken(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strategy_is_put_behind_whatever_path_there_is() {
        for (url, host, port, full) in [
            ("ws://h:8765", "h", 8765, "ws://h:8765/ws/transcribe/hybrid"),
            ("ws://h", "h", 80, "ws://h/ws/transcribe/hybrid"),
            ("ws://h:1/", "h", 1, "ws://h:1/ws/transcribe/hybrid"),
            ("ws://h:1/a/b/", "h", 1, "ws://h:1/a/b/ws/transcribe/hybrid"),
            (
                "ws://h:1/ws/transcribe/prompt",
                "h",
                1,
                "ws://h:1/ws/transcribe/hybrid",
            ),
            (
                "ws://[::1]:9",
                "::1",
                9,
                "ws://[::1]:9/ws/transcribe/hybrid",
            ),
        ] {
            let remote = Remote {
                name: "r".to_owned(),
                url: url.to_owned(),
            };
            let expected = Address {
                host: host.to_owned(),
                port,
                url: full.to_owned(),
            };
            assert_eq!(Address::parse(&remote, Strategy::Hybrid), Ok(expected));
        }
    }
}
