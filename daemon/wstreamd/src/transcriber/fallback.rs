//! Another server takes over while one is away, and utterances go back when it has been well for a
//! while.

use std::task::{Context, Poll};

use tokio::time::Instant;
use tracing::{debug, info};

use super::link::State;
use super::probe::{Outcome, Probe};
use super::target::Target;
use super::work::Work;
use crate::event::Event;
use crate::fault::Fault;
use crate::speech::SessionOptions;

impl Work {
    /// Has the fallback serve in the place of `target`, because of `fault`. False: it has none.
    pub(super) fn take_over(&mut self, target: &Target, fault: Fault, now: Instant) -> bool {
        let Some(fallback) = target.fallback() else {
            return false;
        };
        info!(backend = target.name(), fallback = fallback.to, %fault, "the fallback takes over");
        let well_for = fallback.well_for;
        (self.standing).leaves(target.name(), fault.clone(), well_for, now);
        self.outbox.push(Event::Trouble(fault));
        self.link.outage.over();
        if self.link.target().is_some_and(|linked| linked.is(target)) {
            self.close();
        }
        true
    }

    /// When the fallback takes over, unless the server listens before.
    pub(super) fn take_over_at(&self) -> Option<Instant> {
        let fallback = self.link.target()?.fallback()?;
        Some(self.link.missing_since()? + fallback.after)
    }

    /// When the next trial of a remote that is away begins; `None` also while there is nothing to
    /// do, so that nothing ticks then.
    pub(super) fn trial_at(&self) -> Option<Instant> {
        let is_idle = matches!(self.link.state, State::Closed | State::Blocked { .. });
        if self.probe.is_some() || (is_idle && self.unanswered.is_empty()) {
            return None;
        }
        self.standing.next_trial().map(|next| next.0)
    }

    /// Does what is due.
    pub(super) fn overdue_remotes(&mut self, now: Instant) {
        if self.take_over_at().is_some_and(|at| at <= now)
            && let Some(target) = self.link.target().cloned()
        {
            let known = self.link.outage.fault().cloned();
            let fault = super::sentences::taken_over(&target, known.as_ref());
            self.take_over(&target, fault, now);
        }
        if self.trial_at().is_some_and(|at| at <= now) {
            self.try_again(now);
        }
        if let Some(probe) = &mut self.probe
            && probe.due() <= now
        {
            let outcome = probe.overdue(now);
            self.probed(outcome, now);
        }
    }

    fn try_again(&mut self, now: Instant) {
        let Some((_, name)) = self.standing.next_trial() else {
            return;
        };
        let name = name.to_owned();
        let remote = self
            .settings
            .remotes
            .iter()
            .find(|remote| remote.name == name);
        let Some(remote) = remote.cloned() else {
            self.standing.returns(&name, now);
            return;
        };
        debug!(backend = name, "trying whether it is back");
        let options = SessionOptions::default();
        let trial = self.standing.trial(&name);
        let target = Target::Remote(remote.clone());
        let manner = target.manner(&self.manner(&options), &options);
        self.probe = Some(Probe::start(remote, manner, trial, now));
    }

    /// Moves a trial on.
    pub(super) fn poll_probe(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        match &mut self.probe {
            Some(probe) => probe.poll(cx),
            None => Poll::Pending,
        }
    }

    /// Takes what has become of a trial.
    pub(super) fn probed(&mut self, outcome: Outcome, now: Instant) {
        let Some(probe) = self.probe.take() else {
            return;
        };
        let name = probe.name().to_owned();
        match outcome {
            Outcome::Goes => {
                self.probe = Some(probe);
                return;
            }
            Outcome::Well => {
                info!(
                    backend = name,
                    "it has been well for a while and serves again"
                );
                self.standing.returns(&name, now);
            }
            Outcome::Failed => self.standing.tried(&name, now),
        }
        if let Some(connection) = probe.into_connection() {
            self.link.dismiss(connection);
        }
    }

    /// The user has changed something: every remote gets its chance.
    pub(super) fn forget_standing(&mut self) {
        self.standing.forget();
        if let Some(connection) = self.probe.take().and_then(Probe::into_connection) {
            self.link.dismiss(connection);
        }
    }
}
