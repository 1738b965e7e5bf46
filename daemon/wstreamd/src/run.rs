//! Starts every stage, connects them, and ends them in order.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};

use crate::bus::{self, BusError, FilterCalls, FromDaemon};
use crate::config::{self, Choices, Config, Unfinished};
use crate::daemon::{
    COMMAND_QUEUE, Channels, Command, Daemon, FILTER_QUEUE, ORDER_QUEUE, SIGNAL_QUEUE, Settings,
};
use crate::defect::Alarm;
use crate::event::EVENT_QUEUE;
use crate::fault::{Fault, FaultKind};
use crate::filters;
use crate::plugins::{self, Launcher};
use crate::speech::{SPEECH_QUEUE, SessionOptions};
use crate::transcriber::{self, ToTranscriber};
use crate::typist::{self, TYPIST_QUEUE};

/// How long finals that are owed may still come after SIGTERM; within the two seconds that a
/// service should take to stop.
const LAST_FINALS: Duration = Duration::from_millis(1500);

/// How long the engine may take to end after that.
const ENGINE_END: Duration = Duration::from_millis(3000);

/// How long the last text may take to be typed after that.
const LAST_TEXT: Duration = Duration::from_millis(1000);

/// How long the plugins may take to end after that; each is killed before.
const PLUGINS_END: Duration = Duration::from_millis(2500);

/// How long logind may take to say whether the screen is locked, before listening goes on behind a
/// crash.
const LOGIND: Duration = Duration::from_secs(2);

/// Why the daemon ended, other than by being asked to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It never got on the bus.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// It was on the bus, and the bus went away or gave its name to another.
    #[error("the session bus has gone: start wstreamd again when there is one")]
    BusGone,
    /// The process could not set itself up.
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
    /// A defect of ours, which the log tells more of.
    #[error("wstreamd failed by a defect of ours, please report the line before this")]
    Defect,
    /// The process may not have another thread.
    #[error("cannot start the thread that types")]
    Typist(#[source] std::io::Error),
}

/// Runs the daemon until SIGTERM, SIGINT, or the loss of the bus.
pub async fn run(config: Config, config_path: Option<PathBuf>) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(RunError::Signals)?;

    warn(&config);
    let loaded = config.clone();
    let settings = Settings::new(config, Choices::load());
    let (unfinished, was_listening) = Unfinished::take();
    let resumes = was_listening && settings.config().session.resume_after_crash;
    let (owes, is_owed) = watch::channel(false);
    let (to_daemon, events) = mpsc::channel(EVENT_QUEUE);
    let (commander, commands) = mpsc::channel(COMMAND_QUEUE);
    let (to_transcriber_speech, from_audio) = mpsc::channel(SPEECH_QUEUE);
    let (to_transcriber, from_daemon) = mpsc::channel(ORDER_QUEUE);
    let (to_filters, requests) = mpsc::channel(FILTER_QUEUE);
    let (to_plugins, run_plugins) = watch::channel(settings.config().plugins.run.as_slice().into());
    let (to_typist, typing_orders) = mpsc::channel(TYPIST_QUEUE);
    let (to_live, live) = watch::channel(None);
    let (to_signals, signals) = mpsc::channel(SIGNAL_QUEUE);
    let (to_partials, partials) = watch::channel(None);
    let (publish, published) = watch::channel(settings.publish());
    let next_utterance = Arc::new(AtomicU64::new(1));

    let connection = bus::serve(commander.clone(), published.clone()).await?;
    let mut transcriber = tokio::spawn(transcriber::run(
        settings.transcriber(),
        next_utterance.clone(),
        from_audio,
        from_daemon,
        to_daemon.clone(),
    ));
    let calls = FilterCalls::new(connection.clone());
    let (alarm, mut defects) = Alarm::new();
    alarm.spawn(filters::run(requests, to_daemon.clone(), calls));
    let typist = typist::Channels {
        orders: typing_orders,
        live,
        to_daemon: to_daemon.clone(),
    };
    let typist = typist::start(
        wstream_typing::DRIVERS,
        settings.typing(),
        wstream_typing::Session::own(),
        typist,
        alarm.clone(),
    )
    .map_err(RunError::Typist)?;
    let launcher = Launcher::choose(&connection).await;
    let plugins = alarm.spawn(plugins::run(run_plugins, to_daemon.clone(), launcher));
    let (tell_known, known) = oneshot::channel();
    alarm.spawn(bus::follow_logind(commander.clone(), is_owed, tell_known));
    let channels = Channels {
        commands,
        to_self: commander.downgrade(),
        owes,
        unfinished,
        events,
        to_daemon,
        to_transcriber_speech,
        to_transcriber: to_transcriber.clone(),
        to_filters,
        to_plugins,
        to_typist,
        to_live,
        to_signals,
        to_partials,
        published: publish,
        next_utterance,
    };
    let mut daemon = tokio::spawn(Daemon::new(settings, channels).run());
    let from_daemon = FromDaemon {
        signals,
        partials,
        published,
    };
    let emitting = alarm.spawn({
        let connection = connection.clone();
        async move { bus::emit(&connection, from_daemon).await }
    });
    let (reload, mut changed) = mpsc::channel(1);
    if let Some(path) = config_path.clone() {
        alarm.spawn(config::watch(path, loaded, reload));
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");

    if resumes {
        // Not behind a lock screen that is not known of yet; it ends without an answer.
        let _ = tokio::time::timeout(LOGIND, known).await;
        tracing::info!("listening again, as before the crash");
        let (reply, _) = oneshot::channel();
        let options = SessionOptions::default();
        let _ = commander.send(Command::Start { options, reply }).await;
    }
    let gone = bus::gone(&connection);
    tokio::pin!(gone);
    let mut owner_lives = true;
    let outcome = loop {
        tokio::select! {
            _ = terminate.recv() => break Ok(()),
            _ = interrupt.recv() => break Ok(()),
            _ = hangup.recv() => reload_config(&config_path, &commander).await,
            Some(()) = changed.recv() => reload_config(&config_path, &commander).await,
            () = &mut gone => break Err(RunError::BusGone),
            // They end only when they are asked to, which is below.
            _ = &mut daemon => {
                owner_lives = false;
                break Err(RunError::Defect);
            }
            _ = &mut transcriber => break Err(RunError::Defect),
            Some(()) = defects.recv() => break Err(RunError::Defect),
        }
    };

    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    tracing::info!("ending");
    if owner_lives {
        let by_defect = matches!(outcome, Err(RunError::Defect));
        end_daemon(&commander, daemon, by_defect).await;
    }
    // The daemon's end was the last order; a text that has just come is typed.
    let _ = tokio::time::timeout(LAST_TEXT, typist).await;
    let (done, ended) = oneshot::channel();
    if to_transcriber
        .send(ToTranscriber::Shutdown(done))
        .await
        .is_ok()
    {
        let _ = tokio::time::timeout(ENGINE_END, ended).await;
    }
    transcriber.abort();
    // The daemon's end has told them to end too.
    let _ = tokio::time::timeout(PLUGINS_END, plugins).await;
    // The daemon's end has closed the queue of signals; what is in it goes out first.
    if !matches!(outcome, Err(RunError::BusGone)) {
        let _ = tokio::time::timeout(LAST_FINALS, emitting).await;
    }
    outcome
}

/// Delivers what is owed for as long as there is time, and cancels the rest.
async fn end_daemon(
    commander: &mpsc::Sender<Command>,
    daemon: tokio::task::JoinHandle<()>,
    by_defect: bool,
) {
    let (done, mut ended) = oneshot::channel();
    let shutdown = Command::Shutdown { by_defect, done };
    if commander.send(shutdown).await.is_err() {
        return;
    }
    if tokio::time::timeout(LAST_FINALS, &mut ended).await.is_err() {
        let _ = commander.send(Command::GiveUp).await;
        let _ = tokio::time::timeout(LAST_FINALS, ended).await;
    }
    let _ = tokio::time::timeout(LAST_FINALS, daemon).await;
}

fn warn(config: &Config) {
    for warning in config::warnings(&config.remote) {
        tracing::warn!("{warning}");
    }
}

async fn reload_config(path: &Option<PathBuf>, commander: &mpsc::Sender<Command>) {
    let Some(path) = path else {
        return;
    };
    let command = match config::load(path) {
        Ok(config) => {
            warn(&config);
            Command::Reload(Box::new(config))
        }
        Err(error) => {
            tracing::warn!("the configuration stays as it was: {error}");
            let problem = format!("the configuration stays as it was: {error}");
            Command::Trouble(Fault::new(FaultKind::BadConfig, problem))
        }
    };
    let _ = commander.send(command).await;
}
