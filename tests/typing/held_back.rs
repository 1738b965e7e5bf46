//! Texts that do not get where they should: the screen is locked, or window or server go while they
//! are typed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// A lock screen on the session's bus.
struct LockScreen(Arc<AtomicBool>);

#[zbus::interface(name = "org.freedesktop.ScreenSaver")]
impl LockScreen {
    fn get_active(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The user's session, as logind has it.
struct LoginSession(Arc<AtomicBool>);

#[zbus::interface(name = "org.freedesktop.login1.Session")]
impl LoginSession {
    #[zbus(property)]
    fn locked_hint(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn nothing_is_typed_into_a_locked_screen() -> Result<()> {
    let Some(mut stage) = Stage::raise(None, "").await? else {
        return Ok(());
    };
    let (screen, hint) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let bus = stage.desktop.connect().await?;
    let objects = bus.object_server();
    let lock_screen = LockScreen(screen.clone());
    objects
        .at("/org/freedesktop/ScreenSaver", lock_screen)
        .await?;
    let session = LoginSession(hint.clone());
    objects
        .at("/org/freedesktop/login1/session/auto", session)
        .await?;
    bus.request_name("org.freedesktop.ScreenSaver").await?;
    bus.request_name("org.freedesktop.login1").await?;

    let word = sound::speak(stage.desktop.path(), "word", "Yes.")?;
    let mut before = String::new();
    for (number, locks) in [(1, &screen), (3, &hint)] {
        locks.store(true, Ordering::Relaxed);
        let seen = stage.say(&word, "final").await?;
        let told = troubles(&seen);
        assert!(
            told.len() == 1 && told[0].contains("the screen is locked: unlock it"),
            "{told:?}"
        );
        let (ok, said) = stage.ctl(&["retype"]).await?;
        assert!(!ok && said.contains("the screen is locked"), "{said}");
        let kept = format!("number {number}\n");
        assert_eq!(stage.ctl(&["last"]).await?, (true, kept));
        assert_eq!(stage.text()?, before);

        locks.store(false, Ordering::Relaxed);
        stage.retype().await?;
        stage
            .holds(format!("{before} number {number}").trim())
            .await?;
        stage.say(&word, "final").await?;
        before = format!("{before} number {number} number {}", number + 1)
            .trim()
            .to_owned();
        stage.holds(&before).await?;
        locks.store(true, Ordering::Relaxed);
        let (ok, said) = stage.ctl(&["undo"]).await?;
        assert!(!ok && said.contains("the screen is locked"), "{said}");
        locks.store(false, Ordering::Relaxed);
    }
    stage.end().await
}

/// Few enough characters in a second that something can happen between two of them.
const SLOWLY: &str = "[typing]\ncharacters_per_s = 4\n";

impl Stage {
    /// Types the last text once more, and waits until that is told.
    async fn retype(&mut self) -> Result<()> {
        let (ok, said) = self.ctl(&["retype"]).await?;
        ensure!(ok, "{said}");
        loop {
            if let Seen::Delivered { .. } = self.follower.next().await? {
                return Ok(());
            }
        }
    }

    /// Says a word, and waits until some of its text is in the window.
    async fn begin(&mut self, word: &Path) -> Result<()> {
        let options = self.options("final")?;
        let sound = File::open(word)?;
        self.daemon.proxy.feed(Fd::from(&sound), options).await?;
        for _ in 0..1000 {
            if !self.text()?.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::bail!("nothing is typed")
    }

    /// How many characters of an utterance the daemon says were typed before it stopped.
    async fn stopped(&mut self, number: u64) -> Result<usize> {
        loop {
            match self.follower.next().await? {
                Seen::Trouble { message, .. } => {
                    let count = message
                        .strip_prefix("only the first ")
                        .and_then(|rest| rest.split(' ').next());
                    return Ok(count.with_context(|| message.clone())?.parse()?);
                }
                Seen::Delivered { utterance, .. } if utterance == number => {
                    anyhow::bail!("it was typed")
                }
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn what_stops_in_the_middle_is_counted_and_kept() -> Result<()> {
    let Some(mut stage) = Stage::raise(None, SLOWLY).await? else {
        return Ok(());
    };
    let word = sound::speak(stage.desktop.path(), "word", "Yes.")?;

    // Another window gets the focus.
    let second = stage.desktop.path().join("second");
    let mut field = open(&stage.screen, &stage.desktop, &second, "second", &[]).await?;
    focus(&stage.screen, &stage.desktop, "first").await?;
    stage.begin(&word).await?;
    focus(&stage.screen, &stage.desktop, "second").await?;
    let typed = stage.stopped(1).await?;
    assert_eq!(stage.text()?, "number 1"[..typed]);
    let kept = (true, "number 1\n".to_owned());
    assert_eq!(stage.ctl(&["last"]).await?, kept);
    stage.retype().await?;
    stage.file = second;
    stage.holds("number 1").await?;

    // The window closes.
    std::fs::write(&stage.file, "")?;
    stage.begin(&word).await?;
    field.kill().await?;
    assert!((1..8).contains(&stage.stopped(2).await?));
    assert_eq!(stage.ctl(&["last"]).await?.1, "number 2\n");
    let third = stage.desktop.path().join("third");
    let mut field = open(&stage.screen, &stage.desktop, &third, "third", &[]).await?;
    stage.file = third;
    stage.retype().await?;
    stage.holds("number 2").await?;

    // The X server ends.
    std::fs::write(&stage.file, "")?;
    stage.begin(&word).await?;
    let screen = Screen::raise("x11").await?.context("another screen")?;
    let before = std::mem::replace(&mut stage.screen, screen);
    drop(before);
    assert!((1..8).contains(&stage.stopped(3).await?));
    assert_eq!(stage.ctl(&["last"]).await?.1, "number 3\n");
    field.wait().await?;
    let fourth = stage.desktop.path().join("fourth");
    let mut field = open(&stage.screen, &stage.desktop, &fourth, "fourth", &[]).await?;
    stage.file = fourth;
    stage.say(&word, "final").await?;
    stage.holds("number 4").await?;
    field.kill().await?;
    stage.end().await
}
