//! What makes `wstreamctl` end without success: one sentence for the person, one code for the
//! script.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use wstream_api::Error as DaemonError;
use zbus::{DBusError as _, fdo};

/// The table in `wstreamctl --help` and in the manual page; a test holds it against [`Failure`].
pub(crate) const EXIT_CODES: &str = "\
Exit status:
    0   done
    1   failed; the sentence says why
    2   wrong usage, or a value that the daemon does not take
    3   no session bus, no daemon, or no answer from it
    4   no microphone, or it cannot be opened
    5   the model is missing or damaged
    6   what was given is not sound that can be read
    7   busy: another session takes sound
    8   the engine or the remote server failed
    9   the configuration cannot be used
    130 interrupted";

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(
        "there is no session bus: run this inside a desktop session, \
         or start a bus with `dbus-run-session -- bash`"
    )]
    NoBus(#[source] zbus::Error),
    #[error("the session bus has gone: log in again, or start another one")]
    BusLost(#[source] Option<zbus::Error>),
    #[error(
        "the daemon does not run and the bus does not know how to start it: \
         install it with `packaging/install.sh`, or start it with `wstreamd &`"
    )]
    NotInstalled,
    #[error(
        "the daemon could not be started: see `journalctl --user -u wstreamd`, \
         or run `wstreamd` in a terminal to see why"
    )]
    NotStarted(#[source] zbus::Error),
    #[error("the daemon ended in the middle: see `journalctl --user -u wstreamd`, then try again")]
    Vanished,
    #[error(
        "the daemon gave no answer to {what} for {} s: \
         try again, or restart it with `systemctl --user restart wstreamd`",
        .limit.as_secs()
    )]
    NoAnswer {
        /// The call, as the contract names it.
        what: &'static str,
        limit: Duration,
    },
    #[error(
        "the daemon does not understand {what}: it is of another version than wstreamctl, \
         so restart it with `systemctl --user restart wstreamd`"
    )]
    OtherVersion {
        what: &'static str,
        #[source]
        cause: zbus::Error,
    },
    /// The daemon's own sentence.
    #[error("{}", .0.message())]
    Daemon(DaemonError),
    #[error("cannot open {}: check the name and its permissions", .path.display())]
    Open {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("{} is a folder: name the sound files in it", .0.display())]
    Folder(PathBuf),
    #[error("standard input is a terminal: pipe sound into it, or name a file")]
    SoundFromTerminal,
    #[error("cannot write {}: choose a folder that you can write to", .path.display())]
    Write {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("cannot write to standard output: check that its disk is not full")]
    Output(#[source] std::io::Error),
    /// Whoever read our output has left, as `head` does: nothing to say.
    #[error("nobody reads the output any more")]
    ReaderGone,
    #[error(
        "{name} was not found: install it with `packaging/install.sh`, or name it in ${variable}"
    )]
    NoProgram {
        name: &'static str,
        variable: &'static str,
    },
    #[error("cannot run {}: install it again with `packaging/install.sh`", .program.display())]
    Run {
        program: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("nothing was copied: {0}")]
    Clipboard(String),
    #[error("you have no home folder: set HOME or XDG_CONFIG_HOME")]
    NoHome,
    #[error("cannot watch for signals: try again")]
    Signals(#[source] std::io::Error),
    #[error("interrupted")]
    Interrupted,
    /// Everything has been said already; only the code is left.
    #[error("failed")]
    Told(u8),
}

impl Failure {
    /// What a failed call of the method or property `what` means.
    pub(crate) fn of_call(what: &'static str, error: DaemonError) -> Self {
        match error {
            DaemonError::Bus(error) => Self::of_bus(what, error),
            told => Failure::Daemon(told),
        }
    }

    /// What an error of the bus itself means.
    pub(crate) fn of_bus(what: &'static str, error: zbus::Error) -> Self {
        if let zbus::Error::MethodError(name, ..) = &error
            && name.starts_with("org.freedesktop.systemd1.")
        {
            return Failure::NotStarted(error);
        }
        let zbus::Error::FDO(fdo) = &error else {
            return match error {
                zbus::Error::InputOutput(_) => Failure::BusLost(Some(error)),
                other => Failure::OtherVersion { what, cause: other },
            };
        };
        match **fdo {
            fdo::Error::ServiceUnknown(_)
            | fdo::Error::NameHasNoOwner(_)
            | fdo::Error::SpawnServiceNotFound(_) => Failure::NotInstalled,
            fdo::Error::SpawnExecFailed(_)
            | fdo::Error::SpawnForkFailed(_)
            | fdo::Error::SpawnChildExited(_)
            | fdo::Error::SpawnChildSignaled(_)
            | fdo::Error::SpawnFailed(_)
            | fdo::Error::SpawnFailedToSetup(_)
            | fdo::Error::SpawnConfigInvalid(_)
            | fdo::Error::SpawnServiceNotValid(_)
            | fdo::Error::SpawnPermissionsInvalid(_)
            | fdo::Error::SpawnFileInvalid(_)
            | fdo::Error::SpawnNoMemory(_)
            | fdo::Error::TimedOut(_)
            | fdo::Error::Timeout(_) => Failure::NotStarted(error),
            fdo::Error::NoReply(_) => Failure::Vanished,
            // How a property says what went wrong: it has no error names of its own.
            fdo::Error::Failed(ref sentence) => {
                Failure::Daemon(DaemonError::Failed(sentence.clone()))
            }
            fdo::Error::Disconnected(_) | fdo::Error::NoServer(_) => Failure::BusLost(Some(error)),
            _ => Failure::OtherVersion { what, cause: error },
        }
    }

    /// The exit status, as in [`EXIT_CODES`].
    pub(crate) fn code(&self) -> u8 {
        match self {
            Failure::ReaderGone => 0,
            Failure::Folder(_)
            | Failure::Open { .. }
            | Failure::Write { .. }
            | Failure::Output(_)
            | Failure::NoProgram { .. }
            | Failure::Run { .. }
            | Failure::Clipboard(_)
            | Failure::Signals(_) => 1,
            Failure::SoundFromTerminal => 2,
            Failure::NoBus(_)
            | Failure::BusLost(_)
            | Failure::NotInstalled
            | Failure::NotStarted(_)
            | Failure::Vanished
            | Failure::NoAnswer { .. }
            | Failure::OtherVersion { .. } => 3,
            Failure::NoHome => 9,
            // 128 + SIGINT, as shells count.
            Failure::Interrupted => 130,
            Failure::Daemon(error) => daemon_code(error),
            Failure::Told(code) => *code,
        }
    }

    /// The exit status as the process returns it.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// What to write behind `wstreamctl: `, with the causes in brackets; `None` where nothing is
    /// left to say.
    pub(crate) fn sentence(&self) -> Option<String> {
        if matches!(self, Failure::ReaderGone | Failure::Told(_)) {
            return None;
        }
        let mut sentence = self.to_string();
        let mut causes: Vec<String> = Vec::new();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            // Errors of zbus repeat their cause's text in their own.
            let text = plain_text(error);
            if !causes.iter().any(|said| said.contains(&text)) {
                causes.push(text);
            }
            cause = match error.downcast_ref::<zbus::Error>() {
                Some(zbus::Error::FDO(_)) => None,
                _ => error.source(),
            };
        }
        if !causes.is_empty() {
            sentence.push_str(&format!(" ({})", causes.join(": ")));
        }
        Some(sentence)
    }
}

/// What an error says, without the name that it has on the bus.
fn plain_text(error: &(dyn std::error::Error + 'static)) -> String {
    match error.downcast_ref::<zbus::Error>() {
        Some(zbus::Error::FDO(fdo)) => fdo.description().unwrap_or_default().to_owned(),
        Some(zbus::Error::MethodError(_, Some(text), _)) => text.clone(),
        _ => error.to_string(),
    }
}

/// The exit status for an error that the daemon reports.
pub(crate) fn daemon_code(error: &DaemonError) -> u8 {
    match error {
        DaemonError::Bus(_) => 3,
        DaemonError::NoMicrophone(_)
        | DaemonError::MicrophoneBusy(_)
        | DaemonError::UnknownMicrophone(_)
        | DaemonError::MicrophoneLost(_)
        | DaemonError::MicrophoneSilent(_)
        | DaemonError::MicrophoneTooLoud(_) => 4,
        DaemonError::ModelMissing(_) | DaemonError::ModelInvalid(_) => 5,
        DaemonError::BadSound(_) | DaemonError::SoundLost(_) => 6,
        DaemonError::Busy(_) | DaemonError::Locked(_) => 7,
        DaemonError::CpuUnsupported(_)
        | DaemonError::EngineFailed(_)
        | DaemonError::RemoteRefused(_)
        | DaemonError::RemoteLost(_) => 8,
        DaemonError::UnknownBackend(_) | DaemonError::BadOption(_) => 2,
        DaemonError::BadConfig(_) => 9,
        DaemonError::FilterFailed(_)
        | DaemonError::PluginFailed(_)
        | DaemonError::NotTyped(_)
        | DaemonError::Failed(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fdo(error: fdo::Error) -> Failure {
        Failure::of_bus("Start", zbus::Error::FDO(Box::new(error)))
    }

    #[test]
    fn every_error_of_the_contract_has_its_documented_code() {
        for (name, code) in [
            ("NoMicrophone", 4),
            ("MicrophoneBusy", 4),
            ("UnknownMicrophone", 4),
            ("MicrophoneLost", 4),
            ("MicrophoneSilent", 4),
            ("MicrophoneTooLoud", 4),
            ("BadSound", 6),
            ("SoundLost", 6),
            ("ModelMissing", 5),
            ("ModelInvalid", 5),
            ("CpuUnsupported", 8),
            ("EngineFailed", 8),
            ("RemoteRefused", 8),
            ("RemoteLost", 8),
            ("UnknownBackend", 2),
            ("Busy", 7),
            ("Locked", 7),
            ("BadOption", 2),
            ("BadConfig", 9),
            ("FilterFailed", 1),
            ("PluginFailed", 1),
            ("NotTyped", 1),
            ("Failed", 1),
            ("FromTheFuture", 1),
        ] {
            let error = DaemonError::from_name(name, "the sentence".to_owned());
            let failure = Failure::of_call("Start", error);
            assert_eq!(failure.code(), code, "{name}");
            assert_eq!(failure.sentence().as_deref(), Some("the sentence"));
            assert!(
                EXIT_CODES
                    .lines()
                    .any(|line| line.split_whitespace().next() == Some(&code.to_string())),
                "{code} is documented"
            );
        }
    }

    #[test]
    fn errors_of_the_bus_say_what_to_do() {
        let text = || "text of the bus".to_owned();
        for (failure, says) in [
            (
                fdo(fdo::Error::ServiceUnknown(text())),
                "packaging/install.sh",
            ),
            (
                fdo(fdo::Error::SpawnExecFailed(text())),
                "journalctl --user -u wstreamd",
            ),
            (
                fdo(fdo::Error::TimedOut(text())),
                "run `wstreamd` in a terminal",
            ),
            (fdo(fdo::Error::NoReply(text())), "then try again"),
            (
                fdo(fdo::Error::UnknownMethod(text())),
                "does not understand Start",
            ),
            (
                Failure::NoAnswer {
                    what: "Feed",
                    limit: Duration::from_secs(30),
                },
                "no answer to Feed for 30 s",
            ),
        ] {
            assert_eq!(failure.code(), 3, "{failure}");
            let sentence = failure.sentence().unwrap();
            assert!(sentence.contains(says), "{sentence}");
            assert!(!sentence.ends_with('.'), "{sentence}");
            assert!(!sentence.contains("org.freedesktop"), "{sentence}");
            let told_by_bus = std::error::Error::source(&failure).is_some();
            assert_eq!(
                sentence.ends_with("(text of the bus)"),
                told_by_bus,
                "{sentence}"
            );
        }
        let of_property = fdo(fdo::Error::Failed("start a sound server".to_owned()));
        assert_eq!(of_property.code(), 1);
        assert_eq!(of_property.to_string(), "start a sound server");
        assert!(Failure::ReaderGone.sentence().is_none());
    }
}
