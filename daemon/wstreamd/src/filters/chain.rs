//! The chain: asks one filter after the other about one final after the other.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::answer::{self, Checked};
use super::{CallError, Filter, Filtered, RawAnswer, Request, Turn};
use crate::bus::FilterCalls;
use crate::daemon::FinalText;
use crate::event::Event;
use crate::fault::{Fault, FaultKind};

/// Answers requests until the daemon has no more.
pub async fn run(
    mut requests: mpsc::Receiver<Request>,
    to_daemon: mpsc::Sender<Event>,
    calls: FilterCalls,
) {
    let mut chain = Chain {
        calls,
        known: HashMap::new(),
    };
    while let Some(request) = requests.recv().await {
        let (number, given_up) = (request.number, request.given_up);
        chain.forget_others(&request.filters);
        let passing = chain.pass(request.text, &request.filters, &request.keys);
        let passed = tokio::select! {
            biased;
            _ = given_up => Passed::default(),
            passed = passing => passed,
        };
        let filtered = Filtered {
            number,
            text: passed.text,
            turns: passed.turns,
            troubles: passed.troubles,
        };
        if to_daemon.send(Event::Filtered(filtered)).await.is_err() {
            return;
        }
    }
}

/// What is known of the filters between one final and the next.
struct Chain {
    calls: FilterCalls,
    /// By the filters' ids.
    known: HashMap<u64, Known>,
}

#[derive(Default)]
struct Known {
    /// A call that was not waited for to its end: there is never more than one.
    under_way: Option<UnderWay>,
    /// What was told of it.
    told: Vec<Kind>,
}

struct UnderWay {
    answer: JoinHandle<Result<RawAnswer, CallError>>,
    /// It has had its time. Until it answers, its filter is passed over without waiting.
    late: bool,
}

/// What has become of one final; nothing where it was given up.
#[derive(Default)]
struct Passed {
    text: Option<Box<FinalText>>,
    turns: Vec<Turn>,
    troubles: Vec<Fault>,
}

/// What is told of a filter once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Late,
    Gone,
    Failed,
    Garbage,
    Key,
}

/// Why a filter is passed over.
enum Skip {
    Late,
    /// Late before, and nothing new to tell.
    StillLate,
    Failed(CallError),
    BadText(&'static str),
}

impl Chain {
    /// Filters that have gone are not known any more; a call under way to one ends by itself.
    fn forget_others(&mut self, filters: &[Arc<Filter>]) {
        self.known
            .retain(|id, _| filters.iter().any(|filter| filter.id == *id));
    }

    async fn pass(
        &mut self,
        mut text: Box<FinalText>,
        filters: &[Arc<Filter>],
        keys: &[String],
    ) -> Passed {
        let mut turns = Vec::new();
        let mut troubles = Vec::new();
        for filter in filters {
            if text.text.is_empty() {
                break;
            }
            let asked = Instant::now();
            let answer = self.ask(filter, &text).await;
            let checked =
                answer.and_then(|answer| answer::check(answer, keys).map_err(Skip::BadText));
            let took = checked.is_ok().then(|| asked.elapsed());
            turns.push(Turn {
                id: filter.id,
                took,
            });
            match checked {
                Ok(checked) => {
                    let refused = checked.refused_key.clone();
                    troubles.extend(refused.and_then(|key| self.refused(filter, &key)));
                    take(&mut text, checked);
                }
                Err(skip) => troubles.extend(self.skipped(filter, skip)),
            }
        }
        Passed {
            text: Some(text),
            turns,
            troubles,
        }
    }

    /// Asks one filter, within its time. May be dropped while it waits: the call then stays among
    /// those under way.
    async fn ask(&mut self, filter: &Filter, text: &FinalText) -> Result<RawAnswer, Skip> {
        let deadline = Instant::now() + filter.timeout;
        let known = self.known.entry(filter.id).or_default();
        if let Some(earlier) = &mut known.under_way {
            if earlier.late && !earlier.answer.is_finished() {
                return Err(Skip::StillLate);
            }
            // Its answer is to a text that nobody waits for any more.
            if timeout_at(deadline, &mut earlier.answer).await.is_err() {
                earlier.late = true;
                return Err(Skip::Late);
            }
        }
        let call = self.calls.filter(filter, text);
        let under_way = known.under_way.insert(UnderWay {
            answer: tokio::spawn(call),
            late: false,
        });
        match timeout_at(deadline, &mut under_way.answer).await {
            Ok(answer) => {
                known.under_way = None;
                // The task is not aborted and does not panic.
                answer.unwrap_or(Err(CallError::Gone)).map_err(Skip::Failed)
            }
            Err(_) => {
                under_way.late = true;
                Err(Skip::Late)
            }
        }
    }

    fn skipped(&mut self, filter: &Filter, skip: Skip) -> Option<Fault> {
        let name = &filter.name;
        let (kind, message) = match skip {
            Skip::StillLate => return None,
            Skip::Late => {
                let limit = filter.timeout.as_millis();
                (
                    Kind::Late,
                    format!(
                        "the filter of {name} did not answer within {limit} ms and is passed over until it does: see what holds it up, or end it"
                    ),
                )
            }
            Skip::Failed(CallError::Gone) => (
                Kind::Gone,
                format!(
                    "the filter of {name} left the bus in the middle of a call, and the text went on as it was: see why it ended"
                ),
            ),
            Skip::Failed(CallError::Failed(error)) => (
                Kind::Failed,
                format!(
                    "the filter of {name} failed with {error}, and the text went on as it was: see its log, or end it"
                ),
            ),
            Skip::Failed(CallError::Garbage) => (
                Kind::Garbage,
                format!(
                    "the filter of {name} did not answer a text and details (s, a{{sv}}), and the text went on as it was: repair it, or end it"
                ),
            ),
            Skip::BadText(what) => (
                Kind::Garbage,
                format!(
                    "the filter of {name} answered {what}, and the text went on as it was: repair it, or end it"
                ),
            ),
        };
        self.once(filter, kind, message)
    }

    fn refused(&mut self, filter: &Filter, key: &str) -> Option<Fault> {
        let name = &filter.name;
        // The key's name is a plugin's, and goes where users read.
        let key: String = key.chars().filter(|c| !c.is_control()).take(32).collect();
        let message = format!(
            "the filter of {name} asked for the key {key:?}, which is left out: `keys` under [plugins] in the configuration has those that are allowed, and one text has room for 16"
        );
        self.once(filter, Kind::Key, message)
    }

    /// The fault, unless its kind has been told of this filter.
    fn once(&mut self, filter: &Filter, kind: Kind, message: String) -> Option<Fault> {
        let told = &mut self.known.entry(filter.id).or_default().told;
        if told.contains(&kind) {
            return None;
        }
        told.push(kind);
        tracing::warn!(filter = %filter.name, path = %filter.path, "{message}");
        Some(Fault::new(FaultKind::FilterFailed, message))
    }
}

fn take(text: &mut FinalText, answer: Checked) {
    text.text = answer.text;
    text.keys.extend(answer.keys);
    text.keys.truncate(answer::KEYS);
}
