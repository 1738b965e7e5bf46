//! Whether somebody is there to dictate: what a locked screen and a machine that goes to sleep mean
//! for the microphone. [`Presence`] decides and has no input or output; the daemon does what it says.

use std::sync::Arc;

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
    /// The screen is locked, or is to be.
    Locked,
    /// It was to be locked, and nobody has said since that it is: not every lock screen tells
    /// logind, so that nobody would say either that it is not any more.
    Unconfirmed,
    /// It is not any more.
    Unlocked,
    /// The machine is about to sleep.
    Sleeps,
    /// It has woken up.
    Awake,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
enum Then {
    Nothing,
    Finish,
    Discard,
    Resume(Arc<SessionOptions>),
}

/// What is known of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Screen {
    #[default]
    Open,
    Locked,
    /// It was to be locked. Nobody is refused, and nothing begins by itself.
    Unclear,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Presence {
    screen: Screen,
    asleep: bool,
    /// The microphone was open when the user left, and is to be open again, with these options.
    resumes: Option<Arc<SessionOptions>>,
}

impl Presence {
    /// `listening`: with which options the microphone is open.
    fn change(
        &mut self,
        change: Change,
        settings: &Settings,
        listening: Option<Arc<SessionOptions>>,
    ) -> Then {
        let before = (self.screen, self.asleep);
        match change {
            Change::Locked => self.screen = Screen::Locked,
            Change::Unconfirmed if self.screen == Screen::Locked => self.screen = Screen::Unclear,
            Change::Unconfirmed => {}
            Change::Unlocked => self.screen = Screen::Open,
            Change::Sleeps => self.asleep = true,
            Change::Awake => self.asleep = false,
        }
        if (self.screen, self.asleep) == before {
            return Then::Nothing;
        }
        let (does, resumes) = match change {
            Change::Locked => (settings.on_lock, settings.resume_after_lock),
            Change::Sleeps => (settings.on_sleep, settings.resume_after_sleep),
            Change::Unconfirmed | Change::Unlocked | Change::Awake => {
                let is_back = self.screen == Screen::Open && !self.asleep;
                let resumes = self.resumes.take_if(|_| is_back);
                return resumes.map_or(Then::Nothing, Then::Resume);
            }
        };
        let Some(options) = listening.filter(|_| does != OnLeaving::Ignore) else {
            return Then::Nothing;
        };
        if resumes {
            self.resumes = Some(options);
        }
        match does {
            OnLeaving::Discard => Then::Discard,
            _ => Then::Finish,
        }
    }

    /// Somebody has started or stopped listening by themselves: that counts from now on.
    pub(super) fn was_told(&mut self) {
        self.resumes = None;
    }

    /// Whether a microphone that nobody listens to is to be closed.
    fn is_away(&self, settings: &Settings) -> bool {
        let is_asleep = self.asleep && settings.on_sleep != OnLeaving::Ignore;
        is_asleep || self.refusal(settings).is_some()
    }

    /// Why nobody may listen now.
    fn refusal(&self, settings: &Settings) -> Option<Fault> {
        let is_refused = self.screen == Screen::Locked && settings.on_lock != OnLeaving::Ignore;
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
            Change::Unconfirmed | Change::Unlocked => self.typing.send(ToTypist::Locked(false)),
            Change::Sleeps | Change::Awake => true,
        };
        let listening = self.listening.as_ref();
        let listening = listening.filter(|it| it.kind == SourceKind::Microphone);
        let options = listening.map(|it| Arc::clone(&it.options));
        let settings = &self.settings.config().session;
        tracing::info!(?change, "the user's session");
        let then = self.presence.change(change, settings, options);
        match then {
            Then::Nothing => {}
            Then::Finish => self.stop(),
            Then::Discard => self.cancel_all(),
            Then::Resume(options) => {
                let (reply, _) = oneshot::channel();
                self.start(SessionOptions::clone(&options), reply);
            }
        }
    }

    /// Somebody starts listening by themselves, or stops: that counts from now on, if it is possible.
    pub(super) fn was_told(&mut self) {
        if self.refusal().is_none() {
            self.presence.was_told();
        }
    }

    /// Why the microphone may not be opened now.
    pub(super) fn refusal(&self) -> Option<Fault> {
        self.presence.refusal(&self.settings.config().session)
    }

    /// Whether nobody is there to dictate.
    pub(super) fn is_away(&self) -> bool {
        self.presence.is_away(&self.settings.config().session)
    }

    /// Whether sleep is to wait: for as long as something was said into the microphone that is no
    /// text yet. What programs hand over is theirs.
    pub(super) fn holds_sleep_up(&self) -> bool {
        let is_wanted = self.settings.config().session.on_sleep != OnLeaving::Ignore;
        let owes = self.listening.is_none() && !self.ledger.is_empty();
        is_wanted && (owes || self.listens_to_microphone())
    }

    pub(super) fn listens_to_microphone(&self) -> bool {
        let mut listening = self.listening.iter();
        listening.any(|listening| listening.kind == SourceKind::Microphone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_language(language: &str) -> Arc<SessionOptions> {
        Arc::new(SessionOptions {
            language: Some(language.to_owned()),
            ..SessionOptions::default()
        })
    }

    #[test]
    fn who_leaves_is_not_listened_to_and_comes_back_as_set() {
        use Change::*;
        let german = with_language("de");
        let resume = || Then::Resume(Arc::clone(&german));
        for (on_lock, resumes, is_listening, changes) in [
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
                    (Unlocked, resume()),
                    (Unlocked, Then::Nothing),
                ],
            ),
            (
                OnLeaving::Discard,
                true,
                true,
                vec![(Locked, Then::Discard), (Unlocked, resume())],
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
            // Nobody has said that the screen is locked: it may be all the same.
            (
                OnLeaving::Finish,
                true,
                true,
                vec![
                    (Locked, Then::Finish),
                    (Unconfirmed, Then::Nothing),
                    (Unlocked, resume()),
                ],
            ),
        ] {
            let mut presence = Presence::default();
            let settings = Settings {
                on_lock,
                resume_after_lock: resumes,
                ..Settings::default()
            };
            for (change, wanted) in changes {
                let listening = is_listening.then(|| Arc::clone(&german));
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
        let options = with_language("en");
        let mut presence = Presence::default();
        for (change, listens, wanted) in [
            (Change::Sleeps, true, Then::Finish),
            (Change::Locked, false, Then::Nothing),
            (Change::Awake, false, Then::Nothing),
            (Change::Unlocked, false, Then::Resume(Arc::clone(&options))),
        ] {
            let listening = listens.then(|| Arc::clone(&options));
            assert_eq!(
                presence.change(change, &settings, listening),
                wanted,
                "{change:?}"
            );
        }
        // Behind a lock screen that tells nobody it may be locked as well.
        let mut presence = Presence::default();
        presence.change(Change::Locked, &settings, Some(Arc::clone(&options)));
        for change in [Change::Unconfirmed, Change::Sleeps, Change::Awake] {
            let then = presence.change(change, &settings, None);
            assert_eq!(then, Then::Nothing, "{change:?}");
        }
        presence.change(Change::Unlocked, &settings, None);
        presence.change(Change::Sleeps, &settings, Some(options));
        presence.was_told();
        let then = presence.change(Change::Awake, &settings, None);
        assert_eq!(then, Then::Nothing, "the user has decided otherwise");
    }

    #[test]
    fn nobody_starts_behind_a_locked_screen() {
        let settings = Settings::default();
        let mut presence = Presence::default();
        assert_eq!(presence.refusal(&settings), None);
        presence.change(Change::Locked, &settings, None);
        let fault = presence.refusal(&settings).expect("it is locked");
        assert_eq!(fault.kind, FaultKind::Locked);
        let ignoring = Settings {
            on_lock: OnLeaving::Ignore,
            ..Settings::default()
        };
        assert_eq!(presence.refusal(&ignoring), None);
        presence.change(Change::Unconfirmed, &settings, None);
        assert_eq!(presence.refusal(&settings), None);
    }
}
