//! `wstreamctl start`

use clap::Args;

use crate::bus::{Bus, OPEN_LIMIT, answer};
use crate::cli::SessionOptions;
use crate::failure::Failure;
use crate::output;

/// Open the microphone and start listening
///
/// Waits until the microphone is open. While it is open already, nothing changes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
    wstreamctl start
    wstreamctl start --language de        German, until the microphone is closed")]
pub(crate) struct Start {
    #[command(flatten)]
    options: SessionOptions,
}

impl Start {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let bus = Bus::connect().await?;
        let starting = bus.dictation.start(self.options.to_map_with_desktop());
        answer("Start", OPEN_LIMIT, starting).await?;
        output::line(wstream_api::STATE_LISTENING)
    }
}
