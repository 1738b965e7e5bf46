//! What the daemon does about plugins: their filters, and what is told of them.

use std::sync::Arc;

use wstream_api as api;

use super::{Daemon, FilterTimes, FinalText, PluginEntry, Property, Signal};
use crate::fault::Fault;
use crate::filters::{Filtered, Times, Wanted};
use crate::plugins::PluginState;

impl Daemon {
    /// Takes the configuration over.
    pub(super) fn configure_plugins(&mut self) {
        let plugins = &self.settings.config().plugins;
        self.filtering.allow_keys(&plugins.keys);
        // Also when nothing differs: a plugin may have been installed since.
        let run: Arc<[String]> = plugins.run.as_slice().into();
        self.to_plugins.send_replace(run);
    }

    /// The plugins of the configuration are like this now.
    pub(super) fn plugins_changed(&mut self, states: Vec<PluginState>) {
        self.supervised = states;
        self.send(Signal::Changed(Property::Plugins));
    }

    pub(super) fn add_filter(&mut self, mut wanted: Wanted) -> Result<(), Fault> {
        let is_its = |state: &&PluginState| state.pid.is_some() && state.pid == wanted.pid;
        if let Some(state) = self.supervised.iter().find(is_its) {
            wanted.name = state.name.clone();
        }
        tracing::info!(of = %wanted.name, path = %wanted.path, "a filter");
        self.filtering.registry.add(wanted)?;
        self.send(Signal::Changed(Property::Plugins));
        Ok(())
    }

    pub(super) fn remove_filter(&mut self, caller: &str, path: &str) -> Result<(), Fault> {
        if self.filtering.registry.remove(caller, path)? {
            self.send(Signal::Changed(Property::Plugins));
        }
        Ok(())
    }

    pub(super) fn filters_left(&mut self, caller: &str) {
        if self.filtering.registry.caller_left(caller) {
            self.send(Signal::Changed(Property::Plugins));
        }
    }

    /// A text has come: through the filters, or on at once where there are none.
    pub(super) fn filter(&mut self, text: Box<FinalText>) {
        let (passed, trouble) = self.filtering.pass(text);
        if let Some(fault) = trouble {
            self.trouble(fault);
        }
        self.finish_all(passed);
    }

    /// A text has passed the filters, and others may follow it.
    pub(super) fn filtered(&mut self, mut filtered: Filtered) {
        for fault in std::mem::take(&mut filtered.troubles) {
            self.trouble(fault);
        }
        let passed = self.filtering.filtered(filtered);
        self.finish_all(passed);
    }

    /// Texts that are with the filters go on as they are, rather than not at all.
    pub(super) fn release_filtering(&mut self) {
        let texts = self.filtering.release();
        self.finish_all(texts);
    }

    fn finish_all(&mut self, texts: impl IntoIterator<Item = Box<FinalText>>) {
        for text in texts {
            let signals = self.ledger.finish(text);
            self.send_all(signals);
        }
    }

    /// The plugins of the configuration, then everybody else who has a filter.
    pub(super) fn plugins(&self) -> Vec<PluginEntry> {
        let mut entries: Vec<PluginEntry> = self.supervised.iter().map(PluginEntry::from).collect();
        for (filter, times) in self.filtering.registry.by_process() {
            let is_its = |entry: &&mut PluginEntry| {
                entry.restarts.is_some() && entry.pid.is_some() && entry.pid == filter.pid
            };
            match entries.iter_mut().find(is_its) {
                Some(entry) => entry.filters = Some(times.into()),
                None => entries.push(PluginEntry {
                    name: filter.name.clone(),
                    state: api::PLUGIN_OTHER,
                    pid: filter.pid,
                    restarts: None,
                    filters: Some(times.into()),
                }),
            }
        }
        entries
    }
}

impl From<&PluginState> for PluginEntry {
    fn from(state: &PluginState) -> Self {
        PluginEntry {
            name: state.name.clone(),
            state: state.state,
            pid: state.pid,
            restarts: Some(state.restarts),
            filters: None,
        }
    }
}

impl From<Times> for FilterTimes {
    fn from(times: Times) -> Self {
        FilterTimes {
            filters: times.filters,
            calls: times.calls,
            skipped: times.skipped,
            mean_ms: times.mean().as_secs_f64() * 1e3,
            max_ms: times.longest.as_secs_f64() * 1e3,
        }
    }
}
