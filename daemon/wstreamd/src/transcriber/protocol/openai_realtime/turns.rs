//! Which of the server's items belong to which utterance, and what has been said of each. No input
//! or output.
//!
//! A commit of ours makes one item. Where the server finds the ends of speech, it makes items by
//! itself, and our commit only makes one of what is left, or an error if that is nothing. Texts of
//! items may come in any order; utterances are answered in theirs.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;
use wstream_wire::v2::codes;

use crate::transcriber::protocol::single::{asked_language, split_last_word};
use crate::transcriber::protocol::told::{Told, check_length};
use crate::transcriber::protocol::{Answer, NotUnderstood, Opening, Output, Said};

/// Items that are over, so that what still comes for them is recognised; a server is never so far
/// behind.
const MOST_RETIRED: usize = 64;

/// Most items of an utterance: more pauses than half a minute of speech can have.
const MOST_ITEMS: usize = 64;

/// With server-side ends of speech our commit may be answered by what looks like the server's own.
/// Nothing more after this long: that was the answer.
const COMMIT_QUIET: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug)]
pub(super) struct Turns {
    server_vad: bool,
    turns: VecDeque<Turn>,
    retired: VecDeque<String>,
    /// Items whose ends the server has found itself.
    stopped: VecDeque<String>,
    last_final: Option<String>,
}

/// One utterance.
#[derive(Debug, Default)]
struct Turn {
    /// `None`: nobody wants it.
    utterance: Option<u64>,
    language: String,
    /// Our commit, once it was sent.
    commit: Option<Commit>,
    /// No more items come.
    is_whole: bool,
    items: Vec<Item>,
    told: Told,
}

#[derive(Debug)]
struct Commit {
    /// Its event's name.
    event: String,
    /// When it was sent, or an item last came.
    at: Instant,
}

#[derive(Debug)]
struct Item {
    id: String,
    /// Pieces so far, or the whole.
    text: String,
    is_done: bool,
}

impl Turns {
    pub(super) fn new(server_vad: bool) -> Self {
        Turns {
            server_vad,
            turns: VecDeque::new(),
            retired: VecDeque::new(),
            stopped: VecDeque::new(),
            last_final: None,
        }
    }

    /// An utterance begins; the one before has ended.
    pub(super) fn begin(&mut self, opening: &Opening) {
        self.turns.push_back(Turn {
            utterance: Some(opening.utterance),
            language: asked_language(&opening.manner)
                .unwrap_or_default()
                .to_owned(),
            ..Turn::default()
        });
    }

    /// The utterance under way ends with a commit of this name.
    pub(super) fn end(&mut self, event: String, now: Instant) {
        if let Some(turn) = self.turns.back_mut() {
            turn.commit = Some(Commit { event, at: now });
        }
    }

    /// The utterance under way ends, and there is nothing to commit.
    pub(super) fn end_without_sound(&mut self, out: &mut Output) {
        if let Some(turn) = self.turns.back_mut() {
            turn.is_whole = true;
        }
        self.settle(out);
    }

    /// An utterance is not wanted. True: it was under way, and its sound is to be forgotten.
    pub(super) fn cancel(&mut self, utterance: u64, out: &mut Output) -> bool {
        let meant = |turn: &Turn| turn.utterance == Some(utterance);
        let Some(index) = self.turns.iter().position(meant) else {
            return false;
        };
        let is_under_way = self.turns[index].commit.is_none() && !self.turns[index].is_whole;
        self.turns[index].utterance = None;
        // Its items are all that will ever come: the rest is cleared.
        if is_under_way && let Some(turn) = self.turns.remove(index) {
            self.retire(turn);
        }
        self.settle(out);
        is_under_way
    }

    /// The server has found the end of speech itself.
    pub(super) fn stopped(&mut self, item: &str) {
        self.stopped.push_back(item.to_owned());
        self.stopped.truncate(MOST_RETIRED);
    }

    /// The server has made an item.
    pub(super) fn committed(&mut self, item: &str, out: &mut Output) {
        let own = self.stopped.iter().position(|stopped| stopped == item);
        let is_own = own.and_then(|index| self.stopped.remove(index)).is_some();
        let now = out.now;
        let Some(turn) = self.turn_of(item) else {
            debug!("an item that nothing asked for is ignored");
            return;
        };
        if let Some(commit) = &mut turn.commit {
            commit.at = now;
            turn.is_whole |= !is_own;
        }
        self.settle(out);
    }

    /// A commit was refused. False: that is no matter of there being nothing left to commit.
    pub(super) fn nothing_left(&mut self, event: &str, code: &str, out: &mut Output) -> bool {
        let meant = |turn: &&mut Turn| turn.commit.as_ref().is_some_and(|it| it.event == event);
        let Some(turn) = self.turns.iter_mut().find(meant) else {
            return false;
        };
        // Otherwise there is sound, whatever the server says.
        let is_empty = code == "input_audio_buffer_commit_empty" && self.server_vad;
        if is_empty {
            turn.is_whole = true;
            self.settle(out);
        }
        is_empty
    }

    /// A piece of an item's text.
    pub(super) fn delta(&mut self, item: &str, piece: &str, out: &mut Output) {
        if let Some(turn) = self.turn_of(item)
            && let Some(item) = turn
                .items
                .iter_mut()
                .find(|it| it.id == item && !it.is_done)
        {
            item.text.push_str(piece);
            turn.tell(out);
        }
    }

    /// An item's whole text.
    pub(super) fn completed(&mut self, item: &str, transcript: &str, out: &mut Output) {
        if let Some(turn) = self.turn_of(item)
            && let Some(item) = turn.items.iter_mut().find(|it| it.id == item)
        {
            transcript.trim().clone_into(&mut item.text);
            item.is_done = true;
            turn.tell(out);
        }
        self.settle(out);
    }

    /// An item has no text. `again`: it may have one another time.
    pub(super) fn failed(
        &mut self,
        item: &str,
        code: &str,
        message: String,
        again: bool,
        out: &mut Output,
    ) {
        let meant = |turn: &Turn| turn.items.iter().any(|it| it.id == item);
        let Some(index) = self.turns.iter().position(meant) else {
            return;
        };
        let Some(utterance) = self.turns[index].utterance else {
            self.completed(item, "", out);
            return;
        };
        // Only the oldest is answered; what comes before it would be overtaken.
        if again || index > 0 {
            let after = None;
            out.answers.push_back(Answer::Later { message, after });
            return;
        }
        out.answers.push_back(Answer::Failed {
            utterance,
            code: if code.is_empty() { codes::DECODE } else { code }.to_owned(),
            message,
        });
        self.turns[index].utterance = None;
        self.completed(item, "", out);
    }

    /// Whether any utterance is owed a final.
    pub(super) fn is_owed(&self) -> bool {
        self.turns.iter().any(|turn| turn.utterance.is_some())
    }

    /// The text of the utterance that was answered last, once.
    pub(super) fn take_last_final(&mut self) -> Option<String> {
        self.last_final.take()
    }

    /// Whether the server keeps to what can be said.
    pub(super) fn check(&self) -> Result<(), NotUnderstood> {
        for turn in &self.turns {
            check_length(turn.items.iter().map(|item| item.text.len()).sum())?;
            if turn.items.len() > MOST_ITEMS {
                let what = "more items than an utterance can have".to_owned();
                return Err(NotUnderstood::Other(what));
            }
        }
        Ok(())
    }

    /// When [`Turns::overdue`] is to be called.
    pub(super) fn due(&self) -> Option<Instant> {
        let turn = self.turns.front()?;
        let waits = self.server_vad && !turn.is_whole && !turn.items.is_empty();
        let commit = turn.commit.as_ref().filter(|_| waits)?;
        turn.items
            .iter()
            .all(|item| item.is_done)
            .then(|| commit.at + COMMIT_QUIET)
    }

    /// No more items come for the oldest utterance.
    pub(super) fn overdue(&mut self, out: &mut Output) {
        if let Some(turn) = self.turns.front_mut() {
            turn.is_whole = true;
        }
        self.settle(out);
    }

    /// The utterance of an item; a new one belongs to the oldest that is not whole.
    fn turn_of(&mut self, id: &str) -> Option<&mut Turn> {
        if self.retired.iter().any(|retired| retired == id) {
            return None;
        }
        let has = |turn: &Turn| turn.items.iter().any(|item| item.id == id);
        if let Some(index) = self.turns.iter().position(has) {
            return self.turns.get_mut(index);
        }
        let turn = self.turns.iter_mut().find(|turn| !turn.is_whole)?;
        turn.items.push(Item {
            id: id.to_owned(),
            text: String::new(),
            is_done: false,
        });
        Some(turn)
    }

    /// Answers, in order, the utterances of which everything is known.
    fn settle(&mut self, out: &mut Output) {
        while self.turns.front().is_some_and(Turn::is_done)
            && let Some(turn) = self.turns.pop_front()
        {
            if let Some(utterance) = turn.utterance {
                let (text, _) = turn.text();
                self.last_final = Some(text.clone());
                let said = Said {
                    utterance,
                    text,
                    language: turn.language.clone(),
                    ..Said::default()
                };
                turn.told.finish(said, out);
            }
            self.retire(turn);
        }
    }

    fn retire(&mut self, turn: Turn) {
        self.retired
            .extend(turn.items.into_iter().map(|item| item.id));
        let surplus = self.retired.len().saturating_sub(MOST_RETIRED);
        self.retired.drain(..surplus);
    }
}

impl Turn {
    /// What stays, and what may change.
    fn text(&self) -> (String, String) {
        let (mut done, mut rest) = (String::new(), String::new());
        for item in self.items.iter().filter(|item| !item.text.is_empty()) {
            let is_sure = rest.is_empty();
            let text = item.text.trim_start();
            let (sure, unsure) = match item.is_done {
                true => (text, ""),
                false => split_last_word(text),
            };
            let is_first = done.is_empty() && rest.is_empty();
            let space = if is_first { "" } else { " " };
            if !is_sure {
                rest.extend([space, text]);
            } else if sure.is_empty() {
                rest.extend([space, unsure]);
            } else {
                done.extend([space, sure]);
                rest.push_str(unsure);
            }
        }
        (done, rest)
    }

    /// Whether there is nothing more to come.
    fn is_done(&self) -> bool {
        self.is_whole && self.items.iter().all(|item| item.is_done)
    }

    /// Tells what is new.
    fn tell(&mut self, out: &mut Output) {
        if let Some(utterance) = self.utterance {
            let (done, rest) = self.text();
            self.told.partial(utterance, &done, &rest, out);
        }
    }
}
