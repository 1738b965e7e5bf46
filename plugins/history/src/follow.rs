//! The plugin: keeps the finals that the daemon says. A history that cannot be written holds
//! nobody up; what could not be kept is tried again with the next text.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use wstream_api::{Details, Event, Plugin, PluginError, keys};
use wstream_settings::{File, complain};

use crate::entry::New;
use crate::settings::Settings;
use crate::store::{Store, StoreError};

/// Most texts that wait for a disk that is full; of more, the oldest are lost, which is said.
const WAITING: usize = 100;

/// Most utterances without an end that are remembered; the daemon has fewer.
const OPEN: usize = 1000;

/// Keeps finals until the bus is gone.
pub(crate) async fn follow(
    settings: Settings,
    file: File<Settings>,
    path: PathBuf,
) -> Result<(), PluginError> {
    let mut plugin = Plugin::connect().await?;
    let mut keeper = Keeper::new(settings, file, path);
    // What has become too old meanwhile goes at once.
    keeper.write();
    loop {
        keeper.on(plugin.next().await?);
    }
}

#[derive(Debug)]
struct Keeper {
    settings: Settings,
    file: File<Settings>,
    path: PathBuf,
    /// Opened anew after a failure.
    store: Option<Store>,
    /// What is to be written.
    waiting: VecDeque<New>,
    /// What has been said of a failure that goes on.
    complaint: Option<String>,
    /// Utterances without an end: whether they come from the microphone.
    microphone: HashMap<u64, bool>,
}

impl Keeper {
    fn new(settings: Settings, file: File<Settings>, path: PathBuf) -> Self {
        Keeper {
            settings,
            file,
            path,
            store: None,
            waiting: VecDeque::new(),
            complaint: None,
            microphone: HashMap::new(),
        }
    }

    fn on(&mut self, event: Event) {
        match event {
            Event::Started {
                utterance, details, ..
            } if self.microphone.len() < OPEN => {
                let is_microphone = details.text(keys::SOURCE) == Some("microphone");
                self.microphone.insert(utterance, is_microphone);
            }
            Event::Final {
                utterance,
                text,
                details,
            } => {
                let microphone = self.microphone.remove(&utterance).unwrap_or(false);
                self.take_new_settings();
                if !text.trim().is_empty() && (microphone || self.settings.feeds) {
                    self.keep(new(text, &details, &self.settings));
                }
            }
            Event::Failed { utterance, .. } | Event::Cancelled { utterance } => {
                self.microphone.remove(&utterance);
            }
            Event::Vanished => self.microphone.clear(),
            _ => {}
        }
    }

    fn take_new_settings(&mut self) {
        match self.file.load_if_changed() {
            Some(Ok(settings)) => self.settings = settings,
            Some(Err(error)) => {
                complain::<Settings>(&format!("{error}; what was set before stays in force"))
            }
            None => {}
        }
    }

    fn keep(&mut self, new: New) {
        if self.waiting.len() == WAITING {
            self.waiting.pop_front();
            complain::<Settings>("a text is lost: the history could not be written for too long");
        }
        self.waiting.push_back(new);
        self.write();
    }

    /// Writes what waits, and deletes what is too old or too much.
    fn write(&mut self) {
        match self.try_to_write() {
            Ok(()) => {
                self.waiting.clear();
                if self.complaint.take().is_some() {
                    complain::<Settings>("the history can be written again");
                }
            }
            Err(error) => {
                // Another file may be there the next time.
                self.store = None;
                let complaint = error.to_string();
                if self.complaint.as_ref() != Some(&complaint) {
                    complain::<Settings>(&complaint);
                    self.complaint = Some(complaint);
                }
            }
        }
    }

    fn try_to_write(&mut self) -> Result<(), StoreError> {
        // A file that was moved away is not written on, and none is made for nothing.
        if !self.path.exists() {
            self.store = None;
            if self.waiting.is_empty() {
                return Ok(());
            }
        }
        let store = match &mut self.store {
            Some(store) => store,
            none => none.insert(Store::open(&self.path)?),
        };
        store.add(&self.waiting)?;
        self.waiting.clear();
        let age_ms = i64::from(self.settings.days) * 86_400_000;
        let oldest_ms = (age_ms > 0).then(|| now_ms() - age_ms);
        store.prune(oldest_ms, self.settings.entries).map(drop)
    }
}

fn new(text: String, details: &Details, settings: &Settings) -> New {
    let detail = |key| details.text(key).map(str::to_owned);
    let raw = detail(keys::RAW).filter(|raw| settings.raw && *raw != text);
    New {
        at_ms: now_ms(),
        raw,
        text,
        language: detail(keys::LANGUAGE),
        duration_s: details.number(keys::DURATION_S),
        backend: detail(keys::BACKEND),
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::Filter;

    fn keeper(dir: &Path) -> Keeper {
        let mut file = File::at(dir.join("history.toml"));
        let settings = file.load().unwrap();
        Keeper::new(settings, file, dir.join("history.sqlite"))
    }

    /// An utterance from `source` with its end.
    fn say(keeper: &mut Keeper, utterance: u64, source: &'static str, text: &str) {
        let source = zbus::Variant::from(source);
        let borrowed = HashMap::from([(keys::SOURCE, source)]);
        keeper.on(Event::Started {
            utterance,
            session: 1,
            details: Details::of(&borrowed),
        });
        keeper.on(said(utterance, text));
    }

    fn said(utterance: u64, text: &str) -> Event {
        let raw = HashMap::from([(keys::RAW, zbus::Variant::from("as the model wrote it"))]);
        Event::Final {
            utterance,
            text: text.to_owned(),
            details: Details::of(&raw),
        }
    }

    fn kept(dir: &Path) -> Vec<(String, Option<String>)> {
        let store = Store::open(&dir.join("history.sqlite")).unwrap();
        let entries = store.entries(&Filter::default()).unwrap();
        entries.into_iter().map(|e| (e.text, e.raw)).collect()
    }

    #[test]
    fn only_what_comes_from_the_microphone_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut keeper = keeper(dir.path());
        keeper.write();
        assert!(!dir.path().join("history.sqlite").exists());
        say(&mut keeper, 1, "feed", "from a file");
        say(&mut keeper, 2, "microphone", "  ");
        assert!(!dir.path().join("history.sqlite").exists());
        say(&mut keeper, 3, "microphone", "spoken");
        // Its beginning was not heard.
        keeper.on(said(4, "of unknown origin"));
        let raw = || Some("as the model wrote it".to_owned());
        assert_eq!(kept(dir.path()), [("spoken".to_owned(), raw())]);

        // A changed file counts from the next text on.
        let own = dir.path().join("history.toml");
        std::fs::write(&own, "feeds = true\nraw = false\nentries = 1\n").unwrap();
        say(&mut keeper, 5, "feed", "from a file");
        assert_eq!(kept(dir.path()), [("from a file".to_owned(), None)]);
        std::fs::write(&own, "entries = 0").unwrap();
        say(&mut keeper, 6, "feed", "again");
        assert_eq!(kept(dir.path()), [("again".to_owned(), None)]);
    }

    #[test]
    fn what_cannot_be_written_waits() {
        let dir = tempfile::tempdir().unwrap();
        let mut keeper = keeper(dir.path());
        let path = dir.path().join("history.sqlite");
        std::fs::create_dir(&path).unwrap();
        for utterance in 0..WAITING as u64 + 5 {
            say(
                &mut keeper,
                utterance,
                "microphone",
                &format!("text {utterance}"),
            );
        }
        assert!(keeper.complaint.is_some());
        std::fs::remove_dir(&path).unwrap();
        say(&mut keeper, 1000, "microphone", "the last");
        assert!(keeper.complaint.is_none());
        let kept = kept(dir.path());
        assert_eq!(kept.len(), WAITING);
        assert_eq!(kept[0].0, "text 6");
    }
}
