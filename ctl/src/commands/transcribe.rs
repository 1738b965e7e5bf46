//! `wstreamctl transcribe`: files through the running daemon.

use std::collections::HashMap;
use std::fs::File;
use std::io::IsTerminal as _;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use wstream_api::{Error as DaemonError, keys};
use zbus::{Fd, Variant};

use crate::bus::{ANSWER_LIMIT, Bus, Events, OPEN_LIMIT, answer};
use crate::cli::SessionOptions;
use crate::commands::listen::CANCEL_LIMIT;
use crate::event::{Event, to_object};
use crate::failure::{Failure, daemon_code};
use crate::interrupt::Interrupts;
use crate::output;
use crate::session::{Session, fault};
use crate::terminal::{Resizes, screen, write};
use crate::view::{Screen, Shows, View};

/// Transcribe sound files
///
/// Hands each file to the daemon in place of the microphone, so that it takes the same way as
/// speech does, and prints a line per utterance; with several files, each line begins with its
/// file's name. Takes WAV and FLAC of any rate and number of channels, and raw samples with
/// `--raw`. A file that fails does not keep the next one from being transcribed; the exit status
/// is the highest of all.
///
/// With `--json`: an object per event, one a line. `type` is `started`, `partial`, `ended`,
/// `final`, `failed`, `cancelled`, `session_ended` or `trouble`; `file` names the file,
/// `utterance` counts for as long as the daemon runs. A partial has `committed`, which stays, and
/// `tentative`, which may change. A final has `text`, `segments` (`start` and `end` in seconds
/// from the utterance's beginning, `text`), `language`, `duration_s`, `processing_time_ms`,
/// `latency_ms` (from the end of speech), `confidence`, `strategy` and `backend`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
    wstreamctl transcribe talk.flac
    wstreamctl transcribe *.wav --json | jq -r 'select(.type == \"final\") | .text'
    sox talk.ogg -t wav - | wstreamctl transcribe -
    arecord -t raw -f S16_LE -r 16000 | wstreamctl transcribe --raw s16le --rate 16000 -")]
pub(crate) struct Transcribe {
    /// The files; `-` is standard input
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    files: Vec<PathBuf>,

    /// Print a JSON object per event
    #[arg(long)]
    json: bool,

    /// Print partials too where they cannot stand in place, on lines that begin with `~`
    #[arg(long, conflicts_with = "json")]
    partials: bool,

    /// Take the sound at the speed at which it was spoken, instead of as fast as the engine can
    #[arg(long)]
    realtime: bool,

    /// The files are raw samples, interleaved, little-endian
    #[arg(long, value_name = "FORMAT", value_parser = ["s16le", "f32le"], requires = "rate")]
    raw: Option<String>,

    /// Samples per second of raw sound
    #[arg(long, value_name = "HZ", requires = "raw")]
    rate: Option<u32>,

    /// Channels of raw sound; 1 unless given
    #[arg(long, value_name = "N", requires = "raw")]
    channels: Option<u32>,

    #[command(flatten)]
    options: SessionOptions,
}

impl Transcribe {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let interrupts = Interrupts::new()?;
        let resizes = Resizes::new()?;
        let bus = Bus::connect().await?;
        let events = bus.events().await?;
        let screen = match self.json {
            true => Screen::Plain,
            false => screen(),
        };
        let shows = Shows {
            label: self.files.len() > 1,
            partial_lines: self.partials,
            ..Shows::default()
        };
        let mut run = Run {
            arguments: &self,
            bus: &bus,
            events,
            interrupts,
            resizes,
            view: View::new(screen, shows),
            worst: 0,
        };
        for file in &self.files {
            if let Err(failure) = run.file(file).await {
                write(run.view.leave())?;
                if ends_all(&failure) {
                    return Err(failure);
                }
                if let Some(sentence) = failure.sentence() {
                    write(run.view.complain(&sentence))?;
                }
                run.worst = run.worst.max(failure.code());
            }
        }
        match run.worst {
            0 => Ok(()),
            code => Err(Failure::Told(code)),
        }
    }

    /// What `Feed` is to know.
    fn feed_options(&self) -> HashMap<&'static str, Variant<'_>> {
        let mut options = self.options.to_map();
        if let Some(format) = &self.raw {
            options.insert(keys::FORMAT, Variant::from(format.as_str()));
        }
        if let Some(rate) = self.rate {
            options.insert(keys::RATE, Variant::from(rate));
        }
        if let Some(channels) = self.channels {
            options.insert(keys::CHANNELS, Variant::from(channels));
        }
        if self.realtime {
            options.insert(keys::REALTIME, Variant::from(true));
        }
        options
    }
}

/// Whether the files after this one would fail in the same way.
fn ends_all(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::ReaderGone | Failure::Output(_) | Failure::Interrupted
    ) || failure.code() == 3
}

/// The files' way through the daemon, one after the other.
#[derive(Debug)]
struct Run<'a> {
    arguments: &'a Transcribe,
    bus: &'a Bus,
    events: Events,
    interrupts: Interrupts,
    resizes: Resizes,
    view: View,
    /// The highest exit status so far.
    worst: u8,
}

impl Run<'_> {
    async fn file(&mut self, path: &Path) -> Result<(), Failure> {
        // Until it is open, sentences name the file themselves.
        self.view.label(None);
        let file = tokio::select! {
            file = open(path.to_owned()) => file?,
            _ = self.interrupts.next() => return Err(Failure::Interrupted),
        };
        self.view.label(Some(path.display().to_string()));
        write(self.view.rest("transcribing"))?;
        let feeding = self
            .bus
            .dictation
            .feed(Fd::from(file.as_fd()), self.arguments.feed_options());
        let session = tokio::select! {
            session = answer("Feed", OPEN_LIMIT, feeding) => session?,
            _ = self.interrupts.next() => {
                self.cancel().await?;
                return Err(Failure::Interrupted);
            }
        };
        // The daemon has its own copy; with ours open, a writer would not see the daemon leave.
        drop(file);
        let result = self.follow(path, Session::new(Some(session))).await;
        if matches!(result, Err(Failure::ReaderGone | Failure::Output(_))) {
            // Nobody reads the rest: do not make the engine decode it.
            self.cancel().await?;
        }
        result
    }

    /// Shows a session to its end.
    async fn follow(&mut self, path: &Path, mut session: Session) -> Result<(), Failure> {
        loop {
            tokio::select! {
                event = self.events.next() => {
                    let event = event?;
                    if session.takes(&event) && self.take(path, event)? {
                        return Ok(());
                    }
                }
                columns = self.resizes.next() => write(self.view.resize(columns))?,
                _ = self.interrupts.next() => {
                    self.cancel().await?;
                    return self.end_cancelled(path, session).await;
                }
            }
        }
    }

    /// Shows what still comes of a session that was cancelled; a second Ctrl-C does not wait.
    async fn end_cancelled(&mut self, path: &Path, mut session: Session) -> Result<(), Failure> {
        let late = tokio::time::sleep(CANCEL_LIMIT);
        tokio::pin!(late);
        loop {
            tokio::select! {
                event = self.events.next() => {
                    let event = event?;
                    if session.takes(&event) && self.take(path, event)? {
                        return Err(Failure::Interrupted);
                    }
                }
                _ = self.interrupts.next() => return Err(Failure::Interrupted),
                () = &mut late => return Err(Failure::Interrupted),
            }
        }
    }

    /// Shows one event of the session; `true`: it was the last.
    fn take(&mut self, path: &Path, event: Event) -> Result<bool, Failure> {
        if let Event::Vanished = event {
            return Err(Failure::Vanished);
        }
        if let Event::Failed { name, .. } = &event {
            let error = DaemonError::from_name(name, String::new());
            self.worst = self.worst.max(daemon_code(&error));
        }
        if self.arguments.json {
            let file = path.to_string_lossy();
            output::object(&to_object(&event).with_second("file", &file))?;
        } else {
            write(self.view.event(&event))?;
        }
        let Event::SessionEnded { details, .. } = event else {
            return Ok(false);
        };
        write(self.view.leave())?;
        fault(&details)?;
        Ok(true)
    }

    async fn cancel(&self) -> Result<(), Failure> {
        answer("Cancel", ANSWER_LIMIT, self.bus.dictation.cancel()).await
    }
}

/// Opens `path`, on a thread of its own: a named pipe may keep one waiting.
async fn open(path: PathBuf) -> Result<File, Failure> {
    let opening = tokio::task::spawn_blocking(move || open_now(&path));
    opening.await.expect("opening does not panic")
}

fn open_now(path: &Path) -> Result<File, Failure> {
    let failed = |cause| Failure::Open {
        path: path.to_owned(),
        cause,
    };
    if path == Path::new("-") {
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            return Err(Failure::SoundFromTerminal);
        }
        return Ok(File::from(
            stdin.as_fd().try_clone_to_owned().map_err(failed)?,
        ));
    }
    let file = File::open(path).map_err(failed)?;
    match file.metadata().map_err(failed)?.is_dir() {
        true => Err(Failure::Folder(path.to_owned())),
        false => Ok(file),
    }
}
