//! What becomes of listening when the screen is locked, the machine sleeps, nobody speaks, or the
//! daemon dies: a real daemon and microphone, and a stand-in for logind on the system's bus.
//!
//! Times are printed, not judged.

#![allow(clippy::print_stdout, reason = "measurements, shown with --nocapture")]

use std::collections::HashMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use wstream_api::{DictationProxy, Error};
use wstream_tests::{Desktop, Follower, Running, Seen, models_with, sound};
use zbus::{ObjectPath, OwnedFd, OwnedObjectPath};

use crate::microphone::Sound;

const MANAGER: &str = "/org/freedesktop/login1";
const SESSION: &str = "/org/freedesktop/login1/session/_32";
const SENTENCE: &str = "Please write that down for me before you go home.";
/// What takes milliseconds when all is well.
const PATIENCE: Duration = Duration::from_secs(30);

/// logind, as far as a session knows it.
struct Manager {
    /// The other ends of what holds sleep up.
    inhibitors: std::sync::mpsc::Sender<std::fs::File>,
}

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl Manager {
    /// As for a user's service, which is in no session.
    #[zbus(name = "GetSessionByPID")]
    fn get_session_by_pid(&self, pid: u32) -> zbus::fdo::Result<OwnedObjectPath> {
        Err(zbus::fdo::Error::Failed(format!(
            "PID {pid} is in no session"
        )))
    }

    fn inhibit(
        &self,
        what: &str,
        _who: &str,
        _why: &str,
        mode: &str,
    ) -> zbus::fdo::Result<OwnedFd> {
        let failed = |error: std::io::Error| zbus::fdo::Error::Failed(error.to_string());
        let (reader, writer) = rustix::pipe::pipe().map_err(|error| failed(error.into()))?;
        if (what, mode) == ("sleep", "delay") {
            let _ = self.inhibitors.send(reader.into());
        }
        Ok(writer.into())
    }
}

struct User;

#[zbus::interface(name = "org.freedesktop.login1.User")]
impl User {
    #[zbus(property)]
    fn display(&self) -> (String, OwnedObjectPath) {
        let path = ObjectPath::from_static_str_unchecked(SESSION);
        ("2".to_owned(), path.into())
    }
}

struct Session(Arc<AtomicBool>);

#[zbus::interface(name = "org.freedesktop.login1.Session")]
impl Session {
    #[zbus(property)]
    fn locked_hint(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

fn configuration(keep_open: bool, session: &str) -> String {
    format!(
        "model = \"tiny.en\"\n[audio]\nhost = \"pulseaudio\"\nkeep_open = {keep_open}\n[session]\n{session}\n"
    )
}

struct Stage {
    sound: Sound,
    desktop: Desktop,
    daemon: Running,
    /// Asked each time.
    follower: Follower,
    logind: zbus::Connection,
    is_locked: Arc<AtomicBool>,
    inhibitors: std::sync::mpsc::Receiver<std::fs::File>,
    sentence: PathBuf,
}

impl Stage {
    /// With these lines under `[session]`; `None` where something is not installed.
    async fn raise(settings: &str) -> Result<Option<Self>> {
        let Some(models) = models_with("tiny.en") else {
            return Ok(None);
        };
        let Some(sound) = Sound::raise("pulseaudio").await? else {
            return Ok(None);
        };
        let desktop = Desktop::new(&models).await?;
        desktop.configure(&configuration(false, settings))?;
        let (given, inhibitors) = std::sync::mpsc::channel();
        let logind = desktop.connect().await?;
        let objects = logind.object_server();
        objects.at(MANAGER, Manager { inhibitors: given }).await?;
        objects
            .at("/org/freedesktop/login1/user/self", User)
            .await?;
        let is_locked = Arc::<AtomicBool>::default();
        objects.at(SESSION, Session(is_locked.clone())).await?;
        logind.request_name("org.freedesktop.login1").await?;
        let sentence = sound::speak(desktop.path(), "sentence", SENTENCE)?;
        let (daemon, follower) = start(&desktop, &sound).await?;
        Ok(Some(Stage {
            sound,
            desktop,
            daemon,
            follower,
            logind,
            is_locked,
            inhibitors,
            sentence,
        }))
    }

    async fn logind_says<B>(
        &self,
        path: &str,
        interface: &str,
        signal: &str,
        body: &B,
    ) -> Result<()>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let none = None::<&str>;
        let interface = format!("org.freedesktop.login1.{interface}");
        Ok(self
            .logind
            .emit_signal(none, path, interface.as_str(), signal, body)
            .await?)
    }

    /// As a lock screen that tells logind.
    async fn session_says(&self, signal: &str) -> Result<()> {
        self.is_locked.store(signal == "Lock", Ordering::Relaxed);
        self.logind_says(SESSION, "Session", signal, &()).await
    }

    async fn sleep_says(&self, begins: bool) -> Result<()> {
        self.logind_says(MANAGER, "Manager", "PrepareForSleep", &begins)
            .await
    }

    async fn listen(&self) -> Result<u64> {
        Ok(self.daemon.proxy.start(HashMap::new()).await?)
    }

    async fn until(&self, state: &str) -> Result<()> {
        until(&self.daemon.proxy, state).await
    }

    /// What holds sleep up next; logind itself runs here as well.
    async fn inhibitor(&self) -> Result<std::fs::File> {
        for _ in 0..PATIENCE.as_millis() / 10 {
            if let Ok(given) = self.inhibitors.try_recv() {
                return Ok(given);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::bail!("nothing holds sleep up")
    }

    /// Speaks, and waits until the daemon hears it.
    async fn begin_to_speak(&mut self) -> Result<tokio::process::Child> {
        let speaking = tokio::process::Command::new("paplay")
            .envs(self.sound.0.env.clone())
            .arg("--device=speaker")
            .arg(&self.sentence)
            .kill_on_drop(true)
            .spawn()?;
        while !matches!(self.follower.next().await?, Seen::Started { .. }) {}
        Ok(speaking)
    }

    /// The end of the utterance that was begun.
    async fn end(&mut self) -> Result<Seen> {
        loop {
            let seen = self.follower.next().await?;
            if matches!(
                seen,
                Seen::Final { .. } | Seen::Failed { .. } | Seen::Cancelled { .. }
            ) {
                return Ok(seen);
            }
        }
    }

    /// Kills the daemon and starts another.
    async fn die(&mut self) -> Result<()> {
        self.daemon.child.kill().await?;
        let started = start(&self.desktop, &self.sound).await?;
        (self.daemon, self.follower) = started;
        Ok(())
    }
}

async fn start(desktop: &Desktop, sound: &Sound) -> Result<(Running, Follower)> {
    let daemon = desktop
        .start_with(|command| {
            command.envs(sound.0.env.clone());
        })
        .await?;
    let follower = Follower::new(&daemon.connection).await?;
    Ok((daemon, follower))
}

/// Waits until the daemon is in a state.
pub(crate) async fn until(proxy: &DictationProxy<'_>, state: &str) -> Result<()> {
    let waiting = async {
        while proxy.state().await? != state {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        anyhow::Ok(())
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.with_context(|| format!("it never becomes {state}"))?
}

/// That it is in a state, and stays there for a second.
async fn stays(proxy: &DictationProxy<'_>, state: &str) -> Result<()> {
    for _ in 0..10 {
        ensure!(proxy.state().await? == state, "it is not {state}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_locked_screen_closes_the_microphone() -> Result<()> {
    let Some(mut stage) = Stage::raise("resume_after_lock = false").await? else {
        return Ok(());
    };
    stage.listen().await?;
    ensure!(stage.sound.recorders().await? == 1);
    let _speaking = stage.begin_to_speak().await?;
    let locked = Instant::now();
    stage.session_says("Lock").await?;
    while stage.daemon.proxy.state().await? == wstream_api::STATE_LISTENING {}
    let known = locked.elapsed();
    while stage.sound.recorders().await? > 0 {}
    println!(
        "locked: not listening after {known:?}, microphone seen closed after {:?}",
        locked.elapsed()
    );
    // What was said becomes text; nobody starts behind a locked screen.
    ensure!(matches!(stage.end().await?, Seen::Final { .. }));
    let refused = stage.daemon.proxy.start(HashMap::new()).await;
    ensure!(matches!(refused, Err(Error::Locked(_))), "{refused:?}");
    let refused = stage.daemon.proxy.toggle(HashMap::new()).await;
    ensure!(matches!(refused, Err(Error::Locked(_))), "{refused:?}");
    ensure!(stage.sound.recorders().await? == 0);
    stage.session_says("Unlock").await?;
    stays(&stage.daemon.proxy, wstream_api::STATE_IDLE).await?;
    stage.listen().await?;
    stage.daemon.terminate().await
}

/// Not every lock screen tells logind that it is there, nor that it is gone.
#[tokio::test]
async fn a_lock_that_nobody_confirms_refuses_nobody_for_good() -> Result<()> {
    let Some(stage) = Stage::raise("resume_after_lock = true").await? else {
        return Ok(());
    };
    stage.listen().await?;
    stage.session_says("Lock").await?;
    stage.is_locked.store(false, Ordering::Relaxed);
    stage.until(wstream_api::STATE_IDLE).await?;
    let waiting = async {
        while matches!(
            stage.daemon.proxy.start(HashMap::new()).await,
            Err(Error::Locked(_))
        ) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await?;
    stage.until(wstream_api::STATE_LISTENING).await?;
    stage.daemon.terminate().await
}

#[tokio::test]
async fn listening_goes_on_behind_the_lock_where_that_is_set() -> Result<()> {
    let settings = "on_lock = \"discard\"\nresume_after_lock = true";
    let Some(mut stage) = Stage::raise(settings).await? else {
        return Ok(());
    };
    stage.listen().await?;
    let _speaking = stage.begin_to_speak().await?;
    // Also by what the lock screen says itself.
    let changed: (&str, HashMap<&str, zbus::Variant<'_>>, Vec<&str>) = (
        "org.freedesktop.login1.Session",
        HashMap::from([("LockedHint", true.into())]),
        Vec::new(),
    );
    let none = None::<&str>;
    stage
        .logind
        .emit_signal(
            none,
            SESSION,
            "org.freedesktop.DBus.Properties",
            "PropertiesChanged",
            &changed,
        )
        .await?;
    ensure!(matches!(stage.end().await?, Seen::Cancelled { .. }));
    stage.until(wstream_api::STATE_IDLE).await?;
    stage.session_says("Unlock").await?;
    stage.until(wstream_api::STATE_LISTENING).await?;
    // Who stops by themselves stays stopped.
    stage.session_says("Lock").await?;
    stage.until(wstream_api::STATE_IDLE).await?;
    stage.daemon.proxy.stop().await?;
    stage.session_says("Unlock").await?;
    stays(&stage.daemon.proxy, wstream_api::STATE_IDLE).await?;
    stage.daemon.terminate().await
}

#[tokio::test]
async fn sleep_waits_until_what_was_said_is_text() -> Result<()> {
    let Some(mut stage) = Stage::raise("resume_after_sleep = true").await? else {
        return Ok(());
    };
    ensure!(
        stage.inhibitors.try_recv().is_err(),
        "idle, it holds sleep up"
    );
    stage.listen().await?;
    let mut holding = stage.inhibitor().await?;
    let _speaking = stage.begin_to_speak().await?;
    stage.sleep_says(true).await?;
    let told = Instant::now();
    ensure!(matches!(stage.end().await?, Seen::Final { .. }));
    println!("told of sleep: the final after {:?}", told.elapsed());
    // It ends when the daemon lets go of its end.
    let let_go = tokio::task::spawn_blocking(move || holding.read(&mut [0]));
    let let_go = tokio::time::timeout(PATIENCE, let_go).await;
    ensure!(let_go.context("sleep is still held up")??? == 0);
    println!("and sleep may begin after {:?}", told.elapsed());
    stage.until(wstream_api::STATE_IDLE).await?;
    ensure!(stage.sound.recorders().await? == 0);
    stage.sleep_says(false).await?;
    stage.until(wstream_api::STATE_LISTENING).await?;
    stage.inhibitor().await?;
    stage.daemon.terminate().await
}

/// Waits until this many programs record and the daemon says that its microphone is open, or not.
async fn opens(stage: &Stage, is_open: bool) -> Result<()> {
    let waiting = async {
        loop {
            let said = stage.daemon.proxy.open_microphone().await?;
            let recorders = stage.sound.recorders().await?;
            if (!said.is_empty(), recorders) == (is_open, usize::from(is_open)) {
                return anyhow::Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.with_context(|| format!("open is never {is_open}"))?
}

#[tokio::test]
async fn a_microphone_that_is_kept_open_is_closed_when_nobody_is_there() -> Result<()> {
    let Some(mut stage) = Stage::raise("").await? else {
        return Ok(());
    };
    stays(&stage.daemon.proxy, wstream_api::STATE_IDLE).await?;
    opens(&stage, false).await?;
    stage.desktop.configure(&configuration(true, ""))?;
    opens(&stage, true).await?;
    ensure!(stage.daemon.proxy.state().await? == wstream_api::STATE_IDLE);
    // Nobody listens: nothing comes of what is said.
    stage.sound.speak(&stage.sentence).await?;
    for _ in 0..3 {
        stage.listen().await?;
        let _speaking = stage.begin_to_speak().await?;
        ensure!(matches!(stage.end().await?, Seen::Final { .. }));
        stage.daemon.proxy.stop().await?;
        opens(&stage, true).await?;
    }
    stage.session_says("Lock").await?;
    opens(&stage, false).await?;
    stage.session_says("Unlock").await?;
    opens(&stage, true).await?;
    stage.sleep_says(true).await?;
    opens(&stage, false).await?;
    stage.sleep_says(false).await?;
    opens(&stage, true).await?;
    stage.desktop.configure(&configuration(false, ""))?;
    opens(&stage, false).await?;
    stage.daemon.terminate().await
}

#[tokio::test]
async fn listening_ends_when_nobody_speaks_for_long() -> Result<()> {
    let Some(mut stage) = Stage::raise("auto_stop_s = 3").await? else {
        return Ok(());
    };
    stage.listen().await?;
    let mut speaking = stage.begin_to_speak().await?;
    let began = Instant::now();
    speaking.wait().await?;
    let spoken = began.elapsed();
    ensure!(matches!(stage.end().await?, Seen::Final { .. }));
    while !matches!(stage.follower.next().await?, Seen::SessionEnded { .. }) {}
    let lasted = began.elapsed() - spoken;
    println!("ended {lasted:?} behind the recording, which has a second of silence");
    // Not in the middle of what was said.
    ensure!(lasted > Duration::from_secs(1), "{lasted:?}");
    stage.until(wstream_api::STATE_IDLE).await?;
    ensure!(stage.sound.recorders().await? == 0);
    stage.daemon.terminate().await
}

#[tokio::test]
async fn a_daemon_that_was_killed_goes_on_where_that_is_set() -> Result<()> {
    let Some(mut stage) = Stage::raise("resume_after_crash = true").await? else {
        return Ok(());
    };
    stage.daemon.proxy.set_strategy("hybrid").await?;
    stage.listen().await?;
    stage.die().await?;
    stage.until(wstream_api::STATE_LISTENING).await?;
    ensure!(stage.daemon.proxy.strategy().await? == "hybrid");
    let _speaking = stage.begin_to_speak().await?;
    ensure!(matches!(stage.end().await?, Seen::Final { .. }));
    // Who has stopped is not listened to.
    stage.daemon.proxy.stop().await?;
    stage.until(wstream_api::STATE_IDLE).await?;
    stage.die().await?;
    stays(&stage.daemon.proxy, wstream_api::STATE_IDLE).await?;
    // Nor after an end in order.
    stage.listen().await?;
    stage.daemon.terminate().await?;
    let (daemon, _) = start(&stage.desktop, &stage.sound).await?;
    stays(&daemon.proxy, wstream_api::STATE_IDLE).await?;
    daemon.terminate().await
}
