use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;

use zbus::{OwnedVariant, Variant, interface};

use crate::{Details, keys};

/// The interface of a filter: an object of a plugin's, named to the daemon by `AddFilter`.
pub const FILTER_INTERFACE: &str = "org.wstream.Filter1";

/// The interface of a filter as D-Bus introspection data, with its documentation.
pub const FILTER_XML: &str = include_str!("../org.wstream.Filter1.xml");

/// Most milliseconds that a filter may take; `AddFilter` refuses more.
pub const FILTER_TIMEOUT_MS: u32 = 2000;

/// The keys that a filter may ask for, as far as the configuration allows each.
pub const FILTER_KEYS: [&str; 3] = ["Return", "Tab", "BackSpace"];

/// A final on its way through the filters.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// Which utterance.
    pub utterance: u64,
    /// The text as the filters before this one left it; never empty.
    pub text: String,
    /// Those of the signal `Final`, without `latency_ms` and `keys`.
    pub details: Details,
}

/// What a filter makes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The text from here on; empty: nothing is said, and the filters behind are not asked.
    pub text: String,
    /// Names of keys to be pressed behind the text, of [`FILTER_KEYS`].
    pub keys: Vec<String>,
}

impl Answer {
    /// This text instead.
    pub fn text(text: impl Into<String>) -> Self {
        Answer {
            text: text.into(),
            keys: Vec::new(),
        }
    }

    /// Nothing is said.
    pub fn consumed() -> Self {
        Answer::default()
    }

    /// And this key behind it, of [`FILTER_KEYS`].
    pub fn and_key(mut self, name: &str) -> Self {
        self.keys.push(name.to_owned());
        self
    }
}

type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;
type BoxedFilter = Box<dyn FnMut(Said) -> Answering + Send + Sync>;

/// The object that the daemon calls.
pub(crate) struct FilterObject(BoxedFilter);

impl FilterObject {
    pub(crate) fn new<F, A>(mut filter: F) -> Self
    where
        F: FnMut(Said) -> A + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        FilterObject(Box::new(move |said| Box::pin(filter(said))))
    }
}

impl fmt::Debug for FilterObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilterObject").finish_non_exhaustive()
    }
}

#[interface(name = "org.wstream.Filter1")]
impl FilterObject {
    #[zbus(out_args("text", "details"))]
    async fn filter(
        &mut self,
        utterance: u64,
        text: String,
        details: HashMap<String, OwnedVariant>,
    ) -> (String, HashMap<&'static str, Variant<'static>>) {
        let said = Said {
            utterance,
            text,
            details: details.into_iter().collect(),
        };
        let answer = (self.0)(said).await;
        let mut details = HashMap::new();
        if !answer.keys.is_empty() {
            details.insert(keys::KEYS, answer.keys.into());
        }
        (answer.text, details)
    }
}
