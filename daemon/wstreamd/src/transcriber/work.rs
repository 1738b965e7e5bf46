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
use wstream_wire::SAMPLE_RATE;

use super::TranscriberSettings;
use super::connection::{Connection, Happened, Loss};
use super::kept::{Kept, Manner};
use super::link::{Due, Link, Open, Ready, State};
use super::outbox::Outbox;
use super::probe::{Outcome, Probe};
use super::protocol::{Output, Protocol};
use super::route::is_for;
use super::sentences;
use super::shelf::Shelf;
use super::standing::Standing;
use super::target::Target;
use super::unanswered::Unanswered;
use crate::event::{Event, ServerStatus};
use crate::fault::Fault;
use crate::speech::{SessionOptions, Speech, Utterance};

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
    /// What the session asks for that it is wanted for.
    pub(super) warm_for: Arc<SessionOptions>,
    /// Whether anything was owed when last looked.
    owed: bool,
    /// Sessions up to here are forgotten.
    cancelled: Option<u64>,
    /// A feed's utterance that waits for room; while it does, no more speech is taken.
    held: Option<Utterance>,
    /// Which remotes are away.
    pub(super) standing: Standing,
    /// The trial of one of them.
    pub(super) probe: Option<Probe>,
    /// What has failed and is kept.
    pub(super) shelf: Shelf,
    /// The session in which it is to be tried again.
    pub(super) retry: Option<u64>,
    /// What the daemon was last told.
    status: ServerStatus,
}

/// What has happened on the way to the server.
#[derive(Debug)]
pub(super) enum Moved {
    Connected(Box<Connection>),
    NotConnected(Loss),
    Happened(Happened),
    Probed(Outcome),
}

impl Work {
    pub(super) fn new(settings: TranscriberSettings, next_utterance: Arc<AtomicU64>) -> Self {
        let mut work = Work {
            settings,
            next_utterance,
            unanswered: Unanswered::default(),
            link: Link::default(),
            outbox: Outbox::default(),
            warm: false,
            warm_for: Arc::default(),
            owed: false,
            cancelled: None,
            held: None,
            standing: Standing::default(),
            probe: None,
            shelf: Shelf::default(),
            retry: None,
            status: ServerStatus::default(),
        };
        work.status = work.server_status();
        work
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
        let default = Target::wanted(&self.settings, &Default::default());
        let wanted = Target::wanted(&settings, &Default::default());
        if self.settings.backend != settings.backend || self.settings.remotes != settings.remotes {
            self.forget_standing();
        }
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
                if !self.warm {
                    self.warm = matches!(self.link.state, State::Open(_) | State::Opening { .. });
                    self.warm_for = Arc::default();
                }
                self.close();
            }
        }
    }

    /// Speech is likely soon.
    pub(super) fn warm(&mut self, options: Arc<SessionOptions>) {
        self.warm = true;
        self.warm_for = options;
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
        self.retry.take_if(|retry| *retry <= session);
    }

    /// Ends the engine and the connection and waits for it.
    pub(super) async fn end(&mut self) {
        self.forget_standing();
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
        self.tell_again();
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
        let status = self.server_status();
        if self.status != status {
            self.status = status.clone();
            self.outbox.push(Event::Server(status));
        }
    }

    /// When [`Work::overdue`] is to be called. `None`: nothing is waited for, and nothing ticks.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let link = match &self.link.state {
            State::Closed | State::Blocked { .. } => None,
            State::Waiting { until, .. } | State::Opening { until, .. } => Some(*until),
            State::Open(open) => self.due(open).map(|due| due.0),
        };
        let probe = self.probe.as_ref().map(Probe::due);
        let dues = [
            link,
            probe,
            self.take_over_at(),
            self.trial_at(),
            self.shelf.due(),
        ];
        dues.into_iter().flatten().min()
    }

    /// A time has come.
    pub(super) fn overdue(&mut self, now: Instant) {
        self.shelf.expire(now);
        self.overdue_remotes(now);
        self.overdue_link(now);
    }

    fn overdue_link(&mut self, now: Instant) {
        match &mut self.link.state {
            State::Waiting { until, .. } if *until <= now => self.link.close(),
            State::Opening { until, .. } if *until <= now => {
                self.lost(Loss::broken("it does not answer"), now);
            }
            State::Open(open) => {
                let is_owed = !self.unanswered.is_empty();
                let idle_limit = open.target.idle_limit(&self.settings);
                match open.due(is_owed, idle_limit) {
                    Some((at, due)) if at <= now => match due {
                        Due::Ping => open.ping(now),
                        Due::Protocol => open.connection.overdue(now),
                        Due::Over(kind, reason) => self.lost(Loss::lost(kind, reason), now),
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
        if let Poll::Ready(outcome) = self.poll_probe(cx) {
            return Poll::Ready(Moved::Probed(outcome));
        }
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
                let standing = &self.standing;
                let tell = |protocol: &mut dyn Protocol, out: &mut Output| {
                    let Some(Ready { window_samples, .. }) = *ready else {
                        return false;
                    };
                    let asks = |kept: &Kept| {
                        let manner = target.manner(&kept.manner, &kept.utterance.options);
                        (protocol.serves(&manner) && is_for(target, settings, standing, kept))
                            .then_some(manner)
                    };
                    let step = unanswered.next_step(window_samples, target.name(), asks);
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
            Moved::Probed(outcome) => self.probed(outcome, now),
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
        let manner = self.manner(&utterance.options);
        self.unanswered.begin(utterance, manner);
    }

    /// How an utterance is to be transcribed that begins now.
    pub(super) fn manner(&self, options: &SessionOptions) -> Manner {
        let settings = &self.settings;
        let language = options.language.as_ref().unwrap_or(&settings.language);
        let languages = options.languages.as_ref().unwrap_or(&settings.languages);
        let vocabulary = options.vocabulary.as_ref().unwrap_or(&settings.vocabulary);
        Manner {
            strategy: options.strategy.unwrap_or(settings.strategy),
            language: language.clone(),
            languages: languages.clone(),
            vocabulary: vocabulary.clone(),
        }
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
        open.due(is_owed, open.target.idle_limit(&self.settings))
    }
}
