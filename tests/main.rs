//! End-to-end tests: the real daemon, engine and model on a private bus. See `run.sh`.

mod contract;
mod errors;
mod faults;
mod growth;
mod microphone;
mod streaming;
mod v1;
