//! `wstreamctl undo`

use clap::Args;

use crate::bus::{Bus, OPEN_LIMIT, answer};
use crate::failure::Failure;
use crate::output;

/// Take away again what was typed last
///
/// Only where the window that it was typed into still has the focus, and exactly what was typed; if
/// something else stands there by now, it stays. Called again it takes away what was typed before
/// that. Bind it to a key: from a terminal, the terminal has the focus.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
    bindsym $mod+z exec wstreamctl undo        in the configuration of sway or i3")]
pub(crate) struct Undo {}

impl Undo {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let bus = Bus::connect().await?;
        if !bus.daemon_runs().await? {
            return output::line(super::status::STOPPED);
        }
        let characters = answer("Undo", OPEN_LIMIT, bus.dictation.undo()).await?;
        output::line(&format!("{characters} characters"))
    }
}
