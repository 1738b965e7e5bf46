//! From a stream to a WebSocket: the request, its answer, the close.
//!
//! Enters: a stream. Leaves: a WebSocket with the strategy and version that were asked for.

use std::io;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use wstream_wire::Strategy;
use wstream_wire::path::PathError;

use super::answer::Answer;
use super::request::{self, Asked, Upgrade};

/// How long a client may take for its request, and for its part of a close.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A close reason has room for 123 bytes (RFC 6455, 5.5).
const MOST_REASON_BYTES: usize = 123;

/// What a client asked for.
#[derive(Debug)]
pub(super) struct Accepted<S> {
    pub(super) socket: WebSocketStream<S>,
    pub(super) strategy: Result<Strategy, PathError>,
    pub(super) is_v2: bool,
}

/// Reads what the client asks for, and what it has sent behind it. `None`: it has gone.
pub(super) async fn read_request<S>(stream: &mut S) -> io::Result<Option<(Asked, Vec<u8>)>>
where
    S: AsyncRead + Unpin,
{
    let mut bytes = Vec::with_capacity(1024);
    // A request that comes in crumbs is not looked at for each of them, but when it has doubled
    // or may be whole.
    let mut look_at = 1;
    loop {
        let before = bytes.len();
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
        let new = &bytes[before.saturating_sub(2)..];
        let may_be_whole =
            new.windows(2).any(|it| it == b"\n\n") || new.windows(3).any(|it| it == b"\n\r\n");
        if may_be_whole || bytes.len() >= look_at.min(request::MOST_BYTES) {
            if let Some((length, asked)) = request::parse(&bytes) {
                return Ok(Some((asked, bytes.split_off(length))));
            }
            look_at = 2 * bytes.len();
        }
    }
}

/// Completes the upgrade, also where the path is wrong: version 1 tells that by a close. `early`
/// is what has been read behind the request.
pub(super) async fn complete<S>(
    mut stream: S,
    asked: Upgrade,
    early: Vec<u8>,
    message_bytes: usize,
) -> io::Result<Accepted<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(&asked.response).await?;
    stream.flush().await?;
    let config = Some(config(message_bytes));
    Ok(Accepted {
        socket: WebSocketStream::from_partially_read(stream, early, Role::Server, config).await,
        strategy: asked.strategy,
        is_v2: asked.is_v2,
    })
}

/// How WebSockets are read.
pub fn config(message_bytes: usize) -> WebSocketConfig {
    let mut config = WebSocketConfig::default();
    config.max_message_size = Some(message_bytes);
    config.max_frame_size = Some(message_bytes);
    // Frames of sound are a kilobyte or two; the default of 128 KiB per connection is for bulk.
    config.read_buffer_size = 16 * 1024;
    config
}

/// Answers whoever gets no WebSocket.
pub(super) async fn answer<S>(mut stream: S, answer: &Answer)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let answering = async {
        stream.write_all(&answer.bytes()).await?;
        linger(&mut stream).await
    };
    // Whoever does not take it goes without.
    let _ = timeout(PATIENCE, answering).await;
}

/// Says why, and waits for the client to close as well, so that it reads the reason.
pub(super) async fn close<S>(socket: &mut WebSocketStream<S>, code: CloseCode, reason: &str)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let frame = CloseFrame {
        code,
        reason: crate::text::first_bytes(reason, MOST_REASON_BYTES).into(),
    };
    let closing = async {
        socket.send(Message::Close(Some(frame))).await?;
        while let Some(message) = socket.next().await {
            message?;
        }
        Ok::<(), Error>(())
    };
    // A client that is gone or does not answer is closed all the same.
    let _ = timeout(PATIENCE, closing).await;
}

/// Ends the stream, and reads on until the client has ended it as well: a socket that is closed
/// over unread bytes takes back what was sent last.
pub(super) async fn linger<S>(stream: &mut S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.shutdown().await?;
    let mut unwanted = [0; 4096];
    while stream.read(&mut unwanted).await? > 0 {}
    Ok(())
}
