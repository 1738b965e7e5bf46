//! Sessions of the daemon: the one that takes sound, how it begins and ends.

use std::sync::Arc;

use tokio::sync::oneshot;
use wstream_api as api;

use super::ledger::SourceKind;
use super::{Daemon, FeedRequest, Property, Signal};
use crate::capture::{Capture, CaptureRequest, SourceRequest};
use crate::fault::{Fault, FaultKind};
use crate::speech::SessionOptions;
use crate::transcriber::ToTranscriber;

/// `State` is `listening` exactly while this exists; dropping it closes the source.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) session: u64,
    pub(super) kind: SourceKind,
    pub(super) capture: Capture,
    /// What it hears; empty for a feed, and while there is none.
    pub(super) microphone: String,
    pub(super) options: Arc<SessionOptions>,
    /// Callers of `Start` or `Feed` who wait until the source is open; `None` when it is.
    pub(super) opening: Option<Vec<oneshot::Sender<Result<u64, Fault>>>>,
    /// Who called `Feed`: the session is cancelled when they leave the bus.
    pub(super) owner: Option<String>,
}

impl Daemon {
    pub(super) fn start(
        &mut self,
        options: SessionOptions,
        reply: oneshot::Sender<Result<u64, Fault>>,
    ) {
        if let Some(listening) = &mut self.listening {
            let answer = match (listening.kind, &mut listening.opening) {
                (SourceKind::Feed | SourceKind::Retry, _) => Err(busy()),
                (SourceKind::Microphone, Some(waiting)) => return waiting.push(reply),
                (SourceKind::Microphone, None) => Ok(listening.session),
            };
            let _ = reply.send(answer);
            return;
        }
        if let Some(fault) = self.refusal() {
            let _ = reply.send(Err(fault));
            return;
        }
        let source = SourceRequest::Microphone(self.microphone());
        self.open(source, SourceKind::Microphone, options, None, reply);
    }

    pub(super) fn feed(
        &mut self,
        request: FeedRequest,
        reply: oneshot::Sender<Result<u64, Fault>>,
    ) {
        if self.listening.is_some() {
            let _ = reply.send(Err(busy()));
            return;
        }
        let source = SourceRequest::Feed {
            sound: request.sound,
            format: request.format,
            realtime: request.realtime,
        };
        let owner = Some(request.caller);
        self.open(source, SourceKind::Feed, request.options, owner, reply);
    }

    pub(super) fn open(
        &mut self,
        source: SourceRequest,
        kind: SourceKind,
        options: SessionOptions,
        owner: Option<String>,
        reply: oneshot::Sender<Result<u64, Fault>>,
    ) {
        if let Err(fault) = self.settings.check_backend(options.backend.as_deref()) {
            let _ = reply.send(Err(fault));
            return;
        }
        // A model may have been installed since.
        if self.settings.publish().model != self.published.borrow().model {
            self.apply_settings();
        }
        let session = self.next_session;
        self.next_session += 1;
        let options = Arc::new(options);
        self.orders.send(ToTranscriber::Warm {
            options: options.clone(),
        });
        let request = CaptureRequest {
            session,
            source,
            settings: self.settings.capture(),
            options: options.clone(),
            next_utterance: self.next_utterance.clone(),
        };
        let capture = self.capture(request);
        capture.watch_level(!self.level_watchers.is_empty());
        self.ledger.open_session(session, kind);
        if options.is_forgotten {
            self.ledger.forget_texts(session);
        }
        self.typing_begins(session, kind, &options);
        self.listening = Some(Listening {
            session,
            kind,
            capture,
            microphone: String::new(),
            options,
            opening: Some(vec![reply]),
            owner,
        });
    }

    pub(super) fn stop(&mut self) {
        let Some(mut listening) = self.listening.take() else {
            return;
        };
        tracing::info!(session = listening.session, "stop");
        listening.capture.stop();
        if let Some(waiting) = listening.opening.take() {
            answer_all(waiting, Err(interrupted()));
        }
        // The handle lives on until `CaptureEnded`: dropping it here would give up the last words.
        self.ledger
            .keep_closing(listening.session, listening.capture);
    }

    pub(super) fn toggle(
        &mut self,
        options: SessionOptions,
        reply: oneshot::Sender<Result<&'static str, Fault>>,
    ) {
        if self.listening.is_some() {
            self.stop();
            let _ = reply.send(Ok(self.state()));
            return;
        }
        let (started, opened) = oneshot::channel();
        self.start(options, started);
        // The answer comes with `CaptureOpened`; waiting for it here would block the inbox.
        tokio::spawn(async move {
            let answer = opened.await.unwrap_or_else(|_| Err(interrupted()));
            let _ = reply.send(answer.map(|_| api::STATE_LISTENING));
        });
    }

    /// Has the transcriber try again what it keeps, as a session of its own; `None`: nothing.
    pub(super) fn retry(&mut self) -> Option<u64> {
        if self.kept_for_retry == 0 {
            return None;
        }
        self.kept_for_retry = 0;
        let session = self.next_session;
        self.next_session += 1;
        tracing::info!(session, "retry");
        self.ledger.open_session(session, SourceKind::Retry);
        self.orders.send(ToTranscriber::Retry { session });
        Some(session)
    }

    pub(super) fn cancel_all(&mut self) {
        let current = self.listening.take();
        let Some(newest) = self.ledger.newest_session() else {
            return;
        };
        tracing::info!(session = newest, "cancel");
        if let Some(Listening {
            opening: Some(waiting),
            ..
        }) = current
        {
            answer_all(waiting, Err(interrupted()));
        }
        self.orders.send(ToTranscriber::Cancel { session: newest });
        self.filtering.give_up();
        for signal in self.ledger.cancel_all() {
            self.send(signal);
        }
    }

    /// A session hears another microphone than before, or none.
    pub(super) fn hears(&mut self, session: u64, microphone: String) {
        if let Some(listening) = self.listening_as(session) {
            listening.microphone = microphone;
        }
    }

    /// Publishes which microphone is open.
    pub(super) fn publish_microphone(&mut self) {
        let heard = self.listening.iter().map(|it| &it.microphone);
        let kept = self.kept.iter().map(|kept| &kept.microphone);
        let mut open = heard.chain(kept).filter(|name| !name.is_empty());
        let open = open.next().cloned().unwrap_or_default();
        if self.published.borrow().open_microphone != open {
            self.published
                .send_modify(|published| published.open_microphone = open);
            self.send(Signal::Changed(Property::OpenMicrophone));
        }
    }

    pub(super) fn listening_as(&mut self, session: u64) -> Option<&mut Listening> {
        self.listening
            .as_mut()
            .filter(|listening| listening.session == session)
    }
}

pub(super) fn answer_all(
    waiting: Vec<oneshot::Sender<Result<u64, Fault>>>,
    answer: Result<u64, Fault>,
) {
    for reply in waiting {
        // A caller that has left does not want the answer.
        let _ = reply.send(answer.clone());
    }
}

fn busy() -> Fault {
    Fault::new(
        FaultKind::Busy,
        "another session is taking sound: stop it first (wstreamctl stop) or wait for its end",
    )
}

fn interrupted() -> Fault {
    Fault::new(
        FaultKind::Failed,
        "stopped before the sound source was open: start again",
    )
}
