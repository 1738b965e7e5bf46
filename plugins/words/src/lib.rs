//! What was said → what is to be written: spoken punctuation and commands, sounds that are no
//! words, numbers, replacements. Data files in, text in, text out; only `library` knows files.
//!
//! ```
//! use wstream_words::{Language, Rules, Settings};
//!
//! let english = Language::built_in("en").unwrap_or_default();
//! let rules = Rules::new(&english, "en", &Settings::default())?;
//! assert_eq!(rules.apply("Hello, comma, world, period.").text, "Hello, world.");
//! assert_eq!(rules.apply("The Victorian period ended.").text, "The Victorian period ended.");
//! # Ok::<(), wstream_words::ReplaceError>(())
//! ```
#![warn(missing_docs)]

mod fillers;
mod find;
mod language;
mod library;
mod numbers;
mod replace;
mod rules;
mod text;
mod write;

pub use language::{Act, BUILT_IN, Command, Join, Language, Needs, Replace};
pub use library::Library;
pub use replace::ReplaceError;
pub use rules::{Numbers, Rules, Settings};
pub use write::Written;
