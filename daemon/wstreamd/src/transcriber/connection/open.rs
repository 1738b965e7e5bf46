//! Making a connection: to the engine's socket, or over the network with the upgrade that the
//! protocol asks for.

use tokio::net::{TcpStream, UnixStream};
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tracing::debug;
use wstream_wire::MAX_MESSAGE_BYTES;

use super::loss::classify;
use super::socket::{Io, READ_BUFFER_BYTES, Socket, Stream};
use super::tls;
use super::{Connecting, Connection, Loss};
use crate::fault::{Fault, FaultKind};
use crate::transcriber::Remote;
use crate::transcriber::credential::{Secret, TokenFrom};
use crate::transcriber::kept::Manner;
use crate::transcriber::outage::LossKind;
use crate::transcriber::protocol::{Asked, Credential, Entry, PROTOCOLS, Transport};

/// Whether subprotocols are offered. A server that chooses none of several has to be connected
/// again without an offer: the WebSocket library takes it for an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transcriber) enum Offer {
    /// All that there are.
    Subprotocols,
    /// None.
    Nothing,
}

/// Connects over the engine's socket.
pub(in crate::transcriber) fn over(stream: UnixStream, manner: Manner) -> Connecting {
    Box::pin(async move {
        let asked = Asked {
            manner,
            ..Asked::default()
        };
        let (entry, offer) = (&PROTOCOLS[0], Offer::Subprotocols);
        upgrade(Box::new(stream), "localhost", &asked, entry, offer, None).await
    })
}

/// Connects over the network, for an utterance that is to be transcribed like this.
pub(in crate::transcriber) fn to(remote: Remote, manner: Manner, offer: Offer) -> Connecting {
    Box::pin(async move {
        let (entry, address) = remote.place().map_err(bad_config)?;
        let secret = (remote.token.as_ref()).map(TokenFrom::read).transpose();
        let secret = secret.map_err(|problem| {
            bad_config(format!(
                "the remote {} cannot be used: {problem}",
                remote.name
            ))
        })?;
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await;
        let stream = stream.map_err(Loss::io)?;
        // Frames are small and wanted at once.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "small messages may be delayed");
        }
        let stream: Box<dyn Io> = if address.tls {
            tls::wrap(stream, &address, remote.ca_file.clone()).await?
        } else {
            Box::new(stream)
        };
        let asked = Asked {
            path: address.path,
            query: address.query,
            model: remote.model,
            server_vad: remote.server_vad,
            manner,
        };
        match entry.transport {
            Transport::WebSocket => {
                let secret = secret.and_then(|secret| header(entry, remote.token_header, &secret));
                let host = &address.authority;
                upgrade(stream, host, &asked, entry, offer, secret).await
            }
            Transport::Stream => {
                let socket = Socket::Stream(Stream::new(stream));
                connected(socket, None, &asked, entry)
            }
        }
    })
}

fn bad_config(problem: String) -> Loss {
    Loss::Fatal(Fault::new(FaultKind::BadConfig, problem))
}

/// The header that tells a server the secret; never to be seen in a log.
fn header(
    entry: &Entry,
    name: Option<String>,
    secret: &Secret,
) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = match name {
        Some(name) => (name.to_ascii_lowercase(), secret.reveal().to_owned()),
        None => {
            let Credential { header, scheme } = entry.credential?;
            (header.to_owned(), format!("{scheme}{}", secret.reveal()))
        }
    };
    let mut value = HeaderValue::from_str(&value).ok()?;
    value.set_sensitive(true);
    Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
}

async fn upgrade(
    stream: Box<dyn Io>,
    authority: &str,
    asked: &Asked,
    entry: &Entry,
    offer: Offer,
    secret: Option<(HeaderName, HeaderValue)>,
) -> Result<Box<Connection>, Loss> {
    let wanted = (entry.request)(asked);
    let url = format!("ws://{authority}{}", wanted.target);
    let mut request = url.into_client_request().map_err(classify)?;
    let headers = request.headers_mut();
    for (name, value) in wanted.headers {
        let value = HeaderValue::from_str(&value);
        headers.insert(name, value.map_err(|error| classify(error.into()))?);
    }
    if offer == Offer::Subprotocols && !wanted.subprotocols.is_empty() {
        let names = HeaderValue::from_str(&wanted.subprotocols.join(", "));
        headers.insert(SEC_WEBSOCKET_PROTOCOL, names.expect("they are tokens"));
    }
    if let Some((name, value)) = secret {
        headers.insert(name, value);
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
    connected(
        Socket::WebSocket(Box::new(socket)),
        subprotocol,
        asked,
        entry,
    )
}

fn connected(
    socket: Socket,
    subprotocol: Option<&str>,
    asked: &Asked,
    entry: &Entry,
) -> Result<Box<Connection>, Loss> {
    let Some(protocol) = (entry.new)(asked, subprotocol) else {
        let reason = "it speaks a protocol that was not asked for";
        return Err(Loss::lost(LossKind::Refused, reason));
    };
    debug!(
        protocol = entry.name,
        subprotocol, "connected to a transcription server"
    );
    Ok(Box::new(Connection::new(socket, protocol)))
}
