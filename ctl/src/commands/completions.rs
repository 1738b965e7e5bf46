//! `wstreamctl completions`

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::failure::Failure;
use crate::output;

/// Print the completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
    wstreamctl completions bash > ~/.local/share/bash-completion/completions/wstreamctl
    wstreamctl completions zsh > ~/.zfunc/_wstreamctl
    wstreamctl completions fish > ~/.config/fish/completions/wstreamctl.fish")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "wstreamctl", &mut script);
        output::bytes(&script)
    }
}
