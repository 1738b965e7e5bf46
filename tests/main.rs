//! End-to-end tests: the real daemon, engine and model on a private bus. See `run.sh`.

mod bindings;
mod certificate;
mod contract;
mod doctor;
mod errors;
mod faults;
mod filters;
mod growth;
mod history;
mod hooks;
mod manager;
mod many_finals;
mod microphone;
mod notify;
mod plugins;
mod preedit;
mod presence;
mod remote;
mod service;
mod streaming;
mod typing;
mod units;
mod unplugged;
mod v1;
mod words;
