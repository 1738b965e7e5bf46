//! `wstream-words` as a process: a filter of the real daemon's.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Child;
use wstream_api::keys;
use wstream_tests::{
    Desktop, Follower, Monitor, Running, Seen, models_with, program, running, sound,
};
use zbus::Fd;

/// Starts the plugin and waits until the daemon has its filter.
async fn start(desktop: &Desktop) -> Result<Child> {
    let mut monitor = Monitor::new(desktop).await?;
    let plugin = desktop.command(program("wstream-words")).spawn()?;
    while monitor.call(wstream_api::NAME).await?.member != "AddFilter" {}
    Ok(plugin)
}

/// What came of a file.
#[derive(Debug, Default)]
struct Heard {
    /// What was said, and what the model had written.
    text: String,
    raw: String,
    keys: Vec<String>,
}

/// Speaks a file: its finals, joined.
async fn speak(daemon: &Running, follower: &mut Follower, file: &Path) -> Result<Heard> {
    let options = HashMap::from([(keys::LANGUAGE, "en".into())]);
    let sound = File::open(file)?;
    let session = daemon.proxy.feed(Fd::from(&sound), options).await?;
    let mut heard = Heard::default();
    for seen in follower.session(session).await? {
        if let Seen::Final { text, details, .. } = seen {
            let raw = <&str>::try_from(details.get(keys::RAW).context("raw")?)?;
            heard.text += &format!("{text} ");
            heard.raw += &format!("{raw} ");
            if let Some(keys) = details.get(keys::KEYS) {
                heard
                    .keys
                    .extend(Vec::<String>::try_from(keys.try_clone()?)?);
            }
        }
    }
    Ok(heard)
}

#[tokio::test]
async fn spoken_commands_are_carried_out_before_anybody_gets_the_text() -> Result<()> {
    let Some(models) = models_with("tiny.en") else {
        return Ok(());
    };
    let (desktop, daemon, mut follower) = running(&models).await?;
    let plugin = start(&desktop).await?;
    // What the small model hears of a synthesiser.
    let spoken = "We walk to the river. Question mark.";
    let file = sound::speak(desktop.path(), "commands", spoken)?;

    let heard = speak(&daemon, &mut follower, &file).await?;
    ensure!(
        heard.raw.to_lowercase().contains("question mark"),
        "{heard:?}"
    );
    ensure!(!heard.text.to_lowercase().contains("mark"), "{heard:?}");
    ensure!(
        heard.text.contains("river") && heard.text.ends_with("? "),
        "{heard:?}"
    );

    // The user's file counts from the next text on; a key is asked for by its name.
    let config = desktop.path().join("home/.config/wstream");
    std::fs::create_dir(config.join("words"))?;
    let own = "[[replace]]\nword = \"river\"\nwith = \"Mississippi\"\n\
               [[command]]\nname = \"enter\"\nsay = [\"question mark\"]\nkey = \"Return\"\n\
               [[command]]\nname = \"question-mark\"\nsay = []\nwrite = \"?\"\n";
    std::fs::write(config.join("words/en.toml"), own)?;
    let heard = speak(&daemon, &mut follower, &file).await?;
    ensure!(heard.text.contains("Mississippi"), "{heard:?}");
    ensure!(!heard.text.contains('?'), "{heard:?}");
    assert_eq!(heard.keys, ["Return"]);

    // A wrong file leaves what was before; so does the plugin's end.
    std::fs::write(config.join("words/en.toml"), "[[replace]]\nwords = 1\n")?;
    let heard = speak(&daemon, &mut follower, &file).await?;
    ensure!(heard.text.contains("Mississippi"), "{heard:?}");
    let check = desktop
        .command(program("wstream-words"))
        .arg("--check-config")
        .output()
        .await?;
    let said = String::from_utf8_lossy(&check.stderr);
    assert_eq!(check.status.code(), Some(9));
    ensure!(
        said.contains("line 2") && said.contains('^') && said.contains("en.toml"),
        "{said}"
    );

    drop(plugin);
    let heard = speak(&daemon, &mut follower, &file).await?;
    assert_eq!(heard.text, heard.raw);
    daemon.terminate().await
}

#[tokio::test]
async fn the_program_tries_lines_and_prints_its_files() -> Result<()> {
    use tokio::io::AsyncWriteExt as _;
    let desktop = Desktop::new(&std::env::temp_dir()).await?;
    let mut tried = desktop
        .command(program("wstream-words"))
        .args(["--try-language", "de"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let mut stdin = tried.stdin.take().context("it is piped")?;
    stdin
        .write_all("Hallo Komma Welt Punkt\nEin Komma fehlt.\n".as_bytes())
        .await?;
    drop(stdin);
    let output = tried.wait_with_output().await?;
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "Hallo, Welt.\nEin Komma fehlt.\n"
    );
    let run = async |arguments: &[&str]| -> Result<String> {
        let output = desktop
            .command(program("wstream-words"))
            .args(arguments)
            .output()
            .await?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    };
    ensure!(
        run(&["--print-language", "fr"])
            .await?
            .contains("point d'interrogation")
    );
    ensure!(
        run(&["--print-default-config"])
            .await?
            .contains("#fillers = true")
    );
    assert_eq!(
        run(&["--check-config"]).await?,
        "the configuration is right\n"
    );
    Ok(())
}
