//! `wstreamctl last`

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use clap::Args;

use crate::bus::{ANSWER_LIMIT, Bus, answer};
use crate::failure::Failure;
use crate::output;

/// What the process that holds the clipboard says when it does.
const HOLDS: &str = "held";

/// Show the last texts, or copy the last one
///
/// The daemon keeps them in memory, as many as `recent_finals` in `[limits]` says. With `--copy` the
/// text goes to the clipboard, and stays there until something else is copied.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
    wstreamctl last
    wstreamctl last --copy
    wstreamctl last -n 10                 with the numbers of their utterances, oldest first")]
pub(crate) struct Last {
    /// How many
    #[arg(short, long, default_value_t = 1, hide_default_value = true)]
    number: u32,

    /// To the clipboard
    #[arg(long, conflicts_with = "number")]
    copy: bool,

    /// Holds what standard input says on the clipboard: what `--copy` leaves behind
    #[arg(long, hide = true)]
    hold: bool,
}

impl Last {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        if self.hold {
            return hold();
        }
        let bus = Bus::connect().await?;
        if !bus.daemon_runs().await? {
            return output::line(super::status::STOPPED);
        }
        let asking = bus.dictation.recent(self.number);
        let finals = answer("Recent", ANSWER_LIMIT, asking).await?;
        let Some((_, newest, _)) = finals.last() else {
            return output::line("nothing is kept");
        };
        if self.copy {
            return copy(newest);
        }
        for (utterance, text, _) in &finals {
            match self.number {
                1 => output::line(text)?,
                _ => output::line(&format!("{utterance:>4}  {text}"))?,
            }
        }
        Ok(())
    }
}

/// Leaves a process behind that has the text, since a clipboard holds nothing itself.
fn copy(text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::Clipboard(error.to_string());
    let mut holder = Command::new(std::env::current_exe().map_err(failed)?)
        .args(["last", "--hold"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // Out of reach of the terminal's signals.
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = holder.stdin.take() {
        stdin.write_all(text.as_bytes()).map_err(failed)?;
    }
    let mut said = String::new();
    if let Some(stdout) = holder.stdout.take() {
        BufReader::new(stdout)
            .read_line(&mut said)
            .map_err(failed)?;
    }
    match said.trim_end() {
        HOLDS => Ok(()),
        why => Err(Failure::Clipboard(why.to_owned())),
    }
}

/// Has the text of standard input on the clipboard until another program copies something.
fn hold() -> Result<(), Failure> {
    let mut text = String::new();
    let read = std::io::stdin().read_to_string(&mut text);
    read.map_err(|error| Failure::Clipboard(error.to_string()))?;
    match wstream_typing::copy(&wstream_typing::Session::own(), &text) {
        Ok(serving) => {
            output::line(HOLDS)?;
            // Whoever asked has gone.
            serving
                .wait()
                .map_err(|why| Failure::Clipboard(why.to_string()))
        }
        Err(why) => output::line(&why.to_string()),
    }
}
