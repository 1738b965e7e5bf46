//! `wstream-notify`: what is dictated, as a desktop notification. Enters: the daemon's signals;
//! leaves: one notification that is replaced and closed. One thread, two tasks: one follows the
//! daemon, the other waits for the notification server.

mod markup;
mod server;
mod settings;
mod view;

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;
use wstream_api::{DictationProxy, Event, Plugin, PluginError};
use wstream_settings::{File, Options, complain};
use zbus::proxy::CacheProperties;

use crate::server::Server;
use crate::settings::Settings;
use crate::view::{Note, View};

/// After this long without an answer a server counts as hanging, which is said once.
const LATE: Duration = Duration::from_secs(2);

/// How long the notification may take to be closed when this program ends: the daemon kills it
/// after a second.
const END: Duration = Duration::from_millis(500);

/// Shows what is dictated as a desktop notification: words while they are spoken, the finished
/// text, what went wrong, and that the microphone is open.
///
/// The daemon starts it where `[plugins] run` in its configuration names "notify"; started by
/// hand, it works until Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "wstream-notify", version, after_help = EXIT_CODES)]
struct Args {
    #[command(flatten)]
    options: Options,
}

const EXIT_CODES: &str = "\
Exit codes: 0 ended as asked, 1 failed, 2 wrong arguments, 3 no session bus or the bus was lost,
9 wrong configuration.";

/// What is to be shown, and how; the newest counts.
type Wanted = (Option<Note>, Settings);

fn main() -> ExitCode {
    let start = Args::parse().options.start(Args::command(), |_, _| Ok(()));
    let (settings, file) = match start {
        ControlFlow::Continue(start) => start,
        ControlFlow::Break(code) => return code,
    };
    wstream_api::run_async(async || run(settings, file).await)
}

async fn run(settings: Settings, file: File<Settings>) -> Result<(), PluginError> {
    let plugin = Plugin::connect().await?;
    let server = Server::new(plugin.connection().clone());
    let (to_display, wanted) = watch::channel((None, settings.clone()));
    let display = tokio::spawn(display(server, wanted));
    let outcome = tokio::select! {
        outcome = follow(plugin, settings, file, &to_display) => outcome,
        () = asked_to_end() => Ok(()),
    };
    to_display.send_modify(|(note, _)| *note = None);
    drop(to_display);
    // A server that hangs does not hold the end up.
    let _ = tokio::time::timeout(END, display).await;
    outcome
}

async fn follow(
    mut plugin: Plugin,
    settings: Settings,
    mut file: File<Settings>,
    to_display: &watch::Sender<Wanted>,
) -> Result<(), PluginError> {
    let mut settings = settings;
    let mut view = View::new(settings.clone());
    if plugin.daemon_runs() {
        read_state(&plugin, &mut view).await;
    }
    let mut shown: Option<Note> = None;
    let mut expires: Option<Instant> = None;
    loop {
        let note = view.note_now();
        if note != shown {
            expires = note
                .as_ref()
                .and_then(|note| Some(Instant::now() + note.lasts?));
            to_display.send_replace((note.clone(), settings.clone()));
            shown = note;
        }
        // Only what ends by itself has a timer.
        let expired = async {
            match expires {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = plugin.next() => {
                let event = event?;
                if let Event::SessionEnded { .. } | Event::Changed { .. } = event
                    && let Some(changed) = file.load_if_changed()
                {
                    match changed {
                        Ok(changed) => {
                            settings = changed;
                            view.set(settings.clone());
                        }
                        Err(error) => complain::<Settings>(&format!(
                            "{error}; what was set before stays in force"
                        )),
                    }
                }
                if event == Event::Appeared {
                    read_state(&plugin, &mut view).await;
                }
                view.on(event);
            }
            () = expired => {
                expires = None;
                view.expire();
            }
        }
    }
}

/// The state that was there before the first signal.
async fn read_state(plugin: &Plugin, view: &mut View) {
    let proxy = DictationProxy::builder(plugin.connection())
        .cache_properties(CacheProperties::No)
        .build();
    if let Ok(proxy) = proxy.await
        && let Ok(state) = proxy.state().await
    {
        view.state(&state);
    }
}

/// Shows the newest of what is wanted, no more often than the settings allow.
async fn display(mut server: Server, mut wanted: watch::Receiver<Wanted>) {
    while wanted.changed().await.is_ok() {
        let (note, settings) = wanted.borrow_and_update().clone();
        let is_late = {
            let showing = server.show(note.as_ref(), &settings);
            tokio::pin!(showing);
            tokio::select! {
                () = &mut showing => false,
                () = tokio::time::sleep(LATE) => {
                    complain::<Settings>(
                        "the notification server does not answer: nothing new is shown until it does",
                    );
                    showing.await;
                    true
                }
            }
        };
        if is_late {
            complain::<Settings>("the notification server answers again");
        }
        // What is over is closed at once.
        let mut newer = wanted.clone();
        let closed = newer.wait_for(|(note, _)| note.is_none());
        let _ = tokio::time::timeout(settings.interval(), closed).await;
    }
}

async fn asked_to_end() {
    let (Ok(mut term), Ok(mut int)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
