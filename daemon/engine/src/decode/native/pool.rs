//! Threads that help the one that decodes.
//!
//! Enters: work cut into numbered claims. Leaves: all of it done. The helpers sleep between calls;
//! while there is work, every thread takes the next claim from a common counter until none is
//! left. Nobody waits for a thread that has not begun: a helper whose core another program has
//! taken costs at most the claim that it is in, and one that wakes too late finds nothing to do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

/// The helpers of one decoder. They end with it.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Tells the helpers of work, or of the end.
    work: Condvar,
    /// Tells the caller that a helper has left.
    left: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The work that may be joined.
    task: Option<Task>,
    /// Counts the tasks, so that a helper joins none twice.
    generation: u64,
    /// Helpers that are in the task.
    inside: usize,
    ended: bool,
}

/// What is to be done. The pointers are good while the task stands in [`State::task`] or a helper
/// counts as inside.
#[derive(Clone, Copy, Debug)]
struct Task {
    work: *const (dyn Fn(usize, usize) + Sync),
    progress: *const Progress,
    /// Threads that may join.
    seats: usize,
}

// SAFETY: what the pointers lead to is `Sync`, and outlives every use (see `Pool::run`).
unsafe impl Send for Task {}

#[derive(Debug)]
struct Progress {
    next: AtomicUsize,
    claims: usize,
    panicked: AtomicBool,
}

impl Progress {
    fn work(&self, worker: usize, work: &(dyn Fn(usize, usize) + Sync)) {
        loop {
            let claim = self.next.fetch_add(1, Ordering::Relaxed);
            if claim >= self.claims {
                return;
            }
            if catch_unwind(AssertUnwindSafe(|| work(worker, claim))).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
                // Nobody needs the rest any more.
                self.next.store(self.claims, Ordering::Relaxed);
            }
        }
    }
}

impl Pool {
    /// Starts no thread yet.
    pub(super) fn new() -> Pool {
        Pool {
            shared: Arc::default(),
            helpers: Vec::new(),
        }
    }

    /// Calls `work` with the number of a worker (below `threads`) and of a claim, once for each of
    /// `claims`, on up to `threads` threads, this one included. Panics where `work` did.
    pub(super) fn run(
        &mut self,
        threads: usize,
        claims: usize,
        work: &(dyn Fn(usize, usize) + Sync),
    ) {
        let helpers = threads.min(claims).saturating_sub(1);
        if helpers == 0 {
            for claim in 0..claims {
                work(0, claim);
            }
            return;
        }
        while self.helpers.len() < helpers {
            let shared = self.shared.clone();
            let worker = self.helpers.len() + 1;
            let helper = std::thread::Builder::new()
                .name(format!("compute-{worker}"))
                .spawn(move || help(&shared, worker));
            match helper {
                Ok(helper) => self.helpers.push(helper),
                // The work gets done with fewer as well.
                Err(_) => break,
            }
        }
        let progress = Progress {
            next: AtomicUsize::new(0),
            claims,
            panicked: AtomicBool::new(false),
        };
        // SAFETY: only the lifetime is taken away. No helper uses the pointer after this function:
        // it takes the task back and waits until no helper is inside, whatever happens, since
        // `Progress::work` does not unwind.
        let work_pointer: *const (dyn Fn(usize, usize) + Sync) = unsafe {
            std::mem::transmute::<
                *const (dyn Fn(usize, usize) + Sync + '_),
                *const (dyn Fn(usize, usize) + Sync + 'static),
            >(work)
        };
        {
            let mut state = self.shared.lock();
            state.generation += 1;
            state.task = Some(Task {
                work: work_pointer,
                progress: &raw const progress,
                seats: helpers,
            });
        }
        if helpers == 1 && self.helpers.len() == 1 {
            self.shared.work.notify_one();
        } else {
            self.shared.work.notify_all();
        }
        progress.work(0, work);
        let mut state = self.shared.lock();
        state.task = None;
        while state.inside > 0 {
            state = self
                .shared
                .left
                .wait(state)
                .expect("nothing that holds this lock can panic");
        }
        drop(state);
        assert!(
            !progress.panicked.load(Ordering::Relaxed),
            "a computing thread panicked"
        );
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.work.notify_all();
        for helper in self.helpers.drain(..) {
            // It does not panic: what it runs is caught.
            let _ = helper.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing that holds this lock can panic")
    }
}

fn help(shared: &Shared, worker: usize) {
    let mut seen = 0;
    let mut state = shared.lock();
    loop {
        if state.ended {
            return;
        }
        let joinable = state
            .task
            .filter(|task| state.generation != seen && worker <= task.seats);
        let Some(task) = joinable else {
            state = shared
                .work
                .wait(state)
                .expect("nothing that holds this lock can panic");
            continue;
        };
        seen = state.generation;
        state.inside += 1;
        drop(state);
        // SAFETY: this thread counts as inside, so that `Pool::run`, which owns what both pointers
        // lead to, waits for it.
        let (progress, work) = unsafe { (&*task.progress, &*task.work) };
        progress.work(worker, work);
        state = shared.lock();
        state.inside -= 1;
        if state.inside == 0 {
            shared.left.notify_one();
        }
    }
}

/// A slice whose parts several threads write, each its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a> {
    start: *mut f32,
    length: usize,
    slice: std::marker::PhantomData<&'a mut [f32]>,
}

// SAFETY: parts are handed out by an unsafe function whose caller keeps them apart.
unsafe impl Send for Parts<'_> {}
// SAFETY: as above.
unsafe impl Sync for Parts<'_> {}

impl<'a> Parts<'a> {
    pub(super) fn new(slice: &'a mut [f32]) -> Parts<'a> {
        Parts {
            start: slice.as_mut_ptr(),
            length: slice.len(),
            slice: std::marker::PhantomData,
        }
    }

    /// The part from `start` on.
    ///
    /// # Safety
    ///
    /// No two parts that are used at the same time may overlap.
    #[allow(clippy::mut_from_ref, reason = "the caller keeps the parts apart")]
    pub(super) unsafe fn part(&self, start: usize, length: usize) -> &'a mut [f32] {
        assert!(start <= self.length && length <= self.length - start);
        // SAFETY: it lies within the slice, and by the caller's promise nobody else uses it.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_claim_is_done_once_with_any_number_of_threads() {
        let mut pool = Pool::new();
        for threads in [1, 2, 5, 3, 1, 8] {
            for claims in [0, 1, 2, 7, 300] {
                let done: Vec<AtomicUsize> = (0..claims).map(|_| AtomicUsize::new(0)).collect();
                pool.run(threads, claims, &|worker, claim| {
                    assert!(worker < threads);
                    done[claim].fetch_add(1, Ordering::Relaxed);
                });
                assert!(done.iter().all(|count| count.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        let mut pool = Pool::new();
        let result = catch_unwind(AssertUnwindSafe(|| {
            pool.run(3, 100, &|_, claim| assert!(claim != 40, "wanted"));
        }));
        assert!(result.is_err());
        let sum = AtomicUsize::new(0);
        pool.run(3, 100, &|_, claim| {
            sum.fetch_add(claim, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 4950);
    }

    #[test]
    fn parts_are_written_apart() {
        let mut values = vec![0.0; 64];
        let parts = Parts::new(&mut values);
        Pool::new().run(4, 8, &|_, claim| {
            // SAFETY: each claim takes eight places of its own.
            unsafe { parts.part(claim * 8, 8) }.fill(claim as f32);
        });
        for (index, value) in values.iter().enumerate() {
            assert_eq!(*value, (index / 8) as f32);
        }
    }
}
