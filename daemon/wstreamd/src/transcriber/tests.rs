//! The transcriber against servers that can be relied on to misbehave.

#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "it is shown when a test fails, or was skipped"
)]

mod commands;
mod cuts;
mod engine;
mod exchanges;
mod fallback;
mod faults;
mod local;
mod others;
mod pure;
mod server;
mod speaking;
mod store;

use server::{Act, Server, Version};
use speaking::{Rig, settings, words};
