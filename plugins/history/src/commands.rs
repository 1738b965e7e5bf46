//! What is asked of the history on the command line.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueHint};

use crate::export::{Format, export, line};
use crate::follow::now_ms;
use crate::settings::Settings;
use crate::store::{Filter, Store, StoreError};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the last texts, oldest first
    #[command(after_help = "\
Examples:
    wstream-history list
    wstream-history list -n 100 --since 7d --json")]
    List {
        #[command(flatten)]
        which: Which,
    },
    /// Print the texts that have all of these words
    #[command(after_help = "\
Examples:
    wstream-history search invoice
    wstream-history search '\"quick brown\" fo*'      a phrase, and the beginning of a word")]
    Search {
        /// Words, beginnings of words such as invoi*, and phrases in double quotes
        #[arg(required = true)]
        words: Vec<String>,
        #[command(flatten)]
        which: Which,
    },
    /// Write texts to standard output or a file
    #[command(after_help = "\
Examples:
    wstream-history export --format markdown > dictated.md
    wstream-history export --since 2026-11-01 --before 2026-12-01 --output november.txt")]
    Export {
        /// The form
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
        #[command(flatten)]
        times: Times,
        /// The file; it must not exist
        #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
    },
    /// Delete texts, such that nothing of them is left in the file
    #[command(after_help = "\
Examples:
    wstream-history delete 42 43
    wstream-history delete --matching password
    wstream-history delete --before 30d
    wstream-history delete --all")]
    Delete(Delete),
    /// Delete what is older or more than the configuration allows
    #[command(after_help = "\
Example:
    wstream-history prune")]
    Prune,
    /// Print where the history is
    #[command(after_help = "\
Example:
    ls -l \"$(wstream-history path)\"")]
    Path,
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    /// How many at the most
    #[arg(short = 'n', long, value_name = "N", default_value = "20")]
    most: u32,
    #[command(flatten)]
    times: Times,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Times {
    /// From this time on: a date, "DATE HH:MM", or an age such as 7d or 12h
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Until this time
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
}

#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = true, args = ["ids", "matching", "since", "before", "all"])]
pub(crate) struct Delete {
    /// Numbers, as `list` and `search` print them
    ids: Vec<i64>,
    /// Those that have all of these words
    #[arg(long, value_name = "WORDS")]
    matching: Option<String>,
    #[command(flatten)]
    times: Times,
    /// Everything
    #[arg(long, conflicts_with_all = ["ids", "matching", "since", "before"])]
    all: bool,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{}: cannot be written ({source}): name a file that does not exist, in a folder of yours", .path.display())]
    Output {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(
        "there is no history yet: have the daemon run it with `[plugins] run = [\"history\"]`, and dictate"
    )]
    None,
}

impl Command {
    /// Carries it out on the history at `path`; returns what is to be printed.
    pub(crate) fn run(self, path: &Path, settings: &Settings) -> Result<String, CommandError> {
        if let Command::Path = self {
            return Ok(format!("{}\n", path.display()));
        }
        // Looking does not make one.
        if !path.exists() {
            return Err(CommandError::None);
        }
        let mut store = Store::open(path)?;
        match self {
            Command::List { which } => print(&store, None, &which),
            Command::Search { words, which } => print(&store, Some(words.join(" ")), &which),
            Command::Export {
                format,
                times,
                output,
            } => {
                let text = export(&store.entries(&times.filter(&store)?)?, format);
                match output {
                    Some(output) => write_new(output, &text),
                    None => Ok(text),
                }
            }
            Command::Delete(delete) => {
                let mut filter = delete.times.filter(&store)?;
                filter.ids = delete.ids;
                filter.words = delete.matching;
                Ok(format!("deleted {}\n", store.delete(&filter)?))
            }
            Command::Prune => {
                let age_ms = i64::from(settings.days) * 86_400_000;
                let oldest_ms = (age_ms > 0).then(|| now_ms() - age_ms);
                Ok(format!(
                    "deleted {}\n",
                    store.prune(oldest_ms, settings.entries)?
                ))
            }
            Command::Path => Ok(String::new()),
        }
    }
}

fn print(store: &Store, words: Option<String>, which: &Which) -> Result<String, CommandError> {
    let filter = Filter {
        words,
        most: Some(which.most),
        ..which.times.filter(store)?
    };
    let entries = store.entries(&filter)?;
    if which.json {
        return Ok(export(&entries, Format::Json));
    }
    Ok(entries.iter().map(|entry| line(entry) + "\n").collect())
}

impl Times {
    fn filter(&self, store: &Store) -> Result<Filter, StoreError> {
        let time = |written: &Option<String>| {
            let written = written.as_deref();
            written
                .map(|written| store.time_ms(written, now_ms()))
                .transpose()
        };
        Ok(Filter {
            since_ms: time(&self.since)?,
            before_ms: time(&self.before)?,
            ..Filter::default()
        })
    }
}

/// Into a file that nobody else may read.
fn write_new(path: PathBuf, text: &str) -> Result<String, CommandError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    match written {
        Ok(()) => Ok(String::new()),
        Err(source) => Err(CommandError::Output { path, source }),
    }
}
