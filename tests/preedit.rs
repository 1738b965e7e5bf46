//! Words on a Wayland desktop that may still change: they are shown where they will stand, and what
//! is committed takes their place. The drivers alone are tried in `daemon/typing`.

use anyhow::{Context as _, Result, ensure};
use wstream_tests::{Seen, models_with, sound};

use crate::typing::Stage;

#[tokio::test]
async fn words_that_may_change_are_shown_where_they_will_stand() -> Result<()> {
    let Some(models) = models_with("tiny.en") else {
        return Ok(());
    };
    let Some(mut stage) = Stage::raise_on("wayland", Some(&models), "").await? else {
        return Ok(());
    };
    let sentence = "The first words are settled while the last ones may still change.";
    let spoken = sound::speak(stage.desktop.path(), "sentence", sentence)?;
    let mut said = String::new();
    let mut delivered = None;
    for seen in stage.say(&spoken, "live").await? {
        match seen {
            Seen::Final { text, .. } => said.push_str(&text),
            Seen::Trouble { message, .. } => anyhow::bail!("{message}"),
            Seen::Delivered {
                driver, verified, ..
            } => delivered = Some((driver, verified)),
            _ => {}
        }
    }
    let (driver, verified) = delivered.context("it is not told")?;
    ensure!(
        driver == "wayland-input-method" && verified,
        "{driver} {verified}"
    );
    let stands = stage.text()?;
    ensure!(stands == said && !said.is_empty(), "{stands:?} {said:?}");

    let shown = std::fs::read_to_string(stage.file.with_extension("preedit"))?;
    let shown: Vec<String> = shown
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let words = shown.iter().filter(|shown| !shown.is_empty()).count();
    ensure!(words > 0, "nothing was shown before it was settled");
    let last = shown.last().context("something was shown")?;
    ensure!(last.is_empty(), "{last:?} is still shown");
    stage.end().await
}
