//! A certificate of one's own making, by the lines in the engine's `SERVICE.md`: with it, two machines
//! speak over TLS; and made as openssl makes it by itself, the daemon says what is wrong.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use wstream_api::keys;
use wstream_tests::between::Engine;
use wstream_tests::{Desktop, Follower, Seen, models_with, printed, said, sound};
use zbus::{Fd, Variant};

const TEXT: &str = "Nobody on the way can hear what is said here.";

/// What makes `openssl` leave out that it is an authority's.
const NO_AUTHORITY: &str = "-addext basicConstraints=critical,CA:FALSE";

/// Runs the lines in `folder`, where they leave `tokens`, `cert.pem` and `key.pem`.
fn make(lines: &str, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut shell = std::process::Command::new("sh");
    let made = shell
        .args(["-e", "-c", lines])
        .current_dir(folder)
        .output()?;
    let said = String::from_utf8_lossy(&made.stderr);
    ensure!(made.status.success(), "{lines}: {said}");
    Ok(())
}

async fn engine(desktop: &Desktop, folder: &Path) -> Result<Engine> {
    let files = [
        ("--token-file", "tokens"),
        ("--cert", "cert.pem"),
        ("--key", "key.pem"),
    ];
    let options = files.map(|(option, name)| [option.into(), folder.join(name).into()]);
    Engine::start_with(desktop, options.concat()).await
}

#[tokio::test]
async fn the_printed_lines_make_one_that_is_trusted() -> Result<()> {
    let Some(models) = models_with("tiny.en") else {
        return Ok(());
    };
    let lines = printed("daemon/engine/SERVICE.md", "certificate")?;
    let lines = lines.replace("desk.example", "localhost");
    ensure!(lines.contains(NO_AUTHORITY), "{lines}");
    let desktop = Desktop::new(&models).await?;
    let (good, bad) = (desktop.path().join("good"), desktop.path().join("bad"));
    make(&lines, &good)?;
    make(&lines.replace(NO_AUTHORITY, ""), &bad)?;
    let (trusted, authority) = (
        engine(&desktop, &good).await?,
        engine(&desktop, &bad).await?,
    );
    let table = |name: &str, port: u16, folder: &Path| {
        let folder = folder.display();
        format!(
            "[remote.{name}]\nurl = \"wss://localhost:{port}\"\n\
             token_file = \"{folder}/tokens\"\nca_file = \"{folder}/cert.pem\"\n"
        )
    };
    desktop.configure(&format!(
        "model = \"tiny.en\"\nbackend = \"trusted\"\n{}{}",
        table("trusted", trusted.port, &good),
        table("authority", authority.port, &bad),
    ))?;
    let daemon = desktop.start().await?;
    let mut follower = Follower::new(&daemon.connection).await?;
    let speech = sound::speak(desktop.path(), "speech", TEXT)?;
    let mut say = async |backend: &str| {
        let speech = File::open(&speech)?;
        let options = HashMap::from([(keys::BACKEND, Variant::from(backend))]);
        let session = daemon.proxy.feed(Fd::from(&speech), options).await?;
        follower.session(session).await
    };
    let heard = said(&say("trusted").await?);
    ensure!(sound::understood(TEXT, &heard), "{heard:?}");

    let seen = say("authority").await?;
    let message = seen.iter().find_map(|seen| match seen {
        Seen::Failed { message, .. } => Some(message),
        _ => None,
    });
    let message = message.with_context(|| format!("it is refused: {seen:?}"))?;
    ensure!(message.contains("CA:FALSE"), "{message}");
    daemon.terminate().await
}
