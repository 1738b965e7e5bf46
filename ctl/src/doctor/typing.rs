//! The ways into the desktop's windows, each tried in a window of its own where that is possible.

use std::time::Duration;

use wstream_typing::x11::Trial;
use wstream_typing::{DRIVERS, Open, Session as Desktop, Stopped, Typed, Unable};

use crate::doctor::finding::{Finding, State};

const SUBJECT: &str = "typing";

/// What is typed to try it: punctuation, umlauts, and letters that few keyboards have.
const TEXT: &str = "wstream: Grüße, \"Zoë\" – 100 % naïve | Ω Жя 你好 €";

/// How long the text may take to arrive.
const ARRIVES: Duration = Duration::from_secs(10);

/// Each way of typing on the desktop that this runs in. Opens a small window for each that it tries.
pub(crate) fn drivers(wanted: bool) -> Vec<Finding> {
    let desktop = Desktop::own();
    let is_set = |name: &&str| desktop.get(name).is_some();
    if !["DISPLAY", "WAYLAND_DISPLAY"].iter().any(is_set) {
        let sentence = "there is no desktop here (neither DISPLAY nor WAYLAND_DISPLAY is set): run \
                        this in a window of the desktop to look at typing";
        return vec![Finding::skipped(SUBJECT, sentence)];
    }
    let mut findings: Vec<Finding> = DRIVERS
        .iter()
        .map(|&(name, open)| driver(&desktop, name, open))
        .collect();
    let none_is_there = findings.iter().all(|it| it.state == State::Skipped);
    if none_is_there && wanted {
        findings.push(Finding::problem(
            SUBJECT,
            "no way of typing works on this desktop: say `wstreamctl typing off`, and \
             `wstreamctl last --copy` for each text",
        ));
    }
    findings
}

fn driver(desktop: &Desktop, name: &str, open: Open) -> Finding {
    let opened = open(desktop);
    let tried = match opened {
        // Keys of X11, in a window of X11.
        Ok(mut driver) if ["x11", "clipboard"].contains(&name) => {
            tried(desktop, |text| driver.type_text(text))
        }
        Ok(mut driver) => driver.target().map(|_| None),
        Err(unable) => Err(unable),
    };
    match tried {
        Ok(Some(arrived)) => told(name, &arrived),
        Ok(None) => Finding::ok(SUBJECT, format!("{name} can type into the focused window")),
        // Its place is elsewhere.
        Err(Unable::Absent(why)) => Finding::skipped(SUBJECT, format!("{name}: {why}")),
        // There, and nothing that it could type into has the focus now.
        Err(Unable::NoTarget(why)) => Finding::skipped(SUBJECT, format!("{name} is there; {why}")),
        Err(why) => Finding::problem(SUBJECT, format!("{name}: {why}")),
    }
}

/// Types into a window of our own, and gives what arrived there.
fn tried(
    desktop: &Desktop,
    type_text: impl FnOnce(&str) -> Result<Typed, Stopped> + Send,
) -> Result<Option<String>, Unable> {
    let mut trial = Trial::open(desktop)?;
    std::thread::scope(|scope| {
        let typing = scope.spawn(|| type_text(TEXT));
        let arrived = trial.read(TEXT.chars().count(), ARRIVES);
        // A window that has gone ends whoever waits for it.
        let typed = typing.join().expect("typing does not panic");
        typed.map_err(|stopped| stopped.why)?;
        arrived.map(Some)
    })
}

fn told(name: &str, arrived: &str) -> Finding {
    let count = TEXT.chars().count();
    if arrived == TEXT {
        let sentence = format!("{name} typed {count} characters into a window, exactly");
        return Finding::ok(SUBJECT, sentence);
    }
    let right = TEXT
        .chars()
        .zip(arrived.chars())
        .take_while(|(a, b)| a == b);
    Finding::problem(
        SUBJECT,
        format!(
            "{name}: of {count} characters only the first {} arrived as they were: leave it out of \
             `drivers` under [typing], and please report the keyboard layout",
            right.count()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrived_is_compared() {
        assert_eq!(told("x11", TEXT).state, State::Ok);
        let lost: String = TEXT.chars().take(8).collect();
        let finding = told("x11", &lost);
        assert_eq!(finding.state, State::Problem);
        assert!(finding.sentence.contains("only the first 8"), "{finding:?}");
    }
}
