//! The endpoint's path: `/ws/transcribe/{strategy}`.

use crate::{Strategy, UnknownStrategy};

/// What is in front of the strategy.
pub const PREFIX: &str = "/ws/transcribe/";

/// WebSocket close code for both refusals: policy violation (RFC 6455, 7.4.1).
pub const CLOSE_CODE: u16 = 1008;

/// Why a path is refused; the text is the close reason that version 1 prescribes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Not of the form `/ws/transcribe/NAME`.
    #[error("Invalid path")]
    Invalid,
    /// The name is no strategy.
    #[error("Unknown strategy: {0}")]
    UnknownStrategy(String),
}

/// The path for `strategy`.
pub fn of(strategy: Strategy) -> String {
    format!("{PREFIX}{strategy}")
}

/// The strategy that `path` asks for. A query and further segments after the strategy are ignored.
pub fn parse(path: &str) -> Result<Strategy, PathError> {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let rest = path.strip_prefix(PREFIX).ok_or(PathError::Invalid)?;
    let name = rest.split('/').next().unwrap_or_default();
    if name.is_empty() {
        return Err(PathError::Invalid);
    }
    name.parse()
        .map_err(|UnknownStrategy(name)| PathError::UnknownStrategy(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let unknown = |name: &str| Err(PathError::UnknownStrategy(name.to_owned()));
        for (path, expected) in [
            ("/ws/transcribe/prompt", Ok(Strategy::Prompt)),
            ("/ws/transcribe/context", Ok(Strategy::Context)),
            ("/ws/transcribe/hybrid", Ok(Strategy::Hybrid)),
            ("/ws/transcribe/hybrid/", Ok(Strategy::Hybrid)),
            ("/ws/transcribe/hybrid/more/of/it", Ok(Strategy::Hybrid)),
            ("/ws/transcribe/hybrid?x=1", Ok(Strategy::Hybrid)),
            ("/ws/transcribe/Prompt", unknown("Prompt")),
            ("/ws/transcribe/beam", unknown("beam")),
            ("/ws/transcribe/", Err(PathError::Invalid)),
            ("/ws/transcribe", Err(PathError::Invalid)),
            ("/ws//transcribe/prompt", Err(PathError::Invalid)),
            ("/", Err(PathError::Invalid)),
            ("", Err(PathError::Invalid)),
        ] {
            assert_eq!(parse(path), expected, "{path}");
        }
        assert_eq!(parse(&of(Strategy::Context)), Ok(Strategy::Context));
        assert_eq!(
            parse("/ws/transcribe/beam").unwrap_err().to_string(),
            "Unknown strategy: beam"
        );
    }
}
