//! The configuration file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wstreamd::config;

fuzz_target!(|text: &str| {
    if let Err(error) = config::parse(text) {
        // The message is made from the text, line and caret.
        assert!(!error.to_string().is_empty());
    }
});
