//! The bus contract of wstream: names, a client, typed errors, and the interface's XML.
//!
//! A program that wants to follow or steer dictation needs this crate and nothing of the daemon.
//! A plugin that only follows is a closure given to [`run`], one that changes texts a closure
//! given to [`run_filter`]; [`Plugin`] is for those who do both, or await other things as well.
//! Clients that want nothing but a few signals or calls take the proxy:
//!
//! ```no_run
//! # async fn example() -> zbus::Result<()> {
//! use futures_util::StreamExt as _;
//! use wstream_api::DictationProxy;
//!
//! let bus = zbus::Connection::session().await?;
//! let dictation = DictationProxy::new(&bus).await?;
//! let mut finals = dictation.receive_final_text().await?;
//! while let Some(signal) = finals.next().await {
//!     let said = signal.args()?;
//!     println!("{}: {}", said.utterance, said.text);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! One that has sound of its own hands over a descriptor, and decides by the kind of error:
//!
//! ```no_run
//! # async fn example(dictation: wstream_api::DictationProxy<'_>) -> std::io::Result<()> {
//! use std::collections::HashMap;
//! use std::os::fd::AsFd as _;
//! use wstream_api::{Error, keys};
//!
//! let talk = std::fs::File::open("talk.flac")?;
//! let options = HashMap::from([(keys::LANGUAGE, "en".into())]);
//! match dictation.feed(talk.as_fd().into(), options).await {
//!     Ok(session) => println!("session {session}: its signals carry this number"),
//!     Err(Error::Busy(_)) => println!("somebody speaks: try again later"),
//!     Err(error) => println!("{}", error.message()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Ask for signals before the call that causes them: a short recording can be over before its
//! session's number has arrived. Calls start the daemon where the bus knows how; reading
//! `Microphones` asks the sound server and may take a while, so build a proxy that is only to be
//! asked for its state with
//! [`CacheProperties::No`](zbus::proxy::CacheProperties::No): a cache reads all properties.
//!
//! Signatures never change: new things get new names, and a breaking change would be an
//! interface `org.wstream.Dictation2` beside this one. [`XML`] is what the bus says of itself;
//! a test compares the two.
#![warn(missing_docs)]

mod error;
mod event;
mod events;
mod filter;
mod plugin;
mod proxy;

pub mod keys;

pub use error::Error;
pub use event::{Details, Event};
pub use events::Events;
pub use filter::{Answer, FILTER_INTERFACE, FILTER_KEYS, FILTER_TIMEOUT_MS, FILTER_XML, Said};
pub use plugin::{Plugin, PluginError, run, run_async, run_filter};
pub use proxy::*;

/// The well-known name on the session bus, and the interface's name.
pub const NAME: &str = "org.wstream.Dictation1";

/// The one object.
pub const PATH: &str = "/org/wstream/Dictation1";

/// The interface as D-Bus introspection data, with its documentation.
pub const XML: &str = include_str!("../org.wstream.Dictation1.xml");

/// `State`: the microphone is closed and nothing is owed.
pub const STATE_IDLE: &str = "idle";
/// `State`: sound is being taken, from the microphone or from a descriptor.
pub const STATE_LISTENING: &str = "listening";
/// `State`: no more sound is taken; some finals are still to come.
pub const STATE_FINISHING: &str = "finishing";

/// `state` in `Server`: nothing is to be done, so no server is connected.
pub const SERVER_IDLE: &str = "idle";
/// `state` in `Server`: it is being connected, or loads its model.
pub const SERVER_CONNECTING: &str = "connecting";
/// `state` in `Server`: it listens.
pub const SERVER_CONNECTED: &str = "connected";
/// `state` in `Server`: it was lost and is tried again.
pub const SERVER_AWAY: &str = "away";
/// `state` in `Server`: trying again is of no use before something is changed.
pub const SERVER_REFUSED: &str = "refused";

/// The backend that is always there: an engine that the daemon starts itself.
pub const BACKEND_LOCAL: &str = "local";

/// `Typing`: nothing is typed.
pub const TYPING_OFF: &str = "off";
/// `Typing`: an utterance's text, when it has its final.
pub const TYPING_FINAL: &str = "final";
/// `Typing`: committed words while they are said, and the rest with the final.
pub const TYPING_LIVE: &str = "live";

/// State of a plugin: its process runs.
pub const PLUGIN_RUNNING: &str = "running";
/// State of a plugin: it has ended by itself, and is started again after a pause.
pub const PLUGIN_WAITING: &str = "waiting";
/// State of a plugin: no program of its name is installed.
pub const PLUGIN_MISSING: &str = "missing";
/// State of who has a filter but was not started by the daemon.
pub const PLUGIN_OTHER: &str = "other";
