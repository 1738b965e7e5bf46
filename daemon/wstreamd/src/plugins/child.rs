//! A plugin as a child process in a process group of its own, which never outlives us.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::net::unix::pipe;
use tokio::process::Command;

use super::launch::StartError;
use crate::lines;

/// How long a plugin may take to end when it is asked to, before it is killed.
const END: Duration = Duration::from_millis(1000);

/// A running plugin. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Child {
    child: tokio::process::Child,
    /// While it has not been waited for.
    group: Option<Pid>,
}

impl Child {
    pub(super) fn start(name: &str, program: &Path) -> Result<Self, StartError> {
        let log = log_pipe(name).map_err(StartError::Pipe)?;
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        // Standard output of a program that follows dictation is likely to hold what was dictated,
        // which does not belong into a log.
        command.stdout(Stdio::null());
        command.stderr(log);
        // What systemd tells the daemon is not for its children.
        for variable in [
            "NOTIFY_SOCKET",
            "JOURNAL_STREAM",
            "WATCHDOG_USEC",
            "WATCHDOG_PID",
        ] {
            command.env_remove(variable);
        }
        // A terminal's Ctrl-C is for the daemon, which ends its plugins in its own time.
        command.process_group(0);
        command.kill_on_drop(true);
        // SAFETY: between fork and exec only one system call is made; nothing allocates or locks.
        unsafe {
            command.pre_exec(|| {
                // The signal comes when the thread that forked ends; the daemon's runtime has one
                // thread, its first.
                rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
                Ok(())
            });
        }
        let child = command.spawn().map_err(StartError::Spawn)?;
        let group = child.id().and_then(|pid| Pid::from_raw(pid as i32));
        Ok(Child { child, group })
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until it has ended by itself, and ends what it has left running; says how.
    pub(super) async fn ended(&mut self) -> String {
        let status = self.child.wait().await;
        self.signal(Signal::KILL);
        match status {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Asks it to end, and kills it where it does not.
    pub(super) async fn end(mut self) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(END, self.child.wait()).await.is_err() {
            tracing::debug!(
                pid = self.child.id(),
                "a plugin has not ended and is killed"
            );
        }
        self.signal(Signal::KILL);
        // Killed, it cannot stay.
        let _ = self.child.wait().await;
    }

    /// To it and to everything that it has started in its group.
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group
            && let Err(error) = rustix::process::kill_process_group(group, signal)
            && error != rustix::io::Errno::SRCH
        {
            tracing::warn!(%error, "a plugin could not be ended");
        }
    }
}

/// A pipe whose lines go to our log, under the plugin's name.
pub(super) fn log_pipe(name: &str) -> io::Result<OwnedFd> {
    let (reading, writing) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let reading = pipe::Receiver::from_owned_fd(reading)?;
    let name = name.to_owned();
    tokio::spawn(lines::each(reading, move |line| {
        tracing::info!(target: "wstream_plugin", plugin = %name, "{line}");
    }));
    Ok(writing)
}
