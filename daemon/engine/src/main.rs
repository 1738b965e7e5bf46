//! The engine's commands; what they do lies in the library.

use std::process::ExitCode;

use clap::Parser;
use wstream_engine::model::{self, ModelCommand};

#[derive(Debug, Parser)]
#[command(name = "wstream-engine", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Fetch, convert, list and remove models.
    #[command(subcommand)]
    Model(ModelCommand),
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Model(command) => model::run(command),
    }
}
