//! What `wstream-words` costs each final: the rules alone, and the whole call over the bus to the
//! real program, from a stand-in for the daemon.
//!
//! ```sh
//! cargo build --release -p wstream-words
//! dbus-run-session -- cargo run --release -p wstream-words --example cost
//! ```
#![allow(clippy::print_stdout, reason = "it is what this is for")]

use std::collections::HashMap;
use std::error::Error;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use wstream_words::{Language, Rules, Settings};
use zbus::{OwnedObjectPath, OwnedVariant, Variant, interface};

/// A sentence, a long dictation with commands, and one of half a minute without any.
const TEXTS: [&str; 3] = [
    "The weather is fine today, and we will walk to the river after lunch.",
    "Dear John, comma, new paragraph. I, um, think that the problem is, scratch that, that the \
     solution is simple, colon, we wait, period. New paragraph. Yours, comma, new line, Jane.",
    "I have been thinking about what you said the other day and it seems to me that there is more \
     to it than we had first thought because the people who came before us had already seen what \
     was going to happen and yet they did nothing about it which is of course easy to say now that \
     we know how it all went but at the time nobody could have known and so it went on for years.",
];

const TIMES: usize = 2000;

/// Says who wants to filter.
struct Daemon(mpsc::UnboundedSender<(String, OwnedObjectPath)>);

#[interface(name = "org.wstream.Dictation1")]
impl Daemon {
    fn add_filter(
        &self,
        path: OwnedObjectPath,
        _priority: i32,
        _timeout_ms: u32,
        #[zbus(header)] header: zbus::message::Header<'_>,
    ) {
        if let Some(sender) = header.sender() {
            let _ = self.0.send((sender.to_string(), path));
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let english = Language::built_in("en").ok_or("English is built in")?;
    let rules = Rules::new(&english, "en", &Settings::default())?;
    for text in TEXTS {
        let times = (0..TIMES).map(|_| {
            let begun = Instant::now();
            std::hint::black_box(rules.apply(std::hint::black_box(text)));
            begun.elapsed()
        });
        report("rules alone", text, times.collect());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(over_the_bus())
}

async fn over_the_bus() -> Result<(), Box<dyn Error>> {
    let (sender, mut filters) = mpsc::unbounded_channel();
    let bus = zbus::connection::Builder::session()
        .serve_at(wstream_api::PATH, Daemon(sender))
        .name(wstream_api::NAME)
        .build()
        .await?;
    let own = std::env::current_exe()?;
    let dir = own
        .parent()
        .and_then(|dir| dir.parent())
        .ok_or("a folder")?;
    let mut plugin = Command::new(dir.join("wstream-words")).spawn()?;
    let (name, path) = filters.recv().await.ok_or("no filter came")?;
    for text in TEXTS {
        let mut times = Vec::with_capacity(TIMES);
        for utterance in 0..TIMES {
            let details = HashMap::from([("language", Variant::from("en"))]);
            let arguments = (u64::try_from(utterance)?, text, details);
            let begun = Instant::now();
            let answer = bus
                .call_method(
                    Some(name.as_str()),
                    path.as_str(),
                    Some(wstream_api::FILTER_INTERFACE),
                    "Filter",
                    &arguments,
                )
                .await?;
            let _: (String, HashMap<String, OwnedVariant>) = answer.body().deserialize()?;
            times.push(begun.elapsed());
        }
        report("over the bus", text, times);
    }
    plugin.kill()?;
    plugin.wait()?;
    Ok(())
}

fn report(what: &str, text: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: usize| times[times.len() * part / 1000].as_secs_f64() * 1000.0;
    println!(
        "{what}, {} characters: p50 {:.3} ms, p99 {:.3} ms, p99.9 {:.3} ms",
        text.len(),
        at(500),
        at(990),
        at(999)
    );
}
