//! Who filters: registrations counted per caller and object, in the order of priority, with their
//! times. No input or output.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use wstream_api::FILTER_TIMEOUT_MS;

use super::{Filter, Turn};
use crate::fault::{Fault, FaultKind};

/// Most filters at once. Each may hold a final up for two seconds, once.
const MOST: usize = 32;

/// Most of one caller, so that one that floods leaves room for others.
const MOST_OF_CALLER: usize = 8;

/// Longest object path; the bus allows any length.
const PATH_BYTES: usize = 255;

/// What a caller asks for.
#[derive(Debug)]
pub struct Wanted {
    /// Unique bus name.
    pub caller: String,
    /// Its object.
    pub path: String,
    /// The lowest comes first.
    pub priority: i32,
    /// 1 to 2000.
    pub timeout_ms: u32,
    /// The caller's process.
    pub pid: Option<u32>,
    /// What to call it.
    pub name: String,
}

/// The filters that are registered now.
#[derive(Debug, Default)]
pub struct Registry {
    /// Sorted by priority, then by age.
    entries: Vec<Entry>,
    next_id: u64,
    /// Of `entries`; made anew when they change.
    in_order: Arc<[Arc<Filter>]>,
}

#[derive(Debug)]
struct Entry {
    filter: Arc<Filter>,
    /// `AddFilter` less `RemoveFilter`.
    count: u64,
    times: Times,
}

/// How a filter, or all of a process, have done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Times {
    pub(crate) filters: u32,
    pub(crate) calls: u64,
    pub(crate) skipped: u64,
    answered: Duration,
    pub(crate) longest: Duration,
}

impl Registry {
    /// Registers a filter, or once more one that is.
    pub(crate) fn add(&mut self, wanted: Wanted) -> Result<(), Fault> {
        check(&wanted)?;
        let same = |entry: &Entry| {
            entry.filter.caller == wanted.caller && entry.filter.path == wanted.path
        };
        let before = self.entries.iter().position(same);
        let (id, count, times) = match before.map(|index| self.entries.remove(index)) {
            Some(entry) => (entry.filter.id, entry.count + 1, entry.times),
            None => {
                self.check_room(&wanted.caller)?;
                self.next_id += 1;
                let times = Times {
                    filters: 1,
                    ..Times::default()
                };
                (self.next_id, 1, times)
            }
        };
        let filter = Filter {
            id,
            caller: wanted.caller,
            path: wanted.path,
            priority: wanted.priority,
            timeout: Duration::from_millis(wanted.timeout_ms.into()),
            pid: wanted.pid,
            name: wanted.name,
        };
        self.entries.push(Entry {
            filter: Arc::new(filter),
            count,
            times,
        });
        self.entries
            .sort_by_key(|entry| (entry.filter.priority, entry.filter.id));
        self.changed();
        Ok(())
    }

    /// Takes one registration back; whether the filter has gone with it.
    pub(crate) fn remove(&mut self, caller: &str, path: &str) -> Result<bool, Fault> {
        let same = |entry: &Entry| entry.filter.caller == caller && entry.filter.path == path;
        let Some(index) = self.entries.iter().position(same) else {
            return Err(bad(format!(
                "this caller has no filter at {path}: only who added a filter can remove it"
            )));
        };
        self.entries[index].count -= 1;
        let gone = self.entries[index].count == 0;
        if gone {
            self.entries.remove(index);
            self.changed();
        }
        Ok(gone)
    }

    /// Removes all of a caller's; whether there were any.
    pub(crate) fn caller_left(&mut self, caller: &str) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.filter.caller != caller);
        let had = self.entries.len() != before;
        if had {
            self.changed();
        }
        had
    }

    /// Whether nobody filters.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The filters, the first one first.
    pub(crate) fn in_order(&self) -> Arc<[Arc<Filter>]> {
        self.in_order.clone()
    }

    /// Counts what filters took. Those that have gone meanwhile are left out.
    pub(crate) fn count(&mut self, turns: &[Turn]) {
        for turn in turns {
            let entry = self.entries.iter_mut().find(|it| it.filter.id == turn.id);
            if let Some(entry) = entry {
                entry.times.count(turn.took);
            }
        }
    }

    /// The times of each process with filters, with a filter of it.
    pub(crate) fn by_process(&self) -> Vec<(&Filter, Times)> {
        let mut callers: BTreeMap<&str, (&Filter, Times)> = BTreeMap::new();
        for entry in &self.entries {
            let filter: &Filter = &entry.filter;
            let of_caller = callers
                .entry(&filter.caller)
                .or_insert((filter, Times::default()));
            of_caller.1.add(entry.times);
        }
        callers.into_values().collect()
    }

    fn check_room(&self, caller: &str) -> Result<(), Fault> {
        let of_caller = self.entries.iter().filter(|e| e.filter.caller == caller);
        if of_caller.count() >= MOST_OF_CALLER || self.entries.len() >= MOST {
            return Err(bad(format!(
                "too many filters: at most {MOST_OF_CALLER} of one caller and {MOST} in all, so remove one first"
            )));
        }
        Ok(())
    }

    fn changed(&mut self) {
        let filters = self.entries.iter().map(|entry| entry.filter.clone());
        self.in_order = filters.collect();
    }
}

impl Times {
    fn count(&mut self, took: Option<Duration>) {
        self.calls += 1;
        match took {
            Some(took) => {
                self.answered += took;
                self.longest = self.longest.max(took);
            }
            None => self.skipped += 1,
        }
    }

    fn add(&mut self, other: Times) {
        self.filters += other.filters;
        self.calls += other.calls;
        self.skipped += other.skipped;
        self.answered += other.answered;
        self.longest = self.longest.max(other.longest);
    }

    /// Of the answers; nothing before the first.
    pub(crate) fn mean(&self) -> Duration {
        let answers = u32::try_from(self.calls - self.skipped).unwrap_or(u32::MAX);
        self.answered.checked_div(answers).unwrap_or_default()
    }
}

fn check(wanted: &Wanted) -> Result<(), Fault> {
    if !(1..=FILTER_TIMEOUT_MS).contains(&wanted.timeout_ms) {
        return Err(bad(format!(
            "timeout_ms is out of range: use 1 to {FILTER_TIMEOUT_MS}"
        )));
    }
    if wanted.path.len() > PATH_BYTES {
        return Err(bad(format!(
            "the filter's object path is too long: use at most {PATH_BYTES} characters"
        )));
    }
    Ok(())
}

fn bad(message: String) -> Fault {
    Fault::new(FaultKind::BadOption, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(caller: &str, path: &str, priority: i32) -> Wanted {
        Wanted {
            caller: caller.to_owned(),
            path: path.to_owned(),
            priority,
            timeout_ms: 100,
            pid: None,
            name: "x".to_owned(),
        }
    }

    fn order(registry: &Registry) -> Vec<String> {
        let filters = registry.in_order();
        filters.iter().map(|f| f.caller.clone() + &f.path).collect()
    }

    #[test]
    fn the_lowest_priority_comes_first_and_the_older_of_equals() {
        let mut registry = Registry::default();
        for (path, priority) in [("/a", 5), ("/b", -1), ("/c", 5), ("/d", i32::MIN)] {
            registry.add(wanted(":1", path, priority)).unwrap();
        }
        assert_eq!(order(&registry), [":1/d", ":1/b", ":1/a", ":1/c"]);
        // Adding one again changes its priority, not its age.
        registry.add(wanted(":1", "/c", -1)).unwrap();
        registry.add(wanted(":1", "/a", -1)).unwrap();
        assert_eq!(order(&registry), [":1/d", ":1/a", ":1/b", ":1/c"]);
    }

    #[test]
    fn registrations_are_counted_and_end_with_the_caller() {
        let mut registry = Registry::default();
        registry.add(wanted(":1", "/a", 0)).unwrap();
        registry.add(wanted(":1", "/a", 0)).unwrap();
        registry.add(wanted(":2", "/a", 0)).unwrap();
        assert_eq!(registry.remove(":1", "/a"), Ok(false));
        assert_eq!(order(&registry), [":1/a", ":2/a"]);
        assert_eq!(registry.remove(":1", "/a"), Ok(true));
        assert!(registry.remove(":1", "/a").is_err());
        assert!(registry.remove(":3", "/a").is_err());
        assert_eq!(order(&registry), [":2/a"]);
        registry.add(wanted(":2", "/b", 0)).unwrap();
        assert!(registry.caller_left(":2"));
        assert!(!registry.caller_left(":2"));
        assert!(registry.is_empty());
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let mut registry = Registry::default();
        for caller in 0..4 {
            let caller = format!(":{caller}");
            for path in 0..MOST_OF_CALLER {
                registry
                    .add(wanted(&caller, &format!("/{path}"), 0))
                    .unwrap();
            }
            assert!(registry.add(wanted(&caller, "/more", 0)).is_err());
        }
        assert!(registry.add(wanted(":9", "/a", 0)).is_err());
        registry.remove(":0", "/0").unwrap();
        registry.add(wanted(":9", "/a", 0)).unwrap();
    }

    #[test]
    fn times_out_of_range_are_refused() {
        for (timeout_ms, taken) in [(0, false), (1, true), (2000, true), (2001, false)] {
            let wanted = Wanted {
                timeout_ms,
                ..wanted(":1", "/a", 0)
            };
            assert_eq!(Registry::default().add(wanted).is_ok(), taken);
        }
        let long = format!("/{}", "x".repeat(PATH_BYTES));
        assert!(Registry::default().add(wanted(":1", &long, 0)).is_err());
    }

    #[test]
    fn times_are_summed_up_per_caller() {
        let mut registry = Registry::default();
        for (caller, path) in [(":1", "/a"), (":1", "/b"), (":2", "/a")] {
            registry.add(wanted(caller, path, 0)).unwrap();
        }
        let took = |id, ms| Turn {
            id,
            took: Some(Duration::from_millis(ms)),
        };
        let skipped = Turn { id: 2, took: None };
        registry.count(&[took(1, 10), skipped, took(3, 7), took(99, 1)]);
        registry.count(&[took(1, 20), took(2, 30)]);
        let by_process = registry.by_process();
        assert_eq!(by_process.len(), 2);
        let (filter, times) = by_process[0];
        assert_eq!(filter.caller, ":1");
        assert_eq!((times.filters, times.calls, times.skipped), (2, 4, 1));
        assert_eq!(times.mean(), Duration::from_millis(20));
        assert_eq!(times.longest, Duration::from_millis(30));
        assert_eq!(Times::default().mean(), Duration::ZERO);
    }
}
