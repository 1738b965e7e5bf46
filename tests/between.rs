//! What stands between the daemon and a real server, and misbehaves when it is told to: real
//! sockets, one fault at a time.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::net::sockopt::set_socket_linger;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::{Desktop, program};

/// What is wrong. Each counts for the connections that there are and for new ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Nobody listens; connections are closed.
    Refused,
    /// Connections are reset.
    Reset,
    /// Connections stay, and nothing goes through them any more, not even an end.
    HalfOpen,
    /// Everything goes through, at little more than the pace of speech.
    Slow,
    /// The upgrade is answered with this; connections are closed.
    Answer(&'static str),
    /// The server says what nobody understands.
    Garbage,
    /// The server shows a certificate that nobody knows.
    Certificate,
    /// The connection breaks off in the middle of the handshake.
    CutShort,
}

/// See the module. Ends when it is dropped.
#[derive(Debug)]
pub struct Between {
    /// Where it listens.
    pub port: u16,
    fault: watch::Sender<Fault>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Between {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Certificates for `localhost`: one that clients are told of, and one that nobody knows.
#[derive(Clone)]
pub struct Certificates {
    known: TlsAcceptor,
    unknown: TlsAcceptor,
    /// The known one, in PEM form.
    pub pem: String,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates")
            .field("pem", &self.pem)
            .finish_non_exhaustive()
    }
}

impl Certificates {
    /// Fresh ones.
    pub fn new() -> Result<Self> {
        let (known, pem) = certificate()?;
        let (unknown, _) = certificate()?;
        Ok(Certificates {
            known,
            unknown,
            pem,
        })
    }
}

fn certificate() -> Result<(TlsAcceptor, String)> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())
        .map_err(|problem| anyhow::anyhow!("the key: {problem}"))?;
    let config = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    Ok((TlsAcceptor::from(Arc::new(config)), made.cert.pem()))
}

/// What a connection goes through.
#[derive(Clone, Debug)]
struct Way {
    to: u16,
    tls: Option<Certificates>,
    /// The header that every upgrade must have.
    wanted: Option<String>,
    fault: watch::Receiver<Fault>,
}

impl Between {
    /// In front of the server on the port `to`. With certificates it speaks TLS; with `wanted`, an
    /// upgrade without this header is answered with 401.
    pub async fn start(to: u16, tls: Option<Certificates>, wanted: Option<String>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let (fault, struck) = watch::channel(Fault::None);
        let way = Way {
            to,
            tls,
            wanted,
            fault: struck,
        };
        let task = tokio::spawn(listen(listener, port, way));
        Ok(Between { port, fault, task })
    }

    /// From now on, this is wrong.
    pub fn strike(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

async fn listen(listener: TcpListener, port: u16, mut way: Way) {
    let mut listener = Some(listener);
    loop {
        let is_refused = *way.fault.borrow_and_update() == Fault::Refused;
        match (&listener, is_refused) {
            (Some(_), true) => listener = None,
            (None, false) => listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.ok(),
            _ => {}
        }
        let accept = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = way.fault.changed() => if changed.is_err() { return },
            accepted = accept => if let Ok((stream, _)) = accepted {
                tokio::spawn(serve(stream, way.clone()));
            }
        }
    }
}

async fn serve(mut stream: TcpStream, mut way: Way) -> Result<()> {
    let fault = way.fault.borrow_and_update().clone();
    match fault {
        Fault::Reset | Fault::Refused => {
            set_socket_linger(&stream, Some(Duration::ZERO))?;
            return Ok(());
        }
        Fault::HalfOpen => {
            way.fault.changed().await?;
            return Ok(());
        }
        Fault::CutShort => {
            let mut head = [0; 64];
            let _ = stream.read(&mut head).await?;
            return Ok(());
        }
        _ => {}
    }
    match &way.tls {
        Some(tls) => {
            let acceptor = if fault == Fault::Certificate {
                &tls.unknown
            } else {
                &tls.known
            };
            let stream = acceptor.accept(stream).await?;
            upgrade(stream, fault, way).await
        }
        None => upgrade(stream, fault, way).await,
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// Reads the head of the upgrade, and answers it or lets it through.
async fn upgrade(mut stream: impl Stream, fault: Fault, way: Way) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16 * 1024 {
        head.push(stream.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let wanted = way.wanted.clone().unwrap_or_default();
    let refusal = match fault {
        Fault::Answer(answer) => Some(answer),
        _ if !text.contains(&wanted) => Some("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0"),
        _ => None,
    };
    if let Some(refusal) = refusal {
        stream
            .write_all(format!("{refusal}\r\n\r\n").as_bytes())
            .await?;
        return Ok(stream.shutdown().await?);
    }
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, way.to)).await?;
    server.write_all(&head).await?;
    pass_on(stream, server, fault, way).await
}

/// Carries bytes both ways until something happens.
async fn pass_on(
    mut client: impl Stream,
    mut server: TcpStream,
    mut fault: Fault,
    mut way: Way,
) -> Result<()> {
    let (mut up, mut down) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    let mut is_upgraded = false;
    loop {
        // 1 KiB in 20 ms: speech has 32 KiB a second.
        let most = if fault == Fault::Slow { 1024 } else { up.len() };
        let pause = Duration::from_millis(if fault == Fault::Slow { 20 } else { 0 });
        tokio::select! {
            changed = way.fault.changed() => {
                changed?;
                fault = way.fault.borrow_and_update().clone();
                match fault {
                    Fault::None | Fault::Slow | Fault::Garbage => {}
                    Fault::HalfOpen => {
                        way.fault.changed().await?;
                        return Ok(());
                    }
                    Fault::Reset => {
                        set_socket_linger(&server, Some(Duration::ZERO))?;
                        return Ok(());
                    }
                    _ => return Ok(()),
                }
            }
            read = client.read(&mut up[..most]) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                tokio::time::sleep(pause).await;
                server.write_all(&up[..read]).await?;
            }
            read = server.read(&mut down[..most]) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                tokio::time::sleep(pause).await;
                client.write_all(&down[..read]).await?;
                is_upgraded = true;
            }
        }
        if fault == Fault::Garbage && is_upgraded {
            // A text message of WebSocket's with five letters in it.
            client.write_all(b"\x81\x05hello").await?;
            client.flush().await?;
            way.fault.changed().await?;
            return Ok(());
        }
    }
}

/// A real engine that serves a port, with `tiny.en`.
#[derive(Debug)]
pub struct Engine {
    /// Where it listens.
    pub port: u16,
    options: Vec<OsString>,
    child: Child,
}

/// A port that was free a moment ago.
pub fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

impl Engine {
    /// On a port that was free a moment ago; the engine says so if it is taken meanwhile.
    pub async fn start(desktop: &Desktop) -> Result<Self> {
        Engine::start_with(desktop, Vec::new()).await
    }

    /// The same, with more options.
    pub async fn start_with(desktop: &Desktop, options: Vec<OsString>) -> Result<Self> {
        Engine::start_on(desktop, free_port()?, options).await
    }

    async fn start_on(desktop: &Desktop, port: u16, options: Vec<OsString>) -> Result<Self> {
        let child = desktop
            .command(program("wstream-engine"))
            .args([
                "--listen",
                &format!("127.0.0.1:{port}"),
                "--model",
                "tiny.en",
            ])
            .args(&options)
            .stdin(std::process::Stdio::null())
            .spawn()
            .context("wstream-engine is not built")?;
        // It listens before its model is loaded.
        for _ in 0..600 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                .await
                .is_ok()
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Engine {
            port,
            options,
            child,
        })
    }

    /// Its process number, while it runs.
    pub fn pid(&self) -> Option<i32> {
        i32::try_from(self.child.id()?).ok()
    }

    /// Kills it, and starts another in its place.
    pub async fn restart(&mut self, desktop: &Desktop) -> Result<()> {
        self.child.kill().await?;
        let options = std::mem::take(&mut self.options);
        *self = Engine::start_on(desktop, self.port, options).await?;
        Ok(())
    }
}
