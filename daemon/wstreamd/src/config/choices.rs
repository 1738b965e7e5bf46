//! What was switched at run time, kept over restarts in the state file.
//!
//! A choice stands for as long as the configuration still says what it said when the choice was
//! made: who edits the configuration means it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Config;

/// What can be switched at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Key {
    /// `Config::strategy`.
    Strategy,
    /// `Config::backend`.
    Backend,
    /// `Config::model`.
    Model,
    /// `Config::language`.
    Language,
    /// `Config::audio.device`.
    Microphone,
    /// `Config::typing.when`.
    Typing,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Choice {
    value: String,
    /// What the configuration said then.
    instead_of: String,
}

/// The choices, and the file that keeps them.
#[derive(Debug, Default)]
pub struct Choices {
    chosen: BTreeMap<Key, Choice>,
    /// `None`: there is nowhere to keep them.
    path: Option<PathBuf>,
}

impl Choices {
    /// Reads the choices from `$XDG_STATE_HOME/wstream/state.toml`. A file that cannot be
    /// understood is left out: choices are a convenience, and the next one writes it anew.
    pub fn load() -> Self {
        let project = directories::ProjectDirs::from("", "", "wstream");
        let path = project.and_then(|project| Some(project.state_dir()?.join("state.toml")));
        path.map(Choices::load_from).unwrap_or_default()
    }

    fn load_from(path: PathBuf) -> Self {
        let chosen = std::fs::read_to_string(&path)
            .ok()
            .and_then(|text| match toml::from_str(&text) {
                Ok(chosen) => Some(chosen),
                Err(error) => {
                    let problem = error.message();
                    tracing::warn!(path = %path.display(), problem, "state file not understood: starting from the configuration");
                    None
                }
            })
            .unwrap_or_default();
        Choices {
            chosen,
            path: Some(path),
        }
    }

    /// The configuration with the choices that still stand put over it. A choice that has become
    /// impossible (a remote that is gone) is passed over.
    pub fn apply(&self, config: &Config) -> Config {
        let mut result = config.clone();
        for (&key, choice) in &self.chosen {
            if configured(config, key) != choice.instead_of {
                continue;
            }
            let value = choice.value.clone();
            match key {
                Key::Strategy => {
                    if let Ok(strategy) = value.parse() {
                        result.strategy = strategy;
                    }
                }
                Key::Backend => {
                    if value == wstream_api::BACKEND_LOCAL || config.remote.contains_key(&value) {
                        result.backend = value;
                    }
                }
                Key::Model => {
                    if wstream_wire::files::is_model_name(&value) {
                        result.model = value;
                    }
                }
                Key::Language => {
                    if wstream_wire::language::is_known(&value) {
                        result.language = value;
                    }
                }
                Key::Microphone => result.audio.device = value,
                Key::Typing => {
                    if let Ok(when) = value.parse() {
                        result.typing.when = when;
                    }
                }
            }
        }
        result
    }

    /// Chooses `value` for `key` and writes the file. A failure to write is logged: the running
    /// daemon has the choice all the same.
    pub fn choose(&mut self, key: Key, value: &str, config: &Config) {
        let instead_of = configured(config, key);
        if value == instead_of {
            self.chosen.remove(&key);
        } else {
            let value = value.to_owned();
            self.chosen.insert(key, Choice { value, instead_of });
        }
        if let Some(path) = &self.path
            && let Err(error) = self.save(path)
        {
            tracing::warn!(path = %path.display(), %error, "cannot keep the choice over a restart");
        }
    }

    fn save(&self, path: &Path) -> std::io::Result<()> {
        let dir = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(dir)?;
        let text = toml::to_string(&self.chosen).map_err(std::io::Error::other)?;
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(text.as_bytes())?;
        file.persist(path)?;
        Ok(())
    }
}

fn configured(config: &Config, key: Key) -> String {
    match key {
        Key::Strategy => config.strategy.to_string(),
        Key::Backend => config.backend.clone(),
        Key::Model => config.model.clone(),
        Key::Language => config.language.clone(),
        Key::Microphone => config.audio.device.clone(),
        Key::Typing => config.typing.when.name().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wstream_wire::Strategy;

    #[test]
    fn choices_survive_a_restart_and_yield_to_an_edited_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/state.toml");
        let config = Config::default();
        let mut choices = Choices::load_from(path.clone());
        choices.choose(Key::Strategy, "hybrid", &config);
        choices.choose(Key::Language, "de", &config);
        choices.choose(Key::Backend, "gone", &config);

        let again = Choices::load_from(path.clone());
        let effective = again.apply(&config);
        assert_eq!(effective.strategy, Strategy::Hybrid);
        assert_eq!(effective.language, "de");
        assert_eq!(
            effective.backend, "local",
            "a remote that is gone is passed over"
        );

        let mut edited = config.clone();
        edited.strategy = Strategy::Prompt;
        assert_eq!(again.apply(&edited).strategy, Strategy::Prompt);
        assert_eq!(again.apply(&edited).language, "de");

        choices.choose(Key::Language, "auto", &config);
        let back = Choices::load_from(path.clone());
        assert_eq!(back.apply(&config).language, "auto");

        std::fs::write(&path, "= nonsense").unwrap();
        assert_eq!(Choices::load_from(path).apply(&config), config);
    }
}
