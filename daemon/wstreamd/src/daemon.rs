//! The owner of the daemon's state: one task that awaits only its inbox.
//!
//! Enters: [`Command`]s from the bus and [`Event`]s from the stages. Leaves: [`Signal`]s for the
//! bus, [`ToTranscriber`] for the transcriber. Sound never passes through here; text always does.

mod command;
mod filtering;
mod key;
mod ledger;
mod listening;
mod orders;
mod outbox;
mod plugins;
mod presence;
mod settings;
mod standby;
mod typing;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::{mpsc, oneshot, watch};
use wstream_api as api;

pub use command::{
    Command, FeedRequest, FilterTimes, FinalText, PluginEntry, Property, Published, Signal,
};
pub use filtering::FILTER_QUEUE;
pub use orders::ORDER_QUEUE;
pub use outbox::{LatestPartial, SIGNAL_QUEUE};
pub use presence::{Change, OnLeaving};
pub use settings::Settings;
pub(crate) use settings::check_language;

use crate::config::{Key, Unfinished};
use crate::event::Event;
use crate::fault::Fault;
use crate::filters;
use crate::plugins::PluginState;
use crate::speech::Speech;
use crate::transcriber::ToTranscriber;
use crate::typist::{Live, ToTypist};
use filtering::Filtering;
use key::HeldKey;
use ledger::{Due, Ledger, SourceKind};
use listening::{Listening, answer_all};
use orders::Orders;
use outbox::Outbox;
use presence::Presence;
use standby::Kept;
use typing::Typing;

/// Most commands under way to the daemon; callers on the bus wait.
pub const COMMAND_QUEUE: usize = 64;

/// The ends of the channels that the daemon holds.
#[derive(Debug)]
pub struct Channels {
    /// From the bus, the configuration watcher and the signal handler.
    pub commands: mpsc::Receiver<Command>,
    /// The way to those commands, for what comes later.
    pub to_self: mpsc::WeakSender<Command>,
    /// From the stages.
    pub events: mpsc::Receiver<Event>,
    /// Given to each capture, so that its facts come back.
    pub to_daemon: mpsc::Sender<Event>,
    /// Given to each capture: the way of the sound.
    pub to_transcriber_speech: mpsc::Sender<Speech>,
    /// Commands to the transcriber.
    pub to_transcriber: mpsc::Sender<ToTranscriber>,
    /// To the chain of filters.
    pub to_filters: mpsc::Sender<filters::Request>,
    /// To the task that keeps plugins running: which ones.
    pub to_plugins: watch::Sender<Arc<[String]>>,
    /// To the thread that types.
    pub to_typist: mpsc::Sender<ToTypist>,
    /// To the same: the words so far, of which only the newest count.
    pub to_live: watch::Sender<Option<Live>>,
    /// To the task that emits signals.
    pub to_signals: mpsc::Sender<Signal>,
    /// To the same task: partials, of which only the newest counts.
    pub to_partials: watch::Sender<Option<LatestPartial>>,
    /// What the bus answers property reads with.
    pub published: watch::Sender<Published>,
    /// Whether anything is owed: sleep waits for it.
    pub owes: watch::Sender<bool>,
    /// Marks that the microphone is open.
    pub unfinished: Unfinished,
    /// The number of the next utterance; shared by all who begin one.
    pub next_utterance: Arc<AtomicU64>,
}

/// The daemon's state. See `daemon/README.md` for the invariants that it keeps.
#[derive(Debug)]
pub struct Daemon {
    commands: mpsc::Receiver<Command>,
    to_self: mpsc::WeakSender<Command>,
    events: mpsc::Receiver<Event>,
    to_daemon: mpsc::Sender<Event>,
    to_transcriber_speech: mpsc::Sender<Speech>,
    orders: Orders,
    outbox: Outbox,
    published: watch::Sender<Published>,
    settings: Settings,
    /// What is owed to whom: sessions and their utterances without an end.
    ledger: Ledger,
    /// Who changes texts, and the texts with them.
    filtering: Filtering,
    /// What is typed.
    typing: Typing,
    /// Which plugins are to run; they are ended when this is dropped.
    to_plugins: watch::Sender<Arc<[String]>>,
    /// How they are.
    supervised: Vec<PluginState>,
    /// Whether the user is there.
    presence: Presence,
    owes: watch::Sender<bool>,
    /// Where a daemon that is started again after a crash sees that this one was listening.
    unfinished: Unfinished,
    /// That stays as it is.
    keeps_mark: bool,
    /// The key that is for both ways of dictating.
    key: HeldKey,
    /// The session that takes sound, with the handle that keeps its source open.
    listening: Option<Listening>,
    /// The microphone while nobody listens.
    kept: Option<Kept>,
    next_kept: u64,
    next_session: u64,
    next_utterance: Arc<AtomicU64>,
    /// Unique bus names of those who asked for `Level`, once per request.
    level_watchers: Vec<String>,
    /// Utterances that the transcriber keeps for a retry, and that were not asked for again yet.
    kept_for_retry: u32,
    /// Set by `Shutdown`; answered when nothing is owed any more.
    leaving: Option<oneshot::Sender<()>>,
}

impl Daemon {
    /// Makes an idle daemon.
    pub fn new(settings: Settings, channels: Channels) -> Self {
        Daemon {
            commands: channels.commands,
            to_self: channels.to_self,
            events: channels.events,
            to_daemon: channels.to_daemon,
            to_transcriber_speech: channels.to_transcriber_speech,
            orders: Orders::new(channels.to_transcriber),
            outbox: Outbox::new(channels.to_signals, channels.to_partials),
            published: channels.published,
            ledger: Ledger::new(settings.config().limits.recent_finals as usize),
            filtering: Filtering::new(channels.to_filters, &settings.config().plugins.keys),
            typing: Typing::new(channels.to_typist, channels.to_live),
            to_plugins: channels.to_plugins,
            supervised: Vec::new(),
            settings,
            presence: Presence::default(),
            owes: channels.owes,
            unfinished: channels.unfinished,
            keeps_mark: false,
            key: HeldKey::default(),
            listening: None,
            kept: None,
            next_kept: 1,
            next_session: 1,
            next_utterance: channels.next_utterance,
            level_watchers: Vec::new(),
            kept_for_retry: 0,
            leaving: None,
        }
    }

    /// Runs until `Shutdown` has been answered or nobody can send commands any more.
    pub async fn run(mut self) {
        self.tend_standby();
        loop {
            tokio::select! {
                // Facts first: they are what commands are answered from.
                biased;
                Some(event) = self.events.recv() => self.handle_event(event),
                command = self.commands.recv() => match command {
                    Some(command) => self.handle_command(command),
                    None => return,
                },
                () = self.outbox.flush(), if self.outbox.has_backlog() => {}
                () = self.orders.flush(), if self.orders.has_waiting() => {}
            }
            self.tend_standby();
            self.publish_state();
            if self.ledger.is_empty()
                && self.listening.is_none()
                && !self.outbox.has_backlog()
                && let Some(done) = self.leaving.take()
            {
                let _ = done.send(());
                return;
            }
        }
    }

    fn handle_command(&mut self, command: Command) {
        match command {
            Command::Start { options, reply } => {
                self.was_told();
                self.start(options, reply);
            }
            Command::Stop { reply } => {
                self.presence.was_told();
                self.stop();
                let _ = reply.send(());
            }
            Command::Toggle { options, reply } => {
                self.was_told();
                self.toggle(options, reply);
            }
            Command::Press { options, reply } => {
                self.was_told();
                self.press(options, reply);
            }
            Command::Release => self.release(),
            Command::KeyIsUp { heard } => self.key_is_up(heard),
            Command::Presence(change) => self.presence_changed(change),
            Command::Cancel { reply } => {
                self.presence.was_told();
                self.cancel_all();
                let _ = reply.send(());
            }
            Command::Feed(request, reply) => self.feed(request, reply),
            Command::Set { key, value, reply } => {
                let changed = self.settings.choose(key, &value);
                if changed.is_ok() {
                    self.apply_settings();
                    if key == Key::Backend {
                        self.retry();
                    }
                }
                let _ = reply.send(changed);
            }
            Command::Retry { reply } => {
                let _ = reply.send(self.retry().unwrap_or_default());
            }
            Command::Undo { reply } => self.undo(reply),
            Command::Retype { utterance, reply } => self.retype(utterance, reply),
            Command::Recent { count, reply } => {
                let _ = reply.send(self.ledger.recent(count as usize));
            }
            Command::WatchLevel { caller, watch } => self.watch_level(caller, watch),
            Command::AddFilter(wanted, reply) => {
                let _ = reply.send(self.add_filter(wanted));
            }
            Command::RemoveFilter {
                caller,
                path,
                reply,
            } => {
                let _ = reply.send(self.remove_filter(&caller, &path));
            }
            Command::Plugins { reply } => {
                let _ = reply.send(self.plugins());
            }
            Command::CallerLeft { caller } => self.caller_left(&caller),
            Command::Reload(config) => {
                self.settings.replace(config);
                self.ledger
                    .keep_recent(self.settings.config().limits.recent_finals as usize);
                self.configure_plugins();
                self.configure_typing();
                self.apply_settings();
                self.retry();
                tracing::info!("configuration reloaded");
            }
            Command::Trouble(fault) => self.trouble(fault),
            Command::Shutdown { by_defect, done } => {
                self.keeps_mark = by_defect;
                self.stop();
                self.leaving = Some(done);
            }
            Command::GiveUp => {
                self.release_filtering();
                self.cancel_all();
            }
        }
    }

    fn caller_left(&mut self, caller: &str) {
        self.level_watchers.retain(|watcher| watcher != caller);
        self.filters_left(caller);
        self.tell_capture_of_watchers();
        let feeding = self
            .listening
            .as_ref()
            .and_then(|listening| listening.owner.as_deref());
        if feeding == Some(caller) {
            tracing::info!("the caller of Feed has left the bus");
            self.cancel_all();
        }
    }

    fn watch_level(&mut self, caller: String, watch: bool) {
        if watch {
            self.level_watchers.push(caller);
        } else if let Some(index) = self.level_watchers.iter().position(|w| *w == caller) {
            self.level_watchers.swap_remove(index);
        }
        self.tell_capture_of_watchers();
    }

    fn tell_capture_of_watchers(&self) {
        if let Some(listening) = &self.listening {
            listening
                .capture
                .watch_level(!self.level_watchers.is_empty());
        }
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::CaptureOpened { session, name } => {
                tracing::info!(session, source = %name, "listening");
                if let Some(listening) = self.listening_as(session)
                    && let Some(waiting) = listening.opening.take()
                {
                    answer_all(waiting, Ok(session));
                    self.hears(session, name);
                }
            }
            Event::MicrophoneLost { session, fault } => {
                self.hears(session, String::new());
                if let Some(fault) = fault {
                    tracing::warn!(session, %fault, "waiting for a microphone");
                    self.trouble(fault);
                }
            }
            Event::MicrophoneFound { session, name } => {
                tracing::info!(session, source = %name, "listening again");
                self.hears(session, name);
            }
            Event::StandsBy { number, name } => self.stands_by(number, name),
            Event::CaptureFailed { session, fault } => {
                tracing::warn!(session, %fault, "cannot listen");
                if self.listening_as(session).is_some()
                    && let Some(listening) = self.listening.take()
                {
                    answer_all(listening.opening.unwrap_or_default(), Err(fault));
                }
                self.ledger.forget_session(session);
            }
            Event::CaptureEnded { session, fault } => {
                if let Some(fault) = &fault {
                    tracing::warn!(session, %fault, "the sound ended");
                }
                if self.listening_as(session).is_some() {
                    self.listening = None;
                }
                if let Some(fault) = &fault
                    && self.ledger.source(session) == Some(SourceKind::Microphone)
                {
                    self.trouble(fault.clone());
                }
                let ended = self.ledger.capture_ended(session, fault);
                self.send_all(ended);
            }
            Event::Level { rms } => self.send(Signal::Level { rms }),
            Event::Partial {
                utterance,
                committed,
                tentative,
                heard_s,
                processing_time_ms,
            } => {
                if let Some(session) = self.ledger.session_of(utterance) {
                    let partial = LatestPartial {
                        utterance,
                        session,
                        committed,
                        tentative,
                        heard_s,
                        processing_time_ms,
                    };
                    self.type_live(&partial);
                    self.outbox.partial(partial);
                }
            }
            Event::Server(server) => {
                self.kept_for_retry = server.kept;
                self.published
                    .send_modify(|published| published.server = server);
                self.send(Signal::Changed(Property::Server));
            }
            Event::Trouble(fault) => {
                tracing::warn!(%fault, "trouble");
                self.trouble(fault);
            }
            Event::Started { .. }
            | Event::Ended { .. }
            | Event::Final(_)
            | Event::Cut { .. }
            | Event::Failed { .. } => {
                for due in self.ledger.handle(event) {
                    match due {
                        Due::Tell(signal) => self.send(signal),
                        Due::Filter(text) => self.filter(text),
                    }
                }
            }
            Event::Typed {
                utterance,
                driver,
                characters,
                verified,
            } => self.send(Signal::Delivered {
                utterance,
                driver,
                characters,
                verified,
            }),
            Event::NotTyped { utterance, fault } => {
                tracing::warn!(utterance, %fault, "not typed");
                self.trouble(fault);
            }
            Event::Filtered(filtered) => self.filtered(filtered),
            Event::Plugins(states) => self.plugins_changed(states),
        }
    }

    fn apply_settings(&mut self) {
        let settings = self.settings.transcriber();
        self.orders
            .send(ToTranscriber::Configure(Box::new(settings)));
        let before = self.published.borrow().clone();
        let after = Published {
            state: before.state,
            server: before.server.clone(),
            open_microphone: before.open_microphone.clone(),
            ..self.settings.publish()
        };
        let changed = after.differences(&before);
        self.published.send_replace(after);
        for property in changed {
            self.send(Signal::Changed(property));
        }
    }

    fn publish_state(&mut self) {
        self.publish_microphone();
        let marks = self.settings.config().session.resume_after_crash;
        if !self.keeps_mark {
            self.unfinished.set(marks && self.listens_to_microphone());
        }
        let state = self.state();
        let owes = self.holds_sleep_up();
        self.owes
            .send_if_modified(|before| std::mem::replace(before, owes) != owes);
        if self.published.borrow().state != state {
            self.published
                .send_modify(|published| published.state = state);
            self.send(Signal::Changed(Property::State));
        }
    }

    fn state(&self) -> &'static str {
        if self.listening.is_some() {
            api::STATE_LISTENING
        } else if self.ledger.is_empty() {
            api::STATE_IDLE
        } else {
            api::STATE_FINISHING
        }
    }

    fn trouble(&mut self, fault: Fault) {
        self.send(Signal::Trouble { fault });
    }

    fn send(&mut self, signal: Signal) {
        self.type_for(&signal);
        self.outbox.send(signal);
    }

    fn send_all(&mut self, signals: Vec<Signal>) {
        for signal in signals {
            self.send(signal);
        }
    }
}
