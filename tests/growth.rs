//! Many engines behind a balancer of load: one is killed, one is told to end, and nobody's words are
//! lost, since whoever spoke to it says them again to another.
//!
//! HAProxy with the configuration in the engine's `SERVICE.md`, two real engines, real daemons.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Child;
use wstream_api::keys;
use wstream_tests::between::free_port;
use wstream_tests::{Desktop, Follower, Running, Seen, models_with, printed, program, said, sound};
use zbus::Fd;

const TEXT: &str = "The first sentence is short. After it comes a much longer second sentence, \
    with many words in it, which goes on and on until the very end.";

/// Speakers at once.
const SPEAKERS: usize = 4;

async fn engine(desktop: &Desktop, port: u16) -> Result<Child> {
    let engine = desktop
        .command(program("wstream-engine"))
        .args(["--listen", &format!("127.0.0.1:{port}")])
        .args(["--model", "tiny.en"])
        .stdin(Stdio::null())
        .spawn()?;
    sessions_of(port, |_| true).await?;
    Ok(engine)
}

/// HAProxy in front of engines on these ports, as the documentation has it.
async fn balancer(dir: &Path, port: u16, engines: [u16; 2]) -> Result<Child> {
    let config = printed("daemon/engine/SERVICE.md", "haproxy")?;
    let mut config = config.replace("*:8765", &format!("127.0.0.1:{port}"));
    for (host, port) in ["10.0.0.11:8765", "10.0.0.12:8765"].iter().zip(engines) {
        ensure!(config.contains(host), "no {host} in SERVICE.md");
        config = config.replace(host, &format!("127.0.0.1:{port}"));
    }
    let file = dir.join("haproxy.cfg");
    std::fs::write(&file, config)?;
    let child = tokio::process::Command::new("haproxy")
        .arg("-db")
        .arg("-f")
        .arg(&file)
        .kill_on_drop(true)
        .spawn()?;
    sessions_of(port, |_| true).await?;
    Ok(child)
}

/// Waits until whoever serves at `port` is well and has as many sessions as are wanted.
async fn sessions_of(port: u16, wanted: impl Fn(u64) -> bool) -> Result<u64> {
    let asked = async {
        loop {
            if let Ok(sessions) = health(port).await
                && wanted(sessions)
            {
                return sessions;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let sessions = tokio::time::timeout(Duration::from_secs(60), asked).await;
    sessions.with_context(|| format!("nobody at {port} has the sessions that are wanted"))
}

async fn health(port: u16) -> Result<u64> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (_, body) = answer.split_once("\r\n\r\n").context("an answer")?;
    let body: serde_json::Value = serde_json::from_str(body)?;
    body["sessions"].as_u64().context("a number of sessions")
}

/// Somebody who dictates.
struct Speaker {
    desktop: Desktop,
    daemon: Running,
    follower: Follower,
}

impl Speaker {
    async fn new(models: &Path, port: u16) -> Result<Speaker> {
        let desktop = Desktop::new(models).await?;
        desktop.configure(&format!(
            "backend = \"many\"\n[remote.many]\nurl = \"ws://127.0.0.1:{port}\"\n"
        ))?;
        let daemon = desktop.start().await?;
        let follower = Follower::new(&daemon.connection).await?;
        Ok(Speaker {
            desktop,
            daemon,
            follower,
        })
    }

    /// Begins to speak; returns when the first words are seen.
    async fn begin(&mut self) -> Result<(u64, Vec<Seen>)> {
        let file = sound::speak(self.desktop.path(), "speech", TEXT)?;
        let sound = File::open(file)?;
        let options = HashMap::from([(keys::REALTIME, true.into())]);
        let session = self.daemon.proxy.feed(Fd::from(&sound), options).await?;
        let mut seen = Vec::new();
        loop {
            let signal = self.follower.next().await?;
            let is_partial = matches!(signal, Seen::Partial { .. });
            seen.push(signal);
            if is_partial {
                return Ok((session, seen));
            }
        }
    }

    /// Speaks to the end. Every utterance must have a final, and all words must be there.
    async fn finish(&mut self, session: u64, mut seen: Vec<Seen>) -> Result<()> {
        seen.extend(self.follower.session(session).await?);
        let numbers = |of: fn(&Seen) -> Option<u64>| -> Vec<u64> {
            let mut numbers: Vec<u64> = seen.iter().filter_map(of).collect();
            numbers.sort_unstable();
            numbers
        };
        let started = numbers(|signal| match signal {
            Seen::Started { utterance, .. } => Some(*utterance),
            _ => None,
        });
        let finished = numbers(|signal| match signal {
            Seen::Final { utterance, .. } => Some(*utterance),
            _ => None,
        });
        ensure!(!started.is_empty() && started == finished, "{seen:#?}");
        let heard = said(&seen);
        ensure!(sound::understood(TEXT, &heard), "{heard}");
        Ok(())
    }
}

#[allow(clippy::print_stderr, reason = "a skipped test says so")]
#[tokio::test]
async fn an_engine_that_is_killed_or_ends_loses_nobody_a_word() -> Result<()> {
    let Some(models) = models_with("tiny.en") else {
        return Ok(());
    };
    if std::process::Command::new("haproxy")
        .arg("-v")
        .output()
        .is_err()
    {
        eprintln!("skipped: HAProxy is not installed");
        return Ok(());
    }
    let desktop = Desktop::new(&models).await?;
    let (port, ports) = (free_port()?, [free_port()?, free_port()?]);
    let mut first = engine(&desktop, ports[0]).await?;
    let second = engine(&desktop, ports[1]).await?;
    let _balancer = balancer(desktop.path(), port, ports).await?;
    let mut speakers = Vec::new();
    for _ in 0..SPEAKERS {
        speakers.push(Speaker::new(&models, port).await?);
    }

    // Killed under load.
    let mut begun = Vec::new();
    for speaker in &mut speakers {
        begun.push(speaker.begin().await?);
    }
    ensure!(
        health(ports[0]).await? > 0,
        "nobody speaks to the first engine"
    );
    ensure!(
        health(ports[1]).await? > 0,
        "nobody speaks to the second engine"
    );
    first.kill().await?;
    for (speaker, (session, seen)) in speakers.iter_mut().zip(begun) {
        speaker.finish(session, seen).await?;
    }
    ensure!(
        health(ports[1]).await? > 0,
        "nobody has gone to the second engine"
    );

    // Told to end under load, with another in its place.
    let _first = engine(&desktop, ports[0]).await?;
    let mut begun = Vec::new();
    for speaker in &mut speakers {
        begun.push(speaker.begin().await?);
    }
    let pid = second.id().context("the second engine runs")?;
    let pid = Pid::from_raw(i32::try_from(pid)?).context("a process number")?;
    kill_process(pid, Signal::TERM)?;
    for (speaker, (session, seen)) in speakers.iter_mut().zip(begun) {
        speaker.finish(session, seen).await?;
    }
    sessions_of(ports[0], |sessions| sessions > 0).await?;
    Ok(())
}
