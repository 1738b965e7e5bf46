//! `wstream-engine model …` from outside: fetching from a server that misbehaves, converting a real
//! model, and what the program says and exits with.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test's helpers fail like the test, and a skipped test says so"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

mod fetch;
mod program;
mod real;
mod server;

/// The program, with its models in `dir` and the hub at `hub`.
fn engine(dir: &Path, hub: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wstream-engine"))
        .arg("model")
        .args(arguments)
        .env("WSTREAM_MODELS_DIR", dir)
        .env("WSTREAM_MODEL_HUB", hub)
        // A proxy of the machine's is not between us and ourselves.
        .env("NO_PROXY", "127.0.0.1")
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The names in a folder, sorted.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The folder of the repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
