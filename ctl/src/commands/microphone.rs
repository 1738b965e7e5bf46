//! `wstreamctl microphone`

use clap::Args;
use wstream_api::Error as DaemonError;

use crate::bus::{ANSWER_LIMIT, Bus, answer, read};
use crate::failure::Failure;
use crate::output;

/// Show the microphones, or choose one
///
/// Without a name: those that are there now, identifier first. The choice counts from the next
/// session on and is kept. One that is not there now can be chosen too: it is listened to as soon
/// as it is.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
    wstreamctl microphones                a star stands at the one that is chosen
    wstreamctl mic USB                    the one with USB in its name
    wstreamctl mic --default              the system's default, whichever that is")]
pub(crate) struct Microphone {
    /// An identifier, or a part of it or of a name
    #[arg(conflicts_with = "default")]
    name: Option<String>,

    /// Choose the system's default; an empty name does the same
    #[arg(long)]
    default: bool,
}

impl Microphone {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let bus = Bus::connect().await?;
        let name = if self.default {
            Some(String::new())
        } else {
            self.name
        };
        if let Some(name) = name {
            let setting = bus.dictation.set_microphone(&name);
            answer("SetMicrophone", ANSWER_LIMIT, setting).await?;
            // It is set. Where the sound server does not say what there is, that is no failure.
            let found = match name.as_str() {
                "" => None,
                _ => read("Microphones", bus.dictation.microphones()).await.ok(),
            };
            return output::line(&set(found.as_deref(), &name));
        }
        let found = read("Microphones", bus.dictation.microphones()).await;
        let found = found.map_err(|failure| match failure {
            // A property fails under one name only; here it can mean but one thing.
            Failure::Daemon(DaemonError::Failed(sentence)) => {
                Failure::Daemon(DaemonError::NoMicrophone(sentence))
            }
            failure => failure,
        })?;
        let chosen = read("Microphone", bus.dictation.microphone()).await?;
        let open = read("OpenMicrophone", bus.dictation.open_microphone()).await?;
        for line in lines(&found, &chosen, &open) {
            output::line(&line)?;
        }
        Ok(())
    }
}

const DEFAULT: &str = "(the system's default)";

/// Which one a choice means, as the daemon takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meant {
    Default,
    At(usize),
    /// More than one has it in its name; none is taken.
    Several,
    /// Not there now.
    Gone,
}

/// By identifier, else by name, else the only one that has it in either.
fn meant(found: &[(String, String)], chosen: &str) -> Meant {
    if chosen.is_empty() {
        return Meant::Default;
    }
    let by_id = found.iter().position(|(id, _)| id == chosen);
    let exactly = by_id.or_else(|| found.iter().position(|(_, name)| name == chosen));
    if let Some(index) = exactly {
        return Meant::At(index);
    }
    let part = chosen.to_lowercase();
    let has = |text: &str| text.to_lowercase().contains(&part);
    let mut matching = (0..found.len()).filter(|&at| has(&found[at].0) || has(&found[at].1));
    match (matching.next(), matching.next()) {
        (None, _) => Meant::Gone,
        (Some(index), None) => Meant::At(index),
        (Some(_), Some(_)) => Meant::Several,
    }
}

const GONE: &str = "(not there now)";
const SEVERAL: &str = "(more than one is called so: choose by the identifier)";

/// What has been chosen; `found` is `None` where that could not be asked.
fn set(found: Option<&[(String, String)]>, name: &str) -> String {
    match found.map(|found| (found, meant(found, name))) {
        Some((found, Meant::At(index))) => format!("{}  {}", found[index].0, found[index].1),
        Some((_, Meant::Several)) => format!("{name}  {SEVERAL}"),
        Some((_, Meant::Gone)) => format!("{name}  {GONE}"),
        Some((_, Meant::Default)) => DEFAULT.to_owned(),
        None if name.is_empty() => DEFAULT.to_owned(),
        None => name.to_owned(),
    }
}

/// The microphones with a star at the chosen one; the one that is `open` is called so.
fn lines(found: &[(String, String)], chosen: &str, open: &str) -> Vec<String> {
    let meant = meant(found, chosen);
    let mark = |here: bool| if here { '*' } else { ' ' };
    let mut lines = Vec::with_capacity(found.len() + 2);
    lines.push(format!("{} {DEFAULT}", mark(meant == Meant::Default)));
    for (here, (id, name)) in found.iter().enumerate() {
        let star = mark(meant == Meant::At(here));
        let now = if !open.is_empty() && name == open {
            "  (listened to now)"
        } else {
            ""
        };
        lines.push(format!("{star} {id}  {name}{now}"));
    }
    match meant {
        Meant::Gone => lines.push(format!("* {chosen}  {GONE}")),
        Meant::Several => lines.push(format!("* {chosen}  {SEVERAL}")),
        Meant::Default | Meant::At(_) => {}
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> [(String, String); 3] {
        [
            ("alsa_input.usb", "USB Headset"),
            ("alsa_input.pci", "Built-in"),
            ("headset", "Other USB Headset"),
        ]
        .map(|(id, name)| (id.to_owned(), name.to_owned()))
    }

    #[test]
    fn a_star_stands_at_the_chosen_one() {
        let several = format!("* alsa  {SEVERAL}");
        for (chosen, starred) in [
            ("", "* (the system's default)"),
            ("alsa_input.pci", "* alsa_input.pci  Built-in"),
            ("PCI", "* alsa_input.pci  Built-in"),
            ("headset", "* headset  Other USB Headset"),
            ("USB Headset", "* alsa_input.usb  USB Headset"),
            ("other usb", "* headset  Other USB Headset"),
            ("gone", "* gone  (not there now)"),
            ("alsa", several.as_str()),
        ] {
            let lines = lines(&found(), chosen, "");
            let stars: Vec<_> = lines.iter().filter(|line| line.starts_with('*')).collect();
            assert_eq!(stars, [starred], "{chosen:?}");
        }
        assert_eq!(lines(&[], "", ""), ["* (the system's default)"]);
    }

    #[test]
    fn the_open_one_is_called_so() {
        let lines = lines(&found(), "gone", "Built-in");
        let open: Vec<_> = lines.iter().filter(|line| line.contains("now)")).collect();
        assert_eq!(
            open,
            [
                "  alsa_input.pci  Built-in  (listened to now)",
                "* gone  (not there now)"
            ]
        );
    }

    #[test]
    fn a_choice_is_answered_with_what_it_means() {
        let found = found();
        assert_eq!(set(Some(&found), "pci"), "alsa_input.pci  Built-in");
        assert_eq!(set(Some(&found), "webcam"), "webcam  (not there now)");
        assert_eq!(set(None, "webcam"), "webcam");
        assert_eq!(set(None, ""), DEFAULT);
        assert!(set(Some(&found), "alsa").contains("more than one"));
    }
}
