//! The command line. Its help texts are the manual: `--help`, the manual pages and the completions
//! are made from here.

use std::collections::HashMap;

use clap::{Args, Parser, Subcommand};
use wstream_api::keys;
use zbus::Variant;

use crate::commands::*;
use crate::failure::EXIT_CODES;

const ABOUT: &str = "Dictate anywhere: steer the dictation daemon and read what was said";

const LONG_ABOUT: &str = "\
wstreamctl steers wstreamd, the dictation daemon, over the session bus: it opens and closes the \
microphone, shows the words as they come, transcribes sound files, and chooses model, language, \
strategy and microphone.

The daemon is started by the bus when a command needs it. Commands that would have nothing to do \
without it (status, stop, cancel, retry, monitor, plugins, waybar) leave it alone.";

const EXAMPLES: &str = "\
Examples:
    wstreamctl listen                     dictate in this terminal, Ctrl-C ends
    wstreamctl toggle                     for a hotkey: start, and the next time stop
    wstreamctl transcribe talk.flac       the words of a recording, a line per utterance
    wstreamctl status --json --follow     for a status bar: an object per change";

#[derive(Debug, Parser)]
#[command(
    name = "wstreamctl",
    version,
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"),
    max_term_width = 100,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Start(start::Start),
    Stop(stop::Stop),
    Toggle(toggle::Toggle),
    Press(press::Press),
    Release(release::Release),
    Cancel(cancel::Cancel),
    Retry(retry::Retry),
    Status(status::Status),
    Listen(listen::Listen),
    Transcribe(transcribe::Transcribe),
    Monitor(monitor::Monitor),
    Strategy(strategy::Strategy),
    Backend(backend::Backend),
    Language(language::Language),
    Typing(typing::Typing),
    Undo(undo::Undo),
    Retype(retype::Retype),
    Last(last::Last),
    #[command(visible_aliases = ["microphones", "mic"])]
    Microphone(microphone::Microphone),
    Model(model::Model),
    History(history::History),
    Plugins(plugins::Plugins),
    Waybar(waybar::Waybar),
    Doctor(doctor::Doctor),
    Config(config::Config),
    Completions(completions::Completions),
    Man(man::Man),
}

/// The strategies, for help and completion; the daemon checks them again.
pub(crate) const STRATEGIES: [&str; 3] = ["prompt", "context", "hybrid"];

/// When texts are typed, for help and completion.
pub(crate) const TYPING: [&str; 3] = ["off", "final", "live"];

/// What one session does differently from the daemon's settings.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "For this session only")]
pub(crate) struct SessionOptions {
    /// What the model is given from the utterance before: its text, its last second of sound, or
    /// both
    #[arg(long, value_name = "NAME", value_parser = STRATEGIES)]
    strategy: Option<String>,

    /// Who transcribes: `local`, or a remote's name from the configuration
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,

    /// The language that is spoken: an ISO 639-1 code such as `en`, or `auto`
    #[arg(long, value_name = "CODE")]
    language: Option<String>,

    /// When texts are typed into the focused window: never, when an utterance is finished, or while
    /// it is said
    #[arg(long, value_name = "WHEN", value_parser = TYPING)]
    typing: Option<String>,
}

impl SessionOptions {
    /// The same, and where this desktop is: the daemon may have been started before it.
    pub(crate) fn to_map_with_desktop(&self) -> HashMap<&'static str, Variant<'_>> {
        let mut map = self.to_map();
        let desktop: HashMap<&str, String> = wstream_typing::Session::VARIABLES
            .into_iter()
            .filter_map(|name| Some((name, std::env::var(name).ok()?)))
            .collect();
        if !desktop.is_empty() {
            map.insert(keys::DESKTOP, Variant::from(desktop));
        }
        map
    }

    /// The options as the bus takes them.
    pub(crate) fn to_map(&self) -> HashMap<&'static str, Variant<'_>> {
        let named = [
            (keys::STRATEGY, &self.strategy),
            (keys::BACKEND, &self.backend),
            (keys::LANGUAGE, &self.language),
            (keys::TYPING, &self.typing),
        ];
        named
            .into_iter()
            .filter_map(|(key, value)| Some((key, Variant::from(value.as_deref()?))))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        fn check(command: &clap::Command) {
            let parent = command.has_subcommands();
            for sub in command.get_subcommands() {
                check(sub);
            }
            assert!(command.get_about().is_some(), "{}", command.get_name());
            let help = command.get_after_help().map(ToString::to_string);
            assert!(
                parent || help.is_some_and(|help| help.starts_with("Example")),
                "{} shows no example",
                command.get_name()
            );
        }
        check(&Cli::command());
    }

    #[test]
    fn only_given_options_reach_the_bus() {
        let none = SessionOptions::default();
        assert!(none.to_map().is_empty());
        let some = SessionOptions {
            language: Some("de".to_owned()),
            ..SessionOptions::default()
        };
        assert_eq!(
            some.to_map(),
            HashMap::from([("language", Variant::from("de"))])
        );
    }
}
