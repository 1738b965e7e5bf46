//! One plugin: found, started, watched, and started again.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use wstream_api as api;

use super::pauses::Pauses;
use super::{Launcher, PluginState, States};
use crate::config::find_program;
use crate::event::Event;
use crate::fault::{Fault, FaultKind};

/// Keeps the plugin called `name` running until `unwanted` is closed; then ends it.
pub(super) async fn supervise(
    name: String,
    launcher: Arc<Launcher>,
    states: Arc<States>,
    to_daemon: mpsc::Sender<Event>,
    mut unwanted: oneshot::Receiver<()>,
) {
    let tell = async |message: String| {
        tracing::warn!(plugin = %name, "{message}");
        let fault = Fault::new(FaultKind::PluginFailed, message);
        // The daemon may have ended.
        let _ = to_daemon.send(Event::Trouble(fault)).await;
    };
    let mut pauses = Pauses::default();
    let mut now = PluginState {
        name: name.clone(),
        state: api::PLUGIN_WAITING,
        pid: None,
        restarts: 0,
    };
    let publish = |now: &PluginState| {
        states.send_modify(|states| drop(states.insert(name.clone(), now.clone())));
    };
    loop {
        let program = format!("wstream-{name}");
        let Some(program) = find_program(&program) else {
            now.state = api::PLUGIN_MISSING;
            publish(&now);
            tell(format!(
                "the plugin {name} of the configuration is not installed: put the program wstream-{name} beside wstreamd or into PATH and save the configuration again"
            ))
            .await;
            // Looking for it over and over would cost something for nothing.
            let _ = unwanted.await;
            return;
        };
        let began = Instant::now();
        let how = match launcher.start(&name, &program).await {
            Ok(mut process) => {
                (now.state, now.pid) = (api::PLUGIN_RUNNING, process.pid());
                publish(&now);
                tracing::info!(plugin = %name, pid = now.pid, "running");
                tokio::select! {
                    how = process.ended() => how,
                    _ = &mut unwanted => {
                        process.end().await;
                        return;
                    }
                }
            }
            Err(error) => error.to_string(),
        };
        let pause = pauses.after(began.elapsed());
        (now.state, now.pid) = (api::PLUGIN_WAITING, None);
        publish(&now);
        tracing::warn!(plugin = %name, how, "ended; to be started again in {} s", pause.as_secs());
        if pauses.is_worth_telling() {
            tell(format!(
                "the plugin {name} does not stay up ({how}): the daemon's log says why, or take it out of `run` under [plugins] in the configuration"
            ))
            .await;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => now.restarts += 1,
            _ = &mut unwanted => return,
        }
    }
}
