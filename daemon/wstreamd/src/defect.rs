//! Panics: defects of ours. Said in the log by their place only, since a panic's message may hold
//! what was dictated.

use std::panic::PanicHookInfo;
use std::thread;

use tokio::sync::mpsc;

use crate::fault::{Fault, FaultKind};

/// What the user is told of a session whose audio thread panicked.
pub(crate) fn listening() -> Fault {
    Fault::new(
        FaultKind::Failed,
        "listening failed by a defect of ours; start again, and please report it",
    )
}

/// Held by a task or a thread that ends only when it is asked to; goes off when that panics.
#[derive(Clone, Debug)]
pub struct Alarm(mpsc::Sender<()>);

impl Alarm {
    /// An alarm, and where it is heard.
    pub(crate) fn new() -> (Self, mpsc::Receiver<()>) {
        let (alarm, defects) = mpsc::channel(1);
        (Alarm(alarm), defects)
    }

    /// Runs a task that holds the alarm.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        let alarm = self.clone();
        tokio::spawn(async move {
            let _alarm = alarm;
            task.await
        })
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if thread::panicking() {
            // Full: it has gone off already.
            let _ = self.0.try_send(());
        }
    }
}

/// Has panics logged without their messages.
pub fn log_panics() {
    std::panic::set_hook(Box::new(log));
}

fn log(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let thread = thread::current();
    tracing::error!(
        place = place.as_deref().unwrap_or("unknown"),
        thread = thread.name().unwrap_or("unnamed"),
        "a defect of ours: please report this line"
    );
}

#[cfg(test)]
mod tests {
    use std::panic::resume_unwind;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_told_and_an_end_is_not() {
        let (alarm, mut defects) = Alarm::new();
        alarm.spawn(async {}).await.unwrap();
        let in_thread = alarm.clone();
        thread::spawn(move || drop(in_thread)).join().unwrap();
        assert!(defects.try_recv().is_err());

        let task = alarm.spawn(async {
            tokio::task::yield_now().await;
            resume_unwind(Box::new("a defect"))
        });
        defects.recv().await.unwrap();
        assert!(task.await.unwrap_err().is_panic());

        let in_thread = alarm.clone();
        let thread = thread::spawn(move || {
            let _alarm = in_thread;
            resume_unwind(Box::new("a defect"))
        });
        let told = tokio::time::timeout(Duration::from_secs(10), defects.recv());
        told.await.unwrap().unwrap();
        assert!(thread.join().is_err());
    }
}
