//! Ctrl-C, and the other ways to be told to end.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// What asked us to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// Ctrl-C: end in good order; the second time at once.
    Key,
    /// SIGTERM, or the terminal has gone: end now, but leave nothing open.
    End,
}

/// The signals that end a command; from its making on they do not kill the process.
#[derive(Debug)]
pub(crate) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    /// `None` under `nohup`, which asks to be left alone.
    hang_up: Option<Signal>,
}

impl Interrupts {
    pub(crate) fn new() -> Result<Self, Failure> {
        let watch = |kind| signal(kind).map_err(Failure::Signals);
        let hang_up = match hang_up_is_ignored() {
            true => None,
            false => Some(watch(SignalKind::hangup())?),
        };
        Ok(Interrupts {
            interrupt: watch(SignalKind::interrupt())?,
            terminate: watch(SignalKind::terminate())?,
            hang_up,
        })
    }

    /// Waits for the next one. May be dropped and called again without losing one.
    pub(crate) async fn next(&mut self) -> Interrupt {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Interrupt::Key,
            _ = self.terminate.recv() => Interrupt::End,
            _ = hang_up => Interrupt::End,
        }
    }
}

/// Whether whoever started us set SIGHUP to be ignored. Watching it would take that back.
fn hang_up_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_signals(&status) & 1 != 0
}

/// The mask of ignored signals in `/proc/PID/status`; SIGHUP, number 1, is the lowest bit.
fn ignored_signals(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_found() {
        for (status, expected) in [
            ("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0\n", 0x1001),
            ("SigIgn:\t0000000000001000\n", 0x1000),
            ("Name:\tx\n", 0),
            ("", 0),
        ] {
            assert_eq!(ignored_signals(status), expected, "{status:?}");
        }
    }
}
