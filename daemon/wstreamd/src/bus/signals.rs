//! Emits signals in the order in which the daemon gives them, and partials in between: only the
//! newest, and none for an utterance that has ended.

use std::collections::HashMap;

use futures_util::StreamExt as _;
use wstream_api::keys;
use zbus::Variant;
use zbus::object_server::{InterfaceRef, SignalEmitter};

use super::interface::Dictation;
use super::{FromDaemon, error_name};
use crate::daemon::{FinalText, LatestPartial, Property, Signal};

type Details<'a> = HashMap<&'static str, Variant<'a>>;

pub(super) async fn emit(
    connection: &zbus::Connection,
    mut from_daemon: FromDaemon,
) -> zbus::Result<()> {
    let server = connection.object_server();
    let object: InterfaceRef<Dictation> = server.interface(wstream_api::PATH).await?;
    let emitter = object.signal_emitter();
    loop {
        tokio::select! {
            // Signals first: a partial's `Started` is among them, and an end takes its partial back.
            biased;
            signal = from_daemon.signals.recv() => match signal {
                Some(signal) => emit_signal(&object, emitter, signal).await?,
                None => return Ok(()),
            },
            Ok(()) = from_daemon.partials.changed() => {
                let latest = from_daemon.partials.borrow_and_update().clone();
                if let Some(partial) = latest {
                    emit_partial(emitter, partial).await?;
                }
            }
        }
    }
}

async fn emit_partial(emitter: &SignalEmitter<'_>, partial: LatestPartial) -> zbus::Result<()> {
    let details = Details::from([
        (keys::SESSION, partial.session.into()),
        (keys::HEARD_S, partial.heard_s.into()),
        (keys::PROCESSING_TIME_MS, partial.processing_time_ms.into()),
    ]);
    let (committed, tentative) = (&partial.committed, &partial.tentative);
    Dictation::partial(emitter, partial.utterance, committed, tentative, details).await
}

async fn emit_signal(
    object: &InterfaceRef<Dictation>,
    emitter: &SignalEmitter<'_>,
    signal: Signal,
) -> zbus::Result<()> {
    match signal {
        Signal::Started {
            utterance,
            session,
            source,
            at_s,
        } => {
            let details = Details::from([(keys::SOURCE, source.into()), (keys::AT_S, at_s.into())]);
            Dictation::started(emitter, utterance, session, details).await
        }
        Signal::Ended {
            utterance,
            session,
            at_s,
            duration_s,
        } => {
            let details = Details::from([
                (keys::SESSION, session.into()),
                (keys::AT_S, at_s.into()),
                (keys::DURATION_S, duration_s.into()),
            ]);
            Dictation::ended(emitter, utterance, details).await
        }
        Signal::Final(text) => {
            let details = final_details(&text);
            Dictation::final_text(emitter, text.utterance, &text.text, details).await
        }
        Signal::Failed {
            utterance,
            session,
            fault,
        } => {
            let details = Details::from([(keys::SESSION, session.into())]);
            let name = error_name(fault.kind);
            Dictation::failed(emitter, utterance, &name, &fault.message, details).await
        }
        Signal::Cancelled { utterance } => Dictation::cancelled(emitter, utterance).await,
        Signal::SessionEnded {
            session,
            utterances,
            fault,
        } => {
            let mut details = Details::from([(keys::UTTERANCES, utterances.into())]);
            if let Some(fault) = fault {
                details.insert(keys::ERROR, error_name(fault.kind).into());
                details.insert(keys::MESSAGE, fault.message.into());
            }
            Dictation::session_ended(emitter, session, details).await
        }
        Signal::Delivered {
            utterance,
            driver,
            characters,
            verified,
        } => Dictation::delivered(emitter, utterance, driver, characters, verified).await,
        Signal::Trouble { fault } => {
            let name = error_name(fault.kind);
            Dictation::trouble(emitter, &name, &fault.message, Details::new()).await
        }
        Signal::Level { rms } => Dictation::level(emitter, rms).await,
        Signal::Changed(property) => emit_changed(object, emitter, property).await,
    }
}

async fn emit_changed(
    object: &InterfaceRef<Dictation>,
    emitter: &SignalEmitter<'_>,
    property: Property,
) -> zbus::Result<()> {
    let dictation = object.get().await;
    match property {
        Property::State => dictation.state_changed(emitter).await,
        Property::Strategy => dictation.strategy_changed(emitter).await,
        Property::Backend => dictation.backend_changed(emitter).await,
        Property::Model => dictation.model_changed(emitter).await,
        Property::Language => dictation.language_changed(emitter).await,
        Property::Microphone => dictation.microphone_changed(emitter).await,
        Property::OpenMicrophone => dictation.open_microphone_changed(emitter).await,
        Property::Typing => dictation.typing_changed(emitter).await,
        Property::Backends => dictation.backends_changed(emitter).await,
        Property::Plugins => {
            // It asks the daemon, which may have ended; its last signals must still go out.
            if let Err(error) = dictation.plugins_changed(emitter).await {
                tracing::debug!(%error, "a change of the plugins was not told");
            }
            Ok(())
        }
        Property::Server => dictation.server_changed(emitter).await,
    }
}

/// The details of a final, as in the signal and in `Recent`.
pub(super) fn final_details(text: &FinalText) -> Details<'_> {
    let segments: Vec<(f64, f64, &str)> = text
        .segments
        .iter()
        .map(|segment| (segment.start, segment.end, segment.text.as_str()))
        .collect();
    let mut details = Details::from([
        (keys::SESSION, text.session.into()),
        (keys::LANGUAGE, text.language.as_str().into()),
        (keys::SEGMENTS, segments.into()),
        (keys::DURATION_S, text.duration_s.into()),
        (keys::PROCESSING_TIME_MS, text.processing_time_ms.into()),
        (keys::LATENCY_MS, text.latency_ms.into()),
        (keys::STRATEGY, text.strategy.as_str().into()),
        (keys::BACKEND, text.backend.as_str().into()),
        (keys::RAW, text.raw.as_str().into()),
    ]);
    if let Some(confidence) = text.confidence {
        details.insert(keys::CONFIDENCE, confidence.into());
    }
    if !text.keys.is_empty() {
        details.insert(keys::KEYS, text.keys.as_slice().into());
    }
    if text.continues {
        details.insert(keys::CONTINUES, true.into());
    }
    details
}

/// Returns when the bus name `caller` has no owner any more.
pub(super) async fn left_the_bus(connection: &zbus::Connection, caller: &str) -> zbus::Result<()> {
    let bus = zbus::fdo::DBusProxy::new(connection).await?;
    let mut changes = bus
        .receive_name_owner_changed_with_args(&[(0, caller)])
        .await?;
    // It may have left before we began to watch.
    if !bus.name_has_owner(caller.try_into()?).await? {
        return Ok(());
    }
    while let Some(change) = changes.next().await {
        if change.args()?.new_owner().is_none() {
            break;
        }
    }
    Ok(())
}
