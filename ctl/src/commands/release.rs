//! `wstreamctl release`

use clap::Args;

use crate::bus::{ANSWER_LIMIT, Bus, answer};
use crate::failure::Failure;

/// The key for dictation was let go: see `wstreamctl press`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
    wstreamctl release
    bindsym --release Mod4+x exec wstreamctl release       in the configuration of sway")]
pub(crate) struct Release {}

impl Release {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let bus = Bus::connect().await?;
        answer("Release", ANSWER_LIMIT, bus.dictation.release()).await
    }
}
