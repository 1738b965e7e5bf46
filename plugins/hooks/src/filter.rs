//! The hooks of `filter.d`: each gets the text as the one before it left it.

use std::time::Duration;

use tokio::time::Instant;
use wstream_api::{Answer, Said};

use crate::event::Occasion;
use crate::folder::Folder;
use crate::hook::{self, Ended, HookError};

/// For all of them together; the daemon waits for 2 s.
const LIMIT: Duration = Duration::from_millis(1500);

/// For one of them, so that one that hangs leaves something to the others.
const LIMIT_OF_ONE: Duration = Duration::from_millis(1000);

/// The exit code that takes a text away, which `EX_NOPERM` is the least likely to do by accident.
const CONSUMED: i32 = 77;

#[derive(Clone, Debug)]
pub(crate) struct Filters {
    folder: Folder,
}

impl Filters {
    pub(crate) fn new(folder: Folder) -> Self {
        Filters { folder }
    }

    pub(crate) async fn pass(self, mut said: Said) -> Answer {
        let deadline = Instant::now() + LIMIT;
        for path in self.folder.hooks() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                hook::warn(&path, "was not run: those before it took all the time");
                continue;
            }
            let limit = left.min(LIMIT_OF_ONE);
            let asked = hook::ask(&path, &Occasion::of_filter(&said), limit).await;
            match asked.and_then(verdict) {
                Ok(Verdict::Unchanged) => {}
                Ok(Verdict::Text(text)) => said.text = text,
                Ok(Verdict::Consumed) => return Answer::consumed(),
                Err(error) => hook::warn(&path, &format!("{error}; the text went on as it was")),
            }
        }
        Answer::text(said.text)
    }
}

/// What a hook has decided.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Unchanged,
    Text(String),
    Consumed,
}

fn verdict(ended: Ended) -> Result<Verdict, HookError> {
    if ended.status.code() == Some(CONSUMED) {
        return Ok(Verdict::Consumed);
    }
    if !ended.status.success() {
        return Err(HookError::Failed(ended.status));
    }
    let mut text = String::from_utf8(ended.printed).map_err(|_| HookError::NotText)?;
    if text.is_empty() {
        return Ok(Verdict::Unchanged);
    }
    // The line's end that `echo` adds, and that we have added to what `cat` gives back.
    if text.ends_with('\n') {
        text.pop();
    }
    if text.is_empty() {
        return Ok(Verdict::Unchanged);
    }
    Ok(Verdict::Text(text))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn what_a_hook_decides() {
        let of = |code: i32, printed: &str| {
            verdict(Ended {
                status: ExitStatus::from_raw(code << 8),
                printed: printed.as_bytes().to_owned(),
            })
        };
        let text = |text: &str| Verdict::Text(text.to_owned());
        for (code, printed, expected) in [
            (0, "", Verdict::Unchanged),
            (0, "\n", Verdict::Unchanged),
            (0, "one", text("one")),
            (0, "one\n", text("one")),
            (0, "one\n\n", text("one\n")),
            (77, "one", Verdict::Consumed),
            (77, "", Verdict::Consumed),
        ] {
            assert_eq!(of(code, printed).unwrap(), expected, "{code} {printed:?}");
        }
        assert!(matches!(of(1, "one"), Err(HookError::Failed(_))));
        let not_text = Ended {
            status: ExitStatus::from_raw(0),
            printed: vec![0xff],
        };
        assert!(matches!(verdict(not_text), Err(HookError::NotText)));
    }
}
