//! `wstreamctl doctor`

use clap::Args;
use wstream_api as api;

use crate::bus::{Bus, read};
use crate::doctor::finding::{Finding, State};
use crate::doctor::{desktop, installed, sound, typing};
use crate::failure::Failure;
use crate::output;

/// Find out what is wrong, and what to do about it
///
/// Looks at the programs, the configuration, the bus, the daemon and its service, the microphones,
/// the model, everybody who can transcribe, the ways of typing, notifications and plugins, a line
/// for each: `ok`, `skipped`, or `problem` with what to do. Starts the daemon where the bus knows
/// how, opens the microphone for three seconds to tell how loud it is, sends made-up voice through
/// each backend, and types a line into a small window of its own; what is heard meanwhile is
/// forgotten, and no setting is changed.
///
/// No dictated text is in what is printed, and your home folder is written `~`, so it can be shown
/// to others. Ends with 1 where there is a problem.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
    wstreamctl doctor                     speak meanwhile, to see how loud you are
    wstreamctl doctor --no-microphone
    wstreamctl doctor --json | jq -r 'select(.state == \"problem\") | .sentence'")]
pub(crate) struct Doctor {
    /// Print a JSON object for each line
    #[arg(long)]
    json: bool,

    /// Leave the microphone closed
    #[arg(long)]
    no_microphone: bool,

    /// Type nothing, and open no window
    #[arg(long)]
    no_window: bool,
}

impl Doctor {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let home = std::env::var("HOME").unwrap_or_default();
        let mut report = Report {
            json: self.json,
            home,
            problems: 0,
        };
        self.look(&mut report).await?;
        match report.problems {
            0 => Ok(()),
            _ => Err(Failure::Told(1)),
        }
    }

    async fn look(&self, report: &mut Report) -> Result<(), Failure> {
        report.all(installed::programs())?;
        report.all(installed::configuration())?;
        report.add(installed::rights())?;
        let bus = match Bus::connect().await {
            Ok(bus) => bus,
            Err(failure) => return report.add(installed::failed("bus", &failure)),
        };
        report.add(Finding::ok("bus", "the session bus answers"))?;
        let (daemon, answers) = installed::daemon(&bus).await;
        report.add(daemon)?;
        report.add(installed::service(&bus).await)?;
        if answers {
            self.dictation(&bus, report).await?;
        }
        let wanted = answers && desktop::is_typing_wanted(&bus).await;
        if self.no_window {
            report.add(Finding::skipped("typing", "no window was to be opened"))?;
        } else {
            let drivers = tokio::task::spawn_blocking(move || typing::drivers(wanted));
            report.all(drivers.await.expect("looking does not panic"))?;
        }
        report.add(desktop::notifications(&bus).await)
    }

    /// What only a daemon that runs can tell.
    async fn dictation(&self, bus: &Bus, report: &mut Report) -> Result<(), Failure> {
        report.add(sound::microphones(bus).await)?;
        let (model, has_model) = sound::model(bus).await;
        report.add(model)?;
        // Somebody's words are not to be disturbed.
        if !sound::is_idle(bus).await? {
            let busy = "somebody is dictating: run this again afterwards";
            report.add(Finding::skipped("level", busy))?;
            report.add(Finding::skipped("transcription", busy))?;
        } else {
            if self.no_microphone {
                report.add(Finding::skipped("level", "the microphone was left closed"))?;
            } else {
                let seconds = sound::HEARD.as_secs();
                if !self.json {
                    output::note(&format!("listening for {seconds} s: say something"));
                }
                report.add(sound::level(bus).await)?;
            }
            for name in read("Backends", bus.dictation.backends()).await? {
                // Its own line says what is missing.
                if has_model || name != api::BACKEND_LOCAL {
                    report.add(sound::backend(bus, &name).await)?;
                }
            }
        }
        report.all(desktop::plugins(bus).await)
    }
}

/// Findings, printed as they come.
#[derive(Debug)]
struct Report {
    json: bool,
    home: String,
    problems: usize,
}

impl Report {
    fn all(&mut self, findings: Vec<Finding>) -> Result<(), Failure> {
        findings
            .into_iter()
            .try_for_each(|finding| self.add(finding))
    }

    fn add(&mut self, finding: Finding) -> Result<(), Failure> {
        let finding = finding.without_home(&self.home);
        self.problems += usize::from(finding.state == State::Problem);
        match self.json {
            true => output::object(&finding.to_object()),
            false => output::line(&finding.to_line()),
        }
    }
}
