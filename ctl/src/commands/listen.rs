//! `wstreamctl listen`: the live view of a session.

use std::time::Duration;

use clap::Args;
use tokio::time::Instant;
use wstream_api::Error as DaemonError;

use crate::bus::{ANSWER_LIMIT, Bus, Events, OPEN_LIMIT, answer};
use crate::cli::SessionOptions;
use crate::event::Event;
use crate::failure::Failure;
use crate::interrupt::{Interrupt, Interrupts};
use crate::output;
use crate::session::{Session, fault};
use crate::summary::Summary;
use crate::terminal::{Resizes, screen, write};
use crate::view::{Screen, Shows, View};

/// How long to wait for the end of a session that was cancelled: nothing is decoded for it.
pub(crate) const CANCEL_LIMIT: Duration = Duration::from_secs(5);

/// Listen, and show the words as they come
///
/// Opens the microphone, or joins a session under way. On a terminal the words stand in place
/// while they may change: bright what stays, dim what may not. Each finished utterance gets a
/// line of its own, with the milliseconds from the end of speech to its text; the last line sums
/// up. Into a pipe or a file go the finished lines alone.
///
/// Ctrl-C closes the microphone and waits for the texts still to come; a second one forgets them.
/// Colours are left out where NO_COLOR is set.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
    wstreamctl listen
    wstreamctl listen --language en | tee -a notes.txt")]
pub(crate) struct Listen {
    #[command(flatten)]
    options: SessionOptions,
}

impl Listen {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut interrupts = Interrupts::new()?;
        let bus = Bus::connect().await?;
        let events = bus.events().await?;
        let screen = screen();
        let shows = Shows {
            latency: true,
            ..Shows::default()
        };
        let mut view = View::new(screen, shows);
        write(view.rest("opening the microphone"))?;
        let started = self.start(&bus, &mut interrupts).await;
        if started.is_err() {
            write(view.leave())?;
        }
        let number = started?;
        let mut listening = Listening {
            bus: &bus,
            session: Session::new(number),
            joined: number.is_none(),
            phase: Phase::Listening,
            view,
            summary: Summary::default(),
        };
        let result = listening.run(events, interrupts).await;
        if matches!(result, Err(Failure::ReaderGone | Failure::Output(_))) {
            // Nobody sees what is said any more; do not leave the microphone open.
            listening.stop().await?;
        }
        write(listening.view.leave())?;
        match screen {
            Screen::Terminal { .. } => output::line(&listening.summary.to_string())?,
            Screen::Plain => output::note(&listening.summary.to_string()),
        }
        result
    }

    /// Starts a session; answers with its number, or `None` when a file is being transcribed,
    /// which can be watched.
    async fn start(&self, bus: &Bus, interrupts: &mut Interrupts) -> Result<Option<u64>, Failure> {
        let starting = bus.dictation.start(self.options.to_map());
        tokio::select! {
            started = answer("Start", OPEN_LIMIT, starting) => match started {
                Ok(session) => Ok(Some(session)),
                Err(Failure::Daemon(DaemonError::Busy(_))) => Ok(None),
                Err(failure) => Err(failure),
            },
            _ = interrupts.next() => {
                // The microphone may open later: take that back.
                answer("Cancel", ANSWER_LIMIT, bus.dictation.cancel()).await?;
                Err(Failure::Interrupted)
            }
        }
    }
}

/// A session under way.
#[derive(Debug)]
struct Listening<'a> {
    bus: &'a Bus,
    session: Session,
    /// It is somebody else's: look, but do not touch.
    joined: bool,
    phase: Phase,
    view: View,
    summary: Summary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Listening,
    /// Stopped; finals are still to come.
    Finishing,
    /// Cancelled; the end is still to come.
    Cancelling {
        until: Instant,
    },
}

impl Listening<'_> {
    async fn run(&mut self, mut events: Events, mut interrupts: Interrupts) -> Result<(), Failure> {
        let mut resizes = Resizes::new()?;
        write(self.view.rest(match self.joined {
            true => "watching a file being transcribed",
            false => "listening",
        }))?;
        loop {
            let deadline = match self.phase {
                Phase::Cancelling { until } => until,
                // Far enough away; the arm is off then.
                _ => Instant::now() + CANCEL_LIMIT,
            };
            tokio::select! {
                event = events.next() => {
                    let event = event?;
                    if !self.session.takes(&event) {
                        continue;
                    }
                    self.summary.add(&event);
                    write(self.view.event(&event))?;
                    match event {
                        Event::SessionEnded { details, .. } => {
                            fault(&details)?;
                            return self.end();
                        }
                        Event::Vanished => return Err(Failure::Vanished),
                        _ => {}
                    }
                }
                interrupt = interrupts.next() => {
                    if self.interrupted(interrupt).await? {
                        return self.end();
                    }
                }
                columns = resizes.next() => write(self.view.resize(columns))?,
                () = tokio::time::sleep_until(deadline), if self.phase == (Phase::Cancelling { until: deadline }) => {
                    return self.end();
                }
            }
        }
    }

    /// What Ctrl-C does now; `true`: the view ends here.
    async fn interrupted(&mut self, interrupt: Interrupt) -> Result<bool, Failure> {
        if self.joined {
            return Ok(true);
        }
        match (self.phase, interrupt) {
            (Phase::Listening, Interrupt::Key) => {
                self.phase = Phase::Finishing;
                write(self.view.rest("finishing; Ctrl-C again cancels"))?;
                self.stop().await?;
                Ok(false)
            }
            (Phase::Listening, Interrupt::End) => {
                self.stop().await?;
                Err(Failure::Interrupted)
            }
            (Phase::Finishing, Interrupt::Key) => {
                let until = Instant::now() + CANCEL_LIMIT;
                self.phase = Phase::Cancelling { until };
                answer("Cancel", ANSWER_LIMIT, self.bus.dictation.cancel()).await?;
                Ok(false)
            }
            (Phase::Finishing, Interrupt::End) | (Phase::Cancelling { .. }, _) => {
                Err(Failure::Interrupted)
            }
        }
    }

    async fn stop(&self) -> Result<(), Failure> {
        if self.joined {
            return Ok(());
        }
        answer("Stop", ANSWER_LIMIT, self.bus.dictation.stop()).await
    }

    fn end(&self) -> Result<(), Failure> {
        match self.phase {
            Phase::Cancelling { .. } => Err(Failure::Interrupted),
            _ => Ok(()),
        }
    }
}
