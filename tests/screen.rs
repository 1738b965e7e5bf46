use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use crate::{Desktop, Script};

/// A screen that nobody looks at, from `screen.sh`; ends when dropped.
#[derive(Debug)]
pub struct Screen(Script);

impl Screen {
    /// Raises one of the `kind` `x11` or `wayland`; `None` where it is not installed.
    pub async fn raise(kind: &str) -> Result<Option<Self>> {
        const WANTED: [&str; 3] = ["DISPLAY", "WAYLAND_DISPLAY", "SWAYSOCK"];
        let script = Script::raise("screen.sh", &[kind], |name| WANTED.contains(&name)).await?;
        Ok(script.map(Screen))
    }

    /// A command of the desktop's session that uses this screen.
    pub fn command(&self, desktop: &Desktop, program: &str) -> Command {
        let mut command = desktop.command(program);
        command.envs(self.0.env.clone());
        command
    }

    /// The number of the X server.
    pub fn display(&self) -> Result<String> {
        self.variable("DISPLAY")
            .context("this screen has no X server")
    }

    /// Where the compositor listens.
    pub fn wayland(&self) -> Result<String> {
        self.variable("WAYLAND_DISPLAY")
            .context("this screen has no compositor")
    }

    fn variable(&self, name: &str) -> Option<String> {
        let mut variables = self.0.env.iter();
        let found = variables.find(|(known, _)| known == name);
        found.map(|(_, value)| value.to_string())
    }

    /// Writes a picture of the screen into `file`, and says how many colours it has.
    pub async fn picture(&self, desktop: &Desktop, file: &Path) -> Result<usize> {
        let mut command = if self.0.env.iter().any(|(name, _)| name == "DISPLAY") {
            let mut command = self.command(desktop, "import");
            command.args(["-window", "root"]);
            command
        } else {
            self.command(desktop, "grim")
        };
        let taken = command.arg(file).output().await?;
        let said = String::from_utf8_lossy(&taken.stderr).into_owned();
        ensure!(taken.status.success(), "no picture: {said}");
        let told = Command::new("convert")
            .arg(file)
            .args(["-format", "%k", "info:"])
            .output()
            .await?;
        let colours = String::from_utf8_lossy(&told.stdout).trim().to_owned();
        colours
            .parse()
            .with_context(|| format!("colours: {colours}"))
    }
}
