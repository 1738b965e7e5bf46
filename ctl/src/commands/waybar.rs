//! `wstreamctl waybar`: a module for a status bar.

use clap::Args;
use wstream_api as api;

use super::status::STOPPED;
use crate::bus::{Bus, Events, read};
use crate::event::Event;
use crate::failure::Failure;
use crate::interrupt::Interrupts;
use crate::json::Object;
use crate::output;
use crate::text::{clean, tail};

/// Columns of text in a tooltip: three lines of an ordinary one.
const TOOLTIP_COLUMNS: usize = 240;

/// Follow the daemon for a module of Waybar
///
/// Prints an object on one line at each change, until interrupted: `text` and `alt` are the state
/// (`stopped`, `idle`, `listening`, `finishing`), `class` the state, and `trouble` behind it where
/// something is wrong, `tooltip` the words as they come, then what was said last. The microphone is
/// open exactly while the class is `listening`. Does not start the daemon.
#[derive(Debug, Args)]
#[command(after_help = "\
Example, in ~/.config/waybar/config:
    \"custom/dictation\": {
        \"exec\": \"wstreamctl waybar\",
        \"return-type\": \"json\",
        \"format\": \"{icon}\",
        \"format-icons\": {
            \"stopped\": \"-\", \"idle\": \"mic\", \"listening\": \"MIC\", \"finishing\": \"...\"
        },
        \"on-click\": \"wstreamctl toggle\",
        \"on-click-right\": \"wstreamctl cancel\",
        \"restart-interval\": 5
    }
and in ~/.config/waybar/style.css:
    #custom-dictation.listening { background: #a00; }
    #custom-dictation.trouble { color: #fa0; }")]
pub(crate) struct Waybar {}

impl Waybar {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut interrupts = Interrupts::new()?;
        let bus = Bus::connect().await?;
        let events = bus.events().await?;
        tokio::select! {
            _ = interrupts.next() => Ok(()),
            failed = follow(&bus, events) => failed,
        }
    }
}

async fn follow(bus: &Bus, mut events: Events) -> Result<(), Failure> {
    let mut bar = Bar::new(state(bus).await?);
    let mut shown = None;
    loop {
        let object = bar.to_object();
        if shown.as_ref() != Some(&object) {
            output::object(&object)?;
            shown = Some(object);
        }
        let event = events.next().await?;
        bar.see(&event);
        if event == Event::Appeared {
            bar.state = state(bus).await?;
        }
    }
}

/// The daemon's state now; does not start it.
async fn state(bus: &Bus) -> Result<String, Failure> {
    if !bus.daemon_runs().await? {
        return Ok(STOPPED.to_owned());
    }
    match read("State", bus.dictation.state()).await {
        // It left between the question and the answer; the event follows.
        Err(Failure::Vanished | Failure::NotInstalled) => Ok(STOPPED.to_owned()),
        answered => answered,
    }
}

/// What the module shows. No input or output.
#[derive(Debug)]
struct Bar {
    state: String,
    /// What is said, or was said last.
    words: String,
    /// A sentence about what is wrong, until dictation starts again.
    trouble: Option<String>,
}

impl Bar {
    fn new(state: String) -> Self {
        Bar {
            state,
            words: String::new(),
            trouble: None,
        }
    }

    fn see(&mut self, event: &Event) {
        match event {
            Event::Partial {
                committed,
                tentative,
                ..
            } => self.words = format!("{committed}{tentative}"),
            Event::Final { text, .. } => self.words.clone_from(text),
            Event::Failed { message, .. } | Event::Trouble { message, .. } => {
                self.trouble = Some(message.clone());
            }
            Event::Changed { properties } => {
                if let Some(state) = properties.text("State") {
                    state.clone_into(&mut self.state);
                    if state == api::STATE_LISTENING {
                        self.words.clear();
                        self.trouble = None;
                    }
                }
            }
            Event::Vanished => *self = Bar::new(STOPPED.to_owned()),
            _ => {}
        }
    }

    fn to_object(&self) -> Object {
        let mut class = vec![self.state.as_str()];
        class.extend(self.trouble.is_some().then_some("trouble"));
        let words = clean(self.words.trim());
        let words = tail(&words, TOOLTIP_COLUMNS);
        let lines: Vec<String> = [Some(words), self.trouble.as_deref()]
            .into_iter()
            .flatten()
            .filter(|line| !line.is_empty())
            .map(|line| markup(&clean(line)))
            .collect();
        Object::plain()
            .with("text", &self.state)
            .with("alt", &self.state)
            .with("class", class)
            .with("tooltip", lines.join("\n"))
    }
}

/// Text that Pango, which Waybar gives it to, shows as it is.
fn markup(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::event::Details;

    fn changed(state: &str) -> Event {
        let properties = HashMap::from([("State", state.into())]);
        Event::Changed {
            properties: Details::of(&properties),
        }
    }

    fn after(events: &[Event]) -> String {
        let mut bar = Bar::new("idle".to_owned());
        for event in events {
            bar.see(event);
        }
        bar.to_object().to_line()
    }

    #[test]
    fn state_words_and_trouble() {
        let partial = Event::Partial {
            utterance: 1,
            committed: "Tom & Jerry".to_owned(),
            tentative: " <b>".to_owned(),
            details: Details::default(),
        };
        let said = Event::Final {
            utterance: 1,
            text: "Done.\n".to_owned(),
            details: Details::default(),
        };
        let failed = Event::Failed {
            utterance: 1,
            name: String::new(),
            message: "try again".to_owned(),
            details: Details::default(),
        };
        for (events, expected) in [
            (
                vec![],
                r#"{"text":"idle","alt":"idle","class":["idle"],"tooltip":""}"#,
            ),
            (
                vec![changed("listening"), partial.clone()],
                r#"{"text":"listening","alt":"listening","class":["listening"],"tooltip":"Tom &amp; Jerry &lt;b&gt;"}"#,
            ),
            (
                vec![partial.clone(), said.clone(), failed],
                r#"{"text":"idle","alt":"idle","class":["idle","trouble"],"tooltip":"Done.\ntry again"}"#,
            ),
            (
                vec![said.clone(), changed("listening")],
                r#"{"text":"listening","alt":"listening","class":["listening"],"tooltip":""}"#,
            ),
            (
                vec![said, Event::Vanished],
                r#"{"text":"stopped","alt":"stopped","class":["stopped"],"tooltip":""}"#,
            ),
        ] {
            assert_eq!(after(&events), expected);
        }
    }

    #[test]
    fn a_long_text_shows_its_end() {
        let said = Event::Final {
            utterance: 1,
            text: "word ".repeat(100) + "end",
            details: Details::default(),
        };
        let line = after(&[said]);
        assert!(line.contains("word end"), "{line}");
        assert!(line.len() < TOOLTIP_COLUMNS + 100, "{line}");
    }
}
