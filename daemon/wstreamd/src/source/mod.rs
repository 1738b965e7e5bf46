//! Where sound comes from: a microphone, or a descriptor that a client handed over.
//!
//! Leaves: 16 kHz mono samples, whatever the source delivers. Runs on the audio thread.

mod changes;
mod cookie;
mod devices;
mod feed;
mod lasting;
mod listed;
mod microphone;
mod pulse;
pub(crate) mod resample;
mod stream;
mod wav;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use crate::fault::Fault;

pub use cookie::missing_pulse_cookie;
pub use devices::{HOSTS, microphones};
pub(crate) use feed::Feed;
pub use feed::{CHANNELS, RATES};
pub(crate) use lasting::LastingMicrophone;
pub use lasting::Wanted;
pub use listed::Microphone;
pub(crate) use microphone::Opened;

/// Sound that comes bit by bit.
pub(crate) trait Source {
    /// Waits for more sound and appends it. Returns at once, with [`Read::Interrupted`], when the
    /// interrupt is raised.
    fn read(&mut self, into: &mut Vec<i16>) -> Read;

    /// Whether somebody is in the middle of an utterance: it is not to be cut for another source
    /// that is meant from now on, as long as this one delivers.
    fn hold(&mut self, is_spoken: bool) {
        let _ = is_spoken;
    }
}

/// How a [`Source::read`] ended.
#[derive(Debug)]
pub(crate) enum Read {
    /// There may be more.
    More,
    /// Sound was lost before what was appended now.
    Hole,
    /// The interrupt was raised. What was appended is the last.
    Interrupted,
    /// The source has reached its end.
    End,
    /// The source cannot go on.
    Fault(Fault),
    /// The microphone has gone, by this fault, or because another is meant from now on. What was
    /// appended is the last of it; the next read waits for [`Read::Found`].
    Lost(Option<Fault>),
    /// There is a microphone again.
    Found(Opened),
}

/// Tells a source that waits to stop waiting, once and for good.
#[derive(Debug)]
pub(crate) struct Interrupt {
    raised: AtomicBool,
    /// Readable once raised, for those who wait on descriptors.
    event: OwnedFd,
}

impl Interrupt {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Interrupt {
            raised: AtomicBool::new(false),
            event: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    pub(crate) fn raise(&self) {
        self.raised.store(true, Ordering::SeqCst);
        // It can only fail by having been raised 2^64 times.
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::SeqCst)
    }

    /// Waits for so long, or until that is so, on the thread that whoever raises it wakes. Whether it
    /// is raised.
    pub(crate) fn sleep(&self, time: Duration, mut until: impl FnMut() -> bool) -> bool {
        let end = Instant::now() + time;
        while !self.is_raised() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || until() {
                return false;
            }
            thread::park_timeout(left);
        }
        true
    }
}

impl AsFd for Interrupt {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
