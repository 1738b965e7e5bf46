//! `wstreamctl cancel`

use clap::Args;

use crate::bus::{ANSWER_LIMIT, Bus, answer, read};
use crate::failure::Failure;
use crate::output;

/// Close the microphone and forget what was said without text yet
///
/// Utterances that have no text yet get none. Without a session, or without a daemon, there is
/// nothing to do.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
    wstreamctl cancel")]
pub(crate) struct Cancel {}

impl Cancel {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let bus = Bus::connect().await?;
        if !bus.daemon_runs().await? {
            return output::line(super::status::STOPPED);
        }
        answer("Cancel", ANSWER_LIMIT, bus.dictation.cancel()).await?;
        output::line(&read("State", bus.dictation.state()).await?)
    }
}
