//! What is kept of a final.

use serde::Serialize;

/// A text to be kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct New {
    /// Milliseconds since 1970.
    pub(crate) at_ms: i64,
    pub(crate) text: String,
    /// Before filters, where it was different.
    pub(crate) raw: Option<String>,
    pub(crate) language: Option<String>,
    pub(crate) duration_s: Option<f64>,
    pub(crate) backend: Option<String>,
}

/// A text that was kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Entry {
    pub(crate) id: i64,
    /// In UTC, as ISO 8601 has it.
    pub(crate) time: String,
    /// In the time zone of here, to be read.
    #[serde(skip)]
    pub(crate) local_time: String,
    pub(crate) text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) raw: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duration_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) backend: Option<String>,
}
