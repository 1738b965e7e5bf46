//! To whom the utterances go, and one step after the other towards a link that serves them.

use tokio::time::Instant;
use tracing::debug;

use super::TranscriberSettings;
use super::kept::{Kept, Manner};
use super::link::State;
use super::sentences;
use super::standing::Standing;
use super::target::Target;
use super::work::Work;
use crate::event::{Event, ServerState, ServerStatus};
use crate::fault::Fault;

impl Work {
    /// Trying is of no use: whatever is owed fails, and if nothing is, the user is told.
    pub(super) fn block(&mut self, target: Target, fault: Fault, now: Instant) {
        if target.fallback().is_some() {
            let known = sentences::taken_over(&target, Some(&fault));
            self.take_over(&target, known, now);
            return;
        }
        if self.unanswered.head().is_none() && self.link.outage.tell() {
            self.outbox.push(Event::Trouble(fault.clone()));
        }
        self.warm = false;
        self.link.block(target, fault);
    }

    pub(super) fn unblock(&mut self) {
        self.link.outage.over();
        if matches!(
            self.link.state,
            State::Blocked { .. } | State::Waiting { .. }
        ) {
            self.link.close();
        }
    }

    /// One step towards a link that serves what is owed; false when there is none to take.
    pub(super) fn align_link(&mut self, now: Instant) -> bool {
        let wanted = match self.unanswered.head() {
            Some(head) => match self.target_of(head) {
                Ok(target) => {
                    let manner = target.manner(&head.manner, &head.utterance.options);
                    Some((target, manner))
                }
                Err(fault) => {
                    let utterance = head.number();
                    self.unanswered.give_up(utterance);
                    self.fail(utterance, fault);
                    return true;
                }
            },
            None => None,
        };
        let head_is_told = self.unanswered.head().is_some_and(Kept::is_told);
        match (&self.link.state, wanted) {
            (State::Closed, Some((target, manner))) => {
                self.connect(target, manner, now);
                true
            }
            (State::Closed, None) if self.warm => {
                let options = self.warm_for.clone();
                match Target::resolve(&self.settings, &options, &self.standing) {
                    // It is connected when there is something to say.
                    Ok(target) if !target.is_early() => self.warm = false,
                    Ok(target) => {
                        let manner = target.manner(&self.manner(&options), &options);
                        self.connect(target, manner, now);
                    }
                    Err(fault) => {
                        self.warm = false;
                        self.outbox.push(Event::Trouble(fault));
                    }
                }
                true
            }
            (State::Closed, None) => false,
            (State::Blocked { target, fault }, Some((wanted, _))) if target.is(&wanted) => {
                let fault = fault.clone();
                // What is still being said is kept whole, and fails at its end.
                let is_whole = self.unanswered.head().is_some_and(|head| head.ended);
                if is_whole {
                    self.fail_head(fault, now);
                }
                is_whole
            }
            // The session that begins asks for another.
            (_, None) if self.warm && !self.is_warm_for() => {
                self.close();
                true
            }
            // Nothing is owed any more: no pause needs to be waited out.
            (State::Waiting { .. }, None) if !self.warm => {
                self.link.close();
                true
            }
            (State::Open(open), Some((wanted, manner))) if open.target.is(&wanted) => {
                // Another strategy or language may need another connection, between utterances; so
                // may each utterance.
                let serves = head_is_told || open.connection.serves(&manner);
                if !serves {
                    self.close();
                }
                !serves
            }
            (State::Open(open), None) if open.connection.is_spent() => {
                self.close();
                true
            }
            (_, Some((wanted, _))) if self.link.target().is_some_and(|it| !it.is(&wanted)) => {
                self.link.outage.over();
                self.close();
                true
            }
            _ => false,
        }
    }

    /// Whether the link leads where the session that begins will want it.
    fn is_warm_for(&self) -> bool {
        let wanted = Target::resolve(&self.settings, &self.warm_for, &self.standing);
        match (self.link.target(), wanted) {
            (Some(linked), Ok(wanted)) => linked.is(&wanted),
            _ => true,
        }
    }

    fn connect(&mut self, target: Target, manner: Manner, now: Instant) {
        debug!(backend = target.name(), "connecting");
        if let Err(fault) = self.link.open(target.clone(), manner, now) {
            self.block(target, fault, now);
        }
    }

    /// Where an utterance goes. One that its server knows of stays there when the one whose place
    /// that takes is back.
    fn target_of(&self, kept: &Kept) -> Result<Target, Fault> {
        let options = &kept.utterance.options;
        let target = Target::resolve(&self.settings, options, &self.standing)?;
        if !kept.is_told() || !matches!(self.link.state, State::Open(_)) {
            return Ok(target);
        }
        let linked = self.link.target();
        let serves_for = |wanted: &Target| -> bool {
            let mut next = Some(wanted.clone());
            for _ in 0..=self.settings.remotes.len() {
                let Some(target) = next else {
                    return false;
                };
                if linked.is_some_and(|linked| linked.is(&target)) {
                    return true;
                }
                let fallback = target.fallback().map(|fallback| fallback.to.clone());
                next = fallback.and_then(|to| Target::named(&self.settings, &to).ok());
            }
            false
        };
        match linked {
            Some(linked) if serves_for(&target) => Ok(linked.clone()),
            _ => Ok(target),
        }
    }

    /// Lets go of the connection; what is owed will be told again.
    pub(super) fn close(&mut self) {
        self.unanswered.disconnected();
        self.link.close();
    }

    /// How it stands with the server.
    pub(super) fn server_status(&self) -> ServerStatus {
        let head = self.unanswered.head().map(|head| &head.utterance.options);
        let options = head.or(self.warm.then_some(&self.warm_for));
        let options = options.map_or_else(Default::default, |options| (**options).clone());
        let serving = Target::resolve(&self.settings, &options, &self.standing);
        let wanted = Target::wanted(&self.settings, &options);
        let name = |target: &Result<Target, Fault>| match target {
            Ok(target) => target.name().to_owned(),
            Err(_) => String::new(),
        };
        let is_away = self.link.outage.since().is_some();
        let state = match &self.link.state {
            State::Closed => ServerState::Idle,
            State::Blocked { .. } => ServerState::Refused,
            State::Open(open) if open.ready.is_some() => ServerState::Connected,
            State::Waiting { .. } => ServerState::Away,
            _ if is_away => ServerState::Away,
            State::Opening { .. } | State::Open(_) => ServerState::Connecting,
        };
        let standing = self.standing.fault(&name(&wanted));
        let own = match (&self.link.state, state) {
            (State::Blocked { fault, .. }, _) => Some(fault),
            (_, ServerState::Connected) => None,
            _ => self.link.outage.fault(),
        };
        ServerStatus {
            backend: match self.link.target() {
                Some(linked) => linked.name().to_owned(),
                None => name(&serving),
            },
            state,
            fault: standing.or(own).cloned(),
            kept: self.shelf.len() as u32,
            kept_s: self.shelf.seconds(),
        }
    }
}

/// Whether an utterance goes to this server.
pub(super) fn is_for(
    target: &Target,
    settings: &TranscriberSettings,
    standing: &Standing,
    kept: &Kept,
) -> bool {
    let wanted = Target::resolve(settings, &kept.utterance.options, standing);
    wanted.is_ok_and(|wanted| wanted.is(target))
}
