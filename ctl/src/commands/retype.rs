//! `wstreamctl retype`

use clap::Args;

use crate::bus::{Bus, OPEN_LIMIT, answer};
use crate::failure::Failure;
use crate::output;

/// Type a text once more, where the focus is now
///
/// The last one, or that of the utterance with this number (`wstreamctl last -n 10` shows them).
/// Bind it to a key: from a terminal, the terminal has the focus.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
    wstreamctl retype
    sleep 3; wstreamctl retype 12              time to click where it should go")]
pub(crate) struct Retype {
    /// The utterance's number
    #[arg(default_value_t = 0, hide_default_value = true)]
    utterance: u64,
}

impl Retype {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let bus = Bus::connect().await?;
        if !bus.daemon_runs().await? {
            return output::line(super::status::STOPPED);
        }
        let typing = bus.dictation.retype(self.utterance);
        answer("Retype", OPEN_LIMIT, typing).await
    }
}
