//! `wstreamctl toggle`

use clap::Args;

use crate::bus::{Bus, OPEN_LIMIT, answer};
use crate::cli::SessionOptions;
use crate::failure::Failure;
use crate::output;

/// Start listening, or stop when listening: for a hotkey
///
/// Prints the state after it: `listening`, `finishing` while texts are still to come, or `idle`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
    wstreamctl toggle
    bindsym $mod+d exec wstreamctl toggle      in the configuration of sway or i3")]
pub(crate) struct Toggle {
    #[command(flatten)]
    options: SessionOptions,
}

impl Toggle {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let bus = Bus::connect().await?;
        let toggling = bus.dictation.toggle(self.options.to_map_with_desktop());
        let state = answer("Toggle", OPEN_LIMIT, toggling).await?;
        output::line(&state)
    }
}
