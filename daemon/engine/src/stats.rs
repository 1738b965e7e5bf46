//! What this process has decoded and what of it was of use, for whoever measures.
//!
//! Enters: counts, from the scheduler and the sessions. Leaves: one line of JSON, written to the
//! file that `WSTREAM_ENGINE_STATS` names when the process ends; nothing without it. Holds numbers
//! only, never text.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::scheduler::Kind;

/// Where the line goes.
const FILE_VARIABLE: &str = "WSTREAM_ENGINE_STATS";

/// In the order of [`Kind`].
const NAMES: [&str; 4] = ["partial", "piece", "speculative", "final"];

static DECODES: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];
static MICROSECONDS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];
static DISCARDED_MICROSECONDS: AtomicU64 = AtomicU64::new(0);
static AHEAD_HITS: AtomicU64 = AtomicU64::new(0);
static AHEAD_MISSES: AtomicU64 = AtomicU64::new(0);
static PROMOTED: AtomicU64 = AtomicU64::new(0);

/// A decode has ended; `wanted` until then.
pub(crate) fn decoded(kind: Kind, milliseconds: f64, wanted: bool) {
    let microseconds = (milliseconds * 1000.0) as u64;
    DECODES[kind as usize].fetch_add(1, Relaxed);
    MICROSECONDS[kind as usize].fetch_add(microseconds, Relaxed);
    if !wanted {
        DISCARDED_MICROSECONDS.fetch_add(microseconds, Relaxed);
    }
}

/// An utterance has ended, and its final was there already or not.
pub(crate) fn ended(is_ready: bool) {
    let counter = if is_ready { &AHEAD_HITS } else { &AHEAD_MISSES };
    counter.fetch_add(1, Relaxed);
}

/// A partial has become a final.
pub(crate) fn promoted() {
    PROMOTED.fetch_add(1, Relaxed);
}

/// Writes the line, if somebody wants it.
pub fn write() {
    let Some(path) = std::env::var_os(FILE_VARIABLE) else {
        return;
    };
    let all = |of: fn(usize) -> serde_json::Value| -> serde_json::Value {
        let entries = NAMES
            .iter()
            .enumerate()
            .map(|(i, name)| ((*name).to_owned(), of(i)));
        serde_json::Value::Object(entries.collect())
    };
    let milliseconds = |counter: &AtomicU64| counter.load(Relaxed) as f64 / 1000.0;
    let line = serde_json::json!({
        "decodes": all(|i| DECODES[i].load(Relaxed).into()),
        "ms": all(|i| (MICROSECONDS[i].load(Relaxed) as f64 / 1000.0).into()),
        "discarded_ms": milliseconds(&DISCARDED_MICROSECONDS),
        "ahead_hits": AHEAD_HITS.load(Relaxed),
        "ahead_misses": AHEAD_MISSES.load(Relaxed),
        "promoted": PROMOTED.load(Relaxed),
    });
    if let Err(error) = std::fs::write(&path, format!("{line}\n")) {
        tracing::warn!(path = %path.display(), %error, "the figures cannot be written");
    }
}
