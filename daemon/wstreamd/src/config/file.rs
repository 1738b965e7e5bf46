//! Reading the file, and the checks that types cannot make.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::lists::{check_drivers, check_plugin_keys, check_plugins};
use super::{BadList, Config, check_languages, check_vocabulary, remote};
use crate::endpoint::EndpointSettings;
use crate::source::HOSTS;

/// Larger than any sensible configuration; a wrong path should not be read into memory.
const MAX_BYTES: u64 = 1024 * 1024;

/// Why a configuration cannot be used. The text is for the user and says where.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is there but cannot be read.
    #[error("{path}: cannot be read ({source}); make it readable or remove it")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a wrong type: the parser's text shows line and caret.
    #[error("{0}")]
    Parse(String),
    /// A value that is not allowed.
    #[error("{key} = {value}: {problem}")]
    Value {
        /// Path of the key, such as `endpoint.hangover_ms`.
        key: String,
        /// What it is set to.
        value: String,
        /// What is wrong with it and what is allowed.
        problem: String,
    },
}

/// Where the user's configuration is: `$XDG_CONFIG_HOME/wstream/config.toml`.
/// `None` where the user has no home.
pub fn default_path() -> Option<PathBuf> {
    let project = directories::ProjectDirs::from("", "", "wstream")?;
    Some(project.config_dir().join("config.toml"))
}

/// Reads and checks the file at `path`; a missing file means the defaults.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let read = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Config::default());
        }
        Err(error) => return Err(read(error)),
        Ok(metadata) if metadata.len() > MAX_BYTES => {
            return Err(read(std::io::Error::other("over 1 MiB")));
        }
        Ok(_) => {}
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    parse(&text).map_err(|error| match error {
        ConfigError::Parse(problem) => ConfigError::Parse(format!("{}: {problem}", path.display())),
        ConfigError::Value {
            key,
            value,
            problem,
        } => ConfigError::Value {
            key: format!("{}: {key}", path.display()),
            value,
            problem,
        },
        other => other,
    })
}

/// Parses and checks a configuration's text.
pub fn parse(text: &str) -> Result<Config, ConfigError> {
    remote::refuse_secrets(text)?;
    let config: Config = toml::from_str(text)
        .map_err(|error| ConfigError::Parse(error.to_string().trim_end().to_owned()))?;
    check(&config)?;
    Ok(config)
}

fn check(config: &Config) -> Result<(), ConfigError> {
    let hosts: Vec<&str> = std::iter::once("").chain(HOSTS).collect();
    one_of("audio.host", &config.audio.host, &hosts)?;
    let endpoint = &config.endpoint;
    use EndpointSettings as Allowed;
    for (key, number, allowed) in [
        ("onset_ms", endpoint.onset_ms, Allowed::ONSET_MS),
        ("pre_roll_ms", endpoint.pre_roll_ms, Allowed::PRE_ROLL_MS),
        ("hangover_ms", endpoint.hangover_ms, Allowed::HANGOVER_MS),
        ("tail_ms", endpoint.tail_ms, Allowed::TAIL_MS),
        (
            "min_speech_ms",
            endpoint.min_speech_ms,
            Allowed::MIN_SPEECH_MS,
        ),
        (
            "max_utterance_s",
            endpoint.max_utterance_s,
            Allowed::MAX_UTTERANCE_S,
        ),
    ] {
        range(&format!("endpoint.{key}"), number, allowed)?;
    }
    // More threads than any desktop has cores would only slow decoding down.
    range("engine.threads", config.engine.threads, 0..=64)?;
    range("engine.nice", config.engine.nice, 0..=19)?;
    range(
        "engine.partial_interval_ms",
        config.engine.partial_interval_ms,
        100..=10_000,
    )?;
    range(
        "engine.unload_after_s",
        config.engine.unload_after_s,
        1..=86_400,
    )?;
    // Below a minute a long utterance on a slow machine would fail for no reason; an hour is 115 MB.
    range("limits.unanswered_s", config.limits.unanswered_s, 60..=3600)?;
    range("limits.retry_s", config.limits.retry_s, 0..=3600)?;
    range(
        "limits.recent_finals",
        config.limits.recent_finals,
        0..=1000,
    )?;

    if !wstream_wire::language::is_known(&config.language) {
        return Err(value(
            "language",
            &config.language,
            "not a language that Whisper knows: use \"auto\" or an ISO 639-1 code such as \"en\"",
        ));
    }
    let bad = |bad: BadList| ConfigError::Value {
        key: bad.key,
        value: bad.value,
        problem: bad.problem,
    };
    check_languages(&config.languages).map_err(bad)?;
    check_vocabulary(&config.vocabulary).map_err(bad)?;
    check_plugins(&config.plugins.run).map_err(bad)?;
    check_plugin_keys(&config.plugins.keys).map_err(bad)?;
    check_drivers(&config.typing.drivers).map_err(bad)?;
    range(
        "typing.max_characters",
        config.typing.max_characters,
        1..=1_000_000,
    )?;
    range(
        "typing.characters_per_s",
        config.typing.characters_per_s,
        0..=100_000,
    )?;
    // A day; and longer than anybody holds a key by mistake.
    range(
        "session.auto_stop_s",
        config.session.auto_stop_s,
        0..=86_400,
    )?;
    range("session.hold_ms", config.session.hold_ms, 100..=5_000)?;
    if !config.model.is_empty() && !wstream_wire::files::is_model_name(&config.model) {
        return Err(value(
            "model",
            &config.model,
            "not a model's name: see `wstreamctl model list`",
        ));
    }
    check_remotes(config)
}

fn check_remotes(config: &Config) -> Result<(), ConfigError> {
    remote::check(&config.remote)?;
    let backend = &config.backend;
    if backend != wstream_api::BACKEND_LOCAL && !config.remote.contains_key(backend) {
        return Err(value(
            "backend",
            backend,
            "neither `local` nor configured: add a table [remote.NAME] of that name",
        ));
    }
    Ok(())
}

pub(super) fn range(
    key: &str,
    number: u32,
    allowed: RangeInclusive<u32>,
) -> Result<(), ConfigError> {
    if allowed.contains(&number) {
        return Ok(());
    }
    Err(ConfigError::Value {
        key: key.to_owned(),
        value: number.to_string(),
        problem: format!("out of range: use {} to {}", allowed.start(), allowed.end()),
    })
}

fn one_of(key: &str, chosen: &str, allowed: &[&str]) -> Result<(), ConfigError> {
    if allowed.contains(&chosen) {
        return Ok(());
    }
    let names: Vec<String> = allowed.iter().map(|name| format!("{name:?}")).collect();
    Err(value(
        key,
        chosen,
        &format!("use one of {}", names.join(", ")),
    ))
}

pub(super) fn value(key: &str, value: &str, problem: &str) -> ConfigError {
    ConfigError::Value {
        key: key.to_owned(),
        value: format!("{value:?}"),
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text).expect_err(text).to_string()
    }

    #[test]
    fn the_installed_default_parses_to_the_defaults() {
        assert_eq!(
            parse(super::super::DEFAULT_TEXT).unwrap(),
            Config::default()
        );
    }

    /// Every key of the installed default, uncommented, still gives the defaults: the values in
    /// the comments are true and no key is missing or misspelt.
    #[test]
    fn the_commented_values_are_the_defaults() {
        let uncommented: String = super::super::DEFAULT_TEXT
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest,
                _ => line,
            })
            .map(|line| format!("{line}\n"))
            .collect();
        let table: toml::Table = uncommented.parse().unwrap();
        let mut config = parse(&uncommented).unwrap();
        let example = config.remote.remove("office").unwrap();
        let expected = remote::Remote {
            url: example.url.clone(),
            ..remote::Remote::default()
        };
        assert_eq!(example, expected);
        assert_eq!(table["remote"]["office"].as_table().unwrap().len(), 17);
        assert_eq!(config, Config::default());
        for (table_name, keys) in [
            ("audio", 4),
            ("vad", 2),
            ("endpoint", 6),
            ("engine", 5),
            ("typing", 8),
            ("session", 7),
            ("plugins", 2),
            ("limits", 3),
        ] {
            assert_eq!(
                table[table_name].as_table().unwrap().len(),
                keys,
                "{table_name}"
            );
        }
        for key in [
            "strategy",
            "backend",
            "model",
            "language",
            "languages",
            "vocabulary",
        ] {
            assert!(table.contains_key(key), "{key}");
        }
    }

    #[test]
    fn a_wrong_key_shows_line_and_caret() {
        let message = error("strategy = \"hybrid\"\n[endpoint]\nhangover = 3\n");
        assert!(message.contains("line 3"), "{message}");
        assert!(message.contains('^'), "{message}");
        assert!(message.contains("unknown field `hangover`"), "{message}");
        assert!(message.contains("hangover_ms"), "{message}");
    }

    #[test]
    fn a_wrong_type_shows_line_and_caret() {
        let message = error("[endpoint]\nhangover_ms = \"long\"\n");
        assert!(message.contains("line 2"), "{message}");
        assert!(message.contains('^'), "{message}");
    }

    #[test]
    fn values_out_of_range_name_their_key() {
        for (text, key) in [
            ("[endpoint]\nhangover_ms = 1", "endpoint.hangover_ms"),
            ("[engine]\nthreads = 1000", "engine.threads"),
            ("[engine]\nnice = 20", "engine.nice"),
            ("[audio]\nhost = \"jack\"", "audio.host"),
            ("language = \"klingon\"", "language"),
            ("languages = [\"en\", \"auto\"]", "languages[1]"),
            ("vocabulary = [\"wstream\", \"\"]", "vocabulary[1]"),
            ("model = \"../x\"", "model"),
            ("[plugins]\nrun = [\"../x\"]", "plugins.run[0]"),
            ("[plugins]\nkeys = [\"F4\"]", "plugins.keys[0]"),
            ("[typing]\ndrivers = [\"xdo\"]", "typing.drivers[0]"),
            ("[typing]\nmax_characters = 0", "typing.max_characters"),
            ("backend = \"desk\"", "backend"),
            ("[remote.desk]\nurl = \"http://x\"", "remote.desk.url"),
            ("[remote.local]\nurl = \"ws://x\"", "remote.local"),
        ] {
            let message = error(text);
            assert!(message.starts_with(key), "{message}");
            assert!(
                message.contains("use")
                    || message.contains("must")
                    || message.contains("add")
                    || message.contains("remove")
                    || message.contains("see"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_missing_file_is_the_default_and_a_broken_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        assert_eq!(load(&path).unwrap(), Config::default());
        std::fs::write(&path, "nonsense = 1").unwrap();
        let message = load(&path).unwrap_err().to_string();
        assert!(message.contains("config.toml"), "{message}");
    }

    proptest::proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in "\\PC{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn any_number_is_taken_or_refused(number: i64) {
            for key in ["hangover_ms", "max_utterance_s", "onset_ms"] {
                let _ = parse(&format!("[endpoint]\n{key} = {number}\n"));
            }
        }
    }
}
