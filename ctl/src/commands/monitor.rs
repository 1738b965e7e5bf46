//! `wstreamctl monitor`

use std::time::Instant;

use clap::Args;
use serde_json::Value;

use crate::bus::{Bus, Events};
use crate::event::{Event, to_object};
use crate::failure::Failure;
use crate::interrupt::Interrupts;
use crate::json::Object;
use crate::output;

/// Print every signal of the daemon as it comes
///
/// One line each, until interrupted: seconds since the beginning, the signal, its values. Does
/// not start the daemon and does not open the microphone; also tells when the daemon comes and
/// goes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
    wstreamctl monitor
    wstreamctl monitor --json | jq -r 'select(.type == \"final\") | .text'")]
pub(crate) struct Monitor {
    /// Print a JSON object per signal
    #[arg(long)]
    json: bool,
}

impl Monitor {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut interrupts = Interrupts::new()?;
        let bus = Bus::connect().await?;
        let mut events = bus.events().await?;
        tokio::select! {
            _ = interrupts.next() => Ok(()),
            failed = self.print_all(&mut events) => failed,
        }
    }

    async fn print_all(&self, events: &mut Events) -> Result<(), Failure> {
        let since = Instant::now();
        loop {
            let event = events.next().await?;
            if self.json {
                output::object(&to_object(&event))?;
            } else {
                let line = line(&event);
                output::line(&format!("{:9.3} {line}", since.elapsed().as_secs_f64()))?;
            }
        }
    }
}

/// `final utterance=3 text="Hello." latency_ms=12.5 …`
fn line(event: &Event) -> String {
    let object: Object = to_object(event);
    let mut line = event.name().to_owned();
    for (key, value) in object.members().skip(1) {
        match value {
            // Names and codes read better without quotes; text keeps its limits.
            Value::String(text) if is_word(text) => line.push_str(&format!(" {key}={text}")),
            value => line.push_str(&format!(" {key}={value}")),
        }
    }
    line
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let details = crate::event::Details::default;
        for (event, expected) in [
            (Event::Appeared, "appeared"),
            (Event::Cancelled { utterance: 3 }, "cancelled utterance=3"),
            (
                Event::Partial {
                    utterance: 3,
                    committed: String::new(),
                    tentative: " say \"so\"".to_owned(),
                    details: details(),
                },
                r#"partial utterance=3 committed="" tentative=" say \"so\"""#,
            ),
            (
                Event::Failed {
                    utterance: 3,
                    name: "org.wstream.Dictation1.Error.Busy".to_owned(),
                    message: "a sentence".to_owned(),
                    details: details(),
                },
                r#"failed utterance=3 name=org.wstream.Dictation1.Error.Busy message="a sentence""#,
            ),
        ] {
            assert_eq!(line(&event), expected);
        }
    }
}
