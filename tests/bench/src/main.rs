//! `wstream-bench`: plays the corpus into the real daemon, stamps every signal on arrival, and
//! says how early, how steady, how right and how cheap the text was. See `README.md`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a table on standard output and progress on standard error are what it is for"
)]
#![allow(
    unreachable_pub,
    reason = "modules of a program; `pub` says what a module gives the others"
)]

mod cli;
mod corpus_runs;
mod feed;
mod figures;
mod follow;
mod join;
mod long;
mod machine;
mod measure;
mod metrics;
mod normalise;
mod offline;
mod peers;
mod play;
mod plot;
mod record;
mod reference;
mod report;
mod station;
mod targets;
mod usage;

use std::io::Write as _;

use anyhow::{Context as _, Result};
use clap::Parser as _;

use cli::Cli;
use reference::Corpus;
use report::Report;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    let dir =
        wstream_tests::corpus().context("set WSTREAM_SHARED to the folder with speech/dev")?;
    let corpus = Corpus::read(&dir)?;
    let mut reports = Vec::new();
    if cli.compare.is_empty() {
        let report = match &cli.again {
            Some(path) => corpus_runs::again(&cli, &corpus, Report::read(path)?)?,
            None if cli.long => long::run(&cli, &corpus).await?,
            None => corpus_runs::run(&cli, &corpus).await?,
        };
        if let Some(path) = &cli.json {
            report.write(path)?;
        }
        print(&report::table(&report))?;
        if let Some(path) = &cli.plot {
            plot::write(path, &corpus, &report.files, cli.plot_file.as_deref())?;
        }
        reports.push(report);
    }
    for path in &cli.compare {
        reports.push(Report::read(path)?);
    }
    let own = reports.len();
    for path in &cli.peers {
        reports.push(peers::report(&cli, &corpus, path)?);
    }
    if reports.len() > 1 || !cli.compare.is_empty() {
        print(&report::compare(&reports))?;
    }
    if cli.targets {
        let (ours, theirs) = reports.split_at(own);
        for report in ours {
            print(&format!(
                "{}\n{}",
                report.label,
                targets::table(&report.figures)
            ))?;
            for peer in theirs {
                print(&targets::against(
                    &report.figures,
                    &peer.label,
                    &peer.figures,
                ))?;
            }
        }
    }
    Ok(())
}

/// A table. Whoever closes the pipe has read enough.
fn print(text: &str) -> Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Progress, so that nobody wonders for ten minutes.
pub(crate) fn say(text: &str) {
    eprintln!("wstream-bench: {text}");
}
