//! From a stream to a WebSocket: path, subprotocol, refusals.
//!
//! Enters: a stream. Leaves: a WebSocket with the strategy and version that were asked for.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};
use wstream_wire::path::PathError;
use wstream_wire::{MAX_MESSAGE_BYTES, Strategy, path, v2};

/// How long a client may take for its request, and for its part of a close.
const PATIENCE: Duration = Duration::from_secs(10);

/// A close reason has room for 123 bytes (RFC 6455, 5.5).
const MOST_REASON_BYTES: usize = 123;

/// What a client asked for.
#[derive(Debug)]
pub(super) struct Accepted<S> {
    pub(super) socket: WebSocketStream<S>,
    pub(super) strategy: Result<Strategy, PathError>,
    pub(super) is_v2: bool,
}

/// Answers the upgrade, also where the path is wrong: version 1 tells that by a close.
pub(super) async fn accept<S>(stream: S) -> Result<Accepted<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut config = WebSocketConfig::default();
    config.max_message_size = Some(MAX_MESSAGE_BYTES);
    config.max_frame_size = Some(MAX_MESSAGE_BYTES);
    // Frames of sound are a kilobyte or two; the default of 128 KiB per connection is for bulk.
    config.read_buffer_size = 16 * 1024;

    let mut strategy = Err(PathError::Invalid);
    let mut is_v2 = false;
    #[expect(clippy::result_large_err, reason = "the type is tungstenite's")]
    let look = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        strategy = path::parse(request.uri().path());
        is_v2 = request
            .headers()
            .get_all(SEC_WEBSOCKET_PROTOCOL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|protocol| protocol.trim() == v2::SUBPROTOCOL);
        if is_v2 {
            response.headers_mut().insert(
                SEC_WEBSOCKET_PROTOCOL,
                HeaderValue::from_static(v2::SUBPROTOCOL),
            );
        }
        Ok(response)
    };
    let handshake = accept_hdr_async_with_config(stream, look, Some(config));
    let socket = timeout(PATIENCE, handshake)
        .await
        .map_err(|elapsed| Error::Io(elapsed.into()))??;
    Ok(Accepted {
        socket,
        strategy,
        is_v2,
    })
}

/// Closes a connection that is one too many.
pub(super) async fn turn_away<S>(mut accepted: Accepted<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    close(
        &mut accepted.socket,
        CloseCode::Again,
        "too many connections",
    )
    .await;
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
