//! The object on the bus: methods become commands, properties are read from what is published.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot, watch};
use wstream_api::{Error, keys};
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{ObjectPath, OwnedFd, OwnedVariant, Variant, interface};

use super::options::{self, Options};
use super::{desktop, ending, error, error_name, signals};
use crate::config::Key;
use crate::daemon::{Command, PluginEntry, Published};
use crate::event::{ServerState, ServerStatus};
use crate::fault::Fault;
use crate::filters::Wanted;
use crate::speech::SessionOptions;

type Details<'a> = HashMap<&'a str, Variant<'a>>;
type RecentFinal = (u64, String, HashMap<&'static str, OwnedVariant>);

#[derive(Debug)]
pub(super) struct Dictation {
    to_daemon: mpsc::Sender<Command>,
    published: watch::Receiver<Published>,
    /// Callers whose leaving is told to the daemon: one task each, however often they call.
    followed: Arc<Mutex<HashSet<String>>>,
}

impl Dictation {
    pub(super) fn new(
        to_daemon: mpsc::Sender<Command>,
        published: watch::Receiver<Published>,
    ) -> Self {
        Dictation {
            to_daemon,
            published,
            followed: Arc::default(),
        }
    }

    /// Sends a command that is answered and waits for the answer.
    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.to_daemon
            .send(command(reply))
            .await
            .map_err(|_| ending())?;
        answer.await.map_err(|_| ending())
    }

    async fn set(&self, key: Key, value: &str) -> Result<(), Error> {
        let value = value.to_owned();
        self.ask(|reply| Command::Set { key, value, reply })
            .await?
            .map_err(error)
    }

    fn published<T>(&self, read: impl FnOnce(&Published) -> T) -> T {
        read(&self.published.borrow())
    }

    /// Tells the daemon when `caller` leaves the bus.
    fn follow_caller(&self, connection: &zbus::Connection, caller: &str) {
        if !lock(&self.followed).insert(caller.to_owned()) {
            return;
        }
        let (connection, caller) = (connection.clone(), caller.to_owned());
        let (to_daemon, followed) = (self.to_daemon.clone(), self.followed.clone());
        tokio::spawn(async move {
            let left = signals::left_the_bus(&connection, &caller).await;
            lock(&followed).remove(&caller);
            match left {
                // The daemon may be ending; then there is nobody to tell.
                Ok(()) => drop(to_daemon.send(Command::CallerLeft { caller }).await),
                Err(error) => tracing::warn!(%error, "cannot tell when a caller leaves the bus"),
            }
        });
    }
}

fn lock(followed: &Mutex<HashSet<String>>) -> MutexGuard<'_, HashSet<String>> {
    followed.lock().unwrap_or_else(PoisonError::into_inner)
}

#[interface(name = "org.wstream.Dictation1")]
impl Dictation {
    #[zbus(out_args("session"))]
    async fn start(
        &self,
        options: Options,
        #[zbus(connection)] connection: &zbus::Connection,
    ) -> Result<u64, Error> {
        let options = session_options(options, connection).await?;
        self.ask(|reply| Command::Start { options, reply })
            .await?
            .map_err(error)
    }

    async fn stop(&self) -> Result<(), Error> {
        self.ask(|reply| Command::Stop { reply }).await
    }

    #[zbus(out_args("state"))]
    async fn toggle(
        &self,
        options: Options,
        #[zbus(connection)] connection: &zbus::Connection,
    ) -> Result<String, Error> {
        let options = session_options(options, connection).await?;
        self.ask(|reply| Command::Toggle { options, reply })
            .await?
            .map(str::to_owned)
            .map_err(error)
    }

    #[zbus(out_args("state"))]
    async fn press(
        &self,
        options: Options,
        #[zbus(connection)] connection: &zbus::Connection,
    ) -> Result<String, Error> {
        let options = session_options(options, connection).await?;
        self.ask(|reply| Command::Press { options, reply })
            .await?
            .map(str::to_owned)
            .map_err(error)
    }

    async fn release(&self) -> Result<(), Error> {
        let sent = self.to_daemon.send(Command::Release).await;
        sent.map_err(|_| ending())
    }

    async fn cancel(&self) -> Result<(), Error> {
        self.ask(|reply| Command::Cancel { reply }).await
    }

    #[zbus(out_args("session"))]
    async fn feed(
        &self,
        sound: OwnedFd,
        options: Options,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &zbus::Connection,
    ) -> Result<u64, Error> {
        let caller = caller(&header);
        let request = options::feed(options, sound.into(), caller.clone()).map_err(error)?;
        // From now on: a pipe that never delivers must not outlive who brought it.
        self.follow_caller(connection, &caller);
        self.ask(|reply| Command::Feed(request, reply))
            .await?
            .map_err(error)
    }

    async fn set_strategy(&self, strategy: &str) -> Result<(), Error> {
        self.set(Key::Strategy, strategy).await
    }

    async fn set_backend(&self, backend: &str) -> Result<(), Error> {
        self.set(Key::Backend, backend).await
    }

    async fn set_model(&self, model: &str) -> Result<(), Error> {
        self.set(Key::Model, model).await
    }

    async fn set_language(&self, language: &str) -> Result<(), Error> {
        self.set(Key::Language, language).await
    }

    async fn set_microphone(&self, microphone: &str) -> Result<(), Error> {
        self.set(Key::Microphone, microphone).await
    }

    async fn set_typing(&self, when: &str) -> Result<(), Error> {
        self.set(Key::Typing, when).await
    }

    #[zbus(out_args("characters"))]
    async fn undo(&self) -> Result<u32, Error> {
        self.ask(|reply| Command::Undo { reply })
            .await?
            .map_err(error)
    }

    async fn retype(&self, utterance: u64) -> Result<(), Error> {
        self.ask(|reply| Command::Retype { utterance, reply })
            .await?
            .map_err(error)
    }

    #[zbus(out_args("session"))]
    async fn retry(&self) -> Result<u64, Error> {
        self.ask(|reply| Command::Retry { reply }).await
    }

    #[zbus(out_args("finals"))]
    async fn recent(&self, count: u32) -> Result<Vec<RecentFinal>, Error> {
        let finals = self.ask(|reply| Command::Recent { count, reply }).await?;
        finals
            .into_iter()
            .map(|text| {
                let details = signals::final_details(&text)
                    .into_iter()
                    .map(|(key, value)| Ok((key, OwnedVariant::try_from(value)?)))
                    .collect::<Result<_, zbus::Error>>()?;
                Ok((text.utterance, text.text, details))
            })
            .collect()
    }

    async fn watch_level(
        &self,
        watch: bool,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &zbus::Connection,
    ) -> Result<(), Error> {
        let caller = caller(&header);
        if watch {
            self.follow_caller(connection, &caller);
        }
        self.to_daemon
            .send(Command::WatchLevel { caller, watch })
            .await
            .map_err(|_| ending())
    }

    async fn add_filter(
        &self,
        filter: ObjectPath<'_>,
        priority: i32,
        timeout_ms: u32,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &zbus::Connection,
    ) -> Result<(), Error> {
        let caller = caller(&header);
        let pid = process_of(connection, &caller).await;
        let wanted = Wanted {
            path: filter.as_str().to_owned(),
            priority,
            timeout_ms,
            name: name_of(pid),
            pid,
            caller: caller.clone(),
        };
        let added = self.ask(|reply| Command::AddFilter(wanted, reply)).await?;
        // Only now: whoever has left already is noticed at once, and behind the filter.
        self.follow_caller(connection, &caller);
        added.map_err(error)
    }

    async fn remove_filter(
        &self,
        filter: ObjectPath<'_>,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let (caller, path) = (caller(&header), filter.as_str().to_owned());
        self.ask(|reply| Command::RemoveFilter {
            caller,
            path,
            reply,
        })
        .await?
        .map_err(error)
    }

    #[zbus(property)]
    async fn state(&self) -> String {
        self.published(|published| published.state.to_owned())
    }

    #[zbus(property)]
    async fn strategy(&self) -> String {
        self.published(|published| published.strategy.clone())
    }

    #[zbus(property)]
    async fn backend(&self) -> String {
        self.published(|published| published.backend.clone())
    }

    #[zbus(property)]
    async fn model(&self) -> String {
        self.published(|published| published.model.clone())
    }

    #[zbus(property)]
    async fn language(&self) -> String {
        self.published(|published| published.language.clone())
    }

    #[zbus(property)]
    async fn microphone(&self) -> String {
        self.published(|published| published.microphone.clone())
    }

    #[zbus(property)]
    async fn open_microphone(&self) -> String {
        self.published(|published| published.open_microphone.clone())
    }

    #[zbus(property)]
    async fn typing(&self) -> String {
        self.published(|published| published.typing.to_owned())
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn strategies(&self) -> Vec<String> {
        wstream_wire::Strategy::ALL
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[zbus(property)]
    async fn backends(&self) -> Vec<String> {
        self.published(|published| published.backends.clone())
    }

    #[zbus(property)]
    async fn server(&self) -> HashMap<&'static str, OwnedVariant> {
        self.published(|published| server_details(&published.server))
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn models(&self) -> Vec<String> {
        wstream_wire::files::models_dir()
            .map(|dir| wstream_wire::files::installed_models(&dir))
            .unwrap_or_default()
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn microphones(&self) -> zbus::fdo::Result<Vec<(String, String)>> {
        let host = self.published(|published| published.host.clone());
        let ask = move || crate::source::microphones((!host.is_empty()).then_some(&host));
        // Asking a sound server can take long, and some of them hang.
        let failed = |fault: Fault| zbus::fdo::Error::Failed(fault.message);
        let microphones = tokio::task::spawn_blocking(ask)
            .await
            .map_err(|error| zbus::fdo::Error::Failed(error.to_string()))?
            .map_err(failed)?;
        Ok(microphones
            .into_iter()
            .map(|microphone| (microphone.id, microphone.name))
            .collect())
    }

    #[zbus(property)]
    async fn plugins(&self) -> zbus::fdo::Result<Vec<HashMap<&'static str, Variant<'static>>>> {
        let entries = self.ask(|reply| Command::Plugins { reply }).await;
        let entries = entries.map_err(|error| zbus::fdo::Error::Failed(error.message()))?;
        Ok(entries.into_iter().map(plugin).collect())
    }

    #[zbus(signal)]
    pub(super) async fn started(
        emitter: &SignalEmitter<'_>,
        utterance: u64,
        session: u64,
        details: Details<'_>,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(super) async fn partial(
        emitter: &SignalEmitter<'_>,
        utterance: u64,
        committed: &str,
        tentative: &str,
        details: Details<'_>,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(super) async fn ended(
        emitter: &SignalEmitter<'_>,
        utterance: u64,
        details: Details<'_>,
    ) -> zbus::Result<()>;

    #[zbus(signal, name = "Final")]
    pub(super) async fn final_text(
        emitter: &SignalEmitter<'_>,
        utterance: u64,
        text: &str,
        details: Details<'_>,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(super) async fn failed(
        emitter: &SignalEmitter<'_>,
        utterance: u64,
        name: &str,
        message: &str,
        details: Details<'_>,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(super) async fn cancelled(emitter: &SignalEmitter<'_>, utterance: u64) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(super) async fn session_ended(
        emitter: &SignalEmitter<'_>,
        session: u64,
        details: Details<'_>,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(super) async fn delivered(
        emitter: &SignalEmitter<'_>,
        utterance: u64,
        driver: &str,
        characters: u32,
        verified: bool,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(super) async fn trouble(
        emitter: &SignalEmitter<'_>,
        name: &str,
        message: &str,
        details: Details<'_>,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(super) async fn level(emitter: &SignalEmitter<'_>, rms: f64) -> zbus::Result<()>;
}

/// What a session's caller asks for, with the desktop where the caller does not say.
async fn session_options(
    options: Options,
    connection: &zbus::Connection,
) -> Result<SessionOptions, Error> {
    let mut options = options::session(options).map_err(error)?;
    if options.desktop.is_none() {
        options.desktop = desktop::of_user(connection).await;
    }
    Ok(options)
}

/// An entry of `Plugins` as it is on the bus.
fn plugin(entry: PluginEntry) -> HashMap<&'static str, Variant<'static>> {
    let mut plugin = HashMap::from([
        (keys::NAME, Variant::from(entry.name)),
        (keys::STATE, entry.state.into()),
    ]);
    if let Some(pid) = entry.pid {
        plugin.insert(keys::PID, pid.into());
    }
    if let Some(restarts) = entry.restarts {
        plugin.insert(keys::RESTARTS, restarts.into());
    }
    if let Some(times) = entry.filters {
        plugin.insert(keys::FILTERS, times.filters.into());
        plugin.insert(keys::CALLS, times.calls.into());
        plugin.insert(keys::SKIPPED, times.skipped.into());
        plugin.insert(keys::MEAN_MS, times.mean_ms.into());
        plugin.insert(keys::MAX_MS, times.max_ms.into());
    }
    plugin
}

/// The process behind a unique bus name.
async fn process_of(connection: &zbus::Connection, caller: &str) -> Option<u32> {
    let bus = zbus::fdo::DBusProxy::new(connection).await.ok()?;
    let name = zbus::names::BusName::try_from(caller).ok()?;
    bus.get_connection_unix_process_id(name).await.ok()
}

/// What a process is called.
fn name_of(pid: Option<u32>) -> String {
    let name = pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).ok());
    let name = name.as_deref().map_or("", str::trim);
    if name.is_empty() {
        return "a program".to_owned();
    }
    name.replace(char::is_control, "")
}

/// The property `Server`.
fn server_details(server: &ServerStatus) -> HashMap<&'static str, OwnedVariant> {
    let state = match server.state {
        ServerState::Idle => wstream_api::SERVER_IDLE,
        ServerState::Connecting => wstream_api::SERVER_CONNECTING,
        ServerState::Connected => wstream_api::SERVER_CONNECTED,
        ServerState::Away => wstream_api::SERVER_AWAY,
        ServerState::Refused => wstream_api::SERVER_REFUSED,
    };
    let mut details: Vec<(&str, Variant<'_>)> = vec![
        (keys::BACKEND, server.backend.as_str().into()),
        (keys::STATE, state.into()),
        (keys::KEPT, server.kept.into()),
        (keys::KEPT_S, server.kept_s.into()),
    ];
    if let Some(fault) = &server.fault {
        details.push((keys::ERROR, error_name(fault.kind).into()));
        details.push((keys::MESSAGE, fault.message.as_str().into()));
    }
    let owned = details.into_iter();
    owned
        .filter_map(|(key, value)| Some((key, OwnedVariant::try_from(value).ok()?)))
        .collect()
}

fn caller(header: &Header<'_>) -> String {
    header.sender().map(ToString::to_string).unwrap_or_default()
}
