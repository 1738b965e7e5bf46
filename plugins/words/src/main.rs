//! `wstream-words`: a filter of the daemon's. Enters: a final; leaves: the text with its spoken
//! commands carried out. One thread.

use std::io::{BufRead as _, Write as _};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use clap::{CommandFactory as _, Parser};
use wstream_api::{Answer, keys};
use wstream_settings::Options;
use wstream_words::{BUILT_IN, Library};

/// What the daemon waits at most; a thousandth of it is needed.
const LIMIT: Duration = Duration::from_millis(200);

/// Spoken punctuation and commands, replacements, and no more "um": changes what was dictated
/// before anybody gets it.
///
/// The daemon starts it where `[plugins] run` in its configuration names "words"; started by hand,
/// it works until Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "wstream-words", version, after_help = EXAMPLES)]
struct Args {
    #[command(flatten)]
    options: Options,
    /// Change lines from standard input instead, as if they were spoken in this language
    #[arg(long, value_name = "CODE")]
    try_language: Option<String>,
    /// Print the data file of a language and end
    #[arg(long, value_name = "CODE", value_parser = BUILT_IN.map(|(code, _)| code))]
    print_language: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
    echo 'Hello comma world period' | wstream-words --try-language en
    wstream-words --print-language de
    wstream-words --check-config

Exit codes: 0 ended as asked, 1 failed, 2 wrong arguments, 3 no session bus or the bus was lost,
9 wrong configuration.";

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(code) = args.print_language {
        let known = BUILT_IN.iter().find(|(known, _)| *known == code);
        let text = known.map_or("", |(_, text)| text);
        // A reader that has gone away is no failure of ours.
        let _ = std::io::stdout().write_all(text.as_bytes());
        return ExitCode::SUCCESS;
    }
    let start = args.options.start(Args::command(), |settings, file| {
        Library::new(settings, file).check()
    });
    let (settings, file) = match start {
        ControlFlow::Continue(start) => start,
        ControlFlow::Break(code) => return code,
    };
    let priority = settings.priority;
    let mut library = Library::new(settings, file);
    if let Some(code) = args.try_language {
        return change_lines(&mut library, &code);
    }
    // The bus needs a filter that several threads could share; there is one.
    let library = Mutex::new(library);
    wstream_api::run_filter(priority, LIMIT, move |said| {
        let code = said.details.text(keys::LANGUAGE).unwrap_or_default();
        let mut library = match library.lock() {
            Ok(library) => library,
            Err(poisoned) => poisoned.into_inner(),
        };
        let written = library.apply(&said.text, code);
        let answer = Answer::text(written.text);
        written
            .keys
            .iter()
            .fold(answer, |answer, key| answer.and_key(key))
    })
}

fn change_lines(library: &mut Library, code: &str) -> ExitCode {
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else {
            return ExitCode::FAILURE;
        };
        let written = library.apply(&line, code);
        let keys: String = written.keys.iter().map(|key| format!(" [{key}]")).collect();
        if writeln!(output, "{}{keys}", written.text).is_err() {
            break;
        }
    }
    ExitCode::SUCCESS
}
