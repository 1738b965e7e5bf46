//! What the daemon and its engine take of the machine, from `/proc`.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// Seconds between looks at the memory; summing up pages takes a millisecond or two.
const LOOK: Duration = Duration::from_secs(2);

/// Ticks per second in `/proc`: part of Linux's interface (`USER_HZ`), whatever the kernel's own clock.
const TICKS: f64 = 100.0;

/// Peaks of the memory that a process and its descendants hold together, in megabytes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    pub rss_mb: f64,
    /// Shared pages counted in shares.
    pub pss_mb: f64,
}

/// CPU seconds of `pid` and its descendants, those that have ended and been waited for included.
pub fn cpu_seconds(pid: i32) -> Result<f64> {
    let mut ticks = 0.0;
    for process in family(pid) {
        // A child may end between two looks; its parent's count has it then.
        if let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) {
            ticks += ticks_of(&stat).context("/proc/PID/stat is not as it should be")?;
        }
    }
    Ok(ticks / TICKS)
}

/// CPU seconds that the whole machine has worked.
pub fn machine_cpu_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("/proc/stat is empty")?;
    let fields: Vec<f64> = line
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // user, nice, system, idle, iowait, irq, softirq, …
    let busy = fields.iter().take(3).sum::<f64>() + fields.iter().skip(5).take(2).sum::<f64>();
    Ok(busy / TICKS)
}

/// The process and its descendants.
fn family(pid: i32) -> BTreeSet<i32> {
    let mut all = BTreeSet::new();
    let mut new = vec![pid];
    while let Some(process) = new.pop() {
        if !all.insert(process) {
            continue;
        }
        for task in fs::read_dir(format!("/proc/{process}/task"))
            .into_iter()
            .flatten()
        {
            let listed = task.and_then(|task| fs::read_to_string(task.path().join("children")));
            let listed = listed.unwrap_or_default();
            new.extend(
                listed
                    .split_whitespace()
                    .filter_map(|p| p.parse::<i32>().ok()),
            );
        }
    }
    all
}

/// user, system, and both of ended children; the name before them may hold spaces.
fn ticks_of(stat: &str) -> Option<f64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let numbers = fields.get(11..15)?;
    numbers.iter().map(|field| field.parse::<f64>().ok()).sum()
}

fn memory(pid: i32) -> Memory {
    let mut memory = Memory::default();
    for process in family(pid) {
        let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"));
        let rollup = rollup.unwrap_or_default();
        memory.rss_mb += megabytes(&rollup, "Rss:");
        memory.pss_mb += megabytes(&rollup, "Pss:");
    }
    memory
}

fn megabytes(rollup: &str, key: &str) -> f64 {
    let line = rollup.lines().find_map(|line| line.strip_prefix(key));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or_default() / 1000.0
}

/// Looks at the memory now and then until told to stop.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Memory>,
}

impl Watch {
    pub fn start(pid: i32) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("memory".into())
            .spawn(move || {
                let mut peak = Memory::default();
                loop {
                    let now = memory(pid);
                    peak.rss_mb = peak.rss_mb.max(now.rss_mb);
                    peak.pss_mb = peak.pss_mb.max(now.pss_mb);
                    if told.load(Ordering::Relaxed) {
                        return peak;
                    }
                    thread::park_timeout(LOOK);
                }
            })?;
        Ok(Watch { stop, thread })
    }

    /// The peaks, a last look included.
    pub fn finish(self) -> Memory {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        self.thread.join().unwrap_or_default()
    }
}

/// A core kept busy by somebody else, until dropped.
#[derive(Debug)]
pub struct Busy(std::process::Child);

impl Busy {
    /// Starts a process that computes without pause.
    pub fn start() -> Result<Self> {
        let spin = std::process::Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .spawn()?;
        Ok(Busy(spin))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_understood() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 0 1 2 3 4 100 20 3 4 20 0 5 0 9";
        assert_eq!(ticks_of(stat), Some(127.0));
        assert_eq!(megabytes("Rss:    2000 kB\nPss:  1500 kB\n", "Pss:"), 1.5);
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(family(own).contains(&own));
        assert!(memory(own).rss_mb >= memory(own).pss_mb);
    }

    #[test]
    fn work_is_counted_with_that_of_children() {
        let own = i32::try_from(std::process::id()).unwrap();
        let before = cpu_seconds(own).unwrap();
        let busy = Busy::start().unwrap();
        let waited = std::time::Instant::now();
        while cpu_seconds(own).unwrap() < before + 0.1 {
            assert!(waited.elapsed().as_secs() < 20);
            thread::sleep(Duration::from_millis(20));
        }
        drop(busy);
    }
}
