//! Whether somebody is there to dictate: what a locked screen and a machine that goes to sleep mean
//! for the microphone. [`Presence`] decides and has no input or output; the daemon does what it says.

use serde::Deserialize;
use tokio::sync::oneshot;

use super::Daemon;
use super::ledger::SourceKind;
use crate::config::Session as Settings;
use crate::fault::{Fault, FaultKind};
use crate::speech::SessionOptions;
use crate::typist::ToTypist;

/// What becomes of listening when nobody is there any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLeaving {
    /// The microphone is closed, and what was said becomes text.
    #[default]
    Finish,
    /// The microphone is closed, and what is not finished is forgotten.
    Discard,
    /// It goes on.
    Ignore,
}

/// What has become of the user's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The screen is locked.
    Locked,
    /// It is not any more.
    Unlocked,
    /// The machine is about to sleep.
    Sleeps,
    /// It has woken up.
    Awake,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Nothing,
    Finish,
    Discard,
    Resume,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Presence {
    locked: bool,
    asleep: bool,
    /// The microphone was open when the user left, and is to be open again.
    resumes: bool,
}

impl Presence {
    fn change(&mut self, change: Change, settings: &Settings, is_listening: bool) -> Then {
        let (state, now) = match change {
            Change::Locked => (&mut self.locked, true),
            Change::Unlocked => (&mut self.locked, false),
            Change::Sleeps => (&mut self.asleep, true),
            Change::Awake => (&mut self.asleep, false),
        };
        if std::mem::replace(state, now) == now {
            return Then::Nothing;
        }
        if !now {
            let is_back = !self.locked && !self.asleep;
            return match is_back && std::mem::take(&mut self.resumes) {
                true => Then::Resume,
                false => Then::Nothing,
            };
        }
        let (does, resumes) = match change {
            Change::Locked => (settings.on_lock, settings.resume_after_lock),
            _ => (settings.on_sleep, settings.resume_after_sleep),
        };
        if !is_listening || does == OnLeaving::Ignore {
            return Then::Nothing;
        }
        self.resumes |= resumes;
        match does {
            OnLeaving::Discard => Then::Discard,
            _ => Then::Finish,
        }
    }

    /// Somebody has started or stopped listening by themselves: that counts from now on.
    pub(super) fn was_told(&mut self) {
        self.resumes = false;
    }

    /// Why nobody may listen now.
    fn refusal(&self, settings: &Settings) -> Option<Fault> {
        let is_refused = self.locked && settings.on_lock != OnLeaving::Ignore;
        is_refused.then(|| {
            let why = "the screen is locked: unlock it, or set on_lock = \"ignore\" under [session] in the configuration";
            Fault::new(FaultKind::Locked, why)
        })
    }
}

impl Daemon {
    /// The user's session has changed.
    pub(super) fn presence_changed(&mut self, change: Change) {
        match change {
            Change::Locked => self.typing.send(ToTypist::Locked(true)),
            Change::Unlocked => self.typing.send(ToTypist::Locked(false)),
            Change::Sleeps | Change::Awake => true,
        };
        let is_listening = self.listens_to_microphone();
        let settings = &self.settings.config().session;
        let then = self.presence.change(change, settings, is_listening);
        tracing::info!(?change, ?then, "the user's session");
        match then {
            Then::Nothing => {}
            Then::Finish => self.stop(),
            Then::Discard => self.cancel_all(),
            Then::Resume => {
                let (reply, _) = oneshot::channel();
                self.start(SessionOptions::default(), reply);
            }
        }
    }

    /// Why the microphone may not be opened now.
    pub(super) fn refusal(&self) -> Option<Fault> {
        self.presence.refusal(&self.settings.config().session)
    }

    pub(super) fn listens_to_microphone(&self) -> bool {
        let mut listening = self.listening.iter();
        listening.any(|listening| listening.kind == SourceKind::Microphone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_is_not_listened_to_and_comes_back_as_set() {
        use Change::*;
        let settings = |on_lock, resume_after_lock| Settings {
            on_lock,
            resume_after_lock,
            ..Settings::default()
        };
        for (on_lock, resumes, listening, changes) in [
            (
                OnLeaving::Finish,
                false,
                true,
                vec![(Locked, Then::Finish), (Unlocked, Then::Nothing)],
            ),
            (
                OnLeaving::Finish,
                true,
                true,
                vec![
                    (Locked, Then::Finish),
                    (Locked, Then::Nothing),
                    (Unlocked, Then::Resume),
                    (Unlocked, Then::Nothing),
                ],
            ),
            (
                OnLeaving::Discard,
                true,
                true,
                vec![(Locked, Then::Discard), (Unlocked, Then::Resume)],
            ),
            (
                OnLeaving::Ignore,
                true,
                true,
                vec![(Locked, Then::Nothing), (Unlocked, Then::Nothing)],
            ),
            (
                OnLeaving::Finish,
                true,
                false,
                vec![(Locked, Then::Nothing), (Unlocked, Then::Nothing)],
            ),
        ] {
            let mut presence = Presence::default();
            let settings = settings(on_lock, resumes);
            for (change, wanted) in changes {
                let then = presence.change(change, &settings, listening);
                assert_eq!(then, wanted, "{on_lock:?} {resumes} {change:?}");
            }
        }
    }

    #[test]
    fn a_locked_screen_behind_a_sleep_keeps_the_microphone_closed() {
        let settings = Settings {
            resume_after_sleep: true,
            ..Settings::default()
        };
        let mut presence = Presence::default();
        for (change, listens, wanted) in [
            (Change::Sleeps, true, Then::Finish),
            (Change::Locked, false, Then::Nothing),
            (Change::Awake, false, Then::Nothing),
            (Change::Unlocked, false, Then::Resume),
        ] {
            assert_eq!(
                presence.change(change, &settings, listens),
                wanted,
                "{change:?}"
            );
        }
        presence.change(Change::Sleeps, &settings, true);
        presence.was_told();
        let then = presence.change(Change::Awake, &settings, false);
        assert_eq!(then, Then::Nothing, "the user has decided otherwise");
    }

    #[test]
    fn nobody_starts_behind_a_locked_screen() {
        let settings = Settings::default();
        let mut presence = Presence::default();
        assert_eq!(presence.refusal(&settings), None);
        presence.change(Change::Locked, &settings, false);
        let fault = presence.refusal(&settings).expect("it is locked");
        assert_eq!(fault.kind, FaultKind::Locked);
        let ignoring = Settings {
            on_lock: OnLeaving::Ignore,
            ..Settings::default()
        };
        assert_eq!(presence.refusal(&ignoring), None);
    }
}
