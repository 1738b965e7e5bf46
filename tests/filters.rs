//! Filters: what well-behaved ones do to a text, and that bad ones do nothing to it.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use wstream_api::{Answer, Event, FILTER_INTERFACE, Plugin, Said, keys};
use wstream_tests::{Desktop, Scene, Seen, python_with};
use zbus::message::Type;
use zbus::{Connection, Message, MessageStream, ObjectPath, OwnedVariant, Variant};

/// More than enough for a filter of a test on a loaded machine.
const LIMIT: Duration = Duration::from_millis(2000);

/// Adds a filter that a plugin in Rust would have.
async fn add<F, A>(desktop: &Desktop, priority: i32, filter: F) -> Result<Connection>
where
    F: FnMut(Said) -> A + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let connection = desktop.connect().await?;
    let mut plugin = Plugin::on(connection.clone()).await?;
    plugin.add_filter(priority, LIMIT, filter).await?;
    tokio::spawn(async move { while plugin.next().await.is_ok() {} });
    Ok(connection)
}

/// Adds a filter that puts something behind the text.
pub(super) async fn append(
    desktop: &Desktop,
    priority: i32,
    suffix: &'static str,
) -> Result<Connection> {
    let append = move |said: Said| std::future::ready(Answer::text(said.text + suffix));
    add(desktop, priority, append).await
}

/// Adds a filter that does with its calls what it likes.
async fn wild<F>(
    desktop: &Desktop,
    priority: i32,
    timeout_ms: u32,
    mut on_call: F,
) -> Result<Connection>
where
    F: AsyncFnMut(&Connection, &Message) -> Result<()> + 'static,
{
    let connection = desktop.connect().await?;
    let mut messages = MessageStream::from(&connection);
    let path = ObjectPath::try_from("/wild")?;
    let proxy = wstream_api::DictationProxy::new(&connection).await?;
    proxy.add_filter(path, priority, timeout_ms).await?;
    let own = connection.clone();
    tokio::task::spawn_local(async move {
        while let Some(Ok(message)) = messages.next().await {
            let header = message.header();
            let is_call = message.message_type() == Type::MethodCall
                && header
                    .interface()
                    .is_some_and(|it| it.as_str() == FILTER_INTERFACE);
            if is_call && on_call(&own, &message).await.is_err() {
                return;
            }
        }
    });
    Ok(connection)
}

async fn reply<B: serde::Serialize + zbus::wire::DynamicType>(
    connection: &Connection,
    call: &Message,
    body: &B,
) -> Result<()> {
    connection.reply(&call.header(), body).await?;
    Ok(())
}

fn no_details() -> HashMap<&'static str, Variant<'static>> {
    HashMap::new()
}

#[tokio::test]
async fn filters_change_a_text_in_their_order_and_the_raw_one_is_kept() -> Result<()> {
    let mut scene = Scene::with("").await?;
    assert_eq!(scene.say().await?.text, "number 1");
    let _last = append(&scene.desktop, 20, " c").await?;
    let _first = append(&scene.desktop, -5, " a").await?;
    let (tell, mut told) = mpsc::channel(1);
    let middle = add(&scene.desktop, 3, move |said: Said| {
        let tell = tell.clone();
        async move {
            let text = said.text.clone() + " b";
            tell.send(said).await.expect("the test waits for it");
            Answer::text(text)
        }
    })
    .await?;
    let heard = scene.say().await?;
    assert_eq!(heard.text, "number 2 a b c");
    assert_eq!(heard.detail(keys::RAW), "number 2");
    assert!(
        heard.keys().is_empty() && heard.troubles.is_empty(),
        "{heard:?}"
    );
    let said = told.recv().await.context("the filter was asked")?;
    assert_eq!(said.text, "number 2 a");
    assert_eq!(said.details.text(keys::LANGUAGE), Some("en"));
    assert_eq!(said.details.text(keys::RAW), Some("number 2"));
    assert!(said.details.session().is_some());
    assert!(
        said.details
            .number(keys::DURATION_S)
            .is_some_and(|s| s > 0.1)
    );
    assert_eq!(said.details.number(keys::LATENCY_MS), None);

    // Who leaves the bus filters no more, and nobody is told.
    middle.close().await?;
    scene.plugins_until(|plugins| plugins.len() == 2).await?;
    let heard = scene.say().await?;
    assert_eq!(heard.text, "number 3 a c");
    assert!(heard.troubles.is_empty(), "{heard:?}");
    let recent = scene.daemon.proxy.recent(1).await?;
    assert_eq!(recent[0].1, "number 3 a c");
    scene.daemon.terminate().await
}

#[tokio::test]
async fn a_filter_can_consume_and_ask_for_keys() -> Result<()> {
    let mut scene = Scene::with("[plugins]\nkeys = [\"Return\", \"Tab\"]\n").await?;
    let keys = add(&scene.desktop, 1, |said: Said| {
        let answer = Answer::text(said.text).and_key("Return").and_key("F4");
        std::future::ready(answer.and_key("BackSpace"))
    })
    .await?;
    let _tab = add(&scene.desktop, 2, |said: Said| {
        assert_eq!(said.details.texts(keys::KEYS), Vec::<String>::new());
        std::future::ready(Answer::text(said.text).and_key("Tab"))
    })
    .await?;
    let heard = scene.say().await?;
    assert_eq!(heard.text, "number 1");
    assert_eq!(heard.keys(), ["Return", "Tab"]);
    assert_eq!(heard.troubles.len(), 1, "{heard:?}");
    assert!(heard.troubles[0].contains("\"F4\""), "{heard:?}");
    let heard = scene.say().await?;
    assert_eq!(heard.keys(), ["Return", "Tab"]);
    assert!(heard.troubles.is_empty(), "told once: {heard:?}");
    keys.close().await?;

    let _consumes = add(&scene.desktop, 0, |_| {
        std::future::ready(Answer::consumed().and_key("Tab"))
    })
    .await?;
    let (tell, mut told) = mpsc::channel(1);
    let _behind = add(&scene.desktop, 9, move |said: Said| {
        let tell = tell.clone();
        async move {
            tell.send(()).await.ok();
            Answer::text(said.text)
        }
    })
    .await?;
    let heard = scene.say().await?;
    assert_eq!(
        (heard.text.as_str(), heard.keys()),
        ("", vec!["Tab".to_owned()])
    );
    assert_eq!(heard.detail(keys::RAW), "number 3");
    assert!(told.try_recv().is_err(), "nothing is left to be filtered");
    let recent = scene.daemon.proxy.recent(1).await?;
    assert_eq!(recent[0].1, "number 2");
    scene.daemon.terminate().await
}

/// Every way to be bad: between two good filters, each text arrives as it was before it, the
/// trouble is told once, and the daemon still answers.
#[tokio::test]
async fn bad_filters_are_passed_over_and_told_of_once() -> Result<()> {
    tokio::task::LocalSet::new().run_until(bad_filters()).await
}

async fn bad_filters() -> Result<()> {
    let mut scene = Scene::with("").await?;
    let _first = append(&scene.desktop, 1, " a").await?;
    let _last = append(&scene.desktop, 3, " c").await?;
    let desktop = &scene.desktop;
    let long = "x".repeat(1 << 20);
    let bad: [(&str, Connection); 9] = [
        (
            "did not answer within 300 ms",
            wild(desktop, 2, 300, async |_, _| Ok(())).await?,
        ),
        (
            "did not answer a text and details",
            wild(desktop, 2, 2000, async |bus, call| {
                reply(bus, call, &42u32).await
            })
            .await?,
        ),
        (
            "did not answer a text and details",
            wild(desktop, 2, 2000, async |bus, call| {
                reply(bus, call, &"text").await
            })
            .await?,
        ),
        (
            "did not answer a text and details",
            wild(desktop, 2, 2000, async |bus, call| {
                let keys = HashMap::from([("keys", Variant::from(7u32))]);
                reply(bus, call, &("text", keys)).await
            })
            .await?,
        ),
        (
            "did not answer a text and details",
            wild(desktop, 2, 2000, async |bus, call| {
                reply(bus, call, &()).await
            })
            .await?,
        ),
        (
            "control characters",
            wild(desktop, 2, 2000, async |bus, call| {
                reply(bus, call, &("\u{1b}[2J", no_details())).await
            })
            .await?,
        ),
        (
            "more than 64 KiB",
            wild(desktop, 2, 2000, async move |bus, call| {
                reply(bus, call, &(long.as_str(), no_details())).await
            })
            .await?,
        ),
        (
            "failed with org.example.Sorry",
            wild(desktop, 2, 2000, async |bus, call| {
                let (name, text) = ("org.example.Sorry", "no");
                bus.reply_error(&call.header(), name, &text).await?;
                Ok(())
            })
            .await?,
        ),
        // Floods: asks the daemon for as much as it can, and never answers.
        (
            "did not answer within 500 ms",
            wild(desktop, 2, 500, async |bus, _| {
                let calls = (0..5000u32).map(|_| {
                    Message::method_call(wstream_api::PATH, "Recent")
                        .destination(wstream_api::NAME)
                        .interface(wstream_api::NAME)
                        .build(&1000u32)
                });
                let calls = calls.collect::<zbus::Result<Vec<_>>>()?;
                bus.send_all(&calls).await?;
                Ok(())
            })
            .await?,
        ),
    ];
    let total = bad.len();
    let heard = scene.say().await?;
    assert_eq!(heard.text, "number 1 a c");
    for (sentence, _) in &bad {
        ensure!(
            heard.troubles.iter().any(|told| told.contains(sentence)),
            "{sentence}: {heard:?}"
        );
    }
    assert_eq!(heard.troubles.len(), total, "{heard:?}");
    let heard = scene.say().await?;
    assert_eq!(heard.text, "number 2 a c");
    assert!(heard.troubles.is_empty(), "told once: {heard:?}");
    // Answered 2 of 2, or skipped 2 of 2: those that hang were not waited for again.
    let plugins = scene.plugins_until(|_| true).await?;
    let number = |plugin: &HashMap<String, OwnedVariant>, key: &str| {
        plugin.get(key).and_then(|it| u64::try_from(it).ok())
    };
    let skipped = plugins
        .iter()
        .filter(|plugin| number(plugin, keys::SKIPPED) == Some(2));
    assert_eq!(skipped.count(), total, "{plugins:?}");
    for (_, connection) in bad {
        connection.close().await?;
    }
    scene.plugins_until(|plugins| plugins.len() == 2).await?;
    assert_eq!(scene.say().await?.text, "number 3 a c");
    scene.daemon.terminate().await
}

#[tokio::test]
async fn a_filter_that_leaves_or_dies_in_the_middle_of_a_call_costs_no_word() -> Result<()> {
    tokio::task::LocalSet::new()
        .run_until(leaving_filters())
        .await
}

async fn leaving_filters() -> Result<()> {
    let mut scene = Scene::with("").await?;
    let _first = append(&scene.desktop, 1, " a").await?;
    let _last = append(&scene.desktop, 3, " c").await?;
    let _leaves = wild(&scene.desktop, 2, 2000, async |bus, _| {
        bus.clone().close().await?;
        anyhow::bail!("it has left")
    })
    .await?;
    let heard = scene.say().await?;
    assert_eq!(heard.text, "number 1 a c");
    assert_eq!(heard.troubles.len(), 1, "{heard:?}");
    assert!(heard.troubles[0].contains("left the bus"), "{heard:?}");
    let heard = scene.say().await?;
    assert_eq!(
        (heard.text.as_str(), heard.troubles.len()),
        ("number 2 a c", 0)
    );

    // A process of its own, which is killed while it is asked.
    let Some(python) = python_with("jeepney") else {
        return scene.daemon.terminate().await;
    };
    const DIES: &str = r#"
import os, signal
from jeepney import DBusAddress, HeaderFields, new_method_call
from jeepney.io.blocking import open_dbus_connection
NAME = "org.wstream.Dictation1"
with open_dbus_connection(bus="SESSION") as bus:
    daemon = DBusAddress("/org/wstream/Dictation1", bus_name=NAME, interface=NAME)
    bus.send_and_get_reply(new_method_call(daemon, "AddFilter", "oiu", ("/", 2, 2000)))
    while bus.receive().header.fields.get(HeaderFields.member) != "Filter":
        pass
    os.kill(os.getpid(), signal.SIGKILL)
"#;
    let mut dies = scene
        .desktop
        .command(python)
        .args(["-c", DIES])
        .spawn()
        .context("python")?;
    scene.plugins_until(|plugins| plugins.len() == 3).await?;
    let heard = scene.say().await?;
    assert_eq!(heard.text, "number 3 a c");
    assert!(heard.troubles[0].contains("left the bus"), "{heard:?}");
    ensure!(!dies.wait().await?.success(), "it was not killed");
    scene.plugins_until(|plugins| plugins.len() == 2).await?;
    assert_eq!(scene.say().await?.text, "number 4 a c");
    scene.daemon.terminate().await
}

#[tokio::test]
async fn a_late_filter_is_asked_again_when_it_has_answered() -> Result<()> {
    tokio::task::LocalSet::new().run_until(late_filter()).await
}

async fn late_filter() -> Result<()> {
    let mut scene = Scene::with("").await?;
    let (release, mut released) = mpsc::channel::<()>(1);
    let (tell, mut told) = mpsc::channel(8);
    let mut calls = 0;
    let late = wild(&scene.desktop, 1, 200, async move |bus, call| {
        calls += 1;
        if calls == 1 {
            released.recv().await;
        }
        let body = call.body();
        let (_, text, _): (u64, String, HashMap<String, OwnedVariant>) = body.deserialize()?;
        reply(bus, call, &(text + " late", no_details())).await?;
        tell.send(()).await?;
        Ok(())
    })
    .await?;
    assert_eq!(scene.say().await?.text, "number 1");
    assert_eq!(scene.say().await?.text, "number 2", "and is not waited for");
    release.send(()).await?;
    told.recv().await.context("it has answered")?;
    // A question to the daemon over its connection: what it sent before has arrived.
    let proxy = wstream_api::DictationProxy::new(&late).await?;
    proxy.recent(1).await?;
    assert_eq!(scene.say().await?.text, "number 3 late");
    scene.daemon.terminate().await
}

#[tokio::test]
async fn a_text_with_the_filters_is_owed_and_can_be_cancelled() -> Result<()> {
    let mut scene = Scene::with("").await?;
    let (tell, mut told) = mpsc::channel(4);
    let (let_go, wait) = tokio::sync::watch::channel(false);
    let _slow = add(&scene.desktop, 1, move |said: Said| {
        let (tell, mut wait) = (tell.clone(), wait.clone());
        async move {
            tell.send(said.text.clone()).await.ok();
            wait.wait_for(|go| *go).await.ok();
            Answer::text(said.text + " slow")
        }
    })
    .await?;
    let session = scene.feed().await?;
    assert_eq!(told.recv().await.context("asked")?, "number 1");
    // The sound may have come to its end only now.
    let mut states = scene.daemon.changes.receive_state_changed().await;
    while scene.daemon.proxy.state().await? != wstream_api::STATE_FINISHING {
        states.next().await.context("the bus has gone")?;
    }
    scene.daemon.proxy.cancel().await?;
    let seen = scene.follower.session(session).await?;
    ensure!(
        seen.iter().any(|it| matches!(it, Seen::Cancelled { .. })),
        "{seen:?}"
    );
    assert_eq!(scene.daemon.proxy.state().await?, wstream_api::STATE_IDLE);
    let_go.send(true)?;
    let heard = scene.say().await?;
    assert_eq!(heard.text, "number 2 slow");
    assert!(heard.troubles.is_empty(), "{heard:?}");
    scene.daemon.terminate().await
}

#[tokio::test]
async fn filters_are_refused_beyond_the_limits_and_removed_by_their_owner_only() -> Result<()> {
    let mut scene = Scene::with("").await?;
    let other = scene.desktop.connect().await?;
    let other = wstream_api::DictationProxy::new(&other).await?;
    let proxy = &scene.daemon.proxy;
    let path = |index: usize| ObjectPath::try_from(format!("/f{index}")).expect("a path");
    for timeout_ms in [0, 2001, u32::MAX] {
        let refused = proxy.add_filter(path(0), 0, timeout_ms).await;
        assert!(
            matches!(refused, Err(wstream_api::Error::BadOption(_))),
            "{refused:?}"
        );
    }
    let mut added = 0;
    while proxy.add_filter(path(added), 0, 10).await.is_ok() {
        added += 1;
        ensure!(added < 100, "a flood of filters was taken");
    }
    other.add_filter(path(0), 0, 10).await?;
    assert!(other.remove_filter(path(1)).await.is_err());
    for index in 0..added {
        proxy.remove_filter(path(index)).await?;
    }
    other.remove_filter(path(0)).await?;
    assert!(other.remove_filter(path(0)).await.is_err());
    scene.plugins_until(|plugins| plugins.is_empty()).await?;
    assert_eq!(scene.say().await?.text, "number 1");
    scene.daemon.terminate().await
}

#[tokio::test]
async fn a_plugin_outlives_the_daemon() -> Result<()> {
    let Scene {
        desktop,
        daemon,
        server,
        ..
    } = Scene::with("").await?;
    let mut plugin = Plugin::on(desktop.connect().await?).await?;
    let append = |said: Said| std::future::ready(Answer::text(said.text + " again"));
    plugin.add_filter(0, LIMIT, append).await?;
    assert!(plugin.daemon_runs());
    daemon.terminate().await?;
    while plugin.next().await? != Event::Vanished {}
    assert!(!plugin.daemon_runs());
    let daemon = desktop.start().await?;
    while plugin.next().await? != Event::Appeared {}
    tokio::spawn(async move { while plugin.next().await.is_ok() {} });
    let mut scene = Scene::on(desktop, daemon, server).await?;
    assert_eq!(scene.say().await?.text, "number 1 again");
    scene.daemon.terminate().await
}

#[tokio::test]
async fn a_filter_that_hangs_takes_no_text_with_it_when_the_daemon_ends() -> Result<()> {
    let mut scene = Scene::with("").await?;
    let (tell, mut told) = mpsc::channel(1);
    let _hangs = add(&scene.desktop, 0, move |_| {
        let tell = tell.clone();
        async move {
            tell.send(()).await.ok();
            std::future::pending().await
        }
    })
    .await?;
    scene.feed().await?;
    told.recv().await.context("it was asked")?;
    scene.daemon.terminate().await?;
    loop {
        match scene.follower.next().await? {
            Seen::Final { text, .. } => break assert_eq!(text, "number 1"),
            Seen::Cancelled { .. } => anyhow::bail!("the text was lost"),
            _ => {}
        }
    }
    Ok(())
}
