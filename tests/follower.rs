use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::StreamExt as _;
use wstream_api::keys;
use zbus::{MatchRule, MessageStream, OwnedVariant};

/// How long a signal may take; the slowest, a final on a loaded machine, takes a few seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a signal says beside its arguments; keys are in `wstream_api::keys`.
pub type Details = HashMap<String, OwnedVariant>;

/// A signal, as a client of the bus sees it.
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields are those of the bus signals")]
pub enum Seen {
    Started {
        utterance: u64,
        session: u64,
        details: Details,
    },
    Partial {
        utterance: u64,
        committed: String,
        tentative: String,
        details: Details,
    },
    Ended {
        utterance: u64,
        details: Details,
    },
    Final {
        utterance: u64,
        text: String,
        details: Details,
    },
    Failed {
        utterance: u64,
        name: String,
        message: String,
    },
    Cancelled {
        utterance: u64,
    },
    SessionEnded {
        session: u64,
        details: Details,
    },
    Delivered {
        utterance: u64,
        driver: String,
        characters: u32,
        verified: bool,
    },
    Trouble {
        name: String,
        message: String,
    },
    Level {
        rms: f64,
    },
}

impl Seen {
    /// The signal in `message`, which must be one of the contract's.
    pub fn read(message: &zbus::Message) -> Result<Self> {
        let header = message.header();
        let member = header.member().context("a signal has a name")?.as_str();
        let body = message.body();
        Ok(match member {
            "Started" => {
                let (utterance, session, details): (u64, u64, Details) = body.deserialize()?;
                Seen::Started {
                    utterance,
                    session,
                    details,
                }
            }
            "Partial" => {
                let (utterance, committed, tentative, details): (u64, String, String, Details) =
                    body.deserialize()?;
                Seen::Partial {
                    utterance,
                    committed,
                    tentative,
                    details,
                }
            }
            "Ended" => {
                let (utterance, details): (u64, Details) = body.deserialize()?;
                Seen::Ended { utterance, details }
            }
            "Final" => {
                let (utterance, text, details): (u64, String, Details) = body.deserialize()?;
                Seen::Final {
                    utterance,
                    text,
                    details,
                }
            }
            "Failed" => {
                let (utterance, name, message, _): (u64, String, String, Details) =
                    body.deserialize()?;
                Seen::Failed {
                    utterance,
                    name,
                    message,
                }
            }
            "Cancelled" => Seen::Cancelled {
                utterance: body.deserialize()?,
            },
            "SessionEnded" => {
                let (session, details): (u64, Details) = body.deserialize()?;
                Seen::SessionEnded { session, details }
            }
            "Delivered" => {
                let (utterance, driver, characters, verified) = body.deserialize()?;
                Seen::Delivered {
                    utterance,
                    driver,
                    characters,
                    verified,
                }
            }
            "Trouble" => {
                let (name, message, _): (String, String, Details) = body.deserialize()?;
                Seen::Trouble { name, message }
            }
            "Level" => Seen::Level {
                rms: body.deserialize()?,
            },
            other => bail!("a signal that is not in the contract: {other}"),
        })
    }
}

/// Every signal of the daemon on this bus, from now on.
pub async fn signals(connection: &zbus::Connection) -> Result<MessageStream> {
    let rule = MatchRule::builder()
        .msg_type(zbus::message::Type::Signal)
        .interface(wstream_api::NAME)
        .path(wstream_api::PATH)
        .build()?;
    // Enough for the most talkative test; beyond it the stream would hold up the connection.
    let queue = std::num::NonZero::new(4096);
    Ok(MessageStream::for_match_rule(rule, connection, queue).await?)
}

/// Sees every signal of the daemon from the moment that it is made.
#[derive(Debug)]
pub struct Follower {
    signals: MessageStream,
    /// Everything seen so far, with the moment of its arrival.
    pub log: Vec<(Instant, String)>,
    /// Utterances without an end, with what was committed.
    open: HashMap<u64, String>,
}

impl Follower {
    /// Follows the daemon on this bus.
    pub async fn new(connection: &zbus::Connection) -> Result<Self> {
        let signals = signals(connection).await?;
        Ok(Follower {
            signals,
            log: Vec::new(),
            open: HashMap::new(),
        })
    }

    /// The next signal.
    pub async fn next(&mut self) -> Result<Seen> {
        let message = tokio::time::timeout(PATIENCE, self.signals.next())
            .await
            .with_context(|| format!("no signal for {PATIENCE:?} after {:#?}", self.log))?
            .context("the bus has gone")??;
        let seen = Seen::read(&message)?;
        self.log.push((Instant::now(), format!("{seen:?}")));
        self.check(&seen)?;
        Ok(seen)
    }

    /// The contract of every signal: an utterance starts once and ends once, no partial follows
    /// its end, committed text only grows, and the final before filters begins with it.
    fn check(&mut self, seen: &Seen) -> Result<()> {
        let mut open = |utterance: &u64| {
            let committed = self.open.remove(utterance);
            committed.with_context(|| format!("{seen:?} of an utterance that is not open"))
        };
        match seen {
            Seen::Started { utterance, .. } => {
                let before = self.open.insert(*utterance, String::new());
                ensure!(before.is_none(), "{utterance} started twice");
            }
            Seen::Partial {
                utterance,
                committed,
                ..
            } => {
                let before = open(utterance)?;
                ensure!(committed.starts_with(&before), "took back {before:?}");
                self.open.insert(*utterance, committed.clone());
            }
            Seen::Final {
                utterance, details, ..
            } => {
                let committed = open(utterance)?;
                // What filters make of it is theirs.
                let raw = details.get(keys::RAW).context("a final without `raw`")?;
                let raw = <&str>::try_from(raw)?;
                ensure!(raw.starts_with(&committed), "took back {committed:?}");
            }
            Seen::Failed { utterance, .. } | Seen::Cancelled { utterance } => {
                open(utterance)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Signals until the session has ended, with that one.
    pub async fn session(&mut self, wanted: u64) -> Result<Vec<Seen>> {
        let mut seen = Vec::new();
        loop {
            let signal = self.next().await?;
            let ended = matches!(&signal, Seen::SessionEnded { session, .. } if *session == wanted);
            seen.push(signal);
            if ended {
                return Ok(seen);
            }
        }
    }
}

/// The texts of the finals among `seen`, joined by spaces.
pub fn said(seen: &[Seen]) -> String {
    let texts: Vec<&str> = seen
        .iter()
        .filter_map(|signal| match signal {
            Seen::Final { text, .. } if !text.is_empty() => Some(text.as_str()),
            _ => None,
        })
        .collect();
    texts.join(" ")
}
