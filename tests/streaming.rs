//! What the user sees while somebody speaks: words that stay, long speech without an end, names.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use wstream_api::keys;
use wstream_tests::{Follower, Running, Seen, corpus, models_with, running, said, sound};
use zbus::{Fd, Variant};

/// Everything that is seen of a file.
async fn play(
    daemon: &Running,
    follower: &mut Follower,
    file: &Path,
    options: HashMap<&str, Variant<'_>>,
) -> Result<Vec<Seen>> {
    let sound = File::open(file)?;
    let session = daemon.proxy.feed(Fd::from(&sound), options).await?;
    follower.session(session).await
}

fn detail(details: &wstream_tests::Details, key: &str) -> Option<String> {
    let value = details.get(key)?;
    String::try_from(value.clone()).ok()
}

/// Words without a pause between them, so that only the server can find a place to cut.
const BREATHLESS: &str = "the farmer walked across the open field before the sun had risen over \
    the distant hills and he carried a heavy basket full of apples which his daughter had picked \
    on the evening of the day before while the old dog was sleeping under the table in the kitchen \
    where his mother used to bake bread for the whole family and for all of the neighbours who \
    came to visit them every winter when the snow was so deep that nobody could work outside \
    and the children played with wooden horses near the fire until it was time to go to bed \
    and then the grandfather told them a story about a ship that sailed around the world \
    with a captain who was afraid of water and a cook who could not boil an egg";

#[tokio::test]
async fn what_is_committed_stays_and_the_final_goes_on_behind_it() -> Result<()> {
    let Some(models) = models_with("tiny.en") else {
        return Ok(());
    };
    let (desktop, daemon, mut follower) = running(&models).await?;
    let text: String = BREATHLESS.split_inclusive(' ').take(24).collect();
    let file = sound::speak(desktop.path(), "sentence", &text)?;
    let realtime = HashMap::from([(keys::REALTIME, true.into())]);
    let seen = play(&daemon, &mut follower, &file, realtime).await?;
    let mut committed = String::new();
    let mut finals = 0;
    for signal in &seen {
        match signal {
            Seen::Partial { committed: now, .. } => {
                ensure!(now.starts_with(&committed), "{committed:?} became {now:?}");
                committed.clone_from(now);
            }
            Seen::Final { text, details, .. } => {
                let raw = detail(details, keys::RAW).context("no raw text")?;
                ensure!(raw.starts_with(&committed), "{committed:?} became {raw:?}");
                finals += 1;
                let words = sound::words(&committed).len();
                let all = sound::words(text).len();
                ensure!(
                    all < 4 || words * 2 >= all,
                    "only {words} of {all} words were committed: {committed:?} of {text:?}"
                );
                committed.clear();
            }
            _ => {}
        }
    }
    ensure!(finals > 0, "no final");
    ensure!(sound::understood(&text, &said(&seen)), "{}", said(&seen));
    daemon.terminate().await
}

#[tokio::test]
async fn speech_without_a_pause_is_cut_between_words() -> Result<()> {
    let Some(models) = models_with("tiny.en") else {
        return Ok(());
    };
    let (desktop, daemon, mut follower) = running(&models).await?;
    let file = sound::speak(desktop.path(), "breathless", BREATHLESS)?;
    let realtime = HashMap::from([(keys::REALTIME, true.into())]);
    let seen = play(&daemon, &mut follower, &file, realtime).await?;
    let mut texts = Vec::new();
    let mut cuts = 0;
    let mut signals = seen.iter().peekable();
    while let Some(signal) = signals.next() {
        if let Seen::Final { text, details, .. } = signal {
            texts.push(text.clone());
            if details.get(keys::CONTINUES) == Some(&true.into()) {
                cuts += 1;
                // It goes on at once.
                let next = signals.peek();
                ensure!(matches!(next, Some(Seen::Started { .. })), "{next:?}");
            }
        }
    }
    ensure!(cuts > 0, "nothing was cut: {texts:?}");
    // A lost or doubled word at a cut is one more error than the synthesiser's voice costs.
    let said = sound::words(BREATHLESS).len();
    let errors = sound::word_errors(BREATHLESS, &texts.join(" "));
    ensure!(errors * 8 <= said, "{errors} of {said} words: {texts:?}");
    daemon.terminate().await
}

#[tokio::test]
async fn a_rare_name_is_right_with_the_vocabulary_and_wrong_without() -> Result<()> {
    let (Some(models), Some(corpus)) = (models_with("tiny.en"), corpus()) else {
        return Ok(());
    };
    let (_desktop, daemon, mut follower) = running(&models).await?;
    let file = corpus.join("librispeech/1688-142285-0005.flac");
    let name = "Helstone";
    let without = said(&play(&daemon, &mut follower, &file, HashMap::new()).await?);
    let words = HashMap::from([(keys::VOCABULARY, Variant::from(vec![name]))]);
    let with = said(&play(&daemon, &mut follower, &file, words).await?);
    ensure!(!without.contains(name), "it needs no help: {without}");
    ensure!(with.contains(name), "it is not helped: {with}");
    daemon.terminate().await
}

#[tokio::test]
async fn noise_gives_no_text() -> Result<()> {
    let (Some(models), Some(corpus)) = (models_with("tiny.en"), corpus()) else {
        return Ok(());
    };
    let (_desktop, daemon, mut follower) = running(&models).await?;
    for name in [
        "nonspeech-keyboard/mbp-1.flac",
        "nonspeech-noise-ambient/humpback-whale.flac",
        "nonspeech-music/macroform-robot_dity.flac",
    ] {
        let file = corpus.join(name);
        let seen = play(&daemon, &mut follower, &file, HashMap::new()).await?;
        ensure!(said(&seen).is_empty(), "{name}: {}", said(&seen));
        let shown = seen.iter().find(|signal| {
            matches!(signal, Seen::Partial { committed, tentative, .. }
                if !(committed.is_empty() && tentative.is_empty()))
        });
        ensure!(shown.is_none(), "{name}: {shown:?}");
    }
    daemon.terminate().await
}
