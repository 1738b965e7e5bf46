//! The configuration: TOML in, checked settings out. Every key has a default; an unknown key, a
//! wrong type or a value out of range is an error that says where and what is allowed.

mod choices;
mod file;
mod lists;
mod remote;
mod unfinished;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use wstream_wire::Strategy;

use crate::daemon::OnLeaving;
use crate::endpoint::EndpointSettings;
use crate::typist::When;
use crate::vad::{Detector, VadMode};

pub use choices::{Choices, Key};
pub use file::{ConfigError, default_path, load, parse};
pub(crate) use lists::{BadList, check_languages, check_vocabulary};
pub use remote::{Connect, Remote, warnings};
pub use unfinished::Unfinished;
pub use watch::watch;

/// The commented default configuration, as it is installed.
pub const DEFAULT_TEXT: &str = include_str!("../../../packaging/config.toml");

/// The whole file. The meaning of every key is in the commented default, [`DEFAULT_TEXT`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is given to the model from the utterance before.
    pub strategy: Strategy,
    /// `local`, or a name from `remote`.
    pub backend: String,
    /// The local model; empty: the best one that is installed.
    pub model: String,
    /// ISO 639-1 code or `auto`.
    pub language: String,
    /// Which languages `auto` may find; empty: any.
    pub languages: Vec<String>,
    /// Words to expect.
    pub vocabulary: Vec<String>,
    /// Which microphone.
    pub audio: Audio,
    /// Voice activity detection.
    pub vad: Vad,
    /// Where utterances begin and end.
    pub endpoint: EndpointSettings,
    /// The local engine.
    pub engine: Engine,
    /// Servers of others, by name.
    pub remote: BTreeMap<String, Remote>,
    /// Text into windows.
    pub typing: Typing,
    /// Who is there, and how long somebody listens.
    pub session: Session,
    /// Programs beside the daemon.
    pub plugins: Plugins,
    /// Bounds.
    pub limits: Limits,
}

/// Table `[audio]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audio {
    /// `pulseaudio`, `pipewire` or `alsa`; empty: the first one running.
    pub host: String,
    /// Identifier or a part of the name; empty: the system's default.
    pub device: String,
    /// Whether the default does while the device is not there.
    pub fallback: bool,
    /// Whether the microphone is open while nobody listens.
    pub keep_open: bool,
}

/// Table `[vad]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vad {
    /// Who tells voice from other sound.
    pub detector: Detector,
    /// How readily sound passes for voice.
    pub mode: VadMode,
}

/// Table `[engine]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Engine {
    /// Path of `wstream-engine`; empty: beside the daemon, then in PATH.
    pub program: String,
    /// Threads for decoding; 0: the engine decides.
    pub threads: u32,
    /// How much other programs go first when all want the processor, as nice(1) counts it.
    pub nice: u32,
    /// Least milliseconds between partials; a slow machine takes longer.
    pub partial_interval_ms: u32,
    /// Seconds that the engine is kept without anything to do.
    pub unload_after_s: u32,
}

/// Table `[typing]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Typing {
    /// When texts are typed.
    pub when: When,
    /// Drivers in the order in which they are asked; empty: all that there are.
    pub drivers: Vec<String>,
    /// To whichever window has the focus when the text comes, also if it is another one than when
    /// the utterance began.
    pub follow_focus: bool,
    /// Whether line breaks are typed, as Return.
    pub newlines: bool,
    /// Whether tabulators are typed.
    pub tabs: bool,
    /// Whether Return is pressed in terminals too.
    pub enter_in_terminals: bool,
    /// Most characters of one text.
    pub max_characters: u32,
    /// Most characters in a second; 0: as many as the window takes.
    pub characters_per_s: u32,
}

/// Table `[session]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Session {
    /// What becomes of listening when the screen is locked.
    pub on_lock: OnLeaving,
    /// What becomes of it when the machine goes to sleep.
    pub on_sleep: OnLeaving,
    /// Whether it goes on when the screen is unlocked.
    pub resume_after_lock: bool,
    /// Whether it goes on when the machine is awake again.
    pub resume_after_sleep: bool,
    /// Whether it goes on when the daemon has died and was started again.
    pub resume_after_crash: bool,
    /// Seconds without speech after which it ends; 0: never.
    pub auto_stop_s: u32,
    /// Milliseconds from which on a key counts as held.
    pub hold_ms: u32,
}

/// Table `[plugins]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plugins {
    /// Which ones the daemon starts: `wstream-NAME` for each.
    pub run: Vec<String>,
    /// Which keys filters may ask for.
    pub keys: Vec<String>,
}

/// Table `[limits]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Most seconds of sound kept of utterances without a final.
    pub unanswered_s: u32,
    /// Most seconds of sound kept, for a retry, of utterances that failed for want of a server.
    pub retry_s: u32,
    /// Finals kept in memory for `Recent`.
    pub recent_finals: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            strategy: Strategy::Context,
            backend: wstream_api::BACKEND_LOCAL.to_owned(),
            model: String::new(),
            language: wstream_wire::language::AUTO.to_owned(),
            languages: Vec::new(),
            vocabulary: Vec::new(),
            audio: Audio::default(),
            vad: Vad::default(),
            endpoint: EndpointSettings::default(),
            engine: Engine::default(),
            remote: BTreeMap::new(),
            typing: Typing::default(),
            session: Session::default(),
            plugins: Plugins::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for Audio {
    fn default() -> Self {
        Audio {
            host: String::new(),
            device: String::new(),
            // Whoever speaks wants to be heard, and is told by which microphone.
            fallback: true,
            // A microphone that is open shows on the desktop, and is nobody's wish unasked.
            keep_open: false,
        }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Engine {
            program: String::new(),
            threads: 0,
            nice: 2,
            // Version 1's value: often enough to be live, seldom enough for a weak machine.
            partial_interval_ms: 300,
            // Handy's users settled on five minutes: long enough between two dictations of one
            // sitting, short enough to give the memory back.
            unload_after_s: 300,
        }
    }
}

impl Default for Typing {
    fn default() -> Self {
        Typing {
            when: When::Final,
            drivers: Vec::new(),
            follow_focus: true,
            newlines: true,
            tabs: false,
            enter_in_terminals: false,
            // An utterance has a few hundred; a filter's mistake may have many more.
            max_characters: 10_000,
            characters_per_s: 0,
        }
    }
}

impl Default for Session {
    fn default() -> Self {
        Session {
            on_lock: OnLeaving::Finish,
            on_sleep: OnLeaving::Finish,
            resume_after_lock: false,
            resume_after_sleep: false,
            resume_after_crash: false,
            auto_stop_s: 0,
            // A tap takes 100 to 200 ms; nobody says a word in less than this.
            hold_ms: 400,
        }
    }
}

impl Default for Plugins {
    fn default() -> Self {
        Plugins {
            run: Vec::new(),
            keys: wstream_api::FILTER_KEYS.map(str::to_owned).to_vec(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            // Ten minutes of speech are 19 MB.
            unanswered_s: 600,
            // What somebody says before they look; 10 MB.
            retry_s: 300,
            recent_finals: 50,
        }
    }
}

impl Config {
    /// The path of the engine: the configured one, `$WSTREAM_ENGINE`, or where programs of the
    /// project are found; else the bare name.
    pub fn engine_program(&self) -> PathBuf {
        const NAME: &str = "wstream-engine";
        if !self.engine.program.is_empty() {
            return PathBuf::from(&self.engine.program);
        }
        if let Some(program) = std::env::var_os("WSTREAM_ENGINE").filter(|p| !p.is_empty()) {
            return PathBuf::from(program);
        }
        find_program(NAME).unwrap_or_else(|| PathBuf::from(NAME))
    }
}

/// The program called `name`: beside this one, in `../libexec/wstream` from there, or in `$PATH`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let here = std::env::current_exe().ok();
    let dir = here.as_deref().and_then(|path| path.parent());
    let beside = dir.map(|dir| [dir.to_owned(), dir.join("../libexec/wstream")]);
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A relative folder would mean another one wherever the daemon is started.
    let in_path = std::env::split_paths(&path).filter(|dir| dir.is_absolute());
    let mut places = beside.into_iter().flatten().chain(in_path);
    places.find_map(|dir| Some(dir.join(name)).filter(|file| is_program(file)))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;

    std::fs::metadata(file)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
