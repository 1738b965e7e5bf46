//! Which decode comes next, and with how many threads. No threads in here.
//!
//! Enters: jobs, and cores that have become free. Leaves: the job to start. The queue is bounded
//! by its callers: a session has at most one job waiting or running.

/// What a job is for; the later in this list, the sooner it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Text that will be replaced.
    Partial,
    /// The beginning of a long utterance that is still being spoken.
    Piece,
    /// The final of an utterance that has probably ended.
    Speculative,
    /// Somebody waits for it.
    Final,
}

/// Names a job: the session, and the session's own number for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JobName {
    /// Which session.
    pub session: u64,
    /// Which of its jobs.
    pub job: u64,
}

/// Jobs that wait, and the cores that are free.
#[derive(Debug)]
pub(super) struct Queue<J> {
    /// In the order of arrival.
    waiting: Vec<(JobName, Kind, J)>,
    /// Cores that decodes may have.
    cores: usize,
    /// Those that no running decode has.
    free: usize,
    /// Threads that every job takes, where the user has said so.
    fixed_threads: Option<usize>,
}

impl<J> Queue<J> {
    /// A queue for `cores` cores; with `fixed_threads` every job takes so many.
    pub(super) fn new(cores: usize, fixed_threads: Option<usize>) -> Queue<J> {
        let cores = cores.max(fixed_threads.unwrap_or(1)).max(1);
        Queue {
            waiting: Vec::new(),
            cores,
            free: cores,
            fixed_threads,
        }
    }

    /// Adds a job. A newer partial of a session takes the place of its older one.
    pub(super) fn push(&mut self, name: JobName, kind: Kind, job: J) {
        if kind == Kind::Partial {
            self.waiting
                .retain(|(other, kind, _)| other.session != name.session || *kind != Kind::Partial);
        }
        self.waiting.push((name, kind, job));
    }

    /// Changes a job that still waits; `false` where it does not.
    pub(super) fn change(&mut self, name: JobName, change: impl FnOnce(&mut Kind, &mut J)) -> bool {
        let entry = self.waiting.iter_mut().find(|(other, ..)| *other == name);
        let Some((_, kind, job)) = entry else {
            return false;
        };
        change(kind, job);
        true
    }

    /// Forgets the jobs that `unwanted` names.
    pub(super) fn remove(&mut self, unwanted: impl Fn(JobName) -> bool) {
        self.waiting.retain(|(name, ..)| !unwanted(*name));
    }

    /// Cores that running decodes have.
    pub(super) fn taken(&self) -> usize {
        self.cores - self.free
    }

    /// Whether anything waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The next job with its threads, if there is one and cores for it. The cores are taken. Other
    /// programs leave `usable` cores free.
    pub(super) fn take(&mut self, usable: usize) -> Option<(JobName, J, usize)> {
        let best = self
            .waiting
            .iter()
            .enumerate()
            // Of equal ones the first.
            .max_by_key(|(index, (_, kind, _))| (*kind, std::cmp::Reverse(*index)))
            .map(|(index, _)| index)?;
        let threads = match self.fixed_threads {
            Some(threads) => threads,
            None => {
                let usable = self.free.min(usable.saturating_sub(self.taken()));
                (usable / self.waiting.len()).max(1)
            }
        };
        if threads > self.free {
            return None;
        }
        self.free -= threads;
        let (name, _, job) = self.waiting.remove(best);
        Some((name, job, threads))
    }

    /// A job has ended; its cores are free again.
    pub(super) fn give_back(&mut self, threads: usize) {
        self.free += threads;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(session: u64, job: u64) -> JobName {
        JobName { session, job }
    }

    #[test]
    fn finals_come_first_then_in_order_of_arrival() {
        let mut queue = Queue::new(100, Some(1));
        for (job, kind) in [
            (1, Kind::Partial),
            (2, Kind::Speculative),
            (3, Kind::Final),
            (4, Kind::Piece),
            (5, Kind::Final),
        ] {
            queue.push(name(job, job), kind, ());
        }
        let order: Vec<u64> = std::iter::from_fn(|| queue.take(usize::MAX))
            .map(|(name, ..)| name.job)
            .collect();
        assert_eq!(order, [3, 5, 2, 4, 1]);
    }

    #[test]
    fn a_newer_partial_replaces_the_one_that_waits() {
        let mut queue = Queue::new(8, Some(1));
        queue.push(name(1, 1), Kind::Partial, "old");
        queue.push(name(2, 1), Kind::Partial, "of another");
        queue.push(name(1, 2), Kind::Partial, "new");
        assert_eq!(
            queue.take(usize::MAX).map(|(_, job, _)| job),
            Some("of another")
        );
        assert_eq!(queue.take(usize::MAX).map(|(_, job, _)| job), Some("new"));
        assert_eq!(queue.take(usize::MAX), None);
    }

    #[test]
    fn threads_never_exceed_the_cores() {
        let mut queue = Queue::new(4, None);
        queue.push(name(1, 1), Kind::Final, ());
        assert_eq!(queue.take(usize::MAX), Some((name(1, 1), (), 4)));
        queue.push(name(2, 1), Kind::Final, ());
        assert_eq!(queue.take(usize::MAX), None);
        queue.give_back(4);
        queue.push(name(3, 1), Kind::Partial, ());
        assert_eq!(queue.take(usize::MAX), Some((name(2, 1), (), 2)));
        assert_eq!(queue.take(usize::MAX), Some((name(3, 1), (), 2)));

        let mut queue = Queue::new(2, None);
        for session in 0..5 {
            queue.push(name(session, 1), Kind::Final, ());
        }
        let threads: Vec<usize> = std::iter::from_fn(|| queue.take(usize::MAX))
            .map(|(_, (), threads)| threads)
            .collect();
        assert_eq!(threads, [1, 1]);
    }

    #[test]
    fn cores_that_others_use_are_left_to_them() {
        let mut queue = Queue::new(8, None);
        queue.push(name(1, 1), Kind::Final, ());
        assert_eq!(queue.take(3), Some((name(1, 1), (), 3)));
        queue.push(name(2, 1), Kind::Final, ());
        // Two more than are ours already.
        assert_eq!(queue.take(5), Some((name(2, 1), (), 2)));
        queue.push(name(3, 1), Kind::Final, ());
        assert_eq!(queue.take(0), Some((name(3, 1), (), 1)));
        assert_eq!(queue.taken(), 6);
    }

    #[test]
    fn waiting_jobs_can_be_changed_and_removed() {
        let mut queue = Queue::new(1, None);
        queue.push(name(1, 1), Kind::Speculative, 1);
        queue.push(name(2, 1), Kind::Speculative, 2);
        assert!(queue.change(name(2, 1), |kind, job| {
            *kind = Kind::Final;
            *job = 3;
        }));
        assert!(!queue.change(name(9, 9), |_, _| {}));
        assert_eq!(queue.take(usize::MAX), Some((name(2, 1), 3, 1)));
        queue.remove(|name| name.session == 1);
        queue.give_back(1);
        assert_eq!(queue.take(usize::MAX), None);
    }
}
