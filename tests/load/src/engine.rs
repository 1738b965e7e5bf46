//! The engine under load, a process of its own.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Seconds between two looks at its memory.
const LOOK: Duration = Duration::from_secs(1);

/// Ticks per second in `/proc`, part of Linux's interface.
const TICKS: f64 = 100.0;

/// Killed when dropped.
#[derive(Debug)]
pub(crate) struct Engine {
    child: Child,
    url: String,
}

impl Engine {
    /// With `tiny.en`, for so many sessions.
    pub(crate) async fn start(sessions: usize) -> Result<Engine> {
        let models = wstream_tests::models_with("tiny.en").context("this needs tiny.en")?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let child = Command::new(wstream_tests::program("wstream-engine"))
            .args(["--listen", &format!("127.0.0.1:{port}"), "--max-sessions"])
            .arg(sessions.to_string())
            .arg("--model")
            .arg(wstream_tests::model_file(&models, "tiny.en"))
            .env("WSTREAM_LOG", "warn")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("wstream-engine is not built")?;
        while tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let url = format!("ws://127.0.0.1:{port}{}", wstream_wire::path::PREFIX);
        Ok(Engine { child, url })
    }

    /// Where sessions are had, up to the strategy.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    fn pid(&self) -> Result<u32> {
        self.child.id().context("the engine has ended")
    }

    /// Megabytes of memory that it holds.
    pub(crate) fn memory_mb(&self) -> Result<f64> {
        memory_mb(self.pid()?)
    }

    /// Processor time that it has used.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()?))?;
        let (_, rest) = stat.rsplit_once(')').context("a name in brackets")?;
        let times = rest.split_whitespace().skip(11).take(2);
        let ticks: Vec<f64> = times.map(str::parse).collect::<Result<_, _>>()?;
        Ok(ticks.iter().sum::<f64>() / TICKS)
    }

    /// Looks at its memory until told to stop.
    pub(crate) fn watch(&self) -> Watch {
        let pid = self.child.id();
        let (stop, mut stopped) = oneshot::channel();
        let peak = tokio::spawn(async move {
            let mut peak = 0.0_f64;
            loop {
                peak = peak.max(memory_mb(pid.context("the engine has ended")?)?);
                tokio::select! {
                    _ = &mut stopped => return Ok(peak),
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        });
        Watch { stop, peak }
    }
}

/// See [`Engine::watch`].
#[derive(Debug)]
pub(crate) struct Watch {
    stop: oneshot::Sender<()>,
    peak: JoinHandle<Result<f64>>,
}

impl Watch {
    /// The most that it held, in megabytes.
    pub(crate) async fn finish(self) -> Result<f64> {
        // It has ended where the engine has, which its result says.
        let _ = self.stop.send(());
        self.peak.await?
    }
}

fn memory_mb(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next());
    Ok(kilobytes.context("VmRSS")?.parse::<f64>()? / 1000.0)
}
