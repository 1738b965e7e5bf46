//! Arguments.

use std::path::PathBuf;

use clap::Parser;

/// Plays the corpus into the real daemon and measures what comes back.
///
/// Without a choice of files: the committed list, ten minutes, in real time.
#[derive(Clone, Debug, Parser)]
#[command(max_term_width = 100)]
pub struct Cli {
    /// The beginning of the list only: under three minutes
    #[arg(long, group = "what")]
    pub quick: bool,
    /// All of English at the pace of speech, for the error rate; with --sessions 4 in ten minutes
    #[arg(long, group = "what")]
    pub english: bool,
    /// Everything as fast as it is taken: English and non-speech; nearly without partials, so that
    /// the error rate is that of finals alone
    #[arg(long)]
    pub fast: bool,
    /// Ten minutes joined from the corpus, pauses cut out, as one stream; with --first: fewer files
    #[arg(long, group = "what", conflicts_with_all = ["again", "sessions"])]
    pub long: bool,
    /// The files in which nothing is said, as fast as they are taken
    #[arg(long, group = "what")]
    pub non_speech: bool,
    /// The files that FILE names, one a line, paths as in the corpus
    #[arg(long, value_name = "FILE", group = "what")]
    pub list: Option<PathBuf>,
    /// The first N files of whatever was chosen
    #[arg(long, value_name = "N")]
    pub first: Option<usize>,

    /// Keep one core busy with something else
    #[arg(long)]
    pub busy: bool,
    /// So many daemons at once, the files dealt out among them
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub sessions: u8,

    #[arg(long, value_name = "NAME", default_value = "tiny.en")]
    pub model: String,
    #[arg(long, value_name = "NAME", default_value = "context")]
    pub strategy: String,
    /// More lines for the daemon's configuration
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Do not compare with offline decoding
    #[arg(long)]
    pub no_offline: bool,
    /// Where offline texts are kept [default: wstream-bench-offline.json beside the programs]
    #[arg(long, value_name = "FILE")]
    pub offline_cache: Option<PathBuf>,

    /// What this run is called in comparisons
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,
    /// Write the result to FILE
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Show results side by side, ratios against the first; nothing is played
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub compare: Vec<PathBuf>,
    /// Make a result's figures anew from what it saw, instead of playing
    #[arg(long, value_name = "FILE", conflicts_with = "compare")]
    pub again: Option<PathBuf>,
    /// Events of other systems, to show beside the result or those of --compare
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub peers: Vec<PathBuf>,
    /// Show the targets, and which are met
    #[arg(long)]
    pub targets: bool,
    /// Print what was said and heard where they differ
    #[arg(long)]
    pub show: bool,
    /// Draw one utterance of the run into FILE
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
    /// The file to draw [default: the first over six seconds]
    #[arg(long, value_name = "NAME")]
    pub plot_file: Option<String>,
}
