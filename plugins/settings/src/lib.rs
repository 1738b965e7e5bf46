//! What the project's own plugins share beside the contract: a configuration file each, and the
//! options and sentences that go with it. A plugin of another's needs none of this.
//!
//! A file is `~/.config/wstream/NAME.toml`. It is read anew where it has changed since, which is
//! looked up when there is something to do: no watch, no timer.
#![warn(missing_docs)]

mod file;
mod options;

pub use file::{File, Stamp, config_dir, parse_named, read};
pub use options::{Options, complain};

use serde::de::DeserializeOwned;

/// The settings of a plugin: every key has a default, unknown keys are refused.
pub trait Settings: DeserializeOwned + Default {
    /// The plugin's name: the file is called so, and the program `wstream-NAME`.
    const NAME: &'static str;
    /// The commented default file, as it is installed.
    const DEFAULT_TEXT: &'static str;

    /// Looks at what types cannot say, such as ranges.
    fn check(&self) -> Result<(), BadValue>;
}

/// A value that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue {
    /// Path of the key.
    pub key: String,
    /// What it is set to.
    pub value: String,
    /// What is wrong with it and what is allowed.
    pub problem: String,
}

impl BadValue {
    /// `number` of `key` unless it is within `allowed`.
    pub fn unless_in(
        key: &str,
        number: u32,
        allowed: std::ops::RangeInclusive<u32>,
    ) -> Result<(), Self> {
        if allowed.contains(&number) {
            return Ok(());
        }
        Err(BadValue {
            key: key.to_owned(),
            value: number.to_string(),
            problem: format!("out of range: use {} to {}", allowed.start(), allowed.end()),
        })
    }
}

/// Why a file cannot be used. The text is for the user and says where.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It is there but cannot be read.
    #[error("{path}: cannot be read ({source}): make it readable or remove it")]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a wrong type: the parser's text shows line and caret.
    #[error("{0}")]
    Parse(String),
    /// A value that is not allowed.
    #[error("{path}: {} = {}: {}", .bad.key, .bad.value, .bad.problem)]
    Value {
        /// The file.
        path: std::path::PathBuf,
        /// What and why.
        bad: BadValue,
    },
}

/// The installed default with its commented keys taken as they stand.
pub fn uncommented(default_text: &str) -> String {
    let lines = default_text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest,
            _ => line,
        });
    lines.map(|line| format!("{line}\n")).collect()
}

/// For a test: the installed default is the default, its commented values are true, and it has
/// `keys` of them, which is all.
///
/// # Panics
///
/// Where it is not so.
pub fn assert_default_text<T: Settings + PartialEq + std::fmt::Debug>(keys: usize) {
    let parse = |text: &str| {
        toml::from_str::<T>(text).unwrap_or_else(|error| panic!("the default file: {error}"))
    };
    let uncommented = uncommented(T::DEFAULT_TEXT);
    assert_eq!(parse(T::DEFAULT_TEXT), T::default());
    assert_eq!(parse(&uncommented), T::default());
    assert_eq!(T::default().check(), Ok(()));
    let table: Result<toml::Table, _> = uncommented.parse();
    assert_eq!(table.map(|table| table.len()), Ok(keys));
}
