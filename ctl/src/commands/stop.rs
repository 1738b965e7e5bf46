//! `wstreamctl stop`

use clap::Args;

use crate::bus::{ANSWER_LIMIT, Bus, answer, read};
use crate::failure::Failure;
use crate::output;

/// Close the microphone; what was said still comes
///
/// An utterance under way ends here and still gets its text. Without a session, or without a
/// daemon, there is nothing to do.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
    wstreamctl stop")]
pub(crate) struct Stop {}

impl Stop {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let bus = Bus::connect().await?;
        if !bus.daemon_runs().await? {
            return output::line(super::status::STOPPED);
        }
        answer("Stop", ANSWER_LIMIT, bus.dictation.stop()).await?;
        output::line(&read("State", bus.dictation.state()).await?)
    }
}
