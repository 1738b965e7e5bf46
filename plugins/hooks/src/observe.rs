//! The hooks that only look: a task for each folder, so that a slow one holds nothing up.

use std::path::Path;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use wstream_api::Event;

use crate::event::Occasion;
use crate::folder::Folder;
use crate::hook;

/// How long a hook may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Finals, and states, that wait for the hooks of the one before. Beyond it the new one is left out,
/// with a warning.
const WAITING: usize = 64;

/// What the daemon's state is while there is no daemon, as `wstreamctl status` calls it.
const STOPPED: &str = "stopped";

/// The ways to the tasks.
#[derive(Debug)]
pub(crate) struct Observers {
    finals: Queue,
    states: Queue,
    /// Only the newest counts.
    partials: watch::Sender<Option<Occasion>>,
}

#[derive(Debug)]
struct Queue {
    name: &'static str,
    to_task: mpsc::Sender<Occasion>,
}

impl Observers {
    /// Starts the tasks, for the folders in `dir`.
    pub(crate) fn start(dir: &Path) -> Self {
        let (partials, newest) = watch::channel(None);
        tokio::spawn(observe_newest(Folder::new(dir.join("partial.d")), newest));
        Observers {
            finals: Queue::start(dir, "final.d"),
            states: Queue::start(dir, "state.d"),
            partials,
        }
    }

    /// Has the hooks for an event run.
    pub(crate) fn see(&mut self, event: &Event) {
        match event {
            Event::Final {
                utterance,
                text,
                details,
            } if !text.is_empty() => {
                self.finals
                    .send(Occasion::of_final(*utterance, text, details));
            }
            Event::Partial {
                utterance,
                committed,
                tentative,
                details,
            } => {
                let occasion = Occasion::of_partial(*utterance, committed, tentative, details);
                self.partials.send_replace(Some(occasion));
            }
            Event::Changed { properties } => {
                if let Some(state) = properties.text("State") {
                    self.states.send(Occasion::of_state(state));
                }
            }
            Event::Vanished => self.states.send(Occasion::of_state(STOPPED)),
            _ => {}
        }
    }
}

impl Queue {
    fn start(dir: &Path, name: &'static str) -> Self {
        let (to_task, occasions) = mpsc::channel(WAITING);
        tokio::spawn(observe_all(Folder::new(dir.join(name)), occasions));
        Queue { name, to_task }
    }

    fn send(&self, occasion: Occasion) {
        if self.to_task.try_send(occasion).is_err() {
            let what = format!("its hooks are too slow: {WAITING} wait already, one is left out");
            hook::warn(Path::new(self.name), &what);
        }
    }
}

async fn observe_all(folder: Folder, mut occasions: mpsc::Receiver<Occasion>) {
    while let Some(occasion) = occasions.recv().await {
        observe(&folder, &occasion).await;
    }
}

async fn observe_newest(folder: Folder, mut newest: watch::Receiver<Option<Occasion>>) {
    while newest.changed().await.is_ok() {
        let occasion = newest.borrow_and_update().clone();
        if let Some(occasion) = occasion {
            observe(&folder, &occasion).await;
        }
    }
}

async fn observe(folder: &Folder, occasion: &Occasion) {
    for path in folder.hooks() {
        if let Err(error) = hook::observe(&path, occasion, LIMIT).await {
            hook::warn(&path, &error.to_string());
        }
    }
}
