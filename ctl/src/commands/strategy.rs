//! `wstreamctl strategy`

use clap::Args;

use crate::bus::{ANSWER_LIMIT, Bus, answer, read};
use crate::cli::STRATEGIES;
use crate::failure::Failure;
use crate::output;

/// Show the strategies, or choose one
///
/// What the model is given from the utterance before: `prompt` its text, `context` its last second
/// of sound, `hybrid` both. Counts from the next utterance on, also in the middle of a session,
/// and is kept.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
    wstreamctl strategy                   a star stands at the one in use
    wstreamctl strategy hybrid")]
pub(crate) struct Strategy {
    /// The strategy to use
    #[arg(value_parser = STRATEGIES)]
    name: Option<String>,
}

impl Strategy {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let bus = Bus::connect().await?;
        let Some(name) = self.name else {
            let choices = read("Strategies", bus.dictation.strategies()).await?;
            let chosen = read("Strategy", bus.dictation.strategy()).await?;
            return super::print_choices(&choices, &chosen);
        };
        answer(
            "SetStrategy",
            ANSWER_LIMIT,
            bus.dictation.set_strategy(&name),
        )
        .await?;
        output::line(&name)
    }
}
