//! `notify.toml`

use std::time::Duration;

use serde::Deserialize;
use wstream_settings::BadValue;

/// The file. Its meaning is in the commented default.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) listening: bool,
    pub(crate) partials: bool,
    pub(crate) finals: bool,
    pub(crate) errors: bool,
    pub(crate) final_ms: u32,
    pub(crate) error_ms: u32,
    pub(crate) interval_ms: u32,
    pub(crate) characters: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            listening: true,
            partials: true,
            finals: true,
            errors: true,
            // Long enough to read a sentence.
            final_ms: 3000,
            // It ends with what to do.
            error_ms: 10_000,
            // Partials come every 300 ms; two utterances at once may bring them closer together.
            interval_ms: 200,
            // About four lines of a notification.
            characters: 300,
        }
    }
}

impl Settings {
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms.into())
    }
}

impl wstream_settings::Settings for Settings {
    const NAME: &'static str = "notify";
    const DEFAULT_TEXT: &'static str = include_str!("../../../packaging/notify.toml");

    fn check(&self) -> Result<(), BadValue> {
        BadValue::unless_in("final_ms", self.final_ms, 500..=60_000)?;
        BadValue::unless_in("error_ms", self.error_ms, 500..=60_000)?;
        BadValue::unless_in("interval_ms", self.interval_ms, 50..=2000)?;
        BadValue::unless_in("characters", self.characters, 40..=2000)
    }
}

#[cfg(test)]
mod tests {
    use wstream_settings::{Settings as _, assert_default_text};

    use super::*;

    #[test]
    fn the_installed_default_is_the_default() {
        assert_default_text::<Settings>(8);
    }

    #[test]
    fn values_out_of_range_are_named() {
        for key in ["final_ms", "error_ms", "interval_ms", "characters"] {
            let settings: Settings = toml::from_str(&format!("{key} = 1")).unwrap();
            assert_eq!(settings.check().unwrap_err().key, key);
        }
    }
}
