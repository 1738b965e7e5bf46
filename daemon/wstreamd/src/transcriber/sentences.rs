//! The faults that the transcriber tells, with their sentences.

use std::time::Duration;

use wstream_wire::v2::codes;

use super::Remote;
use super::outage::LossKind;
use super::target::Target;
use crate::fault::{Fault, FaultKind};

/// What a server's error means.
pub(super) fn of_error(code: &str, message: String, target: &Target) -> Fault {
    let kind = match code {
        codes::MODEL_MISSING => FaultKind::ModelMissing,
        codes::MODEL_INVALID => FaultKind::ModelInvalid,
        codes::CPU_UNSUPPORTED => FaultKind::CpuUnsupported,
        codes::BAD_LANGUAGE => FaultKind::BadOption,
        _ if target.is_local() => FaultKind::EngineFailed,
        _ => FaultKind::Failed,
    };
    Fault::new(kind, message)
}

/// What the user is told, once, while it is being tried again.
pub(super) fn away(target: &Target, kind: LossKind, reason: &str) -> Fault {
    match target {
        Target::Local(_) => {
            let message = "the engine has ended unexpectedly and is started again; \
                           what was said is kept";
            Fault::new(FaultKind::EngineFailed, message)
        }
        Target::Remote(remote) => {
            let name = &remote.name;
            let message = format!(
                "the server {name} is away ({reason}) and is tried again; what was said is kept"
            );
            let kind = match kind {
                LossKind::Refused | LossKind::Denied | LossKind::Garbled => {
                    FaultKind::RemoteRefused
                }
                _ => FaultKind::RemoteLost,
            };
            Fault::new(kind, message)
        }
    }
}

/// What the user is told, once, when another takes over; `known` is what is wrong.
pub(super) fn taken_over(target: &Target, known: Option<&Fault>) -> Fault {
    let name = target.name();
    let to = target.fallback().map_or("another", |fallback| &fallback.to);
    let what = known.map_or_else(
        || format!("the server {name} does not answer"),
        |fault| fault.message.clone(),
    );
    let kind = known.map_or(FaultKind::RemoteLost, |fault| fault.kind);
    let message = format!("{what}; {to} takes over until {name} is back, and nothing is lost");
    Fault::new(kind, message)
}

/// What is wrong with a server, in short; see [`taken_over`].
pub(super) fn trouble(target: &Target, kind: LossKind, reason: &str) -> Fault {
    let name = target.name();
    match kind {
        LossKind::Refused | LossKind::Denied | LossKind::Garbled => {
            let message = format!("the server {name} refuses ({reason})");
            Fault::new(FaultKind::RemoteRefused, message)
        }
        _ => {
            let message = format!("the server {name} is away ({reason})");
            Fault::new(FaultKind::RemoteLost, message)
        }
    }
}

/// What the utterances end with that nobody will answer.
pub(super) fn given_up(target: &Target, kind: LossKind, reason: &str) -> Fault {
    match (target, kind) {
        (Target::Local(_), _) => {
            let message = format!(
                "the engine does not start ({reason}): see what it says in the journal, \
                 or try another model"
            );
            Fault::new(FaultKind::EngineFailed, message)
        }
        (Target::Remote(Remote { name, .. }), LossKind::Denied) => {
            let message = format!(
                "the server {name} refuses ({reason}): put that right and say `wstreamctl retry`, \
                 or switch with `wstreamctl backend local`"
            );
            Fault::new(FaultKind::RemoteRefused, message)
        }
        (Target::Remote(Remote { name, protocol, .. }), LossKind::Garbled) => {
            let message = format!(
                "the server {name} cannot be understood ({reason}): check its url, and whether it \
                 speaks {protocol}, or switch with `wstreamctl backend local`"
            );
            Fault::new(FaultKind::RemoteRefused, message)
        }
        (Target::Remote(Remote { name, url, .. }), LossKind::Refused) => {
            let message = format!(
                "the server {name} refuses ({reason}): check its url {url}, \
                 or switch with `wstreamctl backend local`"
            );
            Fault::new(FaultKind::RemoteRefused, message)
        }
        (Target::Remote(Remote { name, url, .. }), _) => {
            let message = format!(
                "the server {name} stayed away ({reason}): check the network and its url {url}, \
                 or switch with `wstreamctl backend local`"
            );
            Fault::new(FaultKind::RemoteLost, message)
        }
    }
}

/// No server survives an utterance, or answers it.
pub(super) fn fatal_sound(target: &Target) -> Fault {
    match target {
        Target::Local(_) => {
            let message = "the engine died twice of the same speech, which was given up: \
                           say it again, or try another model";
            Fault::new(FaultKind::EngineFailed, message)
        }
        Target::Remote(Remote { name, .. }) => {
            let message = format!(
                "the server {name} does not answer this speech, which was given up: \
                 say it again, or switch with `wstreamctl backend local`"
            );
            Fault::new(FaultKind::RemoteLost, message)
        }
    }
}

/// More sound waits than is kept.
pub(super) fn no_room(limit: Duration) -> Fault {
    let seconds = limit.as_secs();
    let message = format!(
        "more than {seconds} s of speech waited for an answer and the oldest was given up: \
         use a faster backend or a smaller model, or raise unanswered_s in [limits]"
    );
    Fault::new(FaultKind::SoundLost, message)
}
