//! Who gets in: tokens, encryption, the question after health, sockets of systemd's.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::tungstenite::Error;
use wstream_wire::v2;

use crate::program::{Client, Engine, PATIENCE, model, run, speech, tcp, v2_over_tcp};
use crate::{from, raw};

const PATH: &str = "/ws/transcribe/prompt";
const TOKEN: &str = "correct-horse-battery-staple";

/// The client, or the status and the seconds to wait that it is told.
async fn with_token<S>(stream: S, token: Option<&str>) -> Result<Client<S>, (u16, Option<u64>)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let value = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("Sec-WebSocket-Protocol", v2::SUBPROTOCOL)];
    headers.extend(value.as_deref().map(|value| ("Authorization", value)));
    match Client::try_connect(stream, PATH, &headers).await {
        Ok(client) => Ok(client),
        Err(Error::Http(response)) => {
            let wait = response.headers().get("Retry-After");
            let wait = wait.map(|wait| wait.to_str().unwrap().parse().unwrap());
            Err((response.status().as_u16(), wait))
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn only_who_has_a_token_gets_in_and_guessing_is_slow() {
    let Some(model) = model() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tokens");
    std::fs::write(
        &file,
        format!("# of the office\n{TOKEN}\nanother-of-sixteen\n"),
    )
    .unwrap();
    run(async {
        let arguments = ["--token-file", file.to_str().unwrap()];
        let (mut engine, address) = Engine::listen(&model, &arguments);
        let status = async |own: &str, token| {
            let client = with_token(from(own, &address).await, token).await;
            client.err()
        };
        assert_eq!(status("127.0.0.1", None).await, Some((401, None)));
        // A version 1 client has no token to show.
        let stream = TcpStream::connect(&address).await.unwrap();
        let refused = Client::try_connect(stream, PATH, &[]).await.unwrap_err();
        assert!(matches!(refused, Error::Http(response) if response.status() == 401));
        for token in [TOKEN, "another-of-sixteen"] {
            assert_eq!(status("127.0.0.1", Some(token)).await, None);
        }
        for _ in 0..5 {
            let guess = Some("correct-horse-battery-stapler");
            assert_eq!(status("127.0.0.9", guess).await, Some((401, None)));
        }
        for token in ["correct-horse-battery-stapler", TOKEN] {
            let (code, wait) = status("127.0.0.9", Some(token)).await.unwrap();
            assert_eq!(code, 429);
            assert!(wait.is_some_and(|s| (1..=10).contains(&s)), "{wait:?}");
        }
        // Whoever sits elsewhere notices nothing.
        let mut client = with_token(from("127.0.0.1", &address).await, Some(TOKEN))
            .await
            .unwrap();
        assert_eq!(client.json().await["type"], "ready");
        let said = client.v2_utterance(1, &speech()).await;
        assert_eq!(said["type"], "final");
        let health = tcp_raw(&address, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(health.starts_with("HTTP/1.1 200 OK\r\n"), "{health}");
        let log = engine.log().join("\n");
        assert!(
            log.contains("a wrong token") && !log.contains("stapler"),
            "{log}"
        );
        drop(client);
        engine.terminate();
        assert_eq!(engine.exit_code().await, Some(0));
    });
}

async fn tcp_raw(address: &str, bytes: &[u8]) -> String {
    raw(&mut TcpStream::connect(address).await.unwrap(), bytes).await
}

#[test]
fn strangers_need_a_token_or_leave_by_whoever_runs_it() {
    let Some(model) = model() else { return };
    let refused = Engine::command()
        .args(["--listen", "0.0.0.0:0", "--model"])
        .arg(&model)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(
        told.contains("--token-file FILE") && told.contains("--insecure-no-auth"),
        "{told}"
    );
    let open = |arguments: &[&str]| {
        let mut command = Engine::command();
        command
            .args(["--listen", "0.0.0.0:0", "--model"])
            .arg(&model);
        let (engine, address) = Engine::start(command.args(arguments));
        (engine, address.replace("0.0.0.0", "127.0.0.1"))
    };
    run(async {
        let (_engine, address) = open(&["--insecure-no-auth"]);
        v2_over_tcp(&address).await;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tokens");
        std::fs::write(&file, TOKEN).unwrap();
        let (engine, address) = open(&["--token-file", file.to_str().unwrap()]);
        let client = with_token(TcpStream::connect(&address).await.unwrap(), Some(TOKEN)).await;
        assert!(client.is_ok());
        let log = engine.log().join("\n");
        assert!(log.contains("--cert and --key"), "{log}");
    });
}

#[test]
fn a_certificate_encrypts() {
    let Some(model) = model() else { return };
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    run(async {
        let (_engine, address) = Engine::listen(&model, &["--cert", cert, "--key", key]);
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let stream = TcpStream::connect(&address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = connector.connect(name, stream).await.unwrap();
        let mut client = with_token(stream, None).await.unwrap();
        assert_eq!(client.json().await["type"], "ready");
        let said = client.v2_utterance(1, &speech()).await;
        assert_eq!(
            (&said["type"], &said["utterance"]),
            (&json!("final"), &json!(1))
        );
        // Who speaks in the clear is not understood, and does not hang.
        let plain = tcp_raw(&address, b"GET /healthz HTTP/1.1\r\n\r\n").await;
        assert!(!plain.contains("HTTP/1.1"), "{plain}");
    });
    for (arguments, part) in [
        (vec!["--cert", key, "--key", key], "no certificate"),
        (vec!["--cert", cert, "--key", cert], "no private key"),
        (vec!["--cert", "/nowhere", "--key", key], "/nowhere"),
    ] {
        let output = Engine::command()
            .args(["--listen", "127.0.0.1:0", "--model", "tiny.en"])
            .args(&arguments)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(part), "{arguments:?}: {told}");
    }
}

#[test]
fn health_and_everything_that_is_no_session() {
    let Some(model) = model() else { return };
    run(async {
        let (_engine, address) = Engine::listen(&model, &["--max-sessions", "7"]);
        let mut client = v2_over_tcp(&address).await;
        let health = tcp_raw(&address, b"GET /healthz HTTP/1.0\r\n\r\n").await;
        let (head, body) = health.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            body,
            json!({"status": "ok", "version": env!("CARGO_PKG_VERSION"), "model": "tiny.en",
                "sessions": 1, "max_sessions": 7})
        );
        for (request, status) in [
            ("GET / HTTP/1.1\r\n\r\n", "404"),
            ("GET /ws/transcribe/prompt HTTP/1.1\r\n\r\n", "426"),
            ("DELETE /healthz HTTP/1.1\r\n\r\n", "405"),
            ("nonsense\r\n\r\n", "400"),
        ] {
            let answer = tcp_raw(&address, request.as_bytes()).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{request}: {answer}"
            );
        }
        assert_eq!(client.v2_utterance(1, &speech()).await["type"], "final");
    });
}

#[test]
fn sockets_of_systemd_are_taken_over() {
    let Some(model) = model() else { return };
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        // systemd gives the sockets from number 3 on, and says for which process they are.
        let activate = |socket: OwnedFd| {
            let mut command = Command::new("sh");
            command
                .args([
                    "-c",
                    r#"exec env LISTEN_PID=$$ LISTEN_FDS=1 "$0" "$@" 3<&0 </dev/null"#,
                ])
                .arg(Engine::command().get_program())
                .args(["--model"])
                .arg(&model)
                .stdin(Stdio::from(socket));
            command
        };
        let kept = listener.try_clone().unwrap();
        let (mut engine, said) = Engine::start(&mut activate(listener.into()));
        assert_eq!(said, address);
        let mut client = tcp(&address, PATH).await;
        assert_eq!(client.v1_utterance(&speech()).await["type"], "final");
        drop(client);
        engine.terminate();
        assert_eq!(engine.exit_code().await, Some(0));
        // The socket outlives the program: who comes meanwhile is served by the next.
        let waiting = TcpStream::connect(&address).await.unwrap();
        let (_engine, _) = Engine::start(&mut activate(kept.into()));
        let served = Client::try_connect(waiting, PATH, &[]);
        let mut served = tokio::time::timeout(PATIENCE, served)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(served.v1_utterance(&speech()).await["type"], "final");
        let (file, _) = std::os::unix::net::UnixStream::pair().unwrap();
        let output = activate(file.into()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("no TCP socket"), "{told}");
    });
}

#[test]
fn what_version_1_servers_were_told_is_understood() {
    let Some(model) = model() else { return };
    run(async {
        let mut command = Engine::command();
        command
            .args(["--listen", "localhost:0"])
            .env("WHISPER_MODEL", &model)
            .env("WHISPER_BACKEND", "faster-whisper")
            .env("PARTIAL_INTERVAL_MS", "200");
        let (engine, address) = Engine::start(&mut command);
        let mut client = tcp(&address, "/ws/transcribe/hybrid").await;
        assert_eq!(client.v1_utterance(&speech()).await["type"], "final");
        assert!(
            engine
                .log()
                .iter()
                .any(|line| line.contains("WHISPER_BACKEND"))
        );
    });
}

#[test]
fn the_log_can_be_json() {
    let Some(model) = model() else { return };
    run(async {
        let (mut engine, address) = Engine::listen(&model, &["--log-format", "json"]);
        let mut client = v2_over_tcp(&address).await;
        let said = client.v2_utterance(1, &speech()).await;
        drop(client);
        engine.terminate();
        assert_eq!(engine.exit_code().await, Some(0));
        let mut messages = Vec::new();
        for line in engine.log() {
            let line: Value = serde_json::from_str(&line).unwrap();
            assert!(
                line["timestamp"].is_string() && line["level"].is_string(),
                "{line}"
            );
            assert!(!line.to_string().contains(said["text"].as_str().unwrap()));
            messages.push(line["message"].as_str().unwrap_or_default().to_owned());
        }
        for message in ["model loaded", "listening", "connected"] {
            assert!(
                messages.iter().any(|it| it == message),
                "{message}: {messages:?}"
            );
        }
    });
}
