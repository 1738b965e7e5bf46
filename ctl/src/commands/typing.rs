//! `wstreamctl typing`

use clap::Args;

use crate::bus::{ANSWER_LIMIT, Bus, answer, read};
use crate::cli::TYPING;
use crate::failure::Failure;
use crate::output;

/// Show when texts are typed into the focused window, or choose
///
/// `final` types each utterance when it is finished, `live` types words while you speak, as soon as
/// they are settled, and `off` types nothing. Counts from the next session on, for the microphone
/// only, and is kept. While a program filters texts (`wstreamctl plugins`), `live` waits for the
/// finished text.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
    wstreamctl typing                     a star stands at the one in use
    wstreamctl typing live")]
pub(crate) struct Typing {
    /// When to type
    #[arg(value_parser = TYPING)]
    when: Option<String>,
}

impl Typing {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let bus = Bus::connect().await?;
        let Some(when) = self.when else {
            let chosen = read("Typing", bus.dictation.typing()).await?;
            return super::print_choices(&TYPING.map(str::to_owned), &chosen);
        };
        answer("SetTyping", ANSWER_LIMIT, bus.dictation.set_typing(&when)).await?;
        output::line(&when)
    }
}
