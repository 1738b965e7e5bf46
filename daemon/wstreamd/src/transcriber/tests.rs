//! The transcriber against servers that can be relied on to misbehave.

mod commands;
mod faults;
mod local;
mod pure;
mod server;
mod speaking;

use server::{Act, Server, Version};
use speaking::{Rig, settings, words};
