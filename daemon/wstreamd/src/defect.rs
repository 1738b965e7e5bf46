//! Panics: defects of ours. Said in the log by their place only, since a panic's message may hold
//! what was dictated.

use std::panic::PanicHookInfo;

/// Has panics logged without their messages.
pub fn log_panics() {
    std::panic::set_hook(Box::new(log));
}

fn log(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let thread = std::thread::current();
    tracing::error!(
        place = place.as_deref().unwrap_or("unknown"),
        thread = thread.name().unwrap_or("unnamed"),
        "a defect of ours: please report this line"
    );
}
