//! What is owed: every utterance that started gets exactly one end, and every session ends when
//! its last utterance has. No input or output: events in, signals out. A text passes the filters
//! between its answer and its end.
//!
//! Behind a cut an utterance goes on under a new number; what its source still says of it comes
//! under the old one.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use super::{FinalText, Signal};
use crate::capture::Capture;
use crate::event::{Event, Transcript};
use crate::fault::Fault;

/// Where a session's sound comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SourceKind {
    Microphone,
    Feed,
    /// What had failed and was kept.
    Retry,
}

impl SourceKind {
    fn name(self) -> &'static str {
        match self {
            SourceKind::Microphone => "microphone",
            SourceKind::Feed => "feed",
            SourceKind::Retry => "retry",
        }
    }
}

/// What follows from an event, in this order.
#[derive(Debug)]
pub(super) enum Due {
    /// The bus is told.
    Tell(Signal),
    /// A text passes the filters, and then is [`Ledger::finish`]ed.
    Filter(Box<FinalText>),
}

/// Sessions that have not ended, and their utterances.
#[derive(Debug)]
pub(super) struct Ledger {
    sessions: BTreeMap<u64, Session>,
    /// Those that wait for their text.
    owed: BTreeMap<u64, Owed>,
    /// Those whose text is with the filters.
    answered: BTreeMap<u64, Owed>,
    /// The last finals, oldest first; at most `recent_limit`.
    recent: VecDeque<FinalText>,
    recent_limit: usize,
}

#[derive(Debug)]
struct Session {
    kind: SourceKind,
    utterances: u64,
    /// The source is closed and every utterance is known.
    captured: bool,
    fault: Option<Fault>,
    /// Its texts are not kept.
    is_forgotten: bool,
    /// A capture that was told to stop and has not said yet that it did.
    _closing: Option<Capture>,
}

#[derive(Debug)]
struct Owed {
    session: u64,
    /// The number under which its source speaks of it.
    heard_as: u64,
    /// Seconds of sound from the session's beginning to its first sample.
    at_s: f64,
    /// Seconds under `heard_as` that come before its first sample.
    before_s: f64,
    /// Set when it has ended and only the final is missing.
    ended_at: Option<Instant>,
    duration_s: f64,
}

impl Ledger {
    pub(super) fn new(recent_limit: usize) -> Self {
        Ledger {
            sessions: BTreeMap::new(),
            owed: BTreeMap::new(),
            answered: BTreeMap::new(),
            recent: VecDeque::new(),
            recent_limit,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    pub(super) fn open_session(&mut self, session: u64, kind: SourceKind) {
        let opened = Session {
            kind,
            utterances: 0,
            captured: false,
            fault: None,
            is_forgotten: false,
            _closing: None,
        };
        self.sessions.insert(session, opened);
    }

    /// From now on the texts of a session are none of the recent ones.
    pub(super) fn forget_texts(&mut self, session: u64) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.is_forgotten = true;
        }
    }

    /// Holds the handle of a capture that was told to stop until it has.
    pub(super) fn keep_closing(&mut self, session: u64, capture: Capture) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session._closing = Some(capture);
        }
    }

    /// A session that never had sound leaves no trace.
    pub(super) fn forget_session(&mut self, session: u64) {
        self.sessions.remove(&session);
    }

    pub(super) fn newest_session(&self) -> Option<u64> {
        self.sessions.keys().next_back().copied()
    }

    pub(super) fn source(&self, session: u64) -> Option<SourceKind> {
        self.sessions.get(&session).map(|session| session.kind)
    }

    /// The session of an utterance that waits for its text.
    pub(super) fn session_of(&self, utterance: u64) -> Option<u64> {
        self.owed.get(&utterance).map(|owed| owed.session)
    }

    /// The facts of one utterance. Those of a session or utterance that has ended are dropped.
    pub(super) fn handle(&mut self, event: Event) -> Vec<Due> {
        match event {
            Event::Started {
                utterance,
                session,
                at_s,
            } => self.started(utterance, session, at_s),
            Event::Ended {
                utterance,
                session,
                at_s,
                duration_s,
                at,
            } => match self.find(utterance) {
                Some((utterance, owed)) => {
                    owed.ended_at = Some(at);
                    owed.duration_s = duration_s - owed.before_s;
                    vec![Due::Tell(Signal::Ended {
                        utterance,
                        session,
                        at_s,
                        duration_s: owed.duration_s,
                    })]
                }
                None => Vec::new(),
            },
            Event::Final(transcript) => self.answer(transcript).into_iter().collect(),
            Event::Cut {
                transcript,
                duration_s,
                next,
            } => self.cut(transcript, duration_s, next),
            Event::Failed { utterance, fault } => match self.find(utterance) {
                Some((utterance, owed)) => {
                    tracing::warn!(utterance, %fault, "utterance failed");
                    let session = owed.session;
                    self.owed.remove(&utterance);
                    let failed = Signal::Failed {
                        utterance,
                        session,
                        fault,
                    };
                    let signals = self.with_session_end(failed, session);
                    signals.into_iter().map(Due::Tell).collect()
                }
                None => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// What is owed of the utterance with this number, or of the one that it goes on as: that is
    /// never a number of a source's.
    fn find(&mut self, utterance: u64) -> Option<(u64, &mut Owed)> {
        let is_meant = |(number, owed): &(&u64, &mut Owed)| {
            **number == utterance || owed.heard_as == utterance
        };
        let (&number, owed) = self.owed.iter_mut().find(is_meant)?;
        Some((number, owed))
    }

    fn started(&mut self, utterance: u64, session: u64, at_s: f64) -> Vec<Due> {
        let Some(opened) = self.sessions.get_mut(&session) else {
            return Vec::new();
        };
        opened.utterances += 1;
        let source = opened.kind.name();
        let owed = Owed {
            session,
            heard_as: utterance,
            at_s,
            before_s: 0.0,
            ended_at: None,
            duration_s: 0.0,
        };
        self.owed.insert(utterance, owed);
        vec![Due::Tell(Signal::Started {
            utterance,
            session,
            source,
            at_s,
        })]
    }

    fn answer(&mut self, transcript: Transcript) -> Option<Due> {
        let owed = self.owed.remove(&transcript.utterance)?;
        let text = final_text(transcript, &owed);
        self.answered.insert(text.utterance, owed);
        Some(Due::Filter(text))
    }

    /// Ends an utterance with its text, as the filters left it; kept for those who ask for the
    /// recent ones. A text that is not owed any more is dropped.
    pub(super) fn finish(&mut self, mut text: Box<FinalText>) -> Vec<Signal> {
        let Some(owed) = self.answered.remove(&text.utterance) else {
            return Vec::new();
        };
        let latency = owed.ended_at.map(|at| at.elapsed().as_secs_f64() * 1e3);
        text.latency_ms = latency.unwrap_or_default();
        let session = self.sessions.get(&owed.session);
        let is_forgotten = session.is_some_and(|session| session.is_forgotten);
        if !text.text.is_empty() && !is_forgotten {
            self.recent.push_back((*text).clone());
            self.keep_recent(self.recent_limit);
        }
        self.with_session_end(Signal::Final(text), owed.session)
    }

    /// An utterance ends at a cut, and what goes on begins. Its source may have ended it already:
    /// then all that is left of it is the end of what goes on.
    fn cut(&mut self, transcript: Transcript, duration_s: f64, next: u64) -> Vec<Due> {
        let utterance = transcript.utterance;
        let Some(mut owed) = self.owed.remove(&utterance) else {
            return Vec::new();
        };
        let session = owed.session;
        let at_s = owed.at_s + duration_s;
        let rest = Owed {
            session,
            heard_as: owed.heard_as,
            at_s,
            before_s: owed.before_s + duration_s,
            ended_at: owed.ended_at,
            duration_s: (owed.duration_s - duration_s).max(0.0),
        };
        let mut due = Vec::new();
        owed.duration_s = duration_s;
        if owed.ended_at.is_none() {
            owed.ended_at = Some(Instant::now());
            due.push(Due::Tell(Signal::Ended {
                utterance,
                session,
                at_s,
                duration_s,
            }));
        }
        let mut text = final_text(transcript, &owed);
        text.continues = true;
        self.answered.insert(utterance, owed);
        due.push(Due::Filter(text));
        let ended = rest.ended_at.is_some().then_some(Signal::Ended {
            utterance: next,
            session,
            at_s: at_s + rest.duration_s,
            duration_s: rest.duration_s,
        });
        due.extend(self.started(next, session, at_s));
        self.owed.insert(next, rest);
        due.extend(ended.map(Due::Tell));
        due
    }

    /// No more utterances of this session will start.
    pub(super) fn capture_ended(&mut self, session: u64, fault: Option<Fault>) -> Vec<Signal> {
        if let Some(open) = self.sessions.get_mut(&session) {
            open.captured = true;
            open.fault = fault;
            open._closing = None;
        }
        self.session_end(session).into_iter().collect()
    }

    /// Ends everything that is owed, without text.
    pub(super) fn cancel_all(&mut self) -> Vec<Signal> {
        let mut owed = std::mem::take(&mut self.owed);
        owed.append(&mut self.answered);
        let sessions = std::mem::take(&mut self.sessions);
        let cancelled = owed
            .into_keys()
            .map(|utterance| Signal::Cancelled { utterance });
        let ended = sessions
            .into_iter()
            .map(|(session, state)| Signal::SessionEnded {
                session,
                utterances: state.utterances,
                fault: state.fault,
            });
        cancelled.chain(ended).collect()
    }

    /// The last finals, oldest first, at most `count`.
    pub(super) fn recent(&self, count: usize) -> Vec<FinalText> {
        let skipped = self.recent.len().saturating_sub(count);
        self.recent.iter().skip(skipped).cloned().collect()
    }

    /// Keeps at most `limit` finals from now on.
    pub(super) fn keep_recent(&mut self, limit: usize) {
        self.recent_limit = limit;
        let excess = self.recent.len().saturating_sub(limit);
        self.recent.drain(..excess);
    }

    fn with_session_end(&mut self, signal: Signal, session: u64) -> Vec<Signal> {
        let mut signals = vec![signal];
        signals.extend(self.session_end(session));
        signals
    }

    fn session_end(&mut self, session: u64) -> Option<Signal> {
        let mut owed = self.owed.values().chain(self.answered.values());
        if owed.any(|owed| owed.session == session) {
            return None;
        }
        let over = self.sessions.get(&session)?.captured;
        let ended = over.then(|| self.sessions.remove(&session))??;
        Some(Signal::SessionEnded {
            session,
            utterances: ended.utterances,
            fault: ended.fault,
        })
    }
}

/// A text with its details, before all filters.
fn final_text(transcript: Transcript, owed: &Owed) -> Box<FinalText> {
    Box::new(FinalText {
        utterance: transcript.utterance,
        session: owed.session,
        raw: transcript.text.clone(),
        text: transcript.text,
        keys: Vec::new(),
        language: transcript.language,
        segments: transcript.segments,
        duration_s: owed.duration_s,
        processing_time_ms: transcript.processing_time_ms,
        latency_ms: 0.0,
        confidence: transcript.confidence,
        strategy: transcript.strategy.to_string(),
        backend: transcript.backend,
        continues: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FaultKind;
    use wstream_wire::Strategy;

    fn started(utterance: u64, session: u64) -> Event {
        Event::Started {
            utterance,
            session,
            at_s: 0.0,
        }
    }

    fn ended(utterance: u64, session: u64) -> Event {
        Event::Ended {
            utterance,
            session,
            at_s: 1.0,
            duration_s: 1.0,
            at: Instant::now(),
        }
    }

    fn text(utterance: u64, text: &str) -> Event {
        Event::Final(Transcript {
            utterance,
            text: text.to_owned(),
            segments: Vec::new(),
            language: "en".to_owned(),
            processing_time_ms: 1.0,
            confidence: None,
            strategy: Strategy::Prompt,
            backend: "local".to_owned(),
        })
    }

    fn failed(utterance: u64) -> Event {
        Event::Failed {
            utterance,
            fault: Fault::new(FaultKind::EngineFailed, "x"),
        }
    }

    fn cut(utterance: u64, said: &str, next: u64) -> Event {
        let Event::Final(transcript) = text(utterance, said) else {
            unreachable!("a text is a final");
        };
        Event::Cut {
            transcript,
            duration_s: 0.25,
            next,
        }
    }

    fn names(signals: Vec<Signal>) -> Vec<String> {
        signals
            .into_iter()
            .map(|signal| match signal {
                Signal::Started { utterance, .. } => format!("started {utterance}"),
                Signal::Ended { utterance, .. } => format!("ended {utterance}"),
                Signal::Final(text) if text.continues => {
                    format!("final {} {} and on", text.utterance, text.text)
                }
                Signal::Final(text) => format!("final {} {}", text.utterance, text.text),
                Signal::Failed { utterance, .. } => format!("failed {utterance}"),
                Signal::Cancelled { utterance } => format!("cancelled {utterance}"),
                Signal::SessionEnded {
                    session,
                    utterances,
                    ..
                } => format!("session {session} of {utterances}"),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    /// What the bus is told after an event where nobody filters.
    fn after(ledger: &mut Ledger, event: Event) -> Vec<String> {
        let due = ledger.handle(event);
        let signals = due.into_iter().flat_map(|due| match due {
            Due::Tell(signal) => vec![signal],
            Due::Filter(text) => ledger.finish(text),
        });
        names(signals.collect())
    }

    #[test]
    fn every_utterance_gets_one_end_and_the_session_ends_after_the_last() {
        let mut ledger = Ledger::new(10);
        ledger.open_session(1, SourceKind::Microphone);
        assert_eq!(after(&mut ledger, started(1, 1)), ["started 1"]);
        assert_eq!(after(&mut ledger, ended(1, 1)), ["ended 1"]);
        assert_eq!(after(&mut ledger, started(2, 1)), ["started 2"]);
        assert_eq!(after(&mut ledger, text(1, "one")), ["final 1 one"]);
        assert!(after(&mut ledger, text(1, "again")).is_empty());
        assert!(after(&mut ledger, failed(1)).is_empty());
        assert!(names(ledger.capture_ended(1, None)).is_empty());
        assert_eq!(
            after(&mut ledger, failed(2)),
            ["failed 2", "session 1 of 2"]
        );
        assert!(ledger.is_empty());
        assert_eq!(ledger.recent(5).len(), 1);
    }

    #[test]
    fn a_session_without_utterances_ends_with_its_sound() {
        let mut ledger = Ledger::new(10);
        ledger.open_session(7, SourceKind::Feed);
        assert_eq!(names(ledger.capture_ended(7, None)), ["session 7 of 0"]);
    }

    #[test]
    fn cancel_ends_everything_and_late_facts_are_dropped() {
        let mut ledger = Ledger::new(10);
        ledger.open_session(1, SourceKind::Microphone);
        after(&mut ledger, started(1, 1));
        after(&mut ledger, ended(1, 1));
        after(&mut ledger, started(2, 1));
        assert_eq!(
            names(ledger.cancel_all()),
            ["cancelled 1", "cancelled 2", "session 1 of 2"]
        );
        for late in [started(3, 1), ended(2, 1), text(1, "late"), failed(2)] {
            assert!(after(&mut ledger, late).is_empty());
        }
        assert!(ledger.capture_ended(1, None).is_empty());
    }

    #[test]
    fn behind_a_cut_an_utterance_goes_on_under_another_number() {
        let mut ledger = Ledger::new(10);
        ledger.open_session(1, SourceKind::Microphone);
        after(&mut ledger, started(1, 1));
        assert_eq!(
            after(&mut ledger, cut(1, "one", 7)),
            ["ended 1", "final 1 one and on", "started 7"]
        );
        // The next has begun already: a feed runs ahead.
        after(&mut ledger, started(2, 1));
        assert_eq!(
            after(&mut ledger, cut(7, "two", 8)),
            ["ended 7", "final 7 two and on", "started 8"]
        );
        let due = ledger.handle(ended(1, 1));
        let Due::Tell(Signal::Ended {
            utterance,
            at_s,
            duration_s,
            ..
        }) = due[0]
        else {
            panic!("{due:?}");
        };
        assert_eq!((utterance, at_s, duration_s), (8, 1.0, 0.5));
        // The source has ended it: what is cut off now changes no end.
        assert_eq!(
            after(&mut ledger, cut(8, "three", 9)),
            ["final 8 three and on", "started 9", "ended 9"]
        );
        assert!(names(ledger.capture_ended(1, None)).is_empty());
        assert_eq!(after(&mut ledger, text(9, "four")), ["final 9 four"]);
        assert_eq!(
            after(&mut ledger, text(2, "five")),
            ["final 2 five", "session 1 of 5"]
        );
    }

    #[test]
    fn what_goes_on_can_fail_and_be_cancelled() {
        // Its source fails it, by the number that it knows.
        let mut ledger = Ledger::new(10);
        ledger.open_session(1, SourceKind::Microphone);
        after(&mut ledger, started(1, 1));
        after(&mut ledger, cut(1, "one", 7));
        assert_eq!(after(&mut ledger, failed(1)), ["failed 7"]);
        assert!(after(&mut ledger, ended(1, 1)).is_empty());
        assert!(after(&mut ledger, text(7, "late")).is_empty());
        // Its server fails it.
        after(&mut ledger, started(2, 1));
        after(&mut ledger, cut(2, "one", 8));
        assert_eq!(after(&mut ledger, failed(8)), ["failed 8"]);
        assert!(after(&mut ledger, ended(2, 1)).is_empty());
        // It failed before its cut was heard of: it does not go on.
        after(&mut ledger, started(3, 1));
        assert_eq!(after(&mut ledger, failed(3)), ["failed 3"]);
        assert!(after(&mut ledger, cut(3, "late", 9)).is_empty());
        assert!(after(&mut ledger, text(9, "late")).is_empty());
        // Cancelled.
        after(&mut ledger, started(4, 1));
        after(&mut ledger, cut(4, "one", 10));
        assert_eq!(
            names(ledger.cancel_all()),
            ["cancelled 10", "session 1 of 7"]
        );
        assert!(after(&mut ledger, cut(10, "late", 11)).is_empty());
        assert!(ledger.is_empty());
    }

    #[test]
    fn recent_finals_are_bounded_and_without_empty_ones() {
        let mut ledger = Ledger::new(2);
        ledger.open_session(1, SourceKind::Microphone);
        for utterance in 1..=4 {
            after(&mut ledger, started(utterance, 1));
            after(
                &mut ledger,
                text(utterance, if utterance == 3 { "" } else { "word" }),
            );
        }
        let numbers: Vec<u64> = ledger.recent(10).iter().map(|f| f.utterance).collect();
        assert_eq!(numbers, [2, 4]);
        assert_eq!(ledger.recent(1).len(), 1);
        ledger.keep_recent(0);
        assert!(ledger.recent(10).is_empty());
    }

    #[test]
    fn texts_of_a_forgotten_session_are_told_and_not_kept() {
        let mut ledger = Ledger::new(10);
        for session in [1, 2] {
            ledger.open_session(session, SourceKind::Feed);
            after(&mut ledger, started(session, session));
        }
        ledger.forget_texts(1);
        for utterance in [1, 2] {
            let signals = after(&mut ledger, text(utterance, "word"));
            assert_eq!(signals.len(), 1, "{signals:?}");
        }
        let numbers: Vec<u64> = ledger.recent(10).iter().map(|f| f.utterance).collect();
        assert_eq!(numbers, [2]);
    }

    fn to_filter(due: Vec<Due>) -> Box<FinalText> {
        let is_text = |due| match due {
            Due::Filter(text) => Some(text),
            Due::Tell(_) => None,
        };
        due.into_iter().find_map(is_text).unwrap()
    }

    #[test]
    fn a_text_with_the_filters_is_owed_until_it_is_finished() {
        let mut ledger = Ledger::new(10);
        ledger.open_session(1, SourceKind::Microphone);
        after(&mut ledger, started(1, 1));
        let mut said = to_filter(ledger.handle(text(1, "one")));
        assert!(names(ledger.capture_ended(1, None)).is_empty());
        assert_eq!(ledger.session_of(1), None, "no partial may come now");
        for late in [text(1, "again"), failed(1), ended(1, 1), cut(1, "x", 9)] {
            assert!(after(&mut ledger, late).is_empty());
        }
        assert!(!ledger.is_empty());
        said.text = "ONE".to_owned();
        assert_eq!(
            names(ledger.finish(said.clone())),
            ["final 1 ONE", "session 1 of 1"]
        );
        assert!(ledger.finish(said).is_empty());
        let recent = &ledger.recent(1)[0];
        assert_eq!((&*recent.text, &*recent.raw), ("ONE", "one"));
    }

    #[test]
    fn a_text_with_the_filters_can_be_cancelled_and_what_goes_on_behind_it_is_told_apart() {
        let mut ledger = Ledger::new(10);
        ledger.open_session(1, SourceKind::Microphone);
        after(&mut ledger, started(1, 1));
        let first = to_filter(ledger.handle(cut(1, "one", 7)));
        assert_eq!(after(&mut ledger, ended(1, 1)), ["ended 7"]);
        assert_eq!(names(ledger.finish(first)), ["final 1 one and on"]);
        let second = to_filter(ledger.handle(text(7, "two")));
        assert_eq!(
            names(ledger.cancel_all()),
            ["cancelled 7", "session 1 of 2"]
        );
        assert!(ledger.finish(second).is_empty());
        assert!(ledger.is_empty());
    }
}
