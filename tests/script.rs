use std::process::Stdio;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use crate::root;

/// A script of ours that raises something, sets the environment for it, and runs a command in it;
/// what it raised ends when this is dropped.
#[derive(Debug)]
pub struct Script {
    /// Those variables of its environment that were wanted.
    pub env: Vec<(String, String)>,
    /// The script ends what it raised when this closes.
    _stdin: ChildStdin,
    _script: Child,
}

impl Script {
    /// Runs `tests/NAME` with `arguments` and a command behind them; `None` where it has none of
    /// the `wanted` variables, because something is not installed, which the script says.
    pub async fn raise(
        name: &str,
        arguments: &[&str],
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Option<Self>> {
        let mut script = Command::new(root().join("tests").join(name))
            .args(arguments)
            .args(["sh", "-c", "env -0 | tr '\\n\\0' ' \\n'; echo; cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = script.stdin.take().context("stdin is piped")?;
        let mut lines = BufReader::new(script.stdout.take().context("stdout is piped")?).lines();
        let mut env = Vec::new();
        while let Some(line) = lines.next_line().await?.filter(|line| !line.is_empty()) {
            if let Some((name, value)) = line.split_once('=')
                && wanted(name)
            {
                env.push((name.to_owned(), value.to_owned()));
            }
        }
        Ok((!env.is_empty()).then_some(Script {
            env,
            _stdin: stdin,
            _script: script,
        }))
    }
}
