//! `wstreamctl language`

use clap::Args;

use crate::bus::{ANSWER_LIMIT, Bus, answer, read};
use crate::failure::Failure;
use crate::output;

/// Show the language that is spoken, or choose one
///
/// `auto` lets the model tell, which costs time and sometimes words: name the language where you
/// can. The choice is kept.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
    wstreamctl language
    wstreamctl language de
    wstreamctl language auto")]
pub(crate) struct Language {
    /// An ISO 639-1 code such as `en`, or `auto`
    #[arg(value_name = "LANG")]
    code: Option<String>,
}

impl Language {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let bus = Bus::connect().await?;
        let Some(code) = self.code else {
            return output::line(&read("Language", bus.dictation.language()).await?);
        };
        answer(
            "SetLanguage",
            ANSWER_LIMIT,
            bus.dictation.set_language(&code),
        )
        .await?;
        output::line(&code)
    }
}
