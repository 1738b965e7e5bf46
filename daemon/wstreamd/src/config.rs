//! The configuration: TOML in, checked settings out. Every key has a default; an unknown key, a
//! wrong type or a value out of range is an error that says where and what is allowed.

mod choices;
mod file;
mod lists;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use wstream_wire::Strategy;

use crate::endpoint::EndpointSettings;
use crate::vad::{Detector, VadMode};

pub use choices::{Choices, Key};
pub use file::{ConfigError, default_path, load, parse};
pub(crate) use lists::{BadList, check_languages, check_vocabulary};
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
    /// Bounds.
    pub limits: Limits,
}

/// Table `[audio]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audio {
    /// `pulseaudio`, `pipewire` or `alsa`; empty: the first one running.
    pub host: String,
    /// Identifier or a part of the name; empty: the system's default.
    pub device: String,
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
    /// Least milliseconds between partials; a slow machine takes longer.
    pub partial_interval_ms: u32,
    /// Seconds that the engine is kept without anything to do.
    pub unload_after_s: u32,
}

/// Table `[remote.NAME]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remote {
    /// `ws://HOST:PORT`.
    pub url: String,
}

/// Table `[limits]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Most seconds of sound kept of utterances without a final.
    pub unanswered_s: u32,
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
            limits: Limits::default(),
        }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Engine {
            program: String::new(),
            threads: 0,
            // Version 1's value: often enough to be live, seldom enough for a weak machine.
            partial_interval_ms: 300,
            // Handy's users settled on five minutes: long enough between two dictations of one
            // sitting, short enough to give the memory back.
            unload_after_s: 300,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            // Ten minutes of speech are 19 MB.
            unanswered_s: 600,
            recent_finals: 50,
        }
    }
}

impl Config {
    /// The path of the engine: the configured one, `$WSTREAM_ENGINE`, beside this program, in
    /// `../libexec/wstream` from there, or the bare name for the search path.
    pub fn engine_program(&self) -> PathBuf {
        const NAME: &str = "wstream-engine";
        if !self.engine.program.is_empty() {
            return PathBuf::from(&self.engine.program);
        }
        if let Some(program) = std::env::var_os("WSTREAM_ENGINE").filter(|p| !p.is_empty()) {
            return PathBuf::from(program);
        }
        let here = std::env::current_exe().ok();
        let dir = here.as_deref().and_then(|path| path.parent());
        [NAME, "../libexec/wstream/wstream-engine"]
            .iter()
            .filter_map(|place| Some(dir?.join(place)))
            .find(|path| path.is_file())
            .unwrap_or_else(|| PathBuf::from(NAME))
    }
}
