//! Standard output and standard error: whole lines, flushed, and an end without noise when the
//! reader leaves.

use std::io::{self, Write as _};

use crate::failure::Failure;
use crate::json::Object;
use crate::text::clean;

/// Writes `text` to standard output as it is, and flushes it.
pub(crate) fn raw(text: &str) -> Result<(), Failure> {
    bytes(text.as_bytes())
}

/// Writes `bytes` to standard output as they are, and flushes them.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ReaderGone,
            _ => Failure::Output(error),
        })
}

/// Writes a line of text from outside to standard output, made harmless.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    raw(&format!("{}\n", clean(text)))
}

/// Writes a line of JSON to standard output.
pub(crate) fn object(object: &Object) -> Result<(), Failure> {
    raw(&format!("{}\n", object.to_line()))
}

/// Writes a sentence to standard error, with our name in front.
pub(crate) fn complain(sentence: &str) {
    note(&format!("wstreamctl: {sentence}"));
}

/// Writes a line to standard error. Where that fails, there is nobody to tell.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", clean(text));
}

/// Writes a line to standard error that has been made harmless already and may hold styles.
pub(crate) fn styled_note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
