//! What the end-to-end tests share: a private desktop with a real bus, the real programs on it,
//! and a client that sees every signal.

pub mod between;
mod counting;
mod desktop;
mod follower;
mod monitor;
mod scene;
mod screen;
mod script;
pub mod sound;
pub mod timing;

pub use counting::CountingServer;
pub use desktop::{Desktop, Running, dictation, program, program_dir};
pub use follower::{Details, Follower, Seen, said, signals};
pub use monitor::{Call, Monitor};
pub use scene::{Heard, Scene};
pub use screen::Screen;
pub use script::Script;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// A desktop with a daemon that decodes with `tiny.en`, and a client that sees its signals.
pub async fn running(models_dir: &Path) -> Result<(Desktop, Running, Follower)> {
    let desktop = Desktop::new(models_dir).await?;
    desktop.configure("model = \"tiny.en\"\n")?;
    let daemon = desktop.start().await?;
    let follower = Follower::new(&daemon.connection).await?;
    Ok((desktop, daemon, follower))
}

/// The repository's root.
pub fn root() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests.parent().map(PathBuf::from).unwrap_or(tests)
}

/// The block that `document` prints behind `<!-- test: mark -->`, without its fences.
pub fn printed(document: &str, mark: &str) -> Result<String> {
    let text = std::fs::read_to_string(root().join(document))?;
    let mark = format!("<!-- test: {mark} -->\n```");
    let behind = text.split_once(&mark).map(|(_, behind)| behind);
    let block = behind
        .and_then(|behind| behind.split_once('\n')?.1.split_once("```"))
        .with_context(|| format!("{document} has no block behind {mark:?}"))?;
    Ok(block.0.to_owned())
}

/// The folder with models for tests, if it holds `name`. Says why a test is skipped otherwise.
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
pub fn models_with(name: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("WSTREAM_MODELS_DIR")
        .map(PathBuf::from)
        .unwrap_or_else(|| root().join("target/test-models"));
    if wstream_wire::files::model_path(&dir, name).is_file() {
        return Some(dir);
    }
    eprintln!(
        "skipped: no model {name} in {}: run tests/run.sh once",
        dir.display()
    );
    None
}

/// The file of the model called `name`.
pub fn model_file(models_dir: &Path, name: &str) -> PathBuf {
    wstream_wire::files::model_path(models_dir, name)
}

/// The corpus of real speech, if this machine has it.
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
pub fn corpus() -> Option<PathBuf> {
    let shared = std::env::var_os("WSTREAM_SHARED")
        .map(PathBuf::from)
        .unwrap_or_else(|| root().join("../shared"));
    let corpus = shared.join("speech/dev");
    if corpus.join("manifest.tsv").is_file() {
        return Some(corpus);
    }
    eprintln!("skipped: no corpus of speech on this machine");
    None
}

/// A Python that can import `module`: `$WSTREAM_PYTHON` (run.sh makes a virtual environment).
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
pub fn python_with(module: &str) -> Option<PathBuf> {
    let python = std::env::var_os("WSTREAM_PYTHON").map_or("python3".into(), PathBuf::from);
    let found = std::process::Command::new(&python)
        .args(["-c", &format!("import {module}")])
        .stderr(std::process::Stdio::null())
        .status();
    if found.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    eprintln!("skipped: no Python package {module}: run tests/run.sh once");
    None
}
