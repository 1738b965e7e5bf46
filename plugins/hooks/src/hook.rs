//! One executable, run once: no shell in between, so that nothing in a text has a meaning.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use crate::event::Occasion;

/// Most bytes that a hook may print as a text; the daemon takes no more.
const PRINTED_BYTES: u64 = 64 * 1024;

/// Why a hook has not done what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HookError {
    #[error("cannot be run ({0}): has it a first line such as #!/bin/sh?")]
    Run(#[source] io::Error),
    #[error("was killed because it took longer than {} ms", .0.as_millis())]
    Late(Duration),
    #[error("failed with {0}")]
    Failed(ExitStatus),
    #[error("printed something that is not UTF-8")]
    NotText,
    #[error("printed more than 64 KiB")]
    TooLong,
    #[error("cannot be talked to ({0})")]
    Pipe(#[from] io::Error),
}

/// What a hook has printed, and how it has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) printed: Vec<u8>,
}

/// Runs a hook that only looks.
pub(crate) async fn observe(
    hook: &Path,
    occasion: &Occasion,
    limit: Duration,
) -> Result<(), HookError> {
    let ended = run(hook, occasion, Stdio::null(), limit).await?;
    if !ended.status.success() {
        return Err(HookError::Failed(ended.status));
    }
    Ok(())
}

/// Runs a hook whose output counts.
pub(crate) async fn ask(
    hook: &Path,
    occasion: &Occasion,
    limit: Duration,
) -> Result<Ended, HookError> {
    run(hook, occasion, Stdio::piped(), limit).await
}

async fn run(
    hook: &Path,
    occasion: &Occasion,
    stdout: Stdio,
    limit: Duration,
) -> Result<Ended, HookError> {
    let mut child = Command::new(hook)
        .envs(occasion.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(stdout)
        // Its complaints go where ours go.
        .stderr(Stdio::inherit())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(HookError::Run)?;
    let group = child.id().and_then(|pid| Pid::from_raw(pid as i32));
    let talked = tokio::time::timeout(limit, talk(&mut child, &occasion.text)).await;
    let ended = talked.unwrap_or(Err(HookError::Late(limit)));
    if ended.is_err() {
        if let Some(group) = group {
            // It may just have ended; then the group is gone, or all that is left of it goes.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        // Killed, it cannot stay.
        let _ = child.wait().await;
    }
    ended
}

async fn talk(child: &mut Child, text: &str) -> Result<Ended, HookError> {
    let stdin = child.stdin.take();
    let stdout = child.stdout.take();
    let telling = async {
        if let Some(mut stdin) = stdin {
            let line = format!("{text}\n");
            // A hook need not read what it is told.
            let _ = stdin.write_all(line.as_bytes()).await;
        }
    };
    let reading = async {
        let mut printed = Vec::new();
        if let Some(stdout) = stdout {
            let mut limited = stdout.take(PRINTED_BYTES + 1);
            limited.read_to_end(&mut printed).await?;
        }
        if printed.len() as u64 > PRINTED_BYTES {
            return Err(HookError::TooLong);
        }
        Ok(printed)
    };
    let ((), printed) = tokio::join!(telling, reading);
    Ok(Ended {
        printed: printed?,
        status: child.wait().await?,
    })
}

/// Says what is wrong with a hook, to the log of whoever started us.
pub(crate) fn warn(hook: &Path, what: &str) {
    // Where that fails, there is nobody to tell.
    let _ = writeln!(io::stderr(), "{}: {what}", hook.display());
}
