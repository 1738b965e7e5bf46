//! What tests on any desktop need: the corpus, waiting, and what a window's program says it holds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// The project's files for these tests.
pub(crate) fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/typing")
}

/// The corpus: names and texts.
pub(crate) fn corpus() -> Result<Vec<(String, String)>> {
    let file = fs::read_to_string(files().join("corpus.tsv"))?;
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, text) = line
                .split_once('\t')
                .context("a corpus line has no tabulator")?;
            Ok((name.to_owned(), text.to_owned()))
        })
        .collect()
}

/// How often each text is typed.
pub(crate) fn runs() -> usize {
    let told = std::env::var("WSTREAM_RUNS").ok();
    let slow = std::env::var_os("RUN_SLOW_TESTS").map_or(3, |_| 200);
    told.and_then(|told| told.parse().ok()).unwrap_or(slow)
}

/// Where a picture of a window that shows what may change is wanted: in the folder that
/// WSTREAM_PICTURES names.
pub(crate) fn picture_file(name: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("WSTREAM_PICTURES")?;
    // The program has told, and draws some frames later.
    std::thread::sleep(Duration::from_millis(200));
    Some(Path::new(&dir).join(format!("{name}.png")))
}

/// Waits for something that another process does.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if start.elapsed() > Duration::from_secs(30) {
            bail!("waited in vain until {what}");
        }
        std::thread::sleep(Duration::from_millis(4));
    }
}

/// Does something while one core has no time for anything else.
pub(crate) fn with_a_busy_core(what: impl FnOnce() -> Result<()>) -> Result<()> {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let result = what();
        ended.store(true, Ordering::Relaxed);
        result
    })
}

/// Whether all programs are there; what is not is said.
pub(crate) fn all_installed(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there =
        |program: &str| std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    let missing = programs.iter().find(|program| !is_there(program));
    #[allow(clippy::print_stderr, reason = "a skipped test says so")]
    if let Some(program) = missing {
        eprintln!("skipped: {program} is not installed: run tests/run.sh packages");
    }
    missing.is_none()
}

/// Takes from a program's environment what leads to another desktop, or to services of it.
pub(crate) fn no_hints(command: &mut Command) -> &mut Command {
    for unset in [
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "XMODIFIERS",
        "GTK_IM_MODULE",
        "QT_IM_MODULE",
        "XAUTHORITY",
    ] {
        command.env_remove(unset);
    }
    command
        .env("LC_ALL", "C.UTF-8")
        .envs([
            ("NO_AT_BRIDGE", "1"),
            ("GTK_A11Y", "none"),
            ("GSK_RENDERER", "cairo"),
        ])
        .envs([
            ("GSETTINGS_BACKEND", "memory"),
            ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent"),
        ])
}

/// What a window holds, by the file that its program writes.
#[derive(Debug)]
pub(crate) struct Held {
    program: Child,
    /// What writes the file runs in a terminal, as a child of it.
    in_terminal: bool,
    file: PathBuf,
    cleared: u32,
}

impl Held {
    pub(crate) fn new(program: Child, in_terminal: bool, file: PathBuf) -> Self {
        Held {
            program,
            in_terminal,
            file,
            cleared: 0,
        }
    }

    /// Waits until its program shows something.
    pub(crate) fn wait(&self) -> Result<()> {
        until("the window shows its text", || {
            Ok(self.file.exists().then_some(()))
        })
    }

    /// Waits until its field has had the focus.
    pub(crate) fn wait_for_focus(&self) -> Result<()> {
        let focused = self.beside("focus");
        until("the field has the focus", || {
            Ok(focused.exists().then_some(()))
        })
    }

    /// The text that it holds.
    pub(crate) fn text(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.file)?).into_owned())
    }

    /// Waits until it holds `text`, and returns what it holds when that does not come about.
    pub(crate) fn holds(&self, text: &str) -> Result<std::result::Result<(), String>> {
        // Under load a window may take seconds for what it was sent: as long as more comes, it is
        // waited for, and longer while nothing but the rest is missing.
        const QUIET: Duration = Duration::from_secs(2);
        const LATE: Duration = Duration::from_secs(30);
        let (mut last, mut since) = (self.text()?, Instant::now());
        loop {
            let now = self.text()?;
            if now == text {
                return Ok(Ok(()));
            }
            if now != last {
                (last, since) = (now, Instant::now());
            } else if since.elapsed() > if text.starts_with(&now) { LATE } else { QUIET } {
                return Ok(Err(now));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Empties it.
    pub(crate) fn empty(&mut self) -> Result<()> {
        self.cleared += 1;
        let own = self.program.id().to_string();
        let pid = if self.in_terminal {
            let found = Command::new("pgrep").args(["-P", &own]).output()?;
            String::from_utf8_lossy(&found.stdout).trim().parse()?
        } else {
            own.parse()?
        };
        let pid = Pid::from_raw(pid).context("a process has a number")?;
        kill_process(pid, Signal::USR1)?;
        let (cleared, count) = (self.beside("cleared"), self.cleared.to_string());
        until("the window is empty", || {
            Ok((fs::read_to_string(&cleared).unwrap_or_default() == count).then_some(()))
        })?;
        ensure!(
            self.text()?.is_empty(),
            "an emptied window holds {:?}",
            self.text()?
        );
        Ok(())
    }

    /// Stops its program, or lets it go on.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.program.id())?).context("a process")?;
        Ok(kill_process(pid, signal)?)
    }

    /// A file that the program writes beside the text.
    pub(crate) fn beside(&self, end: &str) -> PathBuf {
        let mut path = self.file.clone().into_os_string();
        path.push(format!(".{end}"));
        path.into()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
