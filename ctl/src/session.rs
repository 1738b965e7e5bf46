//! One session among everything that the daemon says. No input or output.

use std::collections::BTreeSet;

use wstream_api::Error as DaemonError;
use wstream_api::keys;

use crate::event::{Details, Event};
use crate::failure::Failure;

/// Tells a session's events from others.
#[derive(Debug)]
pub(crate) struct Session {
    /// `None`: whichever is under way.
    number: Option<u64>,
    /// Those that have begun and not ended, for signals that name no session.
    utterances: BTreeSet<u64>,
}

impl Session {
    /// The session called `number`; `None` for whichever is under way.
    pub(crate) fn new(number: Option<u64>) -> Self {
        Session {
            number,
            utterances: BTreeSet::new(),
        }
    }

    /// Whether `event` is the session's, or troubles every session.
    pub(crate) fn takes(&mut self, event: &Event) -> bool {
        match event {
            Event::Started {
                utterance, session, ..
            } => {
                let ours = self.is(*session);
                if ours {
                    self.utterances.insert(*utterance);
                }
                ours
            }
            Event::Partial {
                utterance, details, ..
            }
            | Event::Ended { utterance, details } => self.owns(*utterance, details),
            Event::Final {
                utterance, details, ..
            }
            | Event::Failed {
                utterance, details, ..
            } => {
                let ours = self.owns(*utterance, details);
                self.utterances.remove(utterance);
                ours
            }
            // The contract gives it no details; a session that was joined midway may have an
            // utterance that we did not see begin.
            Event::Cancelled { utterance } => {
                self.utterances.remove(utterance) || self.number.is_none()
            }
            Event::SessionEnded { session, .. } => self.is(*session),
            Event::Trouble { .. } | Event::Vanished => true,
            Event::Delivered { .. }
            | Event::Level { .. }
            | Event::Changed { .. }
            | Event::Unknown { .. }
            | Event::Appeared => false,
        }
    }

    fn owns(&self, utterance: u64, details: &Details) -> bool {
        match details.session() {
            Some(session) => self.is(session),
            None => self.number.is_none() || self.utterances.contains(&utterance),
        }
    }

    fn is(&self, session: u64) -> bool {
        self.number.is_none_or(|number| number == session)
    }
}

/// The fault that ended a session, if one did, from the details of `SessionEnded`.
pub(crate) fn fault(details: &Details) -> Result<(), Failure> {
    let Some(name) = details.text(keys::ERROR) else {
        return Ok(());
    };
    let message = details.text(keys::MESSAGE).unwrap_or(name).to_owned();
    Err(Failure::Daemon(DaemonError::from_name(name, message)))
}

#[cfg(test)]
mod tests {
    use zbus::Variant;

    use super::*;

    fn details(session: Option<u64>) -> Details {
        let session = session.map(|session| ("session", Variant::from(session)));
        Details::of(&session.into_iter().collect())
    }

    fn started(utterance: u64, session: u64) -> Event {
        Event::Started {
            utterance,
            session,
            details: Details::default(),
        }
    }

    fn ended(utterance: u64, session: Option<u64>) -> Event {
        Event::Ended {
            utterance,
            details: details(session),
        }
    }

    fn final_of(utterance: u64, session: Option<u64>) -> Event {
        Event::Final {
            utterance,
            text: String::new(),
            details: details(session),
        }
    }

    #[test]
    fn a_session_takes_its_own() {
        let mut session = Session::new(Some(2));
        for (event, ours) in [
            (started(5, 1), false),
            (started(6, 2), true),
            (ended(5, Some(1)), false),
            (ended(6, Some(2)), true),
            // Without a session's number, the utterance's tells.
            (ended(5, None), false),
            (ended(6, None), true),
            // Begun before we listened.
            (final_of(4, Some(2)), true),
            (final_of(6, Some(2)), true),
            (Event::Cancelled { utterance: 5 }, false),
            (Event::Cancelled { utterance: 6 }, false),
            (started(7, 2), true),
            (Event::Cancelled { utterance: 7 }, true),
            (
                Event::SessionEnded {
                    session: 1,
                    details: details(None),
                },
                false,
            ),
            (
                Event::SessionEnded {
                    session: 2,
                    details: details(None),
                },
                true,
            ),
            (Event::Level { rms: 0.5 }, false),
            (Event::Appeared, false),
            (Event::Vanished, true),
        ] {
            assert_eq!(session.takes(&event), ours, "{event:?}");
        }
        let mut any = Session::new(None);
        assert!(any.takes(&started(9, 9)));
        assert!(any.takes(&Event::Cancelled { utterance: 3 }));
    }

    #[test]
    fn a_fault_ends_with_its_code() {
        let lost = [
            (
                "error",
                Variant::from("org.wstream.Dictation1.Error.MicrophoneLost"),
            ),
            ("message", Variant::from("plug it in again")),
        ];
        let failure = fault(&Details::of(&lost.into_iter().collect())).unwrap_err();
        assert_eq!(failure.code(), 4);
        assert_eq!(failure.to_string(), "plug it in again");
        assert!(fault(&Details::default()).is_ok());
    }
}
