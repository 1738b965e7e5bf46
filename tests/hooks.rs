//! `wstream-hooks`: executables of the user's, run by the real daemon's plugin.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use wstream_api::keys;
use wstream_tests::{Scene, program};

const RUN_HOOKS: &str = "[plugins]\nrun = [\"hooks\"]\n";

/// Puts an executable into a folder of hooks.
fn hook(scene: &Scene, name: &str, script: &str) -> Result<PathBuf> {
    let file = scene
        .desktop
        .path()
        .join("home/.config/wstream/hooks")
        .join(name);
    std::fs::create_dir_all(file.parent().context("a folder")?)?;
    // Written elsewhere first: a file that is still open for writing cannot be run.
    let draft = scene.desktop.path().join("draft");
    std::fs::write(&draft, script)?;
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755))?;
    std::fs::rename(draft, &file)?;
    Ok(file)
}

/// Waits until the file says that; its writer is a process that nobody else tells of.
async fn until_file_has(path: &std::path::Path, wanted: &str) -> Result<String> {
    for _ in 0..600 {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.contains(wanted) {
            return Ok(text);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let text = std::fs::read_to_string(path);
    anyhow::bail!("{} has not {wanted:?}: {text:?}", path.display())
}

async fn scene_with_hooks(log: &std::path::Path) -> Result<Scene> {
    let log = std::fs::File::create(log)?;
    let scene = Scene::with_command(RUN_HOOKS, |command| {
        command.env("WSTREAM_LOG", "info").stderr(log);
    })
    .await?;
    ensure!(program("wstream-hooks").is_file(), "it is not built");
    scene
        .plugins_until(|plugins| !plugins.is_empty() && plugins[0].contains_key(keys::PID))
        .await?;
    Ok(scene)
}

#[tokio::test]
async fn observers_get_texts_states_and_details_in_the_order_of_their_names() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let log = dir.path().join("log");
    let mut scene = scene_with_hooks(&log).await?;
    let home = scene.desktop.path().join("home");
    let record = "#!/bin/sh\n{ printf '%s ' \"${0##*/}\" \"$WSTREAM_EVENT\" \"$WSTREAM_UTTERANCE\" \
        \"$WSTREAM_LANGUAGE\"; cat; } >> \"$HOME/seen\"\n";
    hook(&scene, "final.d/20-b", record)?;
    hook(&scene, "final.d/10 a", record)?;
    let plain = hook(&scene, "final.d/30-c", record)?;
    std::fs::set_permissions(&plain, std::fs::Permissions::from_mode(0o644))?;
    let state = "#!/bin/sh\nread -r state\necho \"$state $WSTREAM_STATE\" >> \"$HOME/states\"\n";
    hook(&scene, "state.d/state", state)?;
    for _ in 0..2 {
        scene.say().await?;
    }
    let seen = until_file_has(&home.join("seen"), "20-b final 2 en number 2\n").await?;
    assert_eq!(
        seen,
        "10 a final 1 en number 1\n20-b final 1 en number 1\n\
         10 a final 2 en number 2\n20-b final 2 en number 2\n"
    );
    until_file_has(&home.join("states"), "idle idle\n").await?;
    let log = until_file_has(&log, "30-c").await?;
    assert_eq!(log.matches("30-c").count(), 1, "{log}");
    assert!(log.contains("plugin=hooks"), "{log}");
    scene.daemon.terminate().await
}

#[tokio::test]
async fn filter_hooks_replace_consume_fail_and_are_killed_with_their_children() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let log = dir.path().join("log");
    let mut scene = scene_with_hooks(&log).await?;
    // Texts are never looked at by a shell: this one comes from the hook before it.
    let evil = "$(touch \\\"$HOME/owned\\\") `touch owned`; touch owned";
    hook(
        &scene,
        "filter.d/10-evil",
        &format!(
            "#!/bin/sh\ncat\necho \"{}\"\n",
            evil.replace('$', "\\$").replace('`', "\\`")
        ),
    )?;
    hook(&scene, "filter.d/20-loud", "#!/bin/sh\ntr a-z A-Z\n")?;
    hook(&scene, "filter.d/30-silent", "#!/bin/sh\ncat > /dev/null\n")?;
    hook(
        &scene,
        "filter.d/40-fails",
        "#!/bin/sh\necho wrong\nexit 1\n",
    )?;
    hook(&scene, "filter.d/50-no-program", "#!/no/such/program\n")?;
    let heard = scene.say().await?;
    // The filter is added when an utterance starts, with the first one at the latest.
    let heard = match heard.text.as_str() {
        "number 1" => scene.say().await?,
        _ => heard,
    };
    let (raw, rest) = heard.text.split_once('\n').context("two lines")?;
    assert_eq!(raw, heard.detail(keys::RAW).to_uppercase());
    assert!(rest.contains("TOUCH OWNED"), "{rest}");
    let home = scene.desktop.path().join("home");
    assert!(!home.join("owned").exists() && !home.join("OWNED").exists());
    let said = until_file_has(&log, "50-no-program").await?;
    assert!(said.contains("40-fails: failed with"), "{said}");

    // One that hangs, with a child that would outlive it, costs its time and no word.
    let pids = home.join("pids");
    hook(
        &scene,
        "filter.d/15-hangs",
        "#!/bin/sh\nsleep 1000 &\necho \"$$ $!\" > \"$HOME/pids\"\nwait\n",
    )?;
    let heard = scene.say().await?;
    assert!(
        heard.text.to_lowercase().contains("touch owned"),
        "{heard:?}"
    );
    let pids = std::fs::read_to_string(pids)?;
    for pid in pids.split_whitespace() {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        ensure!(
            stat.is_empty() || stat.contains(") Z "),
            "{pid} runs on: {stat}"
        );
    }
    std::fs::remove_file(home.join(".config/wstream/hooks/filter.d/15-hangs"))?;

    hook(
        &scene,
        "filter.d/60-consumes",
        "#!/bin/sh\necho x\nexit 77\n",
    )?;
    let heard = scene.say().await?;
    assert_eq!(heard.text, "");
    assert!(heard.detail(keys::RAW).starts_with("number "));
    scene.daemon.terminate().await
}
