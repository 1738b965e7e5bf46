//! The whole path from a microphone: through each sound server and each of cpal's hosts, seen by a
//! bus client that is not ours (`dbus-monitor`); and what the daemon costs afterwards.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use wstream_tests::{Desktop, Running, Script, corpus, models_with, sound};

/// A sound server with a virtual microphone, from `mic.sh`; ends when dropped.
pub(crate) struct Sound(pub(crate) Script);

impl Sound {
    pub(crate) async fn raise(server: &str) -> Result<Option<Self>> {
        const WANTED: [&str; 3] = ["MIC_DIR", "ALSA_CONFIG_PATH", "PIPEWIRE_RUNTIME_DIR"];
        let script = Script::raise("mic.sh", &["run", server], |name| {
            WANTED.contains(&name) || name.starts_with("PULSE_")
        })
        .await?;
        Ok(script.map(Sound))
    }

    /// Speaks a file into the microphone, at the pace of speech, to its end.
    pub(crate) async fn speak(&self, file: &Path) -> Result<()> {
        let status = Command::new("paplay")
            .envs(self.0.env.clone())
            .arg("--device=speaker")
            .arg(file)
            .status()
            .await?;
        ensure!(status.success(), "paplay ended with {status}");
        Ok(())
    }

    /// How many programs record now.
    pub(crate) async fn recorders(&self) -> Result<usize> {
        let listed = Command::new("pactl")
            .envs(self.0.env.clone())
            .args(["list", "short", "source-outputs"])
            .output()
            .await?;
        // PulseAudio's remap source is itself a recorder of the sink's monitor, without a client.
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        Ok(listed
            .lines()
            .filter(|line| line.split('\t').nth(2) != Some("-"))
            .count())
    }
}

/// Signals as `dbus-monitor` prints them: member and the number that comes first.
struct Monitor {
    lines: Lines<BufReader<ChildStdout>>,
    _monitor: Child,
}

impl Monitor {
    async fn new(desktop: &Desktop) -> Result<Self> {
        let mut monitor = desktop
            .command("dbus-monitor")
            .arg("--session")
            .arg(format!("type='signal',interface='{}'", wstream_api::NAME))
            .stdout(Stdio::piped())
            .spawn()
            .context("dbus-monitor is not installed")?;
        let stdout = monitor.stdout.take().context("stdout is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        // Its own arrival on the bus is the sign that it listens.
        lines.next_line().await?;
        Ok(Monitor {
            lines,
            _monitor: monitor,
        })
    }

    async fn next(&mut self) -> Result<(String, u64)> {
        let mut member = String::new();
        loop {
            let line = tokio::time::timeout(Duration::from_secs(120), self.lines.next_line())
                .await
                .context("dbus-monitor is silent")??
                .context("dbus-monitor has ended")?;
            if let Some((_, name)) = line.split_once("; member=") {
                member = if line.contains(wstream_api::NAME) {
                    name.trim().to_owned()
                } else {
                    String::new()
                };
            } else if let Some(number) = line.trim().strip_prefix("uint64 ")
                && !member.is_empty()
            {
                return Ok((member, number.parse()?));
            }
        }
    }
}

/// Sound files to speak: of the corpus where it is, else synthetic.
fn sentences(dir: &Path, count: usize) -> Result<Vec<std::path::PathBuf>> {
    if let Some(corpus) = corpus() {
        let manifest = std::fs::read_to_string(corpus.join("manifest.tsv"))?;
        let names = manifest.lines().filter_map(|line| line.split('\t').next());
        let chosen = names.filter(|name| name.starts_with("vctk/"));
        return Ok(chosen.take(count).map(|name| corpus.join(name)).collect());
    }
    const TEXTS: [&str; 3] = [
        "The weather is fine today.",
        "We will walk to the river.",
        "Please write that down for me.",
    ];
    (0..count)
        .map(|i| sound::speak(dir, &format!("sentence-{i}"), TEXTS[i % TEXTS.len()]))
        .collect()
}

async fn session(server: &str, host: &str, count: usize) -> Result<()> {
    let Some(models) = models_with("tiny.en") else {
        return Ok(());
    };
    let Some(sound) = Sound::raise(server).await? else {
        return Ok(());
    };
    let desktop = Desktop::new(&models).await?;
    desktop.configure(&format!(
        "model = \"tiny.en\"\n[audio]\nhost = \"{host}\"\n[engine]\nunload_after_s = 1\n"
    ))?;
    let daemon = desktop
        .start_with(|command| {
            command.envs(sound.0.env.clone());
        })
        .await?;
    let mut monitor = Monitor::new(&desktop).await?;
    ensure!(
        sound.recorders().await? == 0,
        "a microphone is open before start"
    );
    daemon.proxy.start(std::collections::HashMap::new()).await?;
    ensure!(sound.recorders().await? == 1, "the microphone is not open");

    for file in sentences(desktop.path(), count)? {
        let speaking = sound.speak(&file);
        // At least one utterance a file; a pause in a sentence may make two of it.
        let hearing = async {
            let (mut open, mut partials, mut finals) = (0, 0, 0);
            while finals == 0 || open > 0 {
                match monitor.next().await?.0.as_str() {
                    "Started" => open += 1,
                    "Partial" => partials += 1,
                    "Final" => {
                        open -= 1;
                        finals += 1;
                    }
                    "Ended" => {}
                    other => anyhow::bail!("{other} in the middle of dictation"),
                }
            }
            ensure!(partials > 0, "no partial of {}", file.display());
            Ok(())
        };
        let (spoken, heard) = tokio::join!(speaking, hearing);
        spoken?;
        heard.with_context(|| format!("{server} through {host}, {}", file.display()))?;
    }
    daemon.proxy.stop().await?;
    while monitor.next().await?.0 != "SessionEnded" {}
    idle(&daemon, &sound)
        .await
        .with_context(|| format!("{server} through {host}"))?;
    daemon.terminate().await
}

/// After a session the daemon is small, does nothing, and holds no microphone.
#[allow(clippy::print_stderr, reason = "the figure is worth reading")]
async fn idle(daemon: &Running, sound: &Sound) -> Result<()> {
    while !daemon.engine_pids()?.is_empty() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ensure!(
        sound.recorders().await? == 0,
        "the microphone is still open"
    );
    let pid = daemon.pid()?;
    // The requirement is 60 s; a tick is a tick, so a short look already sees a timer.
    let slow = std::env::var_os("RUN_SLOW_TESTS").is_some();
    let looked = Duration::from_secs(if slow { 60 } else { 10 });
    let (before, switches_before) = (daemon.cpu_ticks()?, context_switches(pid)?);
    tokio::time::sleep(looked).await;
    let (ticks, switches) = (
        daemon.cpu_ticks()? - before,
        context_switches(pid)? - switches_before,
    );
    let pss_kib = pss_kib(pid)?;
    eprintln!("idle: {pss_kib} KiB PSS, {ticks} ticks and {switches} wake-ups in {looked:?}");
    ensure!(pss_kib < 15 * 1024, "{pss_kib} KiB");
    ensure!(ticks == 0, "{ticks} ticks of CPU in {looked:?} of idleness");
    Ok(())
}

/// `Start` answers when the first sound has come, so its time is what is missing of a first word that
/// is spoken with the key. Printed, not judged.
#[allow(clippy::print_stderr, reason = "the figure is worth reading")]
async fn opening(server: &str, host: &str) -> Result<()> {
    let Some(models) = models_with("tiny.en") else {
        return Ok(());
    };
    let Some(sound) = Sound::raise(server).await? else {
        return Ok(());
    };
    let desktop = Desktop::new(&models).await?;
    desktop.configure(&format!(
        "model = \"tiny.en\"\n[audio]\nhost = \"{host}\"\n"
    ))?;
    let daemon = desktop
        .start_with(|command| {
            command.envs(sound.0.env.clone());
        })
        .await?;
    let mut monitor = Monitor::new(&desktop).await?;
    let mut times = Vec::new();
    for _ in 0..11 {
        let began = std::time::Instant::now();
        daemon.proxy.start(std::collections::HashMap::new()).await?;
        times.push(began.elapsed());
        ensure!(sound.recorders().await? == 1, "it is not open");
        daemon.proxy.stop().await?;
        while monitor.next().await?.0 != "SessionEnded" {}
        // The server may take a moment to forget it.
        while sound.recorders().await? != 0 {
            ensure!(began.elapsed().as_secs() < 10, "it is still open");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    // The first loads libraries, too.
    let cold = times.remove(0);
    times.sort();
    eprintln!(
        "{server} through {host}: first sound {cold:.0?} after the first Start, then {:.0?} in the middle and {:.0?} at most of {}",
        times[times.len() / 2],
        times[times.len() - 1],
        times.len()
    );
    daemon.terminate().await
}

#[tokio::test]
async fn opening_takes_so_long() -> Result<()> {
    for (server, host) in [
        ("pulseaudio", "pulseaudio"),
        ("pulseaudio", "alsa"),
        ("pipewire", "pulseaudio"),
        ("pipewire", "pipewire"),
    ] {
        opening(server, host)
            .await
            .with_context(|| format!("{server} through {host}"))?;
    }
    Ok(())
}

/// How often the threads of a process have gone to sleep.
fn context_switches(pid: i32) -> Result<u64> {
    let mut switches = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = std::fs::read_to_string(task?.path().join("status"))?;
        let line = status
            .lines()
            .find(|line| line.starts_with("voluntary_ctxt_switches"));
        let count = line.and_then(|line| line.split_whitespace().nth(1));
        switches += count.context("a count")?.parse::<u64>()?;
    }
    Ok(switches)
}

/// Proportional set size: memory of its own, and its share of what is shared.
fn pss_kib(pid: i32) -> Result<u64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find(|line| line.starts_with("Pss:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kib.context("a Pss line")?.parse()?)
}

#[tokio::test]
async fn pulseaudio_through_its_protocol() -> Result<()> {
    session("pulseaudio", "pulseaudio", 10).await
}

#[tokio::test]
async fn pulseaudio_through_alsa() -> Result<()> {
    session("pulseaudio", "alsa", 3).await
}

#[tokio::test]
async fn pipewire_through_pulseaudio_s_protocol() -> Result<()> {
    session("pipewire", "pulseaudio", 10).await
}

/// Needs the daemon built with the feature `pipewire`, as run.sh builds it.
#[tokio::test]
async fn pipewire_through_its_own() -> Result<()> {
    session("pipewire", "pipewire", 3).await
}
