//! `wstream-history`: keeps what was dictated, where the user has it run, and looks it up. Enters:
//! the daemon's finals, or a command line; leaves: rows of a database, or lines of text. One
//! thread.

mod commands;
mod entry;
mod export;
mod follow;
mod settings;
mod store;

use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};
use wstream_settings::{Options, complain};

use crate::commands::Command;
use crate::settings::Settings;

/// Keeps what is dictated, to be searched, exported and deleted.
///
/// Without a command it is the plugin that keeps: the daemon starts it where `[plugins] run` in
/// its configuration names "history". Texts are in ~/.local/share/wstream/history.sqlite, which
/// nobody but you may read.
#[derive(Debug, Parser)]
#[command(name = "wstream-history", version, after_help = EXIT_CODES)]
struct Args {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

const EXIT_CODES: &str = "\
`wstreamctl history COMMAND` is the same.

Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 no session bus or the bus was lost,
9 wrong configuration.";

fn main() -> ExitCode {
    let args = Args::parse();
    let (settings, file) = match args.options.start(Args::command(), |_, _| Ok(())) {
        ControlFlow::Continue(start) => start,
        ControlFlow::Break(code) => return code,
    };
    let Some(path) = path() else {
        complain::<Settings>("you have no home folder: set HOME or XDG_DATA_HOME");
        return ExitCode::FAILURE;
    };
    let Some(command) = args.command else {
        return wstream_api::run_async(async || follow::follow(settings, file, path).await);
    };
    match command.run(&path, &settings) {
        Ok(text) => {
            // A reader that has gone away is no failure of ours.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain::<Settings>(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// `$XDG_DATA_HOME/wstream/history.sqlite`
fn path() -> Option<PathBuf> {
    let project = directories::ProjectDirs::from("", "", "wstream")?;
    Some(project.data_dir().join("history.sqlite"))
}
