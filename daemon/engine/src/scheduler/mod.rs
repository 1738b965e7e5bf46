//! The threads that decode.
//!
//! Enters: jobs from sessions. Leaves: their outcomes, each into its session's channel. One thread
//! `decode-N` per decode that runs at the same time, at most one per core, started when first
//! needed and kept with its decoder, whose buffers are costly to make.

mod load;
mod queue;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use load::Load;
use queue::Queue;
pub use queue::{JobName, Kind};
use wstream_wire::SAMPLE_RATE;

use crate::decode::{DecodeError, Decoded, Decoder, Model, Request, Run};
use crate::stats;

/// What came of a job.
#[derive(Debug)]
pub struct Outcome {
    /// The session's number for the job.
    pub job: u64,
    /// Samples that were heard, without the context.
    pub heard: usize,
    /// Samples of context in front of them.
    pub context_samples: usize,
    /// Milliseconds that decoding took, without waiting.
    pub processing_time_ms: f64,
    /// The text, or why there is none.
    pub result: Result<Decoded, DecodeError>,
}

/// Where a session's outcomes go.
pub type ToSession = tokio::sync::mpsc::Sender<Outcome>;

/// Hands jobs to threads. Cheap to clone; the threads end when the last clone has gone.
#[derive(Clone, Debug)]
pub struct Scheduler {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    queue: Queue<Waiting>,
    /// The flags of the jobs that run; raised to stop them.
    running: HashMap<JobName, Arc<AtomicBool>>,
    /// One end per thread. Taken away when the scheduler ends.
    threads: Vec<mpsc::Sender<Assignment>>,
    /// To wait for at the end.
    handles: Vec<JoinHandle<()>>,
    /// Threads without work; the lowest number is taken first, so that few decoders stay warm.
    idle: BinaryHeap<Reverse<usize>>,
    /// What other programs do.
    load: Load,
    model: Arc<Model>,
}

#[derive(Debug)]
struct Waiting {
    kind: Kind,
    request: Request,
    to_session: ToSession,
}

#[derive(Debug)]
struct Assignment {
    name: JobName,
    waiting: Waiting,
    threads: usize,
    abort: Arc<AtomicBool>,
}

impl Scheduler {
    /// Decodes with `model` on `cores` cores; with `fixed_threads` each decode takes so many.
    pub fn new(model: Arc<Model>, cores: usize, fixed_threads: Option<usize>) -> Scheduler {
        Scheduler {
            shared: Arc::new(Mutex::new(Shared {
                queue: Queue::new(cores, fixed_threads),
                running: HashMap::new(),
                threads: Vec::new(),
                handles: Vec::new(),
                idle: BinaryHeap::new(),
                load: Load::new(model.spins()),
                model,
            })),
        }
    }

    /// Takes a job; its outcome goes to `to_session` unless it is stopped while it waits.
    pub fn submit(&self, name: JobName, kind: Kind, request: Request, to_session: ToSession) {
        let mut shared = self.lock();
        let waiting = Waiting {
            kind,
            request,
            to_session,
        };
        shared.queue.push(name, kind, waiting);
        self.dispatch(&mut shared);
    }

    /// Gives a job that still waits newer sound.
    pub fn refresh(&self, name: JobName, request: Request) {
        self.lock()
            .queue
            .change(name, |_, waiting| waiting.request = request);
    }

    /// Somebody now waits for a job that was only a guess.
    pub fn promote(&self, name: JobName) {
        self.lock()
            .queue
            .change(name, |kind, _| *kind = Kind::Final);
    }

    /// Stops a job. No outcome comes if it still waited.
    pub fn abort(&self, name: JobName) {
        self.stop(|other| other == name);
    }

    /// Stops everything of a session that has gone.
    pub fn leave(&self, session: u64) {
        self.stop(|name| name.session == session);
    }

    /// Stops everything and waits for the threads, at most as long as the model looks at 30 s.
    /// Nothing may be submitted any more.
    pub fn end(&self) {
        self.stop(|_| true);
        let handles = {
            let mut shared = self.lock();
            shared.threads.clear();
            std::mem::take(&mut shared.handles)
        };
        for handle in handles {
            // A thread that panicked has nothing left to wait for.
            let _ = handle.join();
        }
    }

    fn stop(&self, unwanted: impl Fn(JobName) -> bool) {
        let mut shared = self.lock();
        shared.queue.remove(&unwanted);
        for (_, abort) in shared.running.iter().filter(|(name, _)| unwanted(**name)) {
            abort.store(true, Ordering::Relaxed);
        }
    }

    fn dispatch(&self, shared: &mut Shared) {
        if shared.queue.is_empty() {
            return;
        }
        let usable = shared.load.free_cores(shared.queue.taken());
        let usable = usable.unwrap_or(usize::MAX);
        while let Some((name, waiting, threads)) = shared.queue.take(usable) {
            let Reverse(thread) = match shared.idle.pop() {
                Some(thread) => thread,
                None => Reverse(self.start_thread(shared)),
            };
            let abort = Arc::new(AtomicBool::new(false));
            shared.running.insert(name, abort.clone());
            let assignment = Assignment {
                name,
                waiting,
                threads,
                abort,
            };
            shared.threads[thread]
                .send(assignment)
                .expect("a decoding thread outlives its channel's sender");
        }
    }

    fn start_thread(&self, shared: &mut Shared) -> usize {
        let number = shared.threads.len();
        let (to_thread, from_scheduler) = mpsc::channel();
        shared.threads.push(to_thread);
        let model = shared.model.clone();
        // Weak: the thread must not keep the scheduler, and so itself, alive.
        let scheduler = Arc::downgrade(&self.shared);
        let handle = std::thread::Builder::new()
            .name(format!("decode-{number}"))
            // The tokeniser recurses once per letter of a word.
            .stack_size(8 * 1024 * 1024)
            .spawn(move || {
                let mut decoder = None;
                while let Ok(assignment) = from_scheduler.recv() {
                    let (name, threads) = (assignment.name, assignment.threads);
                    run(&model, &mut decoder, assignment);
                    let Some(shared) = scheduler.upgrade() else {
                        return;
                    };
                    let scheduler = Scheduler { shared };
                    let mut shared = scheduler.lock();
                    shared.running.remove(&name);
                    shared.queue.give_back(threads);
                    shared.idle.push(Reverse(number));
                    scheduler.dispatch(&mut shared);
                }
            })
            .expect("the system gives a process as many threads as it has cores");
        shared.handles.push(handle);
        number
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared
            .lock()
            .expect("nothing that holds this lock can panic")
    }
}

fn run(model: &Arc<Model>, decoder: &mut Option<Decoder>, assignment: Assignment) {
    let Assignment {
        name,
        waiting,
        threads,
        abort,
    } = assignment;
    let started = Instant::now();
    let request = &waiting.request;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let decoder = match decoder {
            Some(decoder) => decoder,
            None => decoder.insert(Decoder::new(model.clone())?),
        };
        let run = Run {
            threads,
            abort: &abort,
        };
        decoder.decode(request, run)
    }));
    let result = outcome.unwrap_or_else(|_| {
        // Its buffers may be in any state now; the next job makes new ones.
        *decoder = None;
        Err(DecodeError::Panicked)
    });
    let processing_time_ms = started.elapsed().as_secs_f64() * 1000.0;
    let is_wanted = !abort.load(Ordering::Relaxed);
    stats::decoded(waiting.kind, processing_time_ms, is_wanted);
    tracing::debug!(
        kind = ?waiting.kind,
        seconds = request.samples.len() as f64 / f64::from(SAMPLE_RATE),
        threads,
        ms = processing_time_ms,
        is_wanted,
        "a decode has ended"
    );
    let context_samples = request.context_samples.min(request.samples.len());
    let outcome = Outcome {
        job: name.job,
        heard: request.samples.len() - context_samples,
        context_samples,
        processing_time_ms,
        result,
    };
    // The channel has room for every job that a session can have under way; an error means that
    // the session has gone.
    let _ = waiting.to_session.try_send(outcome);
}
