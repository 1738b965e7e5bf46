//! `wstreamctl microphone`

use clap::Args;

use crate::bus::{ANSWER_LIMIT, Bus, answer, read};
use crate::failure::Failure;
use crate::output;

/// Show the microphones, or choose one
///
/// Without a name: those that are there now, identifier first. The choice counts from the next
/// session on and is kept.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
    wstreamctl microphone                 a star stands at the one in use
    wstreamctl microphone 'USB'           the one with USB in its name
    wstreamctl microphone ''              the system's default")]
pub(crate) struct Microphone {
    /// An identifier, or a part of a name; empty for the system's default
    name: Option<String>,
}

impl Microphone {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let bus = Bus::connect().await?;
        if let Some(name) = self.name {
            let setting = bus.dictation.set_microphone(&name);
            answer("SetMicrophone", ANSWER_LIMIT, setting).await?;
            return output::line(shown(&name));
        }
        let found = read("Microphones", bus.dictation.microphones()).await?;
        let chosen = read("Microphone", bus.dictation.microphone()).await?;
        for line in lines(&found, &chosen) {
            output::line(&line)?;
        }
        Ok(())
    }
}

fn shown(name: &str) -> &str {
    match name {
        "" => "(the system's default)",
        name => name,
    }
}

/// The microphones with a star at the chosen one: by identifier, else by a part of a name.
fn lines(found: &[(String, String)], chosen: &str) -> Vec<String> {
    let part = chosen.to_lowercase();
    let index = match chosen {
        "" => None,
        _ => found.iter().position(|(id, _)| id == chosen).or_else(|| {
            found
                .iter()
                .position(|(_, name)| name.to_lowercase().contains(&part))
        }),
    };
    let mut lines = Vec::with_capacity(found.len() + 1);
    let default = if chosen.is_empty() { '*' } else { ' ' };
    lines.push(format!("{default} {}", shown("")));
    for (here, (id, name)) in found.iter().enumerate() {
        let mark = if Some(here) == index { '*' } else { ' ' };
        lines.push(format!("{mark} {id}  {name}"));
    }
    if !chosen.is_empty() && index.is_none() {
        lines.push(format!("* {chosen}  (not there now)"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_at_the_chosen_one() {
        let found = [
            ("alsa_input.usb".to_owned(), "USB Headset".to_owned()),
            ("alsa_input.pci".to_owned(), "Built-in".to_owned()),
        ];
        for (chosen, starred) in [
            ("", "* (the system's default)"),
            ("alsa_input.pci", "* alsa_input.pci  Built-in"),
            ("usb head", "* alsa_input.usb  USB Headset"),
            ("gone", "* gone  (not there now)"),
        ] {
            let lines = lines(&found, chosen);
            let stars: Vec<_> = lines.iter().filter(|line| line.starts_with('*')).collect();
            assert_eq!(stars, [starred], "{chosen:?}");
        }
        assert_eq!(lines(&[], ""), ["* (the system's default)"]);
    }
}
