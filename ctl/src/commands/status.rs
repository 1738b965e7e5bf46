//! `wstreamctl status`

use clap::Args;
use wstream_api::keys;
use zbus::Variant;

use crate::bus::{Bus, Events, read};
use crate::event::Event;
use crate::failure::Failure;
use crate::interrupt::Interrupts;
use crate::json::Object;
use crate::output;

/// The state in our own words while there is no daemon.
pub(crate) const STOPPED: &str = "stopped";

/// Show what the daemon does and what it is set to
///
/// Does not start the daemon: while it does not run, the state is `stopped`. The other states are
/// `idle`, `listening`, and `finishing` while texts are still to come.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
    wstreamctl status
    wstreamctl status --json | jq -r .state
    wstreamctl status --json --follow          for a status bar: an object per change")]
pub(crate) struct Status {
    /// Print a JSON object on one line
    #[arg(long)]
    json: bool,

    /// Print again at each change, until interrupted
    #[arg(long)]
    follow: bool,
}

impl Status {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let bus = Bus::connect().await?;
        if !self.follow {
            return self.print(&current(&bus).await?);
        }
        let mut interrupts = Interrupts::new()?;
        tokio::select! {
            _ = interrupts.next() => Ok(()),
            failed = self.follow(&bus) => failed,
        }
    }

    async fn follow(&self, bus: &Bus) -> Result<(), Failure> {
        let mut events = bus.events().await?;
        let mut shown = None;
        loop {
            let status = match current(bus).await {
                Ok(status) => status,
                // It left between the question and the answer; the event follows.
                Err(Failure::Vanished | Failure::NotInstalled) => stopped(),
                Err(failure) => return Err(failure),
            };
            if shown.as_ref() != Some(&status) {
                self.print(&status)?;
                shown = Some(status);
            }
            change(&mut events).await?;
        }
    }

    fn print(&self, status: &Object) -> Result<(), Failure> {
        if self.json {
            return output::object(status);
        }
        if self.follow {
            return output::line(&one_line(status));
        }
        let is_news = |key: &str, text: &str| match key {
            "problem" => !text.is_empty(),
            "server" => text != wstream_api::SERVER_IDLE,
            "serving" => status.text("backend") != Some(text),
            _ => true,
        };
        for (key, value) in status.members() {
            // Lists are for programs; the commands of their names show them better.
            if let Some(text) = value.as_str().filter(|text| is_news(key, text)) {
                output::line(&format!("{key:<11} {}", shown(key, text)))?;
            }
        }
        if let Some(kept) = status.number("kept").filter(|kept| *kept > 0) {
            let them = if kept == 1 { "utterance" } else { "utterances" };
            let what = format!("{kept} {them} that failed; `wstreamctl retry` tries again");
            output::line(&format!("{:<11} {what}", "kept"))?;
        }
        Ok(())
    }
}

/// Waits until something changes that `status` shows.
async fn change(events: &mut Events) -> Result<(), Failure> {
    loop {
        let event = events.next().await?;
        if matches!(
            event,
            Event::Changed { .. } | Event::Appeared | Event::Vanished
        ) {
            return Ok(());
        }
    }
}

/// What the daemon says of itself. The microphones are left out: finding them asks the sound
/// server, which may take a while or hang.
async fn current(bus: &Bus) -> Result<Object, Failure> {
    if !bus.daemon_runs().await? {
        return Ok(stopped());
    }
    let daemon = &bus.dictation;
    let (state, strategy, backend, model, language, microphone, typing, version) = tokio::try_join!(
        read("State", daemon.state()),
        read("Strategy", daemon.strategy()),
        read("Backend", daemon.backend()),
        read("Model", daemon.model()),
        read("Language", daemon.language()),
        read("Microphone", daemon.microphone()),
        read("Typing", daemon.typing()),
        read("Version", daemon.version()),
    )?;
    let (server, strategies, backends, models) = tokio::try_join!(
        read("Server", daemon.server()),
        read("Strategies", daemon.strategies()),
        read("Backends", daemon.backends()),
        read("Models", daemon.models()),
    )?;
    let text = |key: &str| match server.get(key).map(|value| &**value) {
        Some(Variant::Str(text)) => text.as_str().to_owned(),
        _ => String::new(),
    };
    let kept = match server.get(keys::KEPT).map(|value| &**value) {
        Some(Variant::U32(kept)) => *kept,
        _ => 0,
    };
    Ok(Object::plain()
        .with("state", state)
        .with("strategy", strategy)
        .with("backend", backend)
        .with("serving", text(keys::BACKEND))
        .with("server", text(keys::STATE))
        .with("problem", text(keys::MESSAGE))
        .with("kept", kept)
        .with("model", model)
        .with("language", language)
        .with("microphone", microphone)
        .with("typing", typing)
        .with("version", version)
        .with("strategies", strategies)
        .with("backends", backends)
        .with("models", models))
}

fn stopped() -> Object {
    Object::plain().with("state", STOPPED)
}

/// A value as a person reads it.
fn shown<'a>(key: &str, text: &'a str) -> &'a str {
    match (key, text) {
        ("state", STOPPED) => "stopped (the daemon does not run; `wstreamctl start` starts it)",
        ("microphone", "") => "(the system's default)",
        ("model", "") => "(none; `wstreamctl model pull base` gets one)",
        (_, text) => text,
    }
}

/// `listening strategy=prompt …`
fn one_line(status: &Object) -> String {
    let mut line = String::new();
    for (key, value) in status.members() {
        match (key, value.as_str()) {
            ("state", Some(state)) => line.push_str(state),
            // A sentence has no place in a line of words.
            ("problem", _) => {}
            (key, Some(text)) if !text.is_empty() => line.push_str(&format!(" {key}={text}")),
            _ => {}
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_per_change() {
        let status = Object::plain()
            .with("state", "idle")
            .with("strategy", "prompt")
            .with("microphone", "")
            .with("models", ["base"]);
        assert_eq!(one_line(&status), "idle strategy=prompt");
        assert_eq!(one_line(&stopped()), "stopped");
    }
}
