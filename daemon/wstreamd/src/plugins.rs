//! The plugins of the configuration: started, watched, started again with growing pauses, and ended
//! with the daemon.
//!
//! Enters: which ones are wanted. Leaves: how they are, and faults, as facts for the daemon task.
//! One task here, and one for each plugin. Each is a process: a child, or a transient unit where the
//! daemon itself is a service, since a plugin and what it runs do not belong into its sandbox.

mod child;
mod launch;
mod pauses;
mod supervise;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use wstream_api as api;

use crate::event::Event;

pub use launch::Launcher;
use supervise::supervise;

/// How a plugin of the configuration is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginState {
    /// In the configuration.
    pub name: String,
    /// As on the bus.
    pub state: &'static str,
    /// Its process.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u32,
}

/// How all of them are, by name; each plugin's task writes its own.
type States = watch::Sender<BTreeMap<String, PluginState>>;

/// A plugin's task.
#[derive(Debug)]
struct Supervised {
    task: JoinHandle<()>,
    /// Dropping it ends the plugin.
    _wanted: oneshot::Sender<()>,
}

/// Keeps the wanted plugins running until nobody can want any more; then ends them all.
pub async fn run(
    mut wanted: watch::Receiver<Arc<[String]>>,
    to_daemon: mpsc::Sender<Event>,
    launcher: Launcher,
) {
    let launcher = Arc::new(launcher);
    let states = Arc::new(States::new(BTreeMap::new()));
    let mut changes = states.subscribe();
    let mut running: BTreeMap<String, Supervised> = BTreeMap::new();
    launcher.end_leftovers().await;
    loop {
        let names = wanted.borrow_and_update().clone();
        let is_wanted = |name: &String| names.contains(name);
        // It may have been installed meanwhile.
        let is_missing = |name: &String| {
            let states = states.borrow();
            states
                .get(name)
                .is_some_and(|it| it.state == api::PLUGIN_MISSING)
        };
        let (kept, unwanted): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut running)
            .into_iter()
            .partition(|(name, _)| is_wanted(name) && !is_missing(name));
        running = kept;
        end(unwanted.into_values().collect()).await;
        states.send_if_modified(|states| {
            let before = states.len();
            states.retain(|name, _| is_wanted(name));
            states.len() != before
        });
        for name in names.iter() {
            if running.contains_key(name) {
                continue;
            }
            let (wanted, unwanted) = oneshot::channel();
            let supervised = Supervised {
                task: tokio::spawn(supervise(
                    name.clone(),
                    launcher.clone(),
                    states.clone(),
                    to_daemon.clone(),
                    unwanted,
                )),
                _wanted: wanted,
            };
            running.insert(name.clone(), supervised);
        }
        loop {
            tokio::select! {
                change = wanted.changed() => match change {
                    Ok(()) => break,
                    Err(_) => return end(running.into_values().collect()).await,
                },
                Ok(()) = changes.changed() => {
                    let states = changes.borrow_and_update().values().cloned().collect();
                    // The daemon has ended: `wanted` says so too.
                    let _ = to_daemon.send(Event::Plugins(states)).await;
                }
            }
        }
    }
}

/// Ends plugins, all at the same time.
async fn end(plugins: Vec<Supervised>) {
    let tasks: Vec<JoinHandle<()>> = plugins.into_iter().map(|plugin| plugin.task).collect();
    for task in tasks {
        // It is not aborted and does not panic.
        let _ = task.await;
    }
}
