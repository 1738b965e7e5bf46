//! Version 1: clients and servers from before keep working with ours, unchanged.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::Message;
use wstream_tests::between::Engine;
use wstream_tests::{Desktop, Follower, models_with, python_with, said, sound};
use wstream_wire::{FRAME_SAMPLES, Strategy, v1};

const SENTENCES: [&str; 3] = [
    "Today we will walk to the river and have lunch there.",
    "Please open the window and close the door.",
    "Nobody knows how deep the water is.",
];

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    SENTENCES
        .iter()
        .enumerate()
        .map(|(i, text)| sound::speak(dir, &format!("sentence-{i}"), text))
        .collect()
}

/// 16-bit samples of a WAV file that sox wrote: a header of 44 bytes, then samples.
fn samples(path: &Path) -> Result<Vec<i16>> {
    let bytes = std::fs::read(path)?;
    let (samples, _) = bytes.get(44..).context("a header")?.as_chunks::<2>();
    Ok(samples.iter().map(|&b| i16::from_le_bytes(b)).collect())
}

/// Our own version 1 client: the daemon's encoder of messages, one utterance per file.
async fn our_client(url: &str, strategy: Strategy, files: &[PathBuf]) -> Result<Vec<String>> {
    let path = wstream_wire::path::of(strategy);
    let (mut socket, response) = tokio_tungstenite::connect_async(format!("{url}{path}")).await?;
    ensure!(response.headers().get("sec-websocket-protocol").is_none());
    let mut finals = Vec::new();
    for file in files {
        for frame in samples(file)?.chunks(FRAME_SAMPLES) {
            socket.send(Message::text(v1::encode_frame(frame))).await?;
        }
        socket.send(Message::text(v1::encode_vad_end())).await?;
        loop {
            let message = socket.next().await.context("closed")??;
            let Message::Text(text) = message else {
                continue;
            };
            if let v1::ServerMessage::Final { text, .. } = v1::decode_server(&text)? {
                finals.push(text);
                break;
            }
        }
    }
    Ok(finals)
}

#[tokio::test]
async fn a_python_client_and_ours_get_the_same_finals() -> Result<()> {
    let (Some(models), Some(python)) = (models_with("tiny.en"), python_with("websockets")) else {
        return Ok(());
    };
    let desktop = Desktop::new(&models).await?;
    let server = Engine::start(&desktop).await?;
    let url = format!("ws://127.0.0.1:{}", server.port);
    let files = files(desktop.path())?;
    for strategy in Strategy::ALL {
        let ours = our_client(&url, strategy, &files).await?;
        let output = desktop
            .command(&python)
            .arg(wstream_tests::root().join("tests/v1_client.py"))
            .args([&url, strategy.as_str()])
            .args(&files)
            .output()
            .await?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let theirs: Vec<String> = String::from_utf8(output.stdout)?
            .lines()
            .map(|line| {
                let value: serde_json::Value = serde_json::from_str(line)?;
                Ok(value["text"].as_str().context("text")?.to_owned())
            })
            .collect::<Result<_>>()?;
        assert_eq!(ours, theirs, "{strategy}");
        ensure!(
            sound::understood(&SENTENCES.join(" "), &ours.join(" ")),
            "{strategy}: {ours:?}"
        );
    }
    Ok(())
}

/// The daemon as a client of a server that speaks version 1 only: a relay takes the offer of
/// version 2 out of the upgrade, everything else is the real engine.
#[tokio::test]
async fn strategies_switch_while_speaking_to_a_version_1_server() -> Result<()> {
    let Some(models) = models_with("tiny.en") else {
        return Ok(());
    };
    let desktop = Desktop::new(&models).await?;
    let server = Engine::start(&desktop).await?;
    let url = format!("ws://127.0.0.1:{}", server.port);
    let relay = relay_without_subprotocol(&url).await?;
    desktop.configure(&format!(
        "model = \"tiny.en\"\nbackend = \"old\"\n[remote.old]\nurl = \"{relay}\"\n"
    ))?;
    let daemon = desktop.start().await?;
    let mut follower = Follower::new(&daemon.connection).await?;
    for (text, strategy) in SENTENCES.iter().zip(Strategy::ALL) {
        daemon.proxy.set_strategy(strategy.as_str()).await?;
        let file = std::fs::File::open(sound::speak(desktop.path(), "one", text)?)?;
        let session = daemon
            .proxy
            .feed(zbus::Fd::from(&file), std::collections::HashMap::new())
            .await?;
        let heard = said(&follower.session(session).await?);
        ensure!(sound::understood(text, &heard), "{strategy}: {heard}");
    }
    daemon.terminate().await
}

async fn relay_without_subprotocol(url: &str) -> Result<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let server = url.trim_start_matches("ws://").to_owned();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let server = server.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await?);
                }
                let head: String = String::from_utf8_lossy(&head)
                    .split_inclusive("\r\n")
                    .filter(|line| !line.to_lowercase().starts_with("sec-websocket-protocol"))
                    .collect();
                let mut upstream = tokio::net::TcpStream::connect(server).await?;
                upstream.write_all(head.as_bytes()).await?;
                tokio::io::copy_bidirectional(&mut client, &mut upstream).await
            });
        }
    });
    Ok(format!("ws://{address}"))
}
