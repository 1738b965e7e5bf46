//! Words on a Wayland desktop: those that may still change are shown underlined where they will
//! stand, and what is committed takes their place. The drivers alone are tried in `daemon/typing`.

use std::collections::HashMap;
use std::fs::File;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use wstream_api::keys;
use wstream_tests::{Desktop, Follower, Screen, Seen, models_with, root, sound};
use zbus::{Fd, Variant};

#[tokio::test]
async fn words_that_may_change_are_shown_where_they_will_stand() -> Result<()> {
    let (Some(models), Some(screen)) = (models_with("tiny.en"), Screen::raise("wayland").await?)
    else {
        return Ok(());
    };
    let desktop = Desktop::new(&models).await?;
    desktop.configure("model = \"tiny.en\"\n")?;
    let daemon = desktop.start().await?;
    let mut follower = Follower::new(&daemon.connection).await?;
    let file = desktop.path().join("field");
    let mut field = screen
        .command(&desktop, "/usr/bin/python3")
        .arg(root().join("tests/typing/field.py"))
        .args(["4".as_ref(), file.as_os_str(), "first".as_ref()])
        .envs([("GDK_BACKEND", "wayland"), ("NO_AT_BRIDGE", "1")])
        .envs([("GSETTINGS_BACKEND", "memory"), ("GSK_RENDERER", "cairo")])
        .stderr(Stdio::null())
        .spawn()?;
    let focused = file.with_extension("focus");
    for _ in 0..1000 {
        if focused.exists() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    ensure!(focused.exists(), "the field has not got the focus");

    let sentence = "The first words are settled while the last ones may still change.";
    let spoken = sound::speak(desktop.path(), "sentence", sentence)?;
    let variables = HashMap::from([("WAYLAND_DISPLAY".to_owned(), screen.wayland()?)]);
    let options: HashMap<&str, Variant<'_>> = HashMap::from([
        (keys::TYPING, "live".into()),
        (keys::DESKTOP, variables.into()),
        (keys::REALTIME, true.into()),
    ]);
    let spoken = File::open(spoken)?;
    daemon.proxy.feed(Fd::from(&spoken), options).await?;
    let mut said = String::new();
    let (driver, verified) = loop {
        match follower.next().await? {
            Seen::Final { text, .. } => said.push_str(&text),
            Seen::Trouble { message, .. } => anyhow::bail!("{message}"),
            Seen::Delivered {
                driver, verified, ..
            } => break (driver, verified),
            _ => {}
        }
    };
    ensure!(
        driver == "wayland-input-method" && verified,
        "{driver} {verified}"
    );
    let stands = std::fs::read_to_string(&file)?;
    ensure!(stands == said && !said.is_empty(), "{stands:?} {said:?}");

    let shown = std::fs::read_to_string(file.with_extension("preedit"))?;
    let shown: Vec<String> = shown
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let words = shown.iter().filter(|shown| !shown.is_empty()).count();
    ensure!(words > 0, "nothing was shown before it was settled");
    let last = shown.last().context("something was shown")?;
    ensure!(last.is_empty(), "{last:?} is still shown");

    field.kill().await?;
    daemon.terminate().await
}
