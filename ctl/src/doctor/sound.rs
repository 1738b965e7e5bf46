//! The microphone, the models, and sound through whoever transcribes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::fd::AsFd as _;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use wstream_api::{self as api, Error as DaemonError, keys};
use zbus::{Fd, Variant};

use crate::bus::{ANSWER_LIMIT, Bus, Events, OPEN_LIMIT, answer, read};
use crate::doctor::finding::Finding;
use crate::doctor::installed::failed;
use crate::doctor::voice;
use crate::event::{Details, Event};
use crate::failure::Failure;
use crate::session::{Session, fault};

/// How long the microphone is heard.
pub(crate) const HEARD: Duration = Duration::from_secs(3);

/// How long a text may take: a model is loaded first, or a server connected.
const TEXT_LIMIT: Duration = Duration::from_secs(30);

/// And how long behind the news that the server is away: it may just be starting again.
const BACK: Duration = Duration::from_secs(8);

/// Below this, in dB of full scale, nothing reaches a microphone that is open: rooms are louder.
const SILENT_DB: f64 = -80.0;

/// The microphones that are there, and the chosen one among them.
pub(crate) async fn microphones(bus: &Bus) -> Finding {
    const SUBJECT: &str = "microphones";
    let found = match read("Microphones", bus.dictation.microphones()).await {
        Ok(found) => found,
        Err(failure) => return failed(SUBJECT, &failure),
    };
    let chosen = match read("Microphone", bus.dictation.microphone()).await {
        Ok(chosen) => chosen,
        Err(failure) => return failed(SUBJECT, &failure),
    };
    let part = chosen.to_lowercase();
    let is_there = found
        .iter()
        .any(|(id, name)| *id == chosen || name.to_lowercase().contains(&part));
    match (found.len(), is_there) {
        (0, _) => Finding::problem(
            SUBJECT,
            "the sound server knows no microphone: connect one, or choose a profile with an input \
             in its settings",
        ),
        (count, _) if chosen.is_empty() => Finding::ok(
            SUBJECT,
            format!("{count} there, and the system's default is used"),
        ),
        (_, true) => Finding::ok(SUBJECT, format!("{chosen} is there")),
        (_, false) => Finding::problem(
            SUBJECT,
            format!(
                "{chosen} is chosen and not there: connect it, choose another with \
                 `wstreamctl microphone`, or the system's default with `wstreamctl microphone ''`"
            ),
        ),
    }
}

/// Whether the daemon takes sound for nobody, so that a test takes nothing from anybody.
pub(crate) async fn is_idle(bus: &Bus) -> Result<bool, Failure> {
    let state = read("State", bus.dictation.state()).await?;
    Ok(state == api::STATE_IDLE)
}

/// Listens for a while, and tells how loud it was. What is said meanwhile is forgotten.
pub(crate) async fn level(bus: &Bus) -> Finding {
    const SUBJECT: &str = "level";
    match hear(bus).await {
        Ok(Some(rms)) => {
            let db = 20.0 * rms.max(1e-9).log10();
            if db < SILENT_DB {
                let sentence = "the microphone gives nothing but silence: it is muted, its volume \
                                is zero, or another input is the default; look into the sound \
                                settings";
                Finding::problem(SUBJECT, sentence)
            } else {
                Finding::ok(SUBJECT, format!("the loudest 30 ms were {db:.0} dBFS"))
            }
        }
        Ok(None) => Finding::problem(
            SUBJECT,
            "the microphone was opened and nothing came: connect it again, or choose another with \
             `wstreamctl microphone`",
        ),
        Err(failure) => failed(SUBJECT, &failure),
    }
}

/// The loudest level; `None` where no sound came.
async fn hear(bus: &Bus) -> Result<Option<f64>, Failure> {
    let mut events = bus.events().await?;
    answer("WatchLevel", ANSWER_LIMIT, bus.dictation.watch_level(true)).await?;
    // Typed nowhere, whatever is set.
    let options = HashMap::from([(keys::TYPING, Variant::from(api::TYPING_OFF))]);
    let number = answer("Start", OPEN_LIMIT, bus.dictation.start(options)).await?;
    let loudest = loudest(&mut events, Session::new(Some(number))).await;
    answer("Cancel", ANSWER_LIMIT, bus.dictation.cancel()).await?;
    answer("WatchLevel", ANSWER_LIMIT, bus.dictation.watch_level(false)).await?;
    loudest
}

async fn loudest(events: &mut Events, mut session: Session) -> Result<Option<f64>, Failure> {
    let end = Instant::now() + HEARD;
    let mut loudest: Option<f64> = None;
    while let Ok(event) = timeout_at(end, events.next()).await {
        match event? {
            Event::Level { rms } => loudest = Some(loudest.unwrap_or_default().max(rms)),
            event => {
                let ours = session.takes(&event);
                if let Event::SessionEnded { details, .. } = event
                    && ours
                {
                    fault(&details)?;
                    return Ok(loudest);
                }
            }
        }
    }
    Ok(loudest)
}

/// The local model, and whether it can be tried. Who has a server does not need one.
pub(crate) async fn model(bus: &Bus) -> (Finding, bool) {
    const SUBJECT: &str = "model";
    let asked = tokio::try_join!(
        read("Model", bus.dictation.model()),
        read("Models", bus.dictation.models()),
        read("Backend", bus.dictation.backend()),
    );
    let (model, models, backend) = match asked {
        Ok(answers) => answers,
        Err(failure) => return (failed(SUBJECT, &failure), false),
    };
    if models.contains(&model) {
        return (Finding::ok(SUBJECT, format!("{model} is installed")), true);
    }
    let name = if model.is_empty() { "base" } else { &model };
    let sentence = format!("{name} is not installed: get it with `wstreamctl model pull {name}`");
    let finding = match backend.as_str() {
        api::BACKEND_LOCAL => Finding::problem(SUBJECT, sentence),
        other => Finding::skipped(
            SUBJECT,
            format!("none is needed while {other} transcribes; {sentence}"),
        ),
    };
    (finding, false)
}

/// Sends voice that says nothing through a backend.
pub(crate) async fn backend(bus: &Bus, name: &str) -> Finding {
    const SUBJECT: &str = "transcription";
    match transcribe(bus, name).await {
        Ok(Heard::Text(details)) => {
            let server = serving(bus).await;
            if let Some((other, why)) = server.filter(|(serving, _)| serving != name) {
                return Finding::problem(
                    SUBJECT,
                    format!("{other} serves instead of {name}: {why}"),
                );
            }
            Finding::ok(SUBJECT, format!("{name} answers{}", speed(&details)))
        }
        Ok(Heard::Nothing) => Finding::problem(
            SUBJECT,
            format!(
                "{name}: voice was not told from silence, so nothing was transcribed: \
                 look at `mode` under [vad] in the configuration"
            ),
        ),
        Ok(Heard::Late) => {
            let why = serving(bus).await.map(|(_, why)| why);
            let sentence = match why.filter(|why| !why.is_empty()) {
                Some(why) => format!(
                    "{why}: see whether it runs, and look at its url in the configuration; \
                     `wstreamctl backend` chooses who else transcribes"
                ),
                None => format!(
                    "{name}: no text within {} s: see `wstreamctl status` and the daemon's log",
                    TEXT_LIMIT.as_secs()
                ),
            };
            Finding::problem(SUBJECT, sentence)
        }
        Err(failure) => {
            let sentence = failure.sentence().unwrap_or_default();
            Finding::problem(SUBJECT, format!("{name}: {sentence}"))
        }
    }
}

/// Who serves, and what is wrong.
async fn serving(bus: &Bus) -> Option<(String, String)> {
    let server = read("Server", bus.dictation.server()).await.ok()?;
    let server: Details = server.into_iter().collect();
    let text = |key| server.text(key).unwrap_or_default().to_owned();
    Some((text(keys::BACKEND), text(keys::MESSAGE)))
}

/// `: 1.2 s of sound in 40 ms, real-time factor 0.03`
fn speed(details: &Details) -> String {
    let number = |key| details.number(key).filter(|number| *number > 0.0);
    match (number(keys::PROCESSING_TIME_MS), number(keys::DURATION_S)) {
        (Some(ms), Some(s)) => format!(
            ": {s:.1} s of sound in {ms:.0} ms, real-time factor {:.2}",
            ms / 1000.0 / s
        ),
        _ => String::new(),
    }
}

/// What became of the sound.
#[derive(Debug)]
enum Heard {
    /// A final, with its details: its text, if there is any, is nobody's words.
    Text(Details),
    /// The session ended without an utterance.
    Nothing,
    /// Neither within the limit.
    Late,
}

async fn transcribe(bus: &Bus, name: &str) -> Result<Heard, Failure> {
    let mut events = bus.events().await?;
    let sound = sound().map_err(Failure::Signals)?;
    let options = HashMap::from([
        (keys::FORMAT, Variant::from("s16le")),
        (keys::RATE, Variant::from(voice::RATE)),
        (keys::CHANNELS, Variant::from(1u32)),
        (keys::BACKEND, Variant::from(name)),
        (keys::TYPING, Variant::from(api::TYPING_OFF)),
        // Nobody said it: `wstreamctl last` is not to show it, nor `retype` to type it.
        (keys::RECENT, Variant::from(false)),
    ]);
    let feeding = bus.dictation.feed(Fd::from(sound.as_fd()), options);
    let number = answer("Feed", OPEN_LIMIT, feeding).await?;
    let heard = wait(&mut events, Session::new(Some(number))).await;
    if !matches!(heard, Ok(Heard::Text(_))) {
        answer("Cancel", ANSWER_LIMIT, bus.dictation.cancel()).await?;
    }
    heard
}

/// Two utterances, of which the second tells how fast it is: the first may load a model.
fn sound() -> std::io::Result<File> {
    let memory = rustix::fs::memfd_create("voice", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = File::from(memory);
    for seconds in [1.0, 3.0] {
        let samples = voice::ah(seconds, 2.0);
        let bytes: Vec<u8> = samples.iter().flat_map(|x| x.to_le_bytes()).collect();
        file.write_all(&bytes)?;
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

async fn wait(events: &mut Events, mut session: Session) -> Result<Heard, Failure> {
    let mut end = Instant::now() + TEXT_LIMIT;
    let mut last = None;
    while let Ok(event) = timeout_at(end, events.next()).await {
        let event = event?;
        if !session.takes(&event) {
            continue;
        }
        match event {
            Event::Final { details, .. } => last = Some(details),
            Event::Failed { name, message, .. } => {
                return Err(Failure::Daemon(DaemonError::from_name(&name, message)));
            }
            Event::SessionEnded { details, .. } => {
                fault(&details)?;
                return Ok(last.map_or(Heard::Nothing, Heard::Text));
            }
            Event::Trouble { .. } => end = end.min(Instant::now() + BACK),
            Event::Vanished => return Err(Failure::Vanished),
            _ => {}
        }
    }
    Ok(Heard::Late)
}
