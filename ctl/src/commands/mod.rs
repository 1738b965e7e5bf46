//! One file per command, each with its arguments, its help and what it does.

pub(crate) mod backend;
pub(crate) mod cancel;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod history;
pub(crate) mod language;
pub(crate) mod last;
pub(crate) mod listen;
pub(crate) mod man;
pub(crate) mod microphone;
pub(crate) mod model;
pub(crate) mod monitor;
pub(crate) mod plugins;
pub(crate) mod press;
pub(crate) mod release;
pub(crate) mod retry;
pub(crate) mod retype;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod strategy;
pub(crate) mod toggle;
pub(crate) mod transcribe;
pub(crate) mod typing;
pub(crate) mod undo;
pub(crate) mod waybar;

use crate::cli::Command;
use crate::failure::Failure;
use crate::output;

/// Carries `command` out.
pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Start(start) => start.run().await,
        Command::Stop(stop) => stop.run().await,
        Command::Toggle(toggle) => toggle.run().await,
        Command::Press(press) => press.run().await,
        Command::Release(release) => release.run().await,
        Command::Cancel(cancel) => cancel.run().await,
        Command::Retry(retry) => retry.run().await,
        Command::Status(status) => status.run().await,
        Command::Listen(listen) => listen.run().await,
        Command::Transcribe(transcribe) => transcribe.run().await,
        Command::Monitor(monitor) => monitor.run().await,
        Command::Strategy(strategy) => strategy.run().await,
        Command::Backend(backend) => backend.run().await,
        Command::Language(language) => language.run().await,
        Command::Typing(typing) => typing.run().await,
        Command::Undo(undo) => undo.run().await,
        Command::Retype(retype) => retype.run().await,
        Command::Last(last) => last.run().await,
        Command::Microphone(microphone) => microphone.run().await,
        Command::Model(model) => model.run().await,
        Command::History(history) => history.run(),
        Command::Plugins(plugins) => plugins.run().await,
        Command::Waybar(waybar) => waybar.run().await,
        Command::Doctor(doctor) => doctor.run().await,
        Command::Config(config) => config.run(),
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(),
    }
}

/// Prints what can be chosen, with a star at what is.
fn print_choices(choices: &[String], chosen: &str) -> Result<(), Failure> {
    for choice in choices {
        let mark = if choice == chosen { '*' } else { ' ' };
        output::line(&format!("{mark} {choice}"))?;
    }
    if !choices.iter().any(|choice| choice == chosen) {
        output::line(&format!("* {chosen}"))?;
    }
    Ok(())
}
