//! The bus contract: what the daemon says of itself is the published XML, and every member works
//! through the published proxy.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::StreamExt as _;
use wstream_api::{Error, keys};
use wstream_tests::{CountingServer, Desktop, Follower, Seen, models_with, running, said, sound};
use zbus::Fd;

/// Members of an interface of ours as `kind name` → signature, direction and annotations, read from
/// introspection data by a real XML parser (Python's).
fn members(interface: &str, xml: &str, dir: &std::path::Path) -> Result<BTreeMap<String, String>> {
    const SCRIPT: &str = r#"
import json, sys, xml.etree.ElementTree as ET
root = ET.parse(sys.argv[1]).getroot()
interface = next(i for i in root.iter("interface") if i.get("name") == sys.argv[2])
changed = "org.freedesktop.DBus.Property.EmitsChangedSignal"
out = {}
for member in interface:
    if member.tag == "property":
        notes = {a.get("name"): a.get("value") for a in member.findall("annotation")}
        shape = [member.get("type"), member.get("access"), notes.get(changed, "true")]
    else:
        shape = [[a.get("name"), a.get("type"), a.get("direction", "out" if member.tag == "signal" else "in")]
                 for a in member.findall("arg")]
    out[member.tag + " " + member.get("name")] = json.dumps(shape)
print(json.dumps(out))
"#;
    let file = dir.join("introspection.xml");
    std::fs::write(&file, xml)?;
    let output = std::process::Command::new("python3")
        .args(["-c", SCRIPT])
        .arg(&file)
        .arg(interface)
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[tokio::test]
async fn introspection_is_the_published_xml() -> Result<()> {
    let desktop = Desktop::new(&std::env::temp_dir()).await?;
    let daemon = desktop.start().await?;
    let told = introspection(&daemon.connection, wstream_api::NAME, wstream_api::PATH).await?;
    let told = members(wstream_api::NAME, &told, desktop.path())?;
    let published = members(wstream_api::NAME, wstream_api::XML, desktop.path())?;
    assert_eq!(told, published);
    ensure!(published.len() > 25, "the parser found {}", published.len());

    // A filter of a plugin in Rust.
    let connection = desktop.connect().await?;
    let mut plugin = wstream_api::Plugin::on(connection.clone()).await?;
    let unchanged =
        |said: wstream_api::Said| std::future::ready(wstream_api::Answer::text(said.text));
    plugin
        .add_filter(0, Duration::from_millis(100), unchanged)
        .await?;
    let name = connection.unique_name().context("a name")?.as_str();
    let told = introspection(&daemon.connection, name, "/org/wstream/Filter1").await?;
    let interface = wstream_api::FILTER_INTERFACE;
    let told = members(interface, &told, desktop.path())?;
    let published = members(interface, wstream_api::FILTER_XML, desktop.path())?;
    assert_eq!(told, published);
    assert_eq!(published.len(), 1);
    daemon.terminate().await
}

async fn introspection(connection: &zbus::Connection, name: &str, path: &str) -> Result<String> {
    let introspectable = zbus::fdo::IntrospectableProxy::builder(connection)
        .destination(name)
        .path(path)
        .build()
        .await?;
    Ok(introspectable.introspect().await?)
}

#[tokio::test]
async fn every_member_works_through_the_published_proxy() -> Result<()> {
    let Some(models) = models_with("tiny.en") else {
        return Ok(());
    };
    let desktop = Desktop::new(&models).await?;
    desktop.configure("model = \"tiny.en\"\n[remote.desk]\nurl = \"ws://127.0.0.1:9\"\n")?;
    let daemon = desktop.start().await?;
    let proxy = &daemon.proxy;

    assert_eq!(proxy.state().await?, "idle");
    assert_eq!(proxy.version().await?, env!("CARGO_PKG_VERSION"));
    assert_eq!(proxy.strategies().await?, ["prompt", "context", "hybrid"]);
    assert_eq!(proxy.backends().await?, ["local", "desk"]);
    assert!(proxy.models().await?.contains(&"tiny.en".to_owned()));
    // No sound server runs on this desktop: an answer or a sentence, never a hang.
    let _ = proxy.microphones().await;

    let mut strategies = daemon.changes.receive_strategy_changed().await;
    proxy.set_strategy("hybrid").await?;
    wait_for(&mut strategies, "hybrid").await?;
    let mut backends = daemon.changes.receive_backend_changed().await;
    proxy.set_backend("desk").await?;
    wait_for(&mut backends, "desk").await?;
    proxy.set_backend("local").await?;
    wait_for(&mut backends, "local").await?;
    let mut languages = daemon.changes.receive_language_changed().await;
    proxy.set_language("en").await?;
    wait_for(&mut languages, "en").await?;
    let mut microphones = daemon.changes.receive_microphone_changed().await;
    proxy.set_microphone("Headset").await?;
    wait_for(&mut microphones, "Headset").await?;
    proxy.set_model("tiny.en").await?;
    assert_eq!(proxy.model().await?, "tiny.en");

    assert_eq!(proxy.typing().await?, wstream_api::TYPING_FINAL);
    let mut typing = daemon.changes.receive_typing_changed().await;
    for when in [
        wstream_api::TYPING_LIVE,
        wstream_api::TYPING_OFF,
        wstream_api::TYPING_FINAL,
    ] {
        proxy.set_typing(when).await?;
        wait_for(&mut typing, when).await?;
    }

    let desktop_of_numbers = HashMap::from([("DISPLAY", 1u32)]);
    for (refused, kind) in [
        (proxy.set_strategy("beam").await, "BadOption"),
        (proxy.set_typing("sometimes").await, "BadOption"),
        (
            proxy
                .start(HashMap::from([(keys::TYPING, "sometimes".into())]))
                .await
                .map(drop),
            "BadOption",
        ),
        (
            proxy
                .start(HashMap::from([(keys::TYPING, true.into())]))
                .await
                .map(drop),
            "BadOption",
        ),
        (
            proxy
                .start(HashMap::from([(keys::DESKTOP, desktop_of_numbers.into())]))
                .await
                .map(drop),
            "BadOption",
        ),
        // Nothing was typed yet, nothing said, and no utterance has this number.
        (proxy.undo().await.map(drop), "NotTyped"),
        (proxy.retype(0).await, "NotTyped"),
        (proxy.retype(7).await, "NotTyped"),
        (proxy.set_backend("cloud").await, "UnknownBackend"),
        (proxy.set_language("klingon").await, "BadOption"),
        (proxy.set_model("huge").await, "ModelMissing"),
        (proxy.set_model("../../etc/passwd").await, "ModelMissing"),
        (
            proxy
                .start(HashMap::from([("speed", 1.into())]))
                .await
                .map(drop),
            "BadOption",
        ),
        (
            proxy
                .start(HashMap::from([("strategy", 1.into())]))
                .await
                .map(drop),
            "BadOption",
        ),
    ] {
        let error = refused.expect_err(kind);
        assert!(format!("{error:?}").starts_with(kind), "{error:?}");
        assert!(error.message().len() > 20, "{error:?}");
    }

    // No microphone here: a typed error, and the daemon is idle again.
    let error = proxy
        .start(HashMap::new())
        .await
        .expect_err("no microphone");
    assert!(
        matches!(error, Error::NoMicrophone(_) | Error::UnknownMicrophone(_)),
        "{error:?}"
    );
    let error = proxy
        .toggle(HashMap::new())
        .await
        .expect_err("no microphone");
    assert!(!error.message().is_empty());
    proxy.stop().await?;
    proxy.cancel().await?;
    assert_eq!(proxy.state().await?, "idle");

    let mut follower = Follower::new(&daemon.connection).await?;
    proxy.watch_level(true).await?;
    let file = sound::speak(
        desktop.path(),
        "fox",
        "The quick brown fox jumps over the lazy dog.",
    )?;
    let sound = File::open(file)?;
    let options = HashMap::from([
        (keys::STRATEGY, "context".into()),
        (keys::REALTIME, true.into()),
    ]);
    let session = proxy.feed(Fd::from(&sound), options).await?;
    let busy = proxy.feed(Fd::from(&sound), HashMap::new()).await;
    assert!(matches!(busy, Err(Error::Busy(_))), "{busy:?}");
    assert_eq!(proxy.state().await?, "listening");
    let seen = follower.session(session).await?;
    proxy.watch_level(false).await?;

    let text = said(&seen);
    assert!(
        sound::understood("the quick brown fox jumps over the lazy dog", &text),
        "{text}"
    );
    assert!(
        seen.iter()
            .any(|s| matches!(s, Seen::Partial { tentative, .. } if !tentative.is_empty()))
    );
    assert!(seen.iter().any(|s| matches!(s, Seen::Level { .. })));
    assert!(seen.iter().any(|s| matches!(s, Seen::Ended { .. })));
    let details = seen
        .iter()
        .find_map(|s| match s {
            Seen::Final { details, .. } => Some(details),
            _ => None,
        })
        .context("a final")?;
    for key in [
        keys::SESSION,
        keys::LANGUAGE,
        keys::SEGMENTS,
        keys::DURATION_S,
        keys::PROCESSING_TIME_MS,
        keys::LATENCY_MS,
        keys::CONFIDENCE,
        keys::STRATEGY,
        keys::BACKEND,
        keys::RAW,
    ] {
        assert!(details.contains_key(key), "{key}");
    }
    assert_eq!(<&str>::try_from(&details[keys::STRATEGY])?, "context");
    assert_eq!(
        details[keys::SEGMENTS].value_signature().to_string(),
        "a(dds)"
    );

    let recent = proxy.recent(10).await?;
    let kept: Vec<&str> = recent.iter().map(|(_, text, _)| text.as_str()).collect();
    assert_eq!(kept.join(" "), text);
    daemon.terminate().await
}

#[tokio::test]
async fn what_cannot_be_typed_is_told_by_its_name_and_kept() -> Result<()> {
    let server = CountingServer::start().await?;
    let desktop = Desktop::new(&std::env::temp_dir()).await?;
    desktop.configure(&server.configuration())?;
    let daemon = desktop.start().await?;
    let mut follower = Follower::new(&daemon.connection).await?;
    let word = sound::speak(desktop.path(), "word", "Yes.")?;
    // No screen has this number.
    let nowhere = HashMap::from([("DISPLAY", ":65000")]);
    let options = HashMap::from([
        (keys::TYPING, wstream_api::TYPING_FINAL.into()),
        (keys::DESKTOP, nowhere.into()),
    ]);
    let sound = File::open(word)?;
    daemon.proxy.feed(Fd::from(&sound), options).await?;
    let utterance = loop {
        if let Seen::Final { utterance, .. } = follower.next().await? {
            break utterance;
        }
    };
    let (name, message) = loop {
        match follower.next().await? {
            Seen::Trouble { name, message } => break (name, message),
            Seen::Delivered { .. } => anyhow::bail!("it was typed nowhere"),
            _ => {}
        }
    };
    assert_eq!(name, "org.wstream.Dictation1.Error.NotTyped");
    assert!(message.contains("wstreamctl retype"), "{message}");
    for which in [0, utterance] {
        let refused = daemon.proxy.retype(which).await;
        let Err(Error::NotTyped(message)) = refused else {
            anyhow::bail!("{refused:?}");
        };
        assert!(!message.contains("retype"), "the same again: {message}");
        assert!(message.contains("wstreamctl last"), "{message}");
    }
    let recent = daemon.proxy.recent(1).await?;
    assert_eq!(recent[0].0, utterance);
    // A session whose texts are told, and not kept.
    let sound = File::open(desktop.path().join("word.wav"))?;
    let options = HashMap::from([(keys::RECENT, false.into())]);
    daemon.proxy.feed(Fd::from(&sound), options).await?;
    let forgotten = loop {
        if let Seen::Final { utterance, .. } = follower.next().await? {
            break utterance;
        }
    };
    let recent = daemon.proxy.recent(10).await?;
    assert!(recent.iter().all(|text| text.0 != forgotten), "{recent:?}");
    daemon.terminate().await
}

#[tokio::test]
async fn cancel_ends_what_is_owed() -> Result<()> {
    let Some(models) = models_with("tiny.en") else {
        return Ok(());
    };
    let (desktop, daemon, mut follower) = running(&models).await?;
    let file = sound::speak(
        desktop.path(),
        "long",
        "One two three four five six seven eight nine ten.",
    )?;
    let sound = File::open(file)?;
    let options = HashMap::from([(keys::REALTIME, true.into())]);
    let session = daemon.proxy.feed(Fd::from(&sound), options).await?;
    loop {
        if let Seen::Started { .. } = follower.next().await? {
            break;
        }
    }
    daemon.proxy.cancel().await?;
    let mut cancelled = false;
    loop {
        match follower.next().await? {
            Seen::Cancelled { .. } => cancelled = true,
            Seen::SessionEnded { session: ended, .. } if ended == session => break,
            Seen::Partial { .. } if !cancelled => {}
            other => anyhow::bail!("after cancel: {other:?}"),
        }
    }
    ensure!(cancelled, "the utterance was not cancelled");
    assert_eq!(daemon.proxy.state().await?, "idle");

    // The next utterance has a new number, and its own words.
    let file = sound::speak(desktop.path(), "after", "This is the sentence after it.")?;
    let session = daemon
        .proxy
        .feed(Fd::from(&File::open(file)?), HashMap::new())
        .await?;
    let text = said(&follower.session(session).await?);
    assert!(
        sound::understood("this is the sentence after it", &text),
        "{text}"
    );
    daemon.terminate().await
}

async fn wait_for(
    changes: &mut zbus::proxy::PropertyStream<'_, String>,
    wanted: &str,
) -> Result<()> {
    loop {
        let change = tokio::time::timeout(Duration::from_secs(10), changes.next())
            .await
            .with_context(|| format!("no change to {wanted}"))?
            .context("the bus has gone")?;
        if change.get().await? == wanted {
            return Ok(());
        }
    }
}
