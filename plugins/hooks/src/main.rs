//! `wstream-hooks`: runs the user's executables when something is dictated. A plugin: a client of
//! the bus contract, and nothing else.

mod event;
mod filter;
mod folder;
mod hook;
mod observe;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use wstream_api::{Event, FILTER_TIMEOUT_MS, Plugin, PluginError};

use filter::Filters;
use folder::Folder;
use observe::Observers;

/// Where in the chain of filters hooks are: behind words (10), before what sends text away.
const PRIORITY: i32 = 50;

/// Runs executables of yours when something is dictated
///
/// The daemon starts it when the configuration has "hooks" in `run` under [plugins]; it can as
/// well be run by hand.
#[derive(Debug, Parser)]
#[command(version, after_help = FOLDERS)]
struct Args {
    /// The folder with the hooks [default: $XDG_CONFIG_HOME/wstream/hooks]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Write the man page into this folder and end
    #[arg(long, value_name = "DIR", hide = true)]
    man: Option<PathBuf>,
}

const FOLDERS: &str = "\
Folders in it, all of them optional:
    final.d     each finished text
    partial.d   the text so far; of those that come while a hook runs only the newest
    state.d     idle, listening, finishing; stopped when the daemon has left
    filter.d    each finished text before anybody else gets it: what a hook prints replaces it,
                nothing printed leaves it as it is, exit code 77 takes it away

The executables of a folder run one after the other in the order of their names. Each gets the text
(or state) on standard input, with a line's end behind it, and in the environment WSTREAM_EVENT,
WSTREAM_UTTERANCE and what else is known, as WSTREAM_LANGUAGE. One that takes longer than 10 seconds
(in filter.d 1, and all together 1.5) is killed with everything that it has started.

Exit codes: 1 failed, 2 wrong arguments, 3 no session bus or the bus was lost.";

/// Why there is nothing to be done.
#[derive(Debug, thiserror::Error)]
enum HooksError {
    #[error("{0}")]
    Plugin(#[from] PluginError),
    #[error("you have no home folder: set HOME or XDG_CONFIG_HOME, or name the folder with --dir")]
    NoHome,
    #[error("{}: the man page cannot be written ({cause})", .dir.display())]
    Man { dir: PathBuf, cause: std::io::Error },
}

fn main() -> ExitCode {
    let args = Args::parse();
    wstream_api::run_async(async || match args.man {
        Some(dir) => write_page(dir),
        None => run(args.dir).await,
    })
}

fn write_page(dir: PathBuf) -> Result<(), HooksError> {
    let command = <Args as clap::CommandFactory>::command();
    clap_mangen::generate_to(command, &dir).map_err(|cause| HooksError::Man { dir, cause })
}

async fn run(dir: Option<PathBuf>) -> Result<(), HooksError> {
    let dir = dir.or_else(default_dir).ok_or(HooksError::NoHome)?;
    let filters = Folder::new(dir.join("filter.d"));
    let mut observers = Observers::start(&dir);
    let mut plugin = Plugin::connect().await?;
    let mut filtering = false;
    loop {
        // Only once there is something to ask: without, texts need not come by here.
        if !filtering && !filters.hooks().is_empty() {
            let filters = Filters::new(filters.clone());
            let limit = Duration::from_millis(FILTER_TIMEOUT_MS.into());
            plugin
                .add_filter(PRIORITY, limit, move |said| filters.clone().pass(said))
                .await?;
            filtering = true;
        }
        // Up to the next utterance the folder may have changed, and there is time to look.
        loop {
            let event = plugin.next().await?;
            observers.see(&event);
            if let Event::Started { .. } = event {
                break;
            }
        }
    }
}

fn default_dir() -> Option<PathBuf> {
    let project = directories::ProjectDirs::from("", "", "wstream")?;
    Some(project.config_dir().join("hooks"))
}
