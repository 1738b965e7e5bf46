//! Who may use the server.
//!
//! Enters: a file with tokens, one per line; what a client gives as its own. Leaves: yes or no, in a
//! time that does not depend on how much of a token is right.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

/// Fewer characters can be guessed.
const LEAST_CHARS: usize = 16;

/// More than that is no token but another file (thousands of tokens fit).
const MOST_FILE_BYTES: u64 = 1024 * 1024;

/// Why tokens cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the tokens in {0}")]
    Read(PathBuf, #[source] std::io::Error),
    /// The file is far too large.
    #[error("{0} is too large for a file of tokens: it has one token per line")]
    TooLarge(PathBuf),
    /// There is no token in it.
    #[error(
        "there is no token in {0}: put one on each line, made for example with `openssl rand -hex 32`"
    )]
    None(PathBuf),
    /// A token is too short or has characters that cannot be sent. Its text is not told.
    #[error(
        "line {line} of {path} is no token: use {LEAST_CHARS} or more letters, digits and -._~+/=, \
         made for example with `openssl rand -hex 32`"
    )]
    Bad {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
}

/// The tokens that are right. Only their hashes are kept, which are all of one length.
#[derive(Clone)]
pub struct Tokens(Vec<[u8; 32]>);

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} tokens", self.0.len())
    }
}

impl Tokens {
    /// Reads the file at `path`: one token per line; empty lines and those that begin with `#` say
    /// nothing.
    pub fn read(path: &Path) -> Result<Tokens, TokenError> {
        let failed = |error| TokenError::Read(path.to_owned(), error);
        let size = std::fs::metadata(path).map_err(failed)?.len();
        if size > MOST_FILE_BYTES {
            return Err(TokenError::TooLarge(path.to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        match Tokens::parse(&text) {
            Ok(tokens) if tokens.0.is_empty() => Err(TokenError::None(path.to_owned())),
            Ok(tokens) => Ok(tokens),
            Err(line) => Err(TokenError::Bad {
                path: path.to_owned(),
                line,
            }),
        }
    }

    /// The tokens in `text`, or the number of a line that has none.
    pub fn parse(text: &str) -> Result<Tokens, usize> {
        let mut tokens = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // What RFC 6750 lets stand in a header.
            let is_sendable = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
            if line.len() < LEAST_CHARS || !line.bytes().all(is_sendable) {
                return Err(index + 1);
            }
            tokens.push(hash(line.as_bytes()));
        }
        Ok(Tokens(tokens))
    }

    /// Whether `token` is one of them. All of them are looked at, whatever is found.
    pub fn admit(&self, token: &[u8]) -> bool {
        let given = hash(token);
        let none = Choice::from(0);
        let found = self
            .0
            .iter()
            .fold(none, |found, token| found | token.ct_eq(&given));
        found.into()
    }
}

fn hash(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_per_line() {
        let tokens = Tokens::parse("# office\r\n\n  0123456789abcdef  \nzyxwvutsrqponmlkjihg==\n");
        let tokens = tokens.unwrap();
        assert!(tokens.admit(b"0123456789abcdef"));
        assert!(tokens.admit(b"zyxwvutsrqponmlkjihg=="));
        for wrong in [
            &b""[..],
            b"0123456789abcde",
            b"0123456789abcdef ",
            b"# office",
        ] {
            assert!(!tokens.admit(wrong));
        }
        assert_eq!(format!("{tokens:?}"), "2 tokens");
    }

    #[test]
    fn what_is_no_token_is_told_by_its_line() {
        for (text, line) in [
            ("short", 1),
            ("0123456789abcdef\ntwo words of a sentence", 2),
            ("\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}", 1),
        ] {
            assert_eq!(Tokens::parse(text).unwrap_err(), line, "{text}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        let told = |path: &Path| Tokens::read(path).unwrap_err().to_string();
        assert!(told(&path).contains("cannot read"));
        std::fs::write(&path, "# none yet\n").unwrap();
        assert!(told(&path).contains("openssl rand"));
        std::fs::write(&path, "0123456789abcdef\nhunter2\n").unwrap();
        let message = told(&path);
        assert!(
            message.contains("line 2") && !message.contains("hunter2"),
            "{message}"
        );
    }
}
