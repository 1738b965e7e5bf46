//! The ways into the desktop's windows, each tried in a window of its own; IBus is only asked.

use std::time::Duration;

use wstream_typing::wayland::Takes;
use wstream_typing::{DRIVERS, Driver, Open, Session as Desktop, Unable, wayland, x11};

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
    let tried = open(desktop).and_then(|driver| tried(desktop, name, driver));
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

/// Types into a window or a field of our own of the kind that the driver is for, and gives what
/// arrived there; `None`: there is none for it, and it was only asked.
fn tried(
    desktop: &Desktop,
    name: &str,
    mut driver: Box<dyn Driver>,
) -> Result<Option<String>, Unable> {
    let count = TEXT.chars().count();
    let arrived = match name {
        "x11" | "clipboard" => {
            let mut trial = x11::Trial::open(desktop)?;
            typed_into(driver, || trial.read(count, ARRIVES))
        }
        "wayland-input-method" => {
            let mut trial = wayland::Trial::open(desktop, Takes::Field)?;
            typed_into(driver, || trial.read(count, ARRIVES))
        }
        "wayland-virtual-keyboard" | "wayland-clipboard" => {
            let mut trial = wayland::Trial::open(desktop, Takes::Keys)?;
            typed_into(driver, || trial.read(count, ARRIVES))
        }
        // IBus signs what it sends to a field with a name that the bus library refuses, so that a
        // field of our own cannot hear it.
        _ => return driver.target().map(|_| None),
    };
    arrived.map(Some)
}

/// Has the driver type while `read` reads.
fn typed_into(
    mut driver: Box<dyn Driver>,
    read: impl FnOnce() -> Result<String, Unable>,
) -> Result<String, Unable> {
    std::thread::scope(|scope| {
        let typing = scope.spawn(move || driver.type_text(TEXT));
        let arrived = read();
        let typed = typing.join().expect("typing does not panic");
        typed.map_err(|stopped| stopped.why)?;
        arrived
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
