//! `wstreamctl history`: what was kept is read and deleted by the plugin that keeps it.

use std::ffi::{OsStr, OsString};

use clap::Args;

use crate::failure::Failure;
use crate::program::HISTORY;

/// List, search, export and delete what was dictated, where it is kept
///
/// Texts are kept only where the daemon runs the plugin: `[plugins] run = ["history"]` in the
/// configuration. Commands: list, search, export, delete, prune, path; without one, list.
/// `wstreamctl history COMMAND --help` and wstream-history(1) tell more.
#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    after_help = "\
Examples:
    wstreamctl history list -n 50
    wstreamctl history search invoice --since 7d
    wstreamctl history export --format markdown > dictated.md
    wstreamctl history delete --matching password"
)]
pub(crate) struct History {
    /// What wstream-history is given
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    arguments: Vec<OsString>,
}

impl History {
    pub(crate) fn run(self) -> Result<(), Failure> {
        Err(HISTORY.become_it(&arguments(&self.arguments)))
    }
}

/// Never without a command: that would be the plugin itself, which goes on for ever.
fn arguments(given: &[OsString]) -> Vec<&OsStr> {
    match given {
        [] => vec!["list".as_ref()],
        given => given.iter().map(OsString::as_os_str).collect(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn arguments_reach_the_plugin() {
        for (line, expected) in [
            ("", "list"),
            ("list", "list"),
            ("--help", "--help"),
            ("search --help", "search --help"),
            ("list -n 5 --json", "list -n 5 --json"),
            ("delete --matching a b", "delete --matching a b"),
        ] {
            let words = ["wstreamctl", "history"].into_iter();
            let words = words.chain(line.split_whitespace());
            let Command::History(history) = Cli::parse_from(words).command else {
                panic!("{line} is a history command");
            };
            let found: Vec<_> = arguments(&history.arguments)
                .into_iter()
                .map(|argument| argument.to_str().unwrap())
                .collect();
            assert_eq!(found.join(" "), expected);
        }
    }
}
