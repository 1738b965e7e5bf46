//! `wstreamctl man`, for the installer and for packages.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, ValueHint};

use crate::cli::Cli;
use crate::failure::Failure;

/// Write the manual pages into a folder: wstreamctl.1 and one for each command
#[derive(Debug, Args)]
#[command(
    hide = true,
    after_help = "\
Example:
    wstreamctl man ~/.local/share/man/man1"
)]
pub(crate) struct Man {
    /// The folder, which must exist
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: PathBuf,
}

impl Man {
    pub(crate) fn run(self) -> Result<(), Failure> {
        clap_mangen::generate_to(Cli::command(), &self.dir).map_err(|cause| Failure::Write {
            path: self.dir,
            cause,
        })
    }
}
