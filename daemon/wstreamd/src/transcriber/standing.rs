//! Which remotes are away, so that their fallbacks serve in their place, and when they are tried
//! again. No input or output.

use std::time::Duration;

use tokio::time::Instant;

use crate::fault::Fault;

/// The longest pause between two trials of a remote that is away: a quarter of an hour without it
/// costs nothing but the wait for the next trial.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The longest that a remote has to be well: one that comes and goes would otherwise take every
/// other utterance through its loss.
const LONGEST_TRIAL: Duration = Duration::from_secs(600);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// One for each remote that was ever away; as few as there are remotes with a fallback.
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    /// How long it has to be well; grows when it leaves again soon.
    trial: Duration,
    /// When it last came back.
    back: Option<Instant>,
    away: Option<Away>,
}

#[derive(Debug)]
struct Away {
    /// Why.
    fault: Fault,
    /// When it is tried next.
    next: Instant,
    /// The pause behind that.
    pause: Duration,
}

impl Standing {
    /// Its fallback serves from now on.
    pub(super) fn leaves(&mut self, name: &str, fault: Fault, well_for: Duration, now: Instant) {
        let index = self.entries.iter().position(|entry| entry.name == name);
        let index = index.unwrap_or_else(|| {
            self.entries.push(Entry {
                name: name.to_owned(),
                trial: well_for,
                back: None,
                away: None,
            });
            self.entries.len() - 1
        });
        let entry = &mut self.entries[index];
        entry.trial = match entry.back {
            Some(back) if now - back < entry.trial * 10 => (entry.trial * 2).min(LONGEST_TRIAL),
            _ => well_for,
        };
        entry.away = Some(Away {
            fault,
            next: now + well_for.min(LONGEST_PAUSE),
            pause: well_for.min(LONGEST_PAUSE),
        });
    }

    /// Why its fallback serves; `None`: it does not.
    pub(super) fn fault(&self, name: &str) -> Option<&Fault> {
        let entry = self.entries.iter().find(|entry| entry.name == name)?;
        Some(&entry.away.as_ref()?.fault)
    }

    /// The remote that is to be tried next, and when.
    pub(super) fn next_trial(&self) -> Option<(Instant, &str)> {
        let away = |entry: &Entry| Some(entry.away.as_ref()?.next);
        let nexts = self.entries.iter();
        let nexts = nexts.filter_map(|entry| Some((away(entry)?, entry.name.as_str())));
        nexts.min_by_key(|next| next.0)
    }

    /// How long it has to be well before it is taken for back.
    pub(super) fn trial(&self, name: &str) -> Duration {
        let entry = self.entries.iter().find(|entry| entry.name == name);
        entry.map(|entry| entry.trial).unwrap_or_default()
    }

    /// It was tried in vain.
    pub(super) fn tried(&mut self, name: &str, now: Instant) {
        let entry = self.entries.iter_mut().find(|entry| entry.name == name);
        if let Some(away) = entry.and_then(|entry| entry.away.as_mut()) {
            away.pause = (away.pause * 2).min(LONGEST_PAUSE);
            away.next = now + away.pause;
        }
    }

    /// It has been well for long enough.
    pub(super) fn returns(&mut self, name: &str, now: Instant) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.name == name) {
            entry.away = None;
            entry.back = Some(now);
        }
    }

    /// The user has changed something: all are taken for well.
    pub(super) fn forget(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FaultKind;

    #[test]
    fn trials_grow_rarer_and_longer() {
        let seconds = Duration::from_secs;
        let start = Instant::now();
        let fault = || Fault::new(FaultKind::RemoteLost, "away");
        let mut standing = Standing::default();
        assert_eq!((standing.fault("r"), standing.next_trial()), (None, None));

        standing.leaves("r", fault(), seconds(30), start);
        assert!(standing.fault("r").is_some() && standing.fault("s").is_none());
        let mut pauses = Vec::new();
        let mut now = start;
        for _ in 0..6 {
            let (next, name) = standing.next_trial().unwrap();
            assert_eq!(name, "r");
            pauses.push((next - now).as_secs());
            now = next;
            standing.tried("r", now);
        }
        assert_eq!(pauses, [30, 60, 120, 240, 300, 300]);
        standing.returns("r", now);
        assert_eq!((standing.fault("r"), standing.next_trial()), (None, None));

        // It leaves again at once, and again; then not for a long time.
        for trial in [60, 120, 240, 480, 600, 600] {
            standing.leaves("r", fault(), seconds(30), now);
            assert_eq!(standing.trial("r"), seconds(trial));
            standing.returns("r", now);
        }
        standing.leaves("r", fault(), seconds(30), now + seconds(7000));
        assert_eq!(standing.trial("r"), seconds(30));
        standing.forget();
        assert_eq!(standing.fault("r"), None);
    }
}
