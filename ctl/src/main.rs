//! `wstreamctl`: the dictation daemon from the command line.
//!
//! Enters: a command line. Leaves: calls on the bus, lines on standard output, one sentence on
//! standard error when something fails, and an exit status that is documented in `--help`. One
//! thread.

mod bus;
mod cli;
mod commands;
mod doctor;
mod event;
mod failure;
mod interrupt;
mod json;
mod output;
mod program;
mod session;
mod summary;
mod terminal;
mod text;
mod view;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::failure::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(sentence) = failure.sentence() {
                output::complain(&sentence);
            }
            failure.exit_code()
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Signals)?;
    let result = runtime.block_on(commands::run(cli.command));
    // A thread may still wait for a named pipe to be opened; nobody needs it any more.
    runtime.shutdown_background();
    result
}
