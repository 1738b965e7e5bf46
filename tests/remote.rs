//! Remote servers and everything that goes wrong with them: a real daemon, a real engine on a
//! port, and between them what misbehaves on purpose. Every fault strikes between utterances and
//! in the middle of one.
//!
//! Each line that is printed is a measurement: how long after the end of speech the final came.

#![allow(clippy::print_stdout, reason = "measurements, shown with --nocapture")]

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use wstream_api::keys;
use wstream_tests::between::{Between, Certificates, Engine, Fault};
use wstream_tests::{Desktop, Details, Follower, Running, Seen, models_with, sound};
use zbus::{Fd, Variant};

const TEXT: &str = "Nobody should even notice that the server has gone away.";

const TOKEN: &str = "s3cret-0f-the-test";

/// How long a transient fault lasts.
const OUTAGE: Duration = Duration::from_secs(1);

/// A daemon with four remotes that lead to the same engine: plain and over TLS, each without and
/// with the local engine as its fallback.
struct Station {
    desktop: Desktop,
    daemon: Running,
    follower: Follower,
    engine: Engine,
    plain: Between,
    tls: Between,
    speech: PathBuf,
    /// What the undisturbed engine makes of the speech.
    calm: Vec<String>,
    log: PathBuf,
}

/// When a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    Between,
    Middle,
}

/// How an utterance ended.
#[derive(Debug, Default)]
struct Ended {
    finals: Vec<String>,
    failed: Vec<String>,
    troubles: Vec<String>,
    backends: Vec<String>,
    latency_ms: f64,
}

impl Station {
    async fn new(models: &std::path::Path) -> Result<Self> {
        let desktop = Desktop::new(models).await?;
        let engine = Engine::start(&desktop).await?;
        let certificates = Certificates::new()?;
        let wanted = format!("authorization: Bearer {TOKEN}\r\n");
        let plain = Between::start(engine.port, None, None).await?;
        let tls = Between::start(engine.port, Some(certificates.clone()), Some(wanted)).await?;
        let folder = desktop.path().join("home/.config/wstream");
        std::fs::write(folder.join("ca.pem"), &certificates.pem)?;
        std::fs::write(folder.join("token"), format!("{TOKEN}\n"))?;
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(folder.join("token"), private)?;
        let times = "connect_timeout_s = 2\nanswer_timeout_s = 2\n";
        let locked = format!(
            "url = \"wss://localhost:{}\"\nca_file = \"~/.config/wstream/ca.pem\"\n\
             token_file = \"~/.config/wstream/token\"\n{times}",
            tls.port
        );
        let open = format!("url = \"ws://127.0.0.1:{}\"\n{times}", plain.port);
        let backed = "fallback = \"local\"\nfallback_after_s = 1\nreturn_after_s = 1\n";
        desktop.configure(&format!(
            "model = \"tiny.en\"\nbackend = \"open\"\n[remote.open]\n{open}\
             [remote.open-backed]\n{open}{backed}[remote.locked]\n{locked}\
             [remote.locked-backed]\n{locked}{backed}"
        ))?;
        let log = desktop.path().join("log");
        let stderr = File::create(&log)?;
        // Whatever is logged at all, the secret must not be in it.
        let traced = |command: &mut tokio::process::Command| {
            command.env("WSTREAM_LOG", "trace").stderr(stderr);
        };
        let daemon = desktop.start_with(traced).await?;
        let follower = Follower::new(&daemon.connection).await?;
        let speech = sound::speak(desktop.path(), "speech", TEXT)?;
        let mut station = Station {
            desktop,
            daemon,
            follower,
            engine,
            plain,
            tls,
            speech,
            calm: Vec::new(),
            log,
        };
        let calm = station.say("open", false).await?;
        ensure!(
            calm.failed.is_empty() && calm.backends == ["open"],
            "{calm:?}"
        );
        ensure!(sound::understood(TEXT, &calm.finals.join(" ")), "{calm:?}");
        station.calm = calm.finals;
        Ok(station)
    }

    fn between(&self, backend: &str) -> &Between {
        if backend.starts_with("open") {
            &self.plain
        } else {
            &self.tls
        }
    }

    async fn feed(&self, backend: &str, realtime: bool) -> Result<u64> {
        let options = HashMap::from([
            (keys::REALTIME, realtime.into()),
            (keys::BACKEND, Variant::from(backend)),
        ]);
        let speech = File::open(&self.speech)?;
        Ok(self.daemon.proxy.feed(Fd::from(&speech), options).await?)
    }

    async fn say(&mut self, backend: &str, realtime: bool) -> Result<Ended> {
        let session = self.feed(backend, realtime).await?;
        self.end_of(session).await
    }

    /// Follows a session to its end. [`Follower`] holds that each utterance has one end, and that
    /// the final begins with what was committed.
    async fn end_of(&mut self, session: u64) -> Result<Ended> {
        let mut ended = Ended::default();
        loop {
            match self.follower.next().await? {
                Seen::Final { text, details, .. } => {
                    ended.backends.push(string(&details, keys::BACKEND));
                    let latency = details.get(keys::LATENCY_MS).context("a latency")?;
                    ended.latency_ms = ended.latency_ms.max(latency.downcast_ref::<f64>()?);
                    ended.finals.push(text);
                }
                Seen::Failed { message, .. } => ended.failed.push(message),
                Seen::Trouble { message, .. } => ended.troubles.push(message),
                Seen::SessionEnded { session: it, .. } if it == session => return Ok(ended),
                _ => {}
            }
        }
    }

    /// Waits for the first partial with words.
    async fn until_partial(&mut self) -> Result<()> {
        loop {
            if let Seen::Partial { tentative, .. } = self.follower.next().await?
                && !tentative.is_empty()
            {
                return Ok(());
            }
        }
    }

    /// Waits for the end of a session that another program has asked for.
    async fn until_session_end(&mut self) -> Result<()> {
        while !matches!(self.follower.next().await?, Seen::SessionEnded { .. }) {}
        Ok(())
    }

    /// Has `fault` strike between two utterances or in the middle of one; `lasts`: until then it
    /// does.
    async fn struck(
        &mut self,
        backend: &str,
        fault: Fault,
        when: When,
        lasts: Option<Duration>,
    ) -> Result<Ended> {
        let realtime = when == When::Middle;
        if !realtime {
            self.between(backend).strike(fault.clone());
        }
        let session = self.feed(backend, realtime).await?;
        if realtime {
            self.until_partial().await?;
            self.between(backend).strike(fault);
        }
        if let Some(lasts) = lasts {
            tokio::time::sleep(lasts).await;
            self.between(backend).strike(Fault::None);
        }
        let ended = self.end_of(session).await?;
        self.between(backend).strike(Fault::None);
        Ok(ended)
    }

    /// The words are those of the undisturbed engine, but for a few that a small model hears
    /// differently each time: what a fault loses or doubles is half a sentence.
    fn has_all_words(&self, finals: &[String]) -> Result<()> {
        let (calm, heard) = (self.calm.join(" "), finals.join(" "));
        let errors = sound::word_errors(&calm, &heard);
        ensure!(
            finals.len() == self.calm.len(),
            "{finals:?} for {:?}",
            self.calm
        );
        ensure!(errors <= 3, "{errors} words differ: {calm:?} / {heard:?}");
        Ok(())
    }

    /// Ends the daemon well; the secret is in nothing that it or its tools have put out.
    async fn end(self) -> Result<()> {
        let status = self.desktop.ctl(&["status", "--json"]).await?;
        let config = self.desktop.ctl(&["config", "check"]).await?;
        self.daemon.terminate().await?;
        let log = std::fs::read_to_string(&self.log)?;
        ensure!(
            log.contains("connected to a transcription server"),
            "nothing is logged"
        );
        for said in [&log, &*String::from_utf8_lossy(&status.stdout)] {
            ensure!(!said.contains(TOKEN), "the secret is shown");
        }
        ensure!(config.status.success(), "{config:?}");
        Ok(())
    }
}

fn string(details: &Details, key: &str) -> String {
    let value = details
        .get(key)
        .and_then(|value| value.downcast_ref::<&str>().ok());
    value.unwrap_or_default().to_owned()
}

const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0";
const TOO_MANY: &str = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2\r\nContent-Length: 0";
const UNAUTHORIZED: &str = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0";
const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0";

#[tokio::test]
async fn transient_faults_lose_no_word() -> Result<()> {
    let Some(models) = models_with("tiny.en") else {
        return Ok(());
    };
    let mut station = Station::new(&models).await?;
    for (backend, fault) in [
        ("open", Fault::Refused),
        ("open", Fault::Reset),
        ("open", Fault::HalfOpen),
        ("open", Fault::Slow),
        ("open", Fault::Answer(UNAVAILABLE)),
        ("open", Fault::Answer(TOO_MANY)),
        ("locked", Fault::Reset),
        ("locked", Fault::CutShort),
    ] {
        for when in [When::Between, When::Middle] {
            let name = format!("{backend} {fault:?} {when:?}");
            let ended = station
                .struck(backend, fault.clone(), when, Some(OUTAGE))
                .await?;
            let seconds = ended.latency_ms / 1e3;
            println!("{name}: final {seconds:.1} s after the end of speech");
            ensure!(
                ended.failed.is_empty() && ended.troubles.len() <= 1,
                "{name}: {ended:?}"
            );
            station
                .has_all_words(&ended.finals)
                .with_context(|| name.clone())?;
            ensure!(
                ended.backends.iter().all(|it| it == backend),
                "{name}: {ended:?}"
            );
        }
    }
    // One message that nobody understands, and then no more.
    let session = station.feed("open", true).await?;
    station.until_partial().await?;
    station.plain.strike(Fault::Garbage);
    tokio::task::yield_now().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    station.plain.strike(Fault::None);
    let ended = station.end_of(session).await?;
    println!(
        "open Garbage once: final {:.1} s after the end of speech",
        ended.latency_ms / 1e3
    );
    station.has_all_words(&ended.finals)?;
    // The server itself is killed and started again.
    for when in [When::Between, When::Middle] {
        let session = match when {
            When::Between => {
                station.engine.restart(&station.desktop).await?;
                station.feed("open", false).await?
            }
            When::Middle => {
                let session = station.feed("open", true).await?;
                station.until_partial().await?;
                station.engine.restart(&station.desktop).await?;
                session
            }
        };
        let ended = station.end_of(session).await?;
        let seconds = ended.latency_ms / 1e3;
        println!("open restart {when:?}: final {seconds:.1} s after the end of speech");
        ensure!(
            ended.failed.is_empty() && ended.troubles.len() <= 1,
            "{ended:?}"
        );
        station.has_all_words(&ended.finals)?;
    }
    station.end().await
}

/// What will not change by itself, and what the user is told to do.
const PERMANENT: [(&str, Fault, &str); 4] = [
    ("open", Fault::Answer(UNAUTHORIZED), "token_file"),
    ("open", Fault::Answer(FORBIDDEN), "token_file"),
    ("open", Fault::Garbage, "whether it speaks wstream"),
    ("locked", Fault::Certificate, "ca_file"),
];

#[tokio::test]
async fn permanent_faults_fail_once_and_can_be_tried_again() -> Result<()> {
    let Some(models) = models_with("tiny.en") else {
        return Ok(());
    };
    let mut station = Station::new(&models).await?;
    for (backend, fault, hint) in PERMANENT {
        for when in [When::Between, When::Middle] {
            let name = format!("{backend} {fault:?} {when:?}");
            let ended = station.struck(backend, fault.clone(), when, None).await?;
            // A refusal that is known before anything is said is told at once.
            let most_troubles = usize::from(when == When::Between);
            ensure!(
                ended.finals.is_empty() && ended.troubles.len() <= most_troubles,
                "{name}: {ended:?}"
            );
            ensure!(
                ended.failed.len() == station.calm.len(),
                "{name}: {ended:?}"
            );
            let message = &ended.failed[0];
            ensure!(
                message.contains(hint) && message.contains("wstreamctl"),
                "{message}"
            );
            let status = station.desktop.ctl(&["status"]).await?;
            let status = String::from_utf8(status.stdout)?;
            ensure!(
                status.contains("kept") && status.contains("refused"),
                "{status}"
            );
            // The fault is gone; what was said is not.
            let retried = station.desktop.ctl(&["retry"]).await?;
            station.until_session_end().await?;
            let texts = String::from_utf8(retried.stdout)?;
            let texts: Vec<String> = texts.lines().map(str::to_owned).collect();
            station
                .has_all_words(&texts)
                .with_context(|| name.clone())?;
        }
    }
    let nothing = station.desktop.ctl(&["retry"]).await?;
    ensure!(String::from_utf8(nothing.stdout)? == "nothing is kept\n");
    station.end().await
}

#[tokio::test]
async fn a_fallback_takes_over_and_utterances_go_back() -> Result<()> {
    let Some(models) = models_with("tiny.en") else {
        return Ok(());
    };
    let mut station = Station::new(&models).await?;
    // The other faults are struck where time is paused, in the transcriber's own tests.
    for (backend, fault) in [
        ("open-backed", Fault::Refused),
        ("open-backed", Fault::HalfOpen),
        ("open-backed", Fault::Answer(UNAUTHORIZED)),
        ("locked-backed", Fault::Certificate),
    ] {
        for when in [When::Between, When::Middle] {
            let name = format!("{backend} {fault:?} {when:?}");
            let ended = station.struck(backend, fault.clone(), when, None).await?;
            let seconds = ended.latency_ms / 1e3;
            println!("{name}: final by local {seconds:.1} s after the end of speech");
            ensure!(
                ended.failed.is_empty() && ended.backends == ["local"],
                "{name}: {ended:?}"
            );
            ensure!(ended.troubles.len() == 1, "{name}: {:?}", ended.troubles);
            ensure!(
                ended.troubles[0].contains("local takes over"),
                "{:?}",
                ended.troubles
            );
            station
                .has_all_words(&ended.finals)
                .with_context(|| name.clone())?;
            // The fault is gone: in the end utterances go there again, without a word about it. It
            // is told apart from a server that comes and goes: what is chosen anew has no past.
            let limit = Instant::now() + Duration::from_secs(60);
            loop {
                let ended = station.say(backend, false).await?;
                ensure!(
                    ended.failed.is_empty() && ended.troubles.is_empty(),
                    "{name}: {ended:?}"
                );
                station.has_all_words(&ended.finals)?;
                if ended.backends == [backend] {
                    break;
                }
                ensure!(Instant::now() < limit, "{name}: never back");
            }
            for chosen in ["local", "open"] {
                station.daemon.proxy.set_backend(chosen).await?;
            }
        }
    }
    station.end().await
}

#[tokio::test]
async fn a_backend_is_chosen_in_the_middle_of_an_utterance() -> Result<()> {
    let Some(models) = models_with("tiny.en") else {
        return Ok(());
    };
    let mut station = Station::new(&models).await?;
    for (from, to) in [("open", "local"), ("local", "locked"), ("locked", "open")] {
        station.daemon.proxy.set_backend(from).await?;
        let speech = File::open(&station.speech)?;
        let options = HashMap::from([(keys::REALTIME, true.into())]);
        let session = station
            .daemon
            .proxy
            .feed(Fd::from(&speech), options)
            .await?;
        station.until_partial().await?;
        let chosen = station.desktop.ctl(&["backend", to]).await?;
        ensure!(chosen.status.success(), "{chosen:?}");
        let ended = station.end_of(session).await?;
        ensure!(
            ended.failed.is_empty() && ended.troubles.is_empty(),
            "{ended:?}"
        );
        ensure!(
            ended.backends.last().is_some_and(|it| it == to),
            "{ended:?}"
        );
        station.has_all_words(&ended.finals)?;
    }
    // What failed at one is given to the one that is chosen.
    station.plain.strike(Fault::Answer(UNAUTHORIZED));
    let speech = File::open(&station.speech)?;
    let session = station
        .daemon
        .proxy
        .feed(Fd::from(&speech), HashMap::new())
        .await?;
    let ended = station.end_of(session).await?;
    ensure!(ended.failed.len() == station.calm.len(), "{ended:?}");
    station.daemon.proxy.set_backend("local").await?;
    let ended = station.end_of(session + 1).await?;
    ensure!(ended.backends.iter().all(|it| it == "local"), "{ended:?}");
    station.has_all_words(&ended.finals)?;
    station.end().await
}
