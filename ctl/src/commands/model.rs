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
    List {
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },

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
    Path {
        /// An installed model; without one: the folder
        name: Option<OsString>,
    },

    /// Measure this machine and name the model to use
    ///
    /// Measures how long a decode takes: `base` where it keeps up with speech, else `tiny.en`.
    #[command(after_help = "\
Examples:
    wstreamctl model recommend
    wstreamctl model recommend --json | jq -r .model")]
    Recommend {
        /// Print a JSON object
        #[arg(long)]
        json: bool,

        /// Measure with this many threads; as many as decoding uses unless given
        #[arg(long, value_name = "N")]
        threads: Option<OsString>,
    },
}

#[derive(Debug, Args)]
struct Named {
    /// The model, as `wstreamctl model list` calls it
    name: OsString,
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
    let mut arguments = vec![OsStr::new("model")];
    let mut push = |argument| arguments.push(argument);
    match action {
        Action::List { json } => {
            push("list".as_ref());
            if *json {
                push("--json".as_ref());
            }
        }
        Action::Pull(named) => {
            push("pull".as_ref());
            push(&named.name);
        }
        Action::Import(import) => {
            push("import".as_ref());
            push(&import.dir);
            if let Some(name) = &import.name {
                push("--name".as_ref());
                push(name);
            }
            if import.q8_0 {
                push("--q8-0".as_ref());
            }
        }
        Action::Remove(named) => {
            push("remove".as_ref());
            push(&named.name);
        }
        Action::Path { name } => {
            push("path".as_ref());
            if let Some(name) = name {
                push(name);
            }
        }
        Action::Recommend { json, threads } => {
            push("recommend".as_ref());
            if *json {
                push("--json".as_ref());
            }
            if let Some(threads) = threads {
                push("--threads".as_ref());
                push(threads);
            }
        }
        Action::Use { .. } => {}
    }
    arguments
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
            (
                "recommend --threads 2 --json",
                "model recommend --json --threads 2",
            ),
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
