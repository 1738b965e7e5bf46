//! The filters of plugins, through which every final with text passes on its way to the bus.
//!
//! Enter: finals from the daemon task, one at a time. Leave: the finals with what the filters made
//! of them, as facts. The chain is a task of its own, since each filter may take its time; a filter
//! that is late, fails, has gone or answers something else is passed over, and the words go on.

mod answer;
mod chain;
mod registry;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::daemon::FinalText;
use crate::fault::Fault;

pub(crate) use answer::check_keys;
pub use chain::run;
pub(crate) use registry::Times;
pub use registry::{Registry, Wanted};

/// A filter's object on the bus, and what is known of it.
#[derive(Debug)]
pub struct Filter {
    /// Never used again for another registration.
    pub id: u64,
    /// Unique bus name.
    pub caller: String,
    /// Its object.
    pub path: String,
    /// The lowest comes first; of equals, the one that was added first.
    pub priority: i32,
    /// How long it may take for one final.
    pub timeout: Duration,
    /// The caller's process; `None` where the bus does not tell.
    pub pid: Option<u32>,
    /// What the user is told of it.
    pub name: String,
}

/// What a filter has made of a text, as it came from the bus.
#[derive(Debug, PartialEq, Eq)]
pub struct RawAnswer {
    /// Empty: nothing is said.
    pub text: String,
    /// Keys behind the text.
    pub keys: Vec<String>,
}

/// Why a filter gave no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// It has left the bus.
    Gone,
    /// It answered with this error. Only the name: its text may hold what was dictated.
    Failed(String),
    /// It answered values of other types.
    Garbage,
}

/// A final for the chain.
#[derive(Debug)]
pub struct Request {
    /// Comes back with the answer.
    pub number: u64,
    /// The final, before all filters.
    pub text: Box<FinalText>,
    /// In their order.
    pub filters: Arc<[Arc<Filter>]>,
    /// Which keys may be asked for.
    pub keys: Arc<[String]>,
    /// Closed when nobody waits for this one any more.
    pub given_up: oneshot::Receiver<()>,
}

/// What the chain has made of a request; every request gets one.
#[derive(Debug)]
pub struct Filtered {
    /// The request's.
    pub number: u64,
    /// `None` where it was given up.
    pub text: Option<Box<FinalText>>,
    /// How each filter that was asked did.
    pub turns: Vec<Turn>,
    /// What to tell the user: once for each filter and kind.
    pub troubles: Vec<Fault>,
}

/// One filter's turn at one final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The filter.
    pub id: u64,
    /// How long it took; `None`: it was passed over.
    pub took: Option<Duration>,
}
