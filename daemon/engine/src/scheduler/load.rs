//! How many cores other programs leave free.
//!
//! Enters: what the kernel counts in `/proc`. Leaves: a number of cores. Asked when a decode starts.
//!
//! ggml's threads wait for each other by spinning. Where one of them is not running because another
//! program has its core, the rest burn their time: two threads on two cores of which one is busy
//! take ten times as long as one thread. With it, it is better to take one core too few than one too
//! many. Our own threads lose at most the piece of work that one of them is in, and a program that
//! runs for a moment, such as the one that has just handed us the sound, is nothing to them.

use std::time::{Duration, Instant};

/// Shorter than this the kernel's counters, which tick every 10 ms, say little.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);

/// What the kernel has counted, in its ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counters {
    /// Cores of the machine.
    cores: usize,
    /// Ticks that all cores were busy.
    busy: u64,
    /// Ticks that all cores were busy or idle.
    all: u64,
    /// Ticks that this process was running.
    own: u64,
    /// Threads that want to run at this moment, the asking one included.
    runnable: usize,
}

/// Watches the machine.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// Whether what wants to run at this moment counts, though it may be for a moment only.
    spins: bool,
    last: Option<(Instant, Counters)>,
    /// Cores that others kept busy in the interval before `last`.
    others: f64,
}

impl Load {
    /// For decodes whose threads spin, or do not.
    pub(super) fn new(spins: bool) -> Load {
        Load {
            spins,
            ..Load::default()
        }
    }

    /// How many cores others leave free, while `own_threads` threads of ours compute. `None` where
    /// the kernel does not tell.
    pub(super) fn free_cores(&mut self, own_threads: usize) -> Option<usize> {
        self.observe(read()?, own_threads, Instant::now())
    }

    fn observe(&mut self, counters: Counters, own_threads: usize, now: Instant) -> Option<usize> {
        match &self.last {
            Some((at, last)) if now.duration_since(*at) >= LEAST_INTERVAL => {
                let ticks = |now: u64, then: u64| now.saturating_sub(then) as f64;
                let all = ticks(counters.all, last.all).max(1.0);
                let others = ticks(counters.busy, last.busy) - ticks(counters.own, last.own);
                self.others = others.max(0.0) / all * counters.cores as f64;
                self.last = Some((now, counters));
            }
            Some(_) => {}
            None => self.last = Some((now, counters)),
        }
        let mut taken = self.others;
        if self.spins {
            // A program may have just begun.
            let runnable = counters.runnable.saturating_sub(own_threads + 1);
            taken = taken.max(runnable as f64);
        }
        let free = counters.cores as f64 - taken;
        // A quarter of a core is what a desktop uses at rest.
        Some((free + 0.25).max(0.0) as usize)
    }
}

fn read() -> Option<Counters> {
    let read = |path| std::fs::read_to_string(path).ok();
    parse(
        &read("/proc/stat")?,
        &read("/proc/self/stat")?,
        &read("/proc/loadavg")?,
    )
}

fn parse(stat: &str, own_stat: &str, loadavg: &str) -> Option<Counters> {
    let mut cpus = stat.lines().take_while(|line| line.starts_with("cpu"));
    // user nice system idle iowait irq softirq steal; guests are part of the first two.
    let times: Vec<u64> = cpus
        .next()?
        .split_ascii_whitespace()
        .skip(1)
        .take(8)
        .map_while(|number| number.parse().ok())
        .collect();
    let all: u64 = times.iter().sum();
    let idle = times.get(3)? + times.get(4)?;
    // The second field is the program's name in brackets, which may hold anything.
    let (_, fields) = own_stat.rsplit_once(')')?;
    let own = fields
        .split_ascii_whitespace()
        .skip(11)
        .take(2)
        .map_while(|number| number.parse::<u64>().ok())
        .sum();
    let runnable = loadavg
        .split_ascii_whitespace()
        .nth(3)?
        .split_once('/')?
        .0
        .parse()
        .ok()?;
    Some(Counters {
        cores: cpus.count(),
        busy: all - idle,
        all,
        own,
        runnable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let stat = "cpu  100 1 20 1000 5 0 4 10 0 0\ncpu0 1 2 3\ncpu1 1 2 3\nintr 5\n";
        let own = "42 (a) b) R 1 42 42 0 -1 4194304 100 0 0 0 30 12 0 0 20 0 1 0";
        let counters = parse(stat, own, "0.2 0.2 0.1 3/80 11206\n");
        assert_eq!(
            counters,
            Some(Counters {
                cores: 2,
                busy: 135,
                all: 1140,
                own: 42,
                runnable: 3,
            })
        );
        assert_eq!(parse("", "", ""), None);
        assert_eq!(parse(stat, own, "0.2"), None);
    }

    #[test]
    fn other_programs_take_cores_away_and_our_own_threads_do_not() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let counters = |busy, all, own, runnable| Counters {
            cores: 4,
            busy,
            all,
            own,
            runnable,
        };
        let mut load = Load::new(true);
        let mut steady = Load::new(false);
        assert_eq!(load.observe(counters(0, 0, 0, 1), 0, at(0)), Some(4));
        assert_eq!(steady.observe(counters(0, 0, 0, 9), 0, at(0)), Some(4));
        // One second: two cores busy with ours.
        assert_eq!(
            load.observe(counters(200, 400, 200, 1), 0, at(1000)),
            Some(4)
        );
        // Another: two cores busy with others.
        assert_eq!(
            steady.observe(counters(400, 800, 0, 9), 0, at(2000)),
            Some(2)
        );
        assert_eq!(
            load.observe(counters(400, 800, 200, 1), 0, at(2000)),
            Some(2)
        );
        // Too soon to tell anew, but three others want to run now.
        assert_eq!(
            load.observe(counters(400, 801, 200, 4), 0, at(2010)),
            Some(1)
        );
        assert_eq!(
            load.observe(counters(400, 801, 200, 4), 3, at(2020)),
            Some(2)
        );
        // More than everything.
        assert_eq!(
            load.observe(counters(400, 801, 200, 90), 0, at(2030)),
            Some(0)
        );
    }

    #[test]
    fn this_machine_tells() {
        assert!(read().is_some_and(|counters| counters.cores > 0 && counters.runnable > 0));
    }
}
