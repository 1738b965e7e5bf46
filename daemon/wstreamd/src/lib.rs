//! The dictation daemon: microphone to utterances, utterances to a transcription server, text to
//! the bus. `daemon/README.md` is the architecture; `main.rs` only connects.
//!
//! A library only so that tests and fuzz targets reach the parts; the contract is the bus.

pub mod event;

pub mod bus;
pub mod config;
pub mod daemon;
pub mod defect;
pub mod fault;
pub mod filters;
mod lines;
pub mod log;
pub mod plugins;
pub mod run;
pub mod speech;

pub mod capture;
pub mod endpoint;
pub mod source;
pub mod vad;

pub mod transcriber;
pub mod typist;
