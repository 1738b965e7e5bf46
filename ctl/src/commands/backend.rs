//! `wstreamctl backend`

use clap::Args;

use crate::bus::{ANSWER_LIMIT, Bus, answer, read};
use crate::failure::Failure;
use crate::output;

/// Show who can transcribe, or choose
///
/// `local` is the engine on this machine; the others are the remotes of the configuration. The
/// choice is kept.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
    wstreamctl backend                    a star stands at the one in use
    wstreamctl backend local")]
pub(crate) struct Backend {
    /// `local`, or a remote's name
    name: Option<String>,
}

impl Backend {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let bus = Bus::connect().await?;
        let Some(name) = self.name else {
            let choices = read("Backends", bus.dictation.backends()).await?;
            let chosen = read("Backend", bus.dictation.backend()).await?;
            return super::print_choices(&choices, &chosen);
        };
        answer("SetBackend", ANSWER_LIMIT, bus.dictation.set_backend(&name)).await?;
        output::line(&name)
    }
}
