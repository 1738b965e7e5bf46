//! What the daemon works with: the configuration, with the run-time choices put over it.

use std::path::PathBuf;
use std::time::Duration;

use wstream_api::BACKEND_LOCAL;
use wstream_wire::files;

use super::Published;
use crate::capture::CaptureSettings;
use crate::config::{Choices, Config, Key};
use crate::event::ServerStatus;
use crate::fault::{Fault, FaultKind};
use crate::transcriber::{EngineSettings, TranscriberSettings};
use crate::typist::{TypingSettings, When};

/// The model's name that is tried, and named in messages, when none is installed.
const FALLBACK_MODEL: &str = "tiny.en";

/// Configuration and choices, and what follows from them for each stage.
#[derive(Debug)]
pub struct Settings {
    /// As in the file.
    configured: Config,
    choices: Choices,
    /// `configured` with the choices that stand.
    effective: Config,
    /// `None` where the user has no home.
    models_dir: Option<PathBuf>,
}

impl Settings {
    /// Puts the choices over the configuration.
    pub fn new(configured: Config, choices: Choices) -> Self {
        Settings {
            effective: choices.apply(&configured),
            configured,
            choices,
            models_dir: files::models_dir(),
        }
    }

    /// What counts now.
    pub fn config(&self) -> &Config {
        &self.effective
    }

    /// Takes a new configuration; choices that it contradicts yield.
    pub(super) fn replace(&mut self, config: Box<Config>) {
        self.configured = *config;
        self.effective = self.choices.apply(&self.configured);
    }

    /// Switches `key` to `value` if that is possible.
    pub(super) fn choose(&mut self, key: Key, value: &str) -> Result<(), Fault> {
        match key {
            Key::Strategy => {
                value
                    .parse::<wstream_wire::Strategy>()
                    .map_err(|error| Fault::new(FaultKind::BadOption, error.to_string()))?;
            }
            Key::Backend => self.check_backend_name(value)?,
            Key::Model => self.check_model(value)?,
            Key::Language => check_language(value)?,
            Key::Microphone => {}
            Key::Typing => drop(value.parse::<When>()?),
        }
        self.choices.choose(key, value, &self.configured);
        self.effective = self.choices.apply(&self.configured);
        Ok(())
    }

    /// Whether a session with this backend (or else the one that counts now) can be served at all.
    pub(super) fn check_backend(&self, backend: Option<&str>) -> Result<(), Fault> {
        let backend = backend.unwrap_or(&self.effective.backend);
        self.check_backend_name(backend)?;
        if backend == BACKEND_LOCAL {
            return self.check_model(&self.model());
        }
        Ok(())
    }

    fn check_backend_name(&self, name: &str) -> Result<(), Fault> {
        if name == BACKEND_LOCAL || self.effective.remote.contains_key(name) {
            return Ok(());
        }
        let known = self.backends().join(", ");
        Err(Fault::new(
            FaultKind::UnknownBackend,
            format!(
                "no backend is called {name:?}: use one of {known}, or add a table [remote.NAME] to the configuration"
            ),
        ))
    }

    fn check_model(&self, name: &str) -> Result<(), Fault> {
        if files::is_model_name(name) && self.model_path(name).is_file() {
            return Ok(());
        }
        Err(Fault::new(
            FaultKind::ModelMissing,
            format!(
                "the model {name:?} is not installed: get it with `wstreamctl model pull {name}`"
            ),
        ))
    }

    /// The model's name: the chosen or configured one; else base, tiny.en or the first installed.
    fn model(&self) -> String {
        if !self.effective.model.is_empty() {
            return self.effective.model.clone();
        }
        let installed = self.models_dir.as_deref().map(files::installed_models);
        let installed = installed.unwrap_or_default();
        ["base", FALLBACK_MODEL]
            .into_iter()
            .find(|name| installed.iter().any(|there| there == name))
            .or(installed.first().map(String::as_str))
            .unwrap_or(FALLBACK_MODEL)
            .to_owned()
    }

    fn model_path(&self, name: &str) -> PathBuf {
        let dir = self.models_dir.as_deref().unwrap_or("models".as_ref());
        files::model_path(dir, name)
    }

    fn backends(&self) -> Vec<String> {
        let local = std::iter::once(BACKEND_LOCAL.to_owned());
        local.chain(self.effective.remote.keys().cloned()).collect()
    }

    /// For the audio thread.
    pub(super) fn capture(&self) -> CaptureSettings {
        CaptureSettings {
            detector: self.effective.vad.detector,
            vad: self.effective.vad.mode,
            endpoint: self.effective.endpoint.clone(),
            auto_stop_s: self.effective.session.auto_stop_s,
        }
    }

    /// For the transcriber.
    pub fn transcriber(&self) -> TranscriberSettings {
        let Config { engine, limits, .. } = &self.effective;
        TranscriberSettings {
            backend: self.effective.backend.clone(),
            remotes: self
                .effective
                .remote
                .iter()
                .map(|(name, remote)| remote.settings(name))
                .collect(),
            strategy: self.effective.strategy,
            language: self.effective.language.clone(),
            languages: self.effective.languages.as_slice().into(),
            vocabulary: self.effective.vocabulary.as_slice().into(),
            engine: EngineSettings {
                program: self.effective.engine_program(),
                model_path: self.model_path(&self.model()),
                threads: (engine.threads > 0).then_some(engine.threads),
                nice: engine.nice,
                partial_interval_ms: engine.partial_interval_ms,
                unload_after: Duration::from_secs(engine.unload_after_s.into()),
            },
            unanswered_limit: Duration::from_secs(limits.unanswered_s.into()),
            retry_limit: Duration::from_secs(limits.retry_s.into()),
        }
    }

    /// For the typist.
    pub fn typing(&self) -> TypingSettings {
        let typing = &self.effective.typing;
        TypingSettings {
            drivers: typing.drivers.as_slice().into(),
            follow_focus: typing.follow_focus,
            newlines: typing.newlines,
            tabs: typing.tabs,
            enter_in_terminals: typing.enter_in_terminals,
            max_characters: typing.max_characters as usize,
            per_second: (typing.characters_per_s > 0).then_some(typing.characters_per_s),
        }
    }

    /// For the bus; the state is the daemon's to add.
    pub fn publish(&self) -> Published {
        Published {
            state: wstream_api::STATE_IDLE,
            strategy: self.effective.strategy.to_string(),
            backend: self.effective.backend.clone(),
            model: self.model(),
            language: self.effective.language.clone(),
            microphone: self.effective.audio.device.clone(),
            open_microphone: String::new(),
            typing: self.effective.typing.when.name(),
            backends: self.backends(),
            server: ServerStatus {
                backend: self.effective.backend.clone(),
                ..ServerStatus::default()
            },
            host: self.effective.audio.host.clone(),
        }
    }
}

/// Refuses what is neither `auto` nor a language that Whisper knows.
pub(crate) fn check_language(code: &str) -> Result<(), Fault> {
    if wstream_wire::language::is_known(code) {
        return Ok(());
    }
    Err(Fault::new(
        FaultKind::BadOption,
        format!("unknown language {code:?}: use auto or an ISO 639-1 code such as en"),
    ))
}
