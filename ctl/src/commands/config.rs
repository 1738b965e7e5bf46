//! `wstreamctl config`

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueHint};

use crate::failure::Failure;
use crate::output;
use crate::program::DAEMON;

/// Find, show and check the configuration
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print where the configuration file is, or would be
    #[command(after_help = "\
Example:
    \"$EDITOR\" \"$(wstreamctl config path)\"")]
    Path,

    /// Print the configuration file; where there is none, the defaults
    #[command(after_help = "\
Example:
    wstreamctl config show")]
    Show,

    /// Check the configuration file; a mistake is shown with its line
    #[command(after_help = "\
Examples:
    wstreamctl config check
    wstreamctl config check ./config.toml")]
    Check {
        /// Another file than the one in use
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
    },
}

impl Config {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Path => output::line(&path()?.display().to_string()),
            Action::Show => show(&path()?),
            Action::Check { file: None } => Err(DAEMON.become_it(&["--check-config".as_ref()])),
            Action::Check { file: Some(file) } => {
                let arguments: [&OsStr; 3] = [
                    "--check-config".as_ref(),
                    "--config".as_ref(),
                    file.as_ref(),
                ];
                Err(DAEMON.become_it(&arguments))
            }
        }
    }
}

/// `$XDG_CONFIG_HOME/wstream/config.toml`
fn path() -> Result<PathBuf, Failure> {
    let project = directories::ProjectDirs::from("", "", "wstream").ok_or(Failure::NoHome)?;
    Ok(project.config_dir().join("config.toml"))
}

fn show(path: &Path) -> Result<(), Failure> {
    match std::fs::read(path) {
        Ok(content) => output::bytes(&content),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            output::note(&format!(
                "wstreamctl: {} does not exist, so these defaults are in use",
                path.display()
            ));
            Err(DAEMON.become_it(&["--print-default-config".as_ref()]))
        }
        Err(cause) => Err(Failure::Open {
            path: path.to_owned(),
            cause,
        }),
    }
}
