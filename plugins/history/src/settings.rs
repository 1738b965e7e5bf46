//! `history.toml`

use serde::Deserialize;
use wstream_settings::BadValue;

/// The file. Its meaning is in the commented default.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) days: u32,
    pub(crate) entries: u32,
    pub(crate) raw: bool,
    pub(crate) feeds: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            // What somebody looks for is rarely older than a season.
            days: 90,
            // An hour a day for three months, at a sentence every ten seconds, is 30,000; most
            // people dictate less, and this many take about 4 MB.
            entries: 10_000,
            raw: true,
            feeds: false,
        }
    }
}

impl wstream_settings::Settings for Settings {
    const NAME: &'static str = "history";
    const DEFAULT_TEXT: &'static str = include_str!("../../../packaging/history.toml");

    fn check(&self) -> Result<(), BadValue> {
        BadValue::unless_in("days", self.days, 0..=36_500)?;
        BadValue::unless_in("entries", self.entries, 1..=1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use wstream_settings::{Settings as _, assert_default_text};

    use super::*;

    #[test]
    fn the_installed_default_is_the_default() {
        assert_default_text::<Settings>(4);
        let wrong: Settings = toml::from_str("entries = 0").unwrap();
        assert_eq!(wrong.check().unwrap_err().key, "entries");
    }
}
