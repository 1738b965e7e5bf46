//! The engine as a child process: one end of a socket pair is its standard input, what it writes
//! to standard error goes to our log, and it never outlives us.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tracing::{debug, trace, warn};

use super::EngineSettings;
use crate::lines;

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    /// No socket pair.
    #[error("no socket pair for the engine could be made")]
    Socket(#[source] io::Error),
    /// The program could not be run.
    #[error("the engine could not be run")]
    Spawn(#[source] io::Error),
}

/// A running engine. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Engine {
    child: Child,
}

/// Starts the engine; the stream is the other end of its standard input.
pub(super) fn start(settings: &EngineSettings) -> Result<(Engine, UnixStream), StartError> {
    let (ours, theirs) = StdUnixStream::pair().map_err(StartError::Socket)?;
    ours.set_nonblocking(true).map_err(StartError::Socket)?;
    let stream = UnixStream::from_std(ours).map_err(StartError::Socket)?;

    let mut command = Command::new(&settings.program);
    command.arg("--stdio").arg("--model");
    command.arg(&settings.model_path);
    if let Some(threads) = settings.threads {
        command.arg("--threads").arg(threads.to_string());
    }
    if settings.nice > 0 {
        command.arg("--nice").arg(settings.nice.to_string());
    }
    command.arg("--partial-interval-ms");
    command.arg(settings.partial_interval_ms.to_string());
    command.stdin(Stdio::from(OwnedFd::from(theirs)));
    command.stdout(Stdio::null());
    command.stderr(Stdio::piped());
    // A terminal's Ctrl-C is for the daemon, which ends the engine in its own time.
    command.process_group(0);
    command.kill_on_drop(true);
    // SAFETY: between fork and exec only one system call is made; nothing allocates or locks.
    unsafe {
        command.pre_exec(|| {
            // The signal comes when the thread that forked ends; the daemon's runtime has one
            // thread, its first. An engine whose parent died before this call sees its socket end.
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            Ok(())
        });
    }
    let mut child = command.spawn().map_err(StartError::Spawn)?;
    debug!(pid = child.id(), model = %settings.model_path.display(), "the engine has been started");
    if let Some(stderr) = child.stderr.take() {
        tokio::spawn(lines::each(stderr, log_line));
    }
    Ok((Engine { child }, stream))
}

impl Engine {
    /// Waits until the engine has ended, which it does when its socket closes; kills it after
    /// `grace`.
    pub(super) async fn end(mut self, grace: Duration) {
        let status = match tokio::time::timeout(grace, self.child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                debug!("the engine has not ended by itself and is killed");
                self.kill();
                self.child.wait().await
            }
        };
        match status {
            Ok(status) => debug!(%status, "the engine has ended"),
            Err(error) => warn!(%error, "the engine could not be waited for"),
        }
    }

    /// Kills the engine with everything it has started.
    fn kill(&mut self) {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid as i32));
        if let Some(pid) = pid
            && let Err(error) = rustix::process::kill_process_group(pid, Signal::KILL)
        {
            warn!(%error, "the engine could not be killed");
        }
    }
}

/// The engine keeps dictated text at `TRACE`, and there it stays.
fn log_line(line: &str) {
    // The level is among the first words, behind the time.
    let is_level = |level| line.split_whitespace().take(3).any(|word| word == level);
    if is_level("TRACE") {
        trace!(target: "wstream_engine", "{line}");
    } else if is_level("WARN") || is_level("ERROR") {
        warn!(target: "wstream_engine", "{line}");
    } else {
        debug!(target: "wstream_engine", "{line}");
    }
}
