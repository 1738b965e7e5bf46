//! `wstreamctl model`: what needs the model's format is done by `wstream-engine`.

use std::ffi::{OsStr, OsString};

use clap::{Args, Subcommand};

use crate::bus::{ANSWER_LIMIT, Bus, answer};
use crate::failure::Failure;
use crate::output;
use crate::program::ENGINE;

/// Get, choose and remove models
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Model {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the models: those that are installed and those that can be pulled
    #[command(after_help = "\
Example:
    wstreamctl model list")]
    List(Rest),

    /// Download a model
    ///
    /// Shows its progress, goes on where an earlier download was cut off, and checks the file
    /// against its published checksum before it counts.
    #[command(after_help = "\
Examples:
    wstreamctl model pull base
    wstreamctl model pull tiny.en")]
    Pull(Named),

    /// Convert a model from a folder of Hugging Face (safetensors) or CTranslate2
    #[command(after_help = "\
Examples:
    wstreamctl model import ~/whisper-small-de --name small-de
    wstreamctl model import ~/whisper-small-de --q8-0        half the size")]
    Import(Import),

    /// Choose the model that the daemon transcribes with
    ///
    /// Counts from the next utterance on and is kept.
    #[command(after_help = "\
Example:
    wstreamctl model use tiny.en")]
    Use {
        /// An installed model
        name: String,
    },

    /// Delete an installed model
    #[command(after_help = "\
Example:
    wstreamctl model remove small")]
    Remove(Named),

    /// Print where models lie, or one model's file
    #[command(after_help = "\
Examples:
    wstreamctl model path
    wstreamctl model path base")]
    Path(Rest),

    /// Measure this machine and name the model to use
    #[command(after_help = "\
Example:
    wstreamctl model pull \"$(wstreamctl model recommend)\"")]
    Recommend(Rest),
}

/// Arguments that go to the engine as they are.
#[derive(Debug, Args)]
struct Rest {
    /// Passed on to `wstream-engine model`
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARG"
    )]
    rest: Vec<OsString>,
}

#[derive(Debug, Args)]
struct Named {
    /// The model, as `wstreamctl model list` calls it
    name: OsString,

    #[command(flatten)]
    rest: Rest,
}

#[derive(Debug, Args)]
struct Import {
    /// The folder that holds the model
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    dir: OsString,

    /// What to call it; the folder's name unless given
    #[arg(long, value_name = "NAME")]
    name: Option<OsString>,

    /// Store the weights in eight bits: half the size, nearly the same words
    #[arg(long)]
    q8_0: bool,
}

impl Model {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match &self.action {
            Action::Use { name } => use_model(name).await,
            action => Err(ENGINE.become_it(&arguments(action))),
        }
    }
}

async fn use_model(name: &str) -> Result<(), Failure> {
    let bus = Bus::connect().await?;
    answer("SetModel", ANSWER_LIMIT, bus.dictation.set_model(name)).await?;
    output::line(name)
}

/// The engine's arguments for `action`.
fn arguments(action: &Action) -> Vec<&OsStr> {
    let mut arguments: Vec<&OsStr> = vec!["model".as_ref()];
    match action {
        Action::List(rest) => push(&mut arguments, "list", rest),
        Action::Path(rest) => push(&mut arguments, "path", rest),
        Action::Recommend(rest) => push(&mut arguments, "recommend", rest),
        Action::Pull(named) => push_named(&mut arguments, "pull", named),
        Action::Remove(named) => push_named(&mut arguments, "remove", named),
        Action::Import(import) => {
            arguments.extend::<[&OsStr; 2]>(["import".as_ref(), &import.dir]);
            if let Some(name) = &import.name {
                arguments.extend::<[&OsStr; 2]>(["--name".as_ref(), name]);
            }
            if import.q8_0 {
                arguments.push("--q8-0".as_ref());
            }
        }
        Action::Use { .. } => {}
    }
    arguments
}

fn push<'a>(arguments: &mut Vec<&'a OsStr>, verb: &'a str, rest: &'a Rest) {
    arguments.push(verb.as_ref());
    arguments.extend(rest.rest.iter().map(OsString::as_os_str));
}

fn push_named<'a>(arguments: &mut Vec<&'a OsStr>, verb: &'a str, named: &'a Named) {
    arguments.push(verb.as_ref());
    arguments.push(&named.name);
    arguments.extend(named.rest.rest.iter().map(OsString::as_os_str));
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn arguments_reach_the_engine() {
        for (line, expected) in [
            ("list", "model list"),
            ("list --json", "model list --json"),
            ("pull tiny.en", "model pull tiny.en"),
            (
                "import /m --q8-0 --name x",
                "model import /m --name x --q8-0",
            ),
            ("remove base", "model remove base"),
            ("path", "model path"),
            ("path base", "model path base"),
            ("recommend", "model recommend"),
        ] {
            let words = ["wstreamctl", "model"].into_iter().chain(line.split(' '));
            let Command::Model(model) = Cli::parse_from(words).command else {
                panic!("{line} is a model command");
            };
            let found: Vec<_> = arguments(&model.action)
                .into_iter()
                .map(|argument| argument.to_str().unwrap())
                .collect();
            assert_eq!(found.join(" "), expected);
        }
    }
}
