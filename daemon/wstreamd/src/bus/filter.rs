//! Calls to the filters of plugins.

use std::collections::HashMap;

use wstream_api::{FILTER_INTERFACE, keys};
use zbus::{Message, OwnedVariant};

use super::signals;
use crate::daemon::FinalText;
use crate::filters::{CallError, Filter, RawAnswer};

/// The way to the filters.
#[derive(Clone, Debug)]
pub struct FilterCalls {
    connection: zbus::Connection,
}

impl FilterCalls {
    /// Over this connection.
    pub fn new(connection: zbus::Connection) -> Self {
        FilterCalls { connection }
    }

    /// Asks a filter about a text, for as long as it takes; ends when its caller leaves the bus.
    pub(crate) fn filter(
        &self,
        filter: &Filter,
        text: &FinalText,
    ) -> impl Future<Output = Result<RawAnswer, CallError>> + Send + 'static {
        let (caller, path) = (filter.caller.clone(), filter.path.clone());
        let (connection, text) = (self.connection.clone(), text.clone());
        async move {
            let mut details = signals::final_details(&text);
            // It is not known yet, and what other filters want is none of this one's business: it
            // may give its details back as they are.
            details.remove(keys::LATENCY_MS);
            details.remove(keys::KEYS);
            let arguments = (text.utterance, text.text.as_str(), details);
            let answer = connection
                .call_method(
                    // A unique name: nobody is started in the place of who has gone.
                    Some(caller.as_str()),
                    path.as_str(),
                    Some(FILTER_INTERFACE),
                    "Filter",
                    &arguments,
                )
                .await;
            answer.map_err(error).and_then(|answer| read(&answer))
        }
    }
}

fn read(answer: &Message) -> Result<RawAnswer, CallError> {
    let body = answer.body();
    let (text, mut details): (String, HashMap<String, OwnedVariant>) =
        body.deserialize().map_err(|_| CallError::Garbage)?;
    let keys = match details.remove(keys::KEYS) {
        Some(keys) => Vec::try_from(keys).map_err(|_| CallError::Garbage)?,
        None => Vec::new(),
    };
    Ok(RawAnswer { text, keys })
}

fn error(error: zbus::Error) -> CallError {
    use zbus::fdo::Error;

    match error {
        zbus::Error::MethodError(name, ..) => CallError::Failed(name.to_string()),
        zbus::Error::FDO(error) => match *error {
            Error::ServiceUnknown(_)
            | Error::NameHasNoOwner(_)
            | Error::NoReply(_)
            | Error::Disconnected(_) => CallError::Gone,
            error => {
                use zbus::DBusError as _;
                CallError::Failed(error.name().to_string())
            }
        },
        zbus::Error::InputOutput(_) => CallError::Gone,
        // The caller's answer cannot be read.
        _ => CallError::Garbage,
    }
}
