//! What one client may take, and how its session ends.
//!
//! Enters: the time, how much sound is unanswered. Leaves: what is due. Pure.

use std::time::{Duration, Instant};

use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use wstream_wire::v2::{self, ServerMessage, codes};
use wstream_wire::{MAX_MESSAGE_BYTES, SAMPLE_RATE, v1};

/// Silence on a connection after which the server asks whether anybody is there.
const ASK_AFTER: Duration = Duration::from_secs(30);

/// How long a client may take to answer that, and to take what is sent to it. Beyond it, it is gone.
pub(super) const GONE_AFTER: Duration = Duration::from_secs(60);

/// What one client may take. `None`: no limit.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest message, in bytes.
    pub message_bytes: usize,
    /// How long a connection may last.
    pub session: Option<Duration>,
    /// How much sound may have had no final.
    pub unanswered: Option<Duration>,
    /// How long a client may send nothing.
    pub idle: Option<Duration>,
    /// Whether clients that have gone without a word are looked for.
    pub asks: bool,
}

impl Limits {
    /// For the one client that started this program: it may take what it wants.
    pub const NONE: Limits = Limits {
        message_bytes: MAX_MESSAGE_BYTES,
        session: None,
        unanswered: None,
        idle: None,
        asks: false,
    };
}

/// Why a server ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The server itself ends.
    GoingAway,
    /// There are as many sessions as the server takes.
    Busy,
    /// Nothing has come for so long.
    Idle(Duration),
    /// It has lasted so long.
    SessionLength(Duration),
    /// So much sound has had no final.
    Unanswered(Duration),
    /// A message was larger than so many bytes.
    MessageSize(usize),
    /// What came is no WebSocket frame.
    Garbage,
    /// Text that is not UTF-8.
    NotText,
}

impl Ending {
    /// The code of version 2's error, with which the reason of the close begins as well.
    pub(super) fn code(self) -> &'static str {
        match self {
            Ending::GoingAway => codes::GOING_AWAY,
            Ending::Busy => codes::BUSY,
            Ending::Idle(_) => codes::IDLE,
            Ending::SessionLength(_) => codes::SESSION_LENGTH,
            Ending::Unanswered(_) => codes::UNANSWERED,
            Ending::MessageSize(_) => codes::MESSAGE_SIZE,
            Ending::Garbage | Ending::NotText => codes::BAD_MESSAGE,
        }
    }

    fn message(self) -> String {
        match self {
            Ending::GoingAway => "the server is ending: connect again".to_owned(),
            Ending::Busy => {
                "the server has as many sessions as it takes: try again later".to_owned()
            }
            Ending::Idle(time) => format!(
                "nothing has come for {} s: connect again when there is sound",
                time.as_secs()
            ),
            Ending::SessionLength(time) => format!(
                "a session lasts {} s at most: connect again",
                time.as_secs()
            ),
            Ending::Unanswered(time) => format!(
                "{} s of sound have had no final: end utterances where there is a pause",
                time.as_secs()
            ),
            Ending::MessageSize(bytes) => {
                format!("a message has {bytes} bytes at most: send sound in smaller ones")
            }
            Ending::Garbage => "what came is no WebSocket frame".to_owned(),
            Ending::NotText => "a text message is not UTF-8".to_owned(),
        }
    }

    /// What the client is told before the close. Version 1 has no errors with codes, and no word
    /// for a server that ends.
    pub(super) fn farewell(self, is_v2: bool) -> Option<String> {
        if is_v2 {
            return Some(v2::encode_server(&ServerMessage::Error {
                code: self.code().to_owned(),
                message: self.message(),
                utterance: None,
            }));
        }
        (self != Ending::GoingAway).then(|| {
            let message = self.message();
            v1::encode_server(&v1::ServerMessage::Error { message })
        })
    }

    /// The code of the close.
    pub(super) fn close_code(self) -> CloseCode {
        match self {
            Ending::GoingAway => CloseCode::Away,
            Ending::Busy => CloseCode::Again,
            Ending::Idle(_) | Ending::SessionLength(_) | Ending::Unanswered(_) => CloseCode::Policy,
            Ending::MessageSize(_) => CloseCode::Size,
            Ending::Garbage => CloseCode::Protocol,
            Ending::NotText => CloseCode::Invalid,
        }
    }

    /// The reason of the close.
    pub(super) fn reason(self) -> String {
        format!("{}: {}", self.code(), self.message())
    }
}

/// What is due on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Ask whether anybody is there.
    Ask,
    /// Nobody is.
    Gone,
    /// End the session.
    End(Ending),
}

/// Watches the time that a connection takes.
#[derive(Debug)]
pub(super) struct Watch {
    limits: Limits,
    began: Instant,
    /// When the last message came.
    spoke: Instant,
    /// When anything came, or reading began again.
    heard: Instant,
    /// When it was asked since.
    asked: Option<Instant>,
}

impl Watch {
    pub(super) fn new(limits: Limits, now: Instant) -> Watch {
        Watch {
            limits,
            began: now,
            spoke: now,
            heard: now,
            asked: None,
        }
    }

    /// A message with sound or a command came.
    pub(super) fn spoke(&mut self, now: Instant) {
        self.spoke = now;
        self.heard(now);
    }

    /// Something came, or could not have been seen before `now`.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = None;
    }

    /// It was asked.
    pub(super) fn asked(&mut self, now: Instant) {
        self.asked = Some(now);
    }

    /// What is due next, and when. While the connection is not read (`reads` is false) nobody can
    /// be told to be silent.
    pub(super) fn next(&self, reads: bool) -> Option<(Instant, Due)> {
        let session = self
            .limits
            .session
            .map(|time| (self.began + time, Due::End(Ending::SessionLength(time))));
        let idle = (self.limits.idle)
            .filter(|_| reads)
            .map(|time| (self.spoke + time, Due::End(Ending::Idle(time))));
        let asks = (self.limits.asks && reads).then(|| match self.asked {
            None => (self.heard + ASK_AFTER, Due::Ask),
            // Counted from the question, which comes late where this process has not run.
            Some(asked) => (asked + GONE_AFTER, Due::Gone),
        });
        [session, idle, asks]
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| *at)
    }

    /// Whether so much sound without a final ends the session.
    pub(super) fn answered_too_little(&self, samples: usize) -> Option<Ending> {
        let limit = self.limits.unanswered?;
        let seconds = samples as f64 / f64::from(SAMPLE_RATE);
        (seconds > limit.as_secs_f64()).then_some(Ending::Unanswered(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn watch(now: Instant) -> Watch {
        let limits = Limits {
            message_bytes: 1000,
            session: Some(60 * MINUTE),
            unanswered: Some(MINUTE),
            idle: Some(10 * MINUTE),
            asks: true,
        };
        Watch::new(limits, now)
    }

    #[test]
    fn a_silent_client_is_asked_then_given_up() {
        let start = Instant::now();
        let mut watch = watch(start);
        assert_eq!(watch.next(true), Some((start + ASK_AFTER, Due::Ask)));
        watch.asked(start + MINUTE);
        let gone = start + MINUTE + GONE_AFTER;
        assert_eq!(watch.next(true), Some((gone, Due::Gone)));
        watch.heard(gone);
        let again = gone + ASK_AFTER;
        assert_eq!(watch.next(true), Some((again, Due::Ask)));
    }

    #[test]
    fn answers_to_questions_are_not_speech() {
        let start = Instant::now();
        let mut watch = watch(start);
        let end = start + 10 * MINUTE;
        let idle = Due::End(Ending::Idle(10 * MINUTE));
        watch.heard(end - ASK_AFTER);
        assert_eq!(watch.next(true).map(|(at, _)| at), Some(end));
        watch.heard(end - ASK_AFTER / 2);
        assert_eq!(watch.next(true), Some((end, idle)));
        watch.spoke(end);
        assert_eq!(watch.next(true), Some((end + ASK_AFTER, Due::Ask)));
    }

    #[test]
    fn what_is_not_read_is_not_silent() {
        let start = Instant::now();
        let watch = watch(start);
        let length = Due::End(Ending::SessionLength(60 * MINUTE));
        assert_eq!(watch.next(false), Some((start + 60 * MINUTE, length)));
        assert_eq!(Watch::new(Limits::NONE, start).next(true), None);
    }

    #[test]
    fn sound_without_a_final_has_a_limit() {
        let watch = watch(Instant::now());
        assert_eq!(watch.answered_too_little(60 * 16_000), None);
        let ending = watch.answered_too_little(60 * 16_000 + 1);
        assert_eq!(ending, Some(Ending::Unanswered(MINUTE)));
        let none = Watch::new(Limits::NONE, Instant::now());
        assert_eq!(none.answered_too_little(usize::MAX), None);
    }

    #[test]
    fn every_ending_has_a_code_and_fits_a_close() {
        for ending in [
            Ending::GoingAway,
            Ending::Busy,
            Ending::Idle(Duration::MAX),
            Ending::SessionLength(Duration::MAX),
            Ending::Unanswered(Duration::MAX),
            Ending::MessageSize(usize::MAX),
            Ending::Garbage,
            Ending::NotText,
        ] {
            assert!(ending.reason().len() <= 123, "{}", ending.reason());
            assert!(
                ending
                    .farewell(true)
                    .is_some_and(|text| text.contains(ending.code()))
            );
        }
    }
}
