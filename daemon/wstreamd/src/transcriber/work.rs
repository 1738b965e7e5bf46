//! What the transcriber knows and decides: which utterances are owed, to whom they go, what a
//! server's answer or its loss means for them.
//!
//! Enters: speech, commands, what happens on the connection, the time. Leaves: [`Event`]s in the
//! outbox. Runs in the transcriber's task and never waits, except for the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::time::Instant;
use tracing::{debug, error};
use wstream_wire::{SAMPLE_RATE, Strategy};

use super::TranscriberSettings;
use super::connection::{Connection, Happened, Loss};
use super::kept::{Kept, Manner};
use super::link::{Due, Link, Open, Ready, State, Target};
use super::outage::LossKind;
use super::outbox::Outbox;
use super::protocol::{Output, Protocol};
use super::sentences;
use super::unanswered::Unanswered;
use crate::event::Event;
use crate::fault::Fault;
use crate::speech::{Speech, Utterance};

/// What a server is taken to want before it has said so.
const USUAL_WINDOW_SAMPLES: u64 = 30 * SAMPLE_RATE as u64;

/// See the module.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) settings: TranscriberSettings,
    pub(super) unanswered: Unanswered,
    pub(super) link: Link,
    pub(super) outbox: Outbox,
    /// Shared with those who capture.
    next_utterance: Arc<AtomicU64>,
    /// Whether a connection is wanted before there is anything to say.
    pub(super) warm: bool,
    /// Whether anything was owed when last looked.
    owed: bool,
    /// Sessions up to here are forgotten.
    cancelled: Option<u64>,
    /// A feed's utterance that waits for room; while it does, no more speech is taken.
    held: Option<Utterance>,
}

/// What has happened on the way to the server.
#[derive(Debug)]
pub(super) enum Moved {
    Connected(Box<Connection>),
    NotConnected(Loss),
    Happened(Happened),
}

impl Work {
    pub(super) fn new(settings: TranscriberSettings, next_utterance: Arc<AtomicU64>) -> Self {
        Work {
            settings,
            next_utterance,
            unanswered: Unanswered::default(),
            link: Link::default(),
            outbox: Outbox::default(),
            warm: false,
            owed: false,
            cancelled: None,
            held: None,
        }
    }

    /// Takes a piece of an utterance.
    pub(super) fn speech(&mut self, speech: Speech) {
        match speech {
            Speech::Begin(utterance) if self.is_cancelled(utterance.session) => {}
            Speech::Begin(utterance) if !utterance.live && !self.has_room() => {
                self.held = Some(utterance);
            }
            Speech::Begin(utterance) => self.begin(utterance),
            Speech::Sound { utterance, samples } => self.unanswered.sound(utterance, samples),
            Speech::Pause { utterance, sample } => self.unanswered.pause(utterance, sample),
            Speech::Resume { utterance } => self.unanswered.resume(utterance),
            Speech::End { utterance, .. } => self.unanswered.end(utterance),
            Speech::Abort { utterance } => {
                self.unanswered.abort(utterance);
                self.forget_partials();
            }
        }
    }

    /// A number that no utterance has had.
    pub(super) fn new_number(&self) -> u64 {
        self.next_utterance.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether more speech can be taken.
    pub(super) fn takes_speech(&self) -> bool {
        self.held.is_none()
    }

    /// New settings. What no longer goes where it should is given to the new server.
    pub(super) fn configure(&mut self, settings: TranscriberSettings) {
        let default = Target::resolve(&self.settings, &Default::default());
        let wanted = Target::resolve(&settings, &Default::default());
        self.settings = settings;
        let is_same = match (&default, &wanted) {
            (Ok(default), Ok(wanted)) => default.is(wanted),
            _ => false,
        };
        if matches!(self.link.state, State::Blocked { .. }) {
            self.unblock();
        }
        if !is_same && self.link.target().is_some() {
            // With something owed, `settle` looks where it has to go.
            if self.unanswered.head().is_none() {
                self.warm |= matches!(self.link.state, State::Open(_) | State::Opening { .. });
                self.close();
            }
        }
    }

    /// Speech is likely soon.
    pub(super) fn warm(&mut self) {
        self.warm = true;
        self.unblock();
        if let State::Open(open) = &mut self.link.state {
            open.idle = None;
        }
    }

    /// Forgets a session and those before it.
    pub(super) fn cancel(&mut self, session: u64) {
        self.cancelled = self.cancelled.max(Some(session));
        self.unanswered.cancel(session);
        self.forget_partials();
        self.held.take_if(|held| held.session <= session);
    }

    /// Ends the engine and the connection and waits for it.
    pub(super) async fn end(&mut self) {
        self.link.end().await;
    }

    /// Whether the daemon is to be told something.
    pub(super) fn has_event(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// What the daemon is to be told next.
    pub(super) fn take_event(&mut self) -> Option<Event> {
        self.outbox.pop()
    }

    /// Nobody listens any more.
    pub(super) fn forget_events(&mut self) {
        self.outbox.clear();
    }

    /// Brings everything in line with what is owed; before each wait.
    pub(super) fn settle(&mut self, now: Instant) {
        self.link.reap();
        while self.unanswered.samples() > self.limit_samples() && self.fail_oldest_for_room() {}
        if self.has_room()
            && let Some(utterance) = self.held.take()
        {
            self.begin(utterance);
        }
        while self.align_link(now) {}

        let is_owed = !self.unanswered.is_empty();
        let began = !std::mem::replace(&mut self.owed, is_owed) && is_owed;
        let is_whole = self.unanswered.head().is_some_and(Kept::is_told_whole);
        if let State::Open(open) = &mut self.link.state {
            // What we do not listen to cannot be missed.
            if began || self.outbox.is_full() {
                open.heard = now;
            }
            if !is_whole || self.outbox.is_full() {
                open.progress = now;
            }
            if is_owed {
                open.idle = None;
            } else if open.ready.is_some() {
                self.warm = false;
                open.idle.get_or_insert(now);
            }
        }
    }

    /// When [`Work::overdue`] is to be called. `None`: nothing is waited for, and nothing ticks.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.link.state {
            State::Closed | State::Blocked { .. } => None,
            State::Waiting { until, .. } | State::Opening { until, .. } => Some(*until),
            State::Open(open) => self.due(open).map(|due| due.0),
        }
    }

    /// A time has come.
    pub(super) fn overdue(&mut self, now: Instant) {
        match &mut self.link.state {
            State::Waiting { until, .. } if *until <= now => self.link.close(),
            State::Opening { until, .. } if *until <= now => {
                let reason = "it does not answer".to_owned();
                self.lost(Loss::Lost(LossKind::Broken, reason), now);
            }
            State::Open(open) => {
                let is_owed = !self.unanswered.is_empty();
                match open.due(is_owed, self.settings.engine.unload_after) {
                    Some((at, due)) if at <= now => match due {
                        Due::Ping => open.ping(now),
                        Due::Over(kind, reason) => {
                            self.lost(Loss::Lost(kind, reason.to_owned()), now);
                        }
                        Due::Unload => {
                            debug!("nothing to do: the server is let go");
                            self.close();
                        }
                    },
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// Moves the connection on.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Moved> {
        match &mut self.link.state {
            State::Opening { connecting, .. } => {
                connecting.as_mut().poll(cx).map(|made| match made {
                    Ok(connection) => Moved::Connected(connection),
                    Err(loss) => Moved::NotConnected(loss),
                })
            }
            State::Open(open) if !self.outbox.is_full() => {
                let Open {
                    target,
                    connection,
                    ready,
                    ..
                } = &mut **open;
                let (unanswered, settings) = (&mut self.unanswered, &self.settings);
                let tell = |protocol: &mut dyn Protocol, out: &mut Output| {
                    let Some(Ready { window_samples, .. }) = *ready else {
                        return false;
                    };
                    let serves = |kept: &Kept| {
                        protocol.serves(kept.manner.strategy) && is_for(target, settings, kept)
                    };
                    let step = unanswered.next_step(window_samples, target.name(), serves);
                    if let Some(step) = &step {
                        protocol.tell(step, out);
                    }
                    step.is_some()
                };
                connection.poll(cx, tell).map(Moved::Happened)
            }
            _ => Poll::Pending,
        }
    }

    /// Takes what has happened on the way to the server.
    pub(super) fn moved(&mut self, moved: Moved, now: Instant) {
        match moved {
            Moved::Connected(connection) => self.link.opened(connection, now),
            Moved::NotConnected(loss) | Moved::Happened(Happened::Lost(loss)) => {
                self.lost(loss, now);
                return;
            }
            Moved::Happened(Happened::Heard) => {
                if let State::Open(open) = &mut self.link.state {
                    open.heard = now;
                }
            }
            Moved::Happened(Happened::Answered) => {}
        }
        while let State::Open(open) = &mut self.link.state {
            let Some(answer) = open.connection.take_answer() else {
                break;
            };
            self.answer(answer, now);
        }
    }

    /// Partials of what is not owed any more.
    fn forget_partials(&mut self) {
        let unanswered = &self.unanswered;
        self.outbox
            .keep_partials(|utterance| unanswered.has(utterance));
    }

    fn begin(&mut self, utterance: Utterance) {
        let last = self.unanswered.last().map(|last| last.heard_as);
        if last.is_some_and(|last| last >= utterance.utterance) {
            error!(
                utterance = utterance.utterance,
                "utterance numbers went back"
            );
            return;
        }
        let (options, settings) = (&utterance.options, &self.settings);
        let language = options.language.as_ref().unwrap_or(&settings.language);
        let languages = options.languages.as_ref().unwrap_or(&settings.languages);
        let vocabulary = options.vocabulary.as_ref().unwrap_or(&settings.vocabulary);
        let manner = Manner {
            strategy: options.strategy.unwrap_or(settings.strategy),
            language: language.clone(),
            languages: languages.clone(),
            vocabulary: vocabulary.clone(),
        };
        self.unanswered.begin(utterance, manner);
    }

    /// Trying is of no use: whatever is owed fails, and if nothing is, the user is told.
    pub(super) fn block(&mut self, target: Target, fault: Fault) {
        if self.unanswered.head().is_none() && self.link.outage.tell() {
            self.outbox.push(Event::Trouble(fault.clone()));
        }
        self.warm = false;
        self.link.block(target, fault);
    }

    fn unblock(&mut self) {
        self.link.outage.over();
        if matches!(
            self.link.state,
            State::Blocked { .. } | State::Waiting { .. }
        ) {
            self.link.close();
        }
    }

    /// One step towards a link that serves what is owed; false when there is none to take.
    fn align_link(&mut self, now: Instant) -> bool {
        let wanted = match self.unanswered.head() {
            Some(head) => match Target::resolve(&self.settings, &head.utterance.options) {
                Ok(target) => Some((target, head.manner.strategy)),
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
            (State::Closed, Some((target, strategy))) => {
                self.connect(target, strategy, now);
                true
            }
            (State::Closed, None) if self.warm => {
                match Target::resolve(&self.settings, &Default::default()) {
                    Ok(target) => self.connect(target, self.settings.strategy, now),
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
                if let Some(utterance) = self.unanswered.head().map(Kept::number) {
                    self.unanswered.give_up(utterance);
                    self.fail(utterance, fault);
                }
                true
            }
            // Nothing is owed any more: no pause needs to be waited out.
            (State::Waiting { .. }, None) if !self.warm => {
                self.link.close();
                true
            }
            (State::Open(open), Some((wanted, strategy))) if open.target.is(&wanted) => {
                // Another strategy may need another connection, between utterances.
                let serves = head_is_told || open.connection.serves(strategy);
                if !serves {
                    self.close();
                }
                !serves
            }
            (_, Some((wanted, _))) if self.link.target().is_some_and(|it| !it.is(&wanted)) => {
                self.link.outage.over();
                self.close();
                true
            }
            _ => false,
        }
    }

    fn connect(&mut self, target: Target, strategy: Strategy, now: Instant) {
        debug!(backend = target.name(), "connecting");
        if let Err(fault) = self.link.open(target.clone(), strategy, now) {
            self.block(target, fault);
        }
    }

    /// Lets go of the connection; what is owed will be told again.
    pub(super) fn close(&mut self) {
        self.unanswered.disconnected();
        self.link.close();
    }

    pub(super) fn fail(&mut self, utterance: u64, fault: Fault) {
        self.outbox.push(Event::Failed { utterance, fault });
    }

    fn fail_oldest_for_room(&mut self) -> bool {
        let Some(utterance) = self.unanswered.head().map(Kept::number) else {
            return false;
        };
        self.unanswered.give_up(utterance);
        self.fail(
            utterance,
            sentences::no_room(self.settings.unanswered_limit),
        );
        true
    }

    fn limit_samples(&self) -> u64 {
        let seconds = self.settings.unanswered_limit.as_secs_f64();
        (seconds * f64::from(SAMPLE_RATE)) as u64
    }

    /// Whether a feed may begin another utterance. Half of the limit is for the utterance that
    /// then begins.
    fn has_room(&self) -> bool {
        let ready = self.link.ready();
        let window = ready.map_or(USUAL_WINDOW_SAMPLES, |ready| ready.window_samples);
        self.unanswered.samples() <= window.min(self.limit_samples() / 2)
    }

    fn is_cancelled(&self, session: u64) -> bool {
        self.cancelled.is_some_and(|cancelled| session <= cancelled)
    }

    fn due(&self, open: &Open) -> Option<(Instant, Due)> {
        let is_owed = !self.unanswered.is_empty();
        open.due(is_owed, self.settings.engine.unload_after)
    }
}

/// Whether an utterance goes to this server.
pub(super) fn is_for(target: &Target, settings: &TranscriberSettings, kept: &Kept) -> bool {
    let wanted = Target::resolve(settings, &kept.utterance.options);
    wanted.is_ok_and(|wanted| wanted.is(target))
}
