//! What becomes of dictation when microphones and sound servers come and go, in silence and in the
//! middle of an utterance: it goes on by itself, every utterance has its end, nobody waits for a
//! server that hangs, and nothing is left behind.
//!
//! Two rounds of each fault, one in silence and one in the middle of an utterance; with
//! `RUN_SLOW_TESTS` forty. The times are printed, not judged.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::process::{Child, Command};
use wstream_tests::{
    Desktop, Follower, Running, Script, Seen, dictation, models_with, root, sound,
};

const SENTENCE: &str = "Please write that down for me, and read it back.";
const LONG: &str = "The first sentence is short. After it comes a much longer second sentence, \
    with many words in it, which goes on and on until the very end.";

/// How many of them have been heard when a fault strikes in the middle.
const FIRST_WORDS: usize = 4;

/// The goal is 3 s; beyond this it hangs.
const RECOVERY: Duration = Duration::from_secs(30);
/// A small model on a busy machine.
const DECODING: Duration = Duration::from_secs(60);
/// An answer takes milliseconds.
const ANSWER: Duration = Duration::from_secs(5);
/// Of one core, while a fault lasts; a storm of errors takes all of it.
const STORM: f64 = 0.6;

/// Much more than nothing, much less than a voice: the test hears by it that it is heard.
const PILOT_VOLUME: &str = "0.001";
const PILOT_RMS: f64 = 0.000_1;

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Every microphone is pulled out, and comes back.
    Unplugged,
    /// The default of two is pulled out.
    OneOfTwo,
    /// The sound server is asked to end, and is started again.
    Terminated,
    /// The sound server dies, and is started again.
    Killed,
    /// Another microphone becomes the default.
    OtherDefault,
    /// Another program has the device to itself: the server suspends its source.
    Busy,
    /// The sound server stands still.
    Stalled,
}

const FAULTS: [Fault; 7] = [
    Fault::Unplugged,
    Fault::OneOfTwo,
    Fault::Terminated,
    Fault::Killed,
    Fault::OtherDefault,
    Fault::Busy,
    Fault::Stalled,
];

/// How a fault is made, with commands of `mic.sh`.
struct Course {
    /// Before it, and who hears then.
    before: &'static [&'static str],
    speaker: &'static str,
    /// The fault, and how long it lasts.
    strike: &'static str,
    lasts: Duration,
    /// Its end, where it has one, and who hears then.
    mend: Option<&'static str>,
    then: &'static str,
    after: &'static [&'static str],
}

impl Fault {
    fn course(self) -> Course {
        let course = |strike, lasts_ms, mend| Course {
            before: &[],
            speaker: "speaker",
            strike,
            lasts: Duration::from_millis(lasts_ms),
            mend: Some(mend),
            then: "speaker",
            after: &[],
        };
        match self {
            Fault::Unplugged => course("unplug", 1500, "plug"),
            Fault::OneOfTwo => Course {
                before: &["plug-second"],
                speaker: "speaker2",
                mend: None,
                ..course("unplug-second", 0, "")
            },
            Fault::Terminated => course("stop TERM", 1500, "start"),
            Fault::Killed => course("stop KILL", 1500, "start"),
            Fault::OtherDefault => Course {
                before: &["plug-second", "default microphone"],
                mend: None,
                then: "speaker2",
                after: &["unplug-second"],
                ..course("default microphone2", 0, "")
            },
            // Longer than what is taken for a pause.
            Fault::Busy => course("suspend", 4000, "resume"),
            Fault::Stalled => course("stall", 4000, "go-on"),
        }
    }
}

/// A daemon that listens, and what it listens to.
struct Station {
    sound: Script,
    daemon: Running,
    follower: Follower,
    /// Utterances without an end.
    open: HashSet<u64>,
    /// Texts of finals, and messages of failures and troubles, since the fault's beginning.
    finals: Vec<String>,
    failures: Vec<String>,
    lost: u32,
    slowest_answer: Arc<Mutex<Duration>>,
    asking: tokio::task::JoinHandle<()>,
    pilot: PathBuf,
    sentence: PathBuf,
    long: PathBuf,
    _desktop: Desktop,
}

/// What a fault cost.
struct Cost {
    /// From the return of the device to sound of it.
    captured: Duration,
    /// From there to the final of a sentence.
    recognised: Duration,
    /// Share of a core.
    cpu: f64,
}

impl Station {
    async fn raise(server: &str, host: &str) -> Result<Option<Self>> {
        let Some(models) = models_with("tiny.en") else {
            return Ok(None);
        };
        let wanted = |name: &str| {
            ["ALSA_CONFIG_PATH", "PIPEWIRE_RUNTIME_DIR"].contains(&name)
                || name.starts_with("PULSE_")
                || name.starts_with("MIC_")
        };
        let Some(sound) = Script::raise("mic.sh", &["run", server], wanted).await? else {
            return Ok(None);
        };
        let desktop = Desktop::new(&models).await?;
        desktop.configure(&format!(
            "model = \"tiny.en\"\n[audio]\nhost = \"{host}\"\n"
        ))?;
        let daemon = desktop
            .start_with(|command| {
                command.envs(sound.env.clone());
            })
            .await?;
        let follower = Follower::new(&daemon.connection).await?;
        let pilot = desktop.path().join("pilot.wav");
        let noise = ["synth", "60", "whitenoise", "vol", PILOT_VOLUME];
        let mut make: Vec<&std::ffi::OsStr> = ["-n", "-r", "48000", "-c", "1", "-b", "16"]
            .iter()
            .map(|it| it.as_ref())
            .collect();
        make.push(pilot.as_os_str());
        make.extend(noise.iter().map(AsRef::<std::ffi::OsStr>::as_ref));
        sound::sox(&make)?;
        daemon.proxy.start(HashMap::new()).await?;
        daemon.proxy.watch_level(true).await?;
        let slowest_answer = Arc::new(Mutex::new(Duration::ZERO));
        let asking = tokio::spawn(ask(desktop.connect().await?, slowest_answer.clone()));
        Ok(Some(Station {
            sentence: sound::speak(desktop.path(), "sentence", SENTENCE)?,
            long: sound::speak(desktop.path(), "long", LONG)?,
            sound,
            daemon,
            follower,
            open: HashSet::new(),
            finals: Vec::new(),
            failures: Vec::new(),
            lost: 0,
            slowest_answer,
            asking,
            pilot,
            _desktop: desktop,
        }))
    }

    /// Runs a command of `mic.sh`.
    async fn mic(&self, command: &str) -> Result<()> {
        let status = Command::new(root().join("tests/mic.sh"))
            .envs(self.sound.env.clone())
            .args(command.split(' '))
            .status();
        let status = tokio::time::timeout(Duration::from_secs(30), status).await??;
        ensure!(status.success(), "mic.sh {command} ended with {status}");
        Ok(())
    }

    fn play(&self, speaker: &str, file: &std::path::Path) -> Result<Child> {
        Ok(Command::new("paplay")
            .envs(self.sound.env.clone())
            .arg(format!("--device={speaker}"))
            .arg(file)
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()?)
    }

    /// Takes the next signal into account.
    async fn see(&mut self) -> Result<Seen> {
        let seen = self.follower.next().await?;
        match &seen {
            Seen::Started { utterance, .. } => {
                self.open.insert(*utterance);
            }
            Seen::Final {
                utterance, text, ..
            } => {
                self.open.remove(utterance);
                self.finals.push(text.clone());
            }
            Seen::Failed {
                utterance, message, ..
            } => {
                self.open.remove(utterance);
                self.failures.push(message.clone());
            }
            Seen::Cancelled { utterance } => anyhow::bail!("{utterance} was cancelled"),
            Seen::SessionEnded { .. } => anyhow::bail!("the session has ended"),
            Seen::Trouble { name, message } => match name.rsplit('.').next() {
                Some("MicrophoneLost") => self.lost += 1,
                // Nobody speaks for a while, and a null sink makes no noise of its own.
                Some("MicrophoneSilent" | "NoMicrophone" | "UnknownMicrophone") => {}
                _ => anyhow::bail!("{name}: {message}"),
            },
            _ => {}
        }
        Ok(seen)
    }

    /// Looks on until that is so.
    async fn until(
        &mut self,
        patience: Duration,
        what: &str,
        mut wanted: impl FnMut(&Self, &Seen) -> bool,
    ) -> Result<()> {
        let looking = async {
            loop {
                let seen = self.see().await?;
                if wanted(self, &seen) {
                    return anyhow::Ok(());
                }
            }
        };
        let looked = tokio::time::timeout(patience, looking).await;
        looked.with_context(|| {
            let Station {
                open,
                finals,
                failures,
                ..
            } = self;
            format!("{what}: not within {patience:?}; {open:?} {finals:?} {failures:?}")
        })?
    }

    /// Looks on for so long.
    async fn watch(&mut self, time: Duration) -> Result<()> {
        let until = tokio::time::Instant::now() + time;
        while let Ok(seen) = tokio::time::timeout_at(until, self.see()).await {
            seen?;
        }
        Ok(())
    }

    /// Waits until nothing is heard of what was played before.
    async fn quiet(&mut self) -> Result<()> {
        const PAUSE: Duration = Duration::from_millis(300);
        while let Ok(seen) = tokio::time::timeout(PAUSE, self.see()).await {
            if matches!(seen?, Seen::Level { rms } if rms <= PILOT_RMS) {
                break;
            }
        }
        Ok(())
    }

    /// Waits until what this speaker plays is heard.
    async fn heard(&mut self, speaker: &str) -> Result<()> {
        let began = Instant::now();
        let mut playing = self.play(speaker, &self.pilot)?;
        let mut heard = false;
        while !heard {
            ensure!(began.elapsed() < RECOVERY, "{speaker} is not heard");
            // The server may not have been ready for it.
            if playing.try_wait()?.is_some() {
                playing = self.play(speaker, &self.pilot)?;
            }
            let part = tokio::time::Instant::now() + Duration::from_millis(200);
            while let Ok(seen) = tokio::time::timeout_at(part, self.see()).await {
                if matches!(seen?, Seen::Level { rms } if rms > PILOT_RMS) {
                    heard = true;
                    break;
                }
            }
        }
        playing.kill().await?;
        Ok(())
    }

    /// Speaks until the first words are shown. On a busy machine they may come behind their sound:
    /// then it is spoken again.
    async fn begin_to_speak(&mut self, speaker: &str) -> Result<Child> {
        for _ in 0..5 {
            let mut speaking = self.play(speaker, &self.long)?;
            loop {
                let seen = self.see().await?;
                // Of less than that a model may think that it was nothing.
                let is_shown = matches!(&seen, Seen::Partial { committed, tentative, .. }
                    if sound::words(&format!("{committed}{tentative}")).len() >= FIRST_WORDS);
                let is_over = speaking.try_wait()?.is_some();
                if is_shown && !is_over {
                    return Ok(speaking);
                }
                if is_over && self.open.is_empty() {
                    break;
                }
            }
        }
        anyhow::bail!("no words are shown while somebody speaks")
    }

    async fn case(&mut self, fault: Fault, round: u32) -> Result<Cost> {
        let (course, middle) = (fault.course(), round % 2 == 1);
        for command in course.before {
            self.mic(command).await?;
        }
        self.heard(course.speaker).await?;
        self.finals.clear();
        self.failures.clear();
        self.lost = 0;
        let mut speaking = None;
        if middle {
            speaking = Some(self.begin_to_speak(course.speaker).await?);
        }

        let (began, ticks) = (Instant::now(), self.daemon.cpu_ticks()?);
        self.mic(course.strike).await?;
        drop(speaking);
        if let Some(mend) = course.mend {
            // Not always at the same distance from the next attempt.
            self.watch(course.lasts + Duration::from_millis(u64::from(round * 370 % 1000)))
                .await?;
            self.mic(mend).await?;
        }
        let back = Instant::now();
        self.quiet().await?;
        self.heard(course.then).await?;
        let captured = back.elapsed();
        let cpu = (self.daemon.cpu_ticks()? - ticks) as f64 / 100.0 / began.elapsed().as_secs_f64();

        if !self.open.is_empty() {
            self.until(DECODING, "the end of the utterance", |station, _| {
                station.open.is_empty()
            })
            .await?;
        }
        if middle {
            let texts = self.finals.join(" ");
            ensure!(
                !texts.trim().is_empty() || !self.failures.is_empty(),
                "what was said before the fault is nowhere"
            );
        }
        // What a server has suspended can be opened again, and fall silent again.
        let most = if matches!(fault, Fault::Busy) { 2 } else { 1 };
        ensure!(self.lost <= most, "told {} times", self.lost);

        self.finals.clear();
        let spoken = Instant::now();
        let mut speaking = self.play(course.then, &self.sentence)?;
        self.until(DECODING, SENTENCE, |station, _| {
            sound::understood(SENTENCE, &station.finals.join(" "))
        })
        .await?;
        let recognised = spoken.elapsed();
        speaking.wait().await?;
        self.until(DECODING, "silence", |station, _| station.open.is_empty())
            .await?;
        for command in course.after {
            self.mic(command).await?;
        }
        ensure!(!self.asking.is_finished(), "the daemon does not answer");
        ensure!(cpu < STORM, "{:.0} % of a core", cpu * 100.0);
        Ok(Cost {
            captured,
            recognised,
            cpu,
        })
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

/// Asks for the state ten times a second; ends when there is no answer.
async fn ask(connection: zbus::Connection, slowest: Arc<Mutex<Duration>>) {
    let Ok(proxy) = dictation(&connection).await else {
        return;
    };
    loop {
        let asked = Instant::now();
        let state = tokio::time::timeout(ANSWER, proxy.state()).await;
        if !matches!(state, Ok(Ok(state)) if state == "listening") {
            return;
        }
        {
            let mut slowest = slowest.lock().unwrap_or_else(PoisonError::into_inner);
            *slowest = asked.elapsed().max(*slowest);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[allow(clippy::print_stderr, reason = "the figures are worth reading")]
async fn rounds(server: &str, host: &str, faults: &[Fault]) -> Result<()> {
    let Some(mut station) = Station::raise(server, host).await? else {
        return Ok(());
    };
    let slow = std::env::var_os("RUN_SLOW_TESTS").is_some();
    let rounds = if slow { 40 } else { 2 };
    let pid = station.daemon.pid()?;
    let mut first = None;
    let mut costs: Vec<Vec<Cost>> = faults.iter().map(|_| Vec::new()).collect();
    // By hand: one of them.
    let only = std::env::var("WSTREAM_FAULT").unwrap_or_default();
    for round in 0..rounds {
        for (fault, costs) in faults.iter().zip(&mut costs) {
            if !only.is_empty() && format!("{fault:?}") != only {
                continue;
            }
            let middle = round % 2 == 1;
            let place = format!("{server} through {host}, {fault:?}, middle: {middle}, {round}");
            let cost = station.case(*fault, round).await.context(place)?;
            eprintln!(
                "{server} {host} {round} {fault:?} middle={middle}: heard after {:.2} s, final {:.2} s after speech began, {:.1} % CPU, {} threads, {} descriptors",
                cost.captured.as_secs_f64(),
                cost.recognised.as_secs_f64(),
                cost.cpu * 100.0,
                entries(pid, "task")?,
                entries(pid, "fd")?,
            );
            costs.push(cost);
        }
        first.get_or_insert((entries(pid, "task")?, entries(pid, "fd")?));
    }
    for (fault, costs) in faults
        .iter()
        .zip(&costs)
        .filter(|(_, costs)| !costs.is_empty())
    {
        let mut captured: Vec<f64> = costs.iter().map(|it| it.captured.as_secs_f64()).collect();
        captured.sort_by(f64::total_cmp);
        let cpu = costs.iter().map(|it| it.cpu).fold(0.0, f64::max);
        eprintln!(
            "| {server} | {host} | {fault:?} | {} | {:.2} | {:.2} | {:.0} % |",
            captured.len(),
            captured[captured.len() / 2],
            captured[captured.len() - 1],
            cpu * 100.0,
        );
    }
    let slowest = *station
        .slowest_answer
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let (threads, descriptors) = (entries(pid, "task")?, entries(pid, "fd")?);
    let (threads_first, descriptors_first) = first.context("a round")?;
    eprintln!(
        "slowest answer {slowest:?}; threads {threads_first} -> {threads}, descriptors {descriptors_first} -> {descriptors}"
    );
    let left_behind = if host == "alsa" { rounds as usize } else { 0 };
    ensure!(
        threads <= threads_first + 3 + 3 * left_behind,
        "{threads} threads"
    );
    ensure!(
        descriptors <= descriptors_first + 10 + 7 * left_behind,
        "{descriptors} descriptors"
    );
    station.asking.abort();
    station.daemon.proxy.stop().await?;
    Ok(())
}

fn entries(pid: i32, folder: &str) -> Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/{folder}"))?.count())
}

#[tokio::test]
async fn pulseaudio() -> Result<()> {
    rounds("pulseaudio", "pulseaudio", &FAULTS).await
}

#[tokio::test]
async fn pipewire() -> Result<()> {
    rounds("pipewire", "pulseaudio", &FAULTS).await
}

/// Where errors come by the hundred thousand, and closing may never return: what ALSA's plugin leaves
/// behind with each server that dies is allowed for.
#[tokio::test]
async fn pulseaudio_through_alsa() -> Result<()> {
    if std::env::var_os("RUN_SLOW_TESTS").is_none() {
        return Ok(());
    }
    let faults = [Fault::Unplugged, Fault::Killed];
    rounds("pulseaudio", "alsa", &faults).await
}

/// Needs the daemon built with the feature `pipewire`, as run.sh builds it.
#[tokio::test]
async fn pipewire_through_its_own() -> Result<()> {
    if std::env::var_os("RUN_SLOW_TESTS").is_none() {
        return Ok(());
    }
    let faults = [Fault::Unplugged, Fault::Killed, Fault::OtherDefault];
    rounds("pipewire", "pipewire", &faults).await
}
