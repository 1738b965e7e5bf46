//! How the endpointer cuts a collection of sound: for tuning it.
//!
//!     cargo run --release -p wstreamd --example endpoints -- MANIFEST [KEY=VALUE…]
//!
//! MANIFEST is a table (tab-separated, with a heading) of path, seconds, speaker, language,
//! reference; an empty reference means that nothing is said. KEY is a field of the settings, or
//! `cut=FOLDER` to write the utterances there as WAV, one file each, or `all=1` to
//! print a line for each file. Every file goes through `Feed`, as a client's would.
#![allow(clippy::print_stdout, reason = "it is a program")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Context as _, bail};
use tokio::sync::mpsc;
use wstreamd::capture::{self, CaptureRequest, CaptureSettings, FeedFormat, SourceRequest};
use wstreamd::endpoint::rms;
use wstreamd::event::{EVENT_QUEUE, Event};
use wstreamd::speech::{SPEECH_QUEUE, Speech};
use wstreamd::vad::VadMode;

#[derive(Default)]
struct Totals {
    files: usize,
    seconds: f64,
    utterances: usize,
    without_any: usize,
    inside_s: f64,
    longest_s: f64,
    /// Loud frames outside all utterances, as a share of all loud ones: words that may be lost.
    loud: usize,
    loud_outside: usize,
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let manifest = PathBuf::from(arguments.next().context("give a manifest")?);
    let mut settings = CaptureSettings::default();
    let mut cut = None;
    let mut all = false;
    for argument in arguments {
        let (key, value) = argument.split_once('=').context("KEY=VALUE")?;
        let endpoint = &mut settings.endpoint;
        match key {
            "mode" => {
                settings.vad = VadMode::ALL
                    .into_iter()
                    .find(|mode| mode.name() == value)
                    .context("no such mode")?;
            }
            "onset_ms" => endpoint.onset_ms = value.parse()?,
            "pre_roll_ms" => endpoint.pre_roll_ms = value.parse()?,
            "hangover_ms" => endpoint.hangover_ms = value.parse()?,
            "tail_ms" => endpoint.tail_ms = value.parse()?,
            "min_speech_ms" => endpoint.min_speech_ms = value.parse()?,
            "max_utterance_s" => endpoint.max_utterance_s = value.parse()?,
            "cut" => cut = Some(PathBuf::from(value)),
            "all" => all = value == "1",
            _ => bail!("no setting {key}"),
        }
    }
    let folder = manifest.parent().unwrap_or(Path::new("."));
    let mut parts: BTreeMap<String, Totals> = BTreeMap::new();
    for line in fs::read_to_string(&manifest)?.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let (path, reference) = (fields[0], fields[4]);
        let heard = capture(&folder.join(path), &settings)?;
        let whole = heard.whole;
        let part = path.split('/').next().unwrap_or(path);
        let kind = if reference.is_empty() { "-" } else { "+" };
        let totals = parts.entry(format!("{kind} {part}")).or_default();
        let seconds = whole.len() as f64 / 16_000.0;
        totals.files += 1;
        totals.seconds += seconds;
        totals.utterances += heard.cut.len();
        totals.without_any += usize::from(heard.cut.is_empty());
        let mut inside = vec![false; whole.len()];
        for (number, (start, samples)) in heard.cut.iter().enumerate() {
            totals.inside_s += samples.len() as f64 / 16_000.0;
            totals.longest_s = totals.longest_s.max(samples.len() as f64 / 16_000.0);
            inside[*start..*start + samples.len()].fill(true);
            assert_eq!(&whole[*start..*start + samples.len()], samples.as_slice());
            if let Some(cut) = &cut {
                let name = path.replace('/', "_").replace(".flac", "");
                fs::create_dir_all(cut)?;
                let mut file = File::create(cut.join(format!("{name}.{number:03}.wav")))?;
                file.write_all(&wav(samples))?;
            }
        }
        let levels: Vec<f64> = whole.chunks(480).map(rms).collect();
        let loudest = levels.iter().copied().fold(0.0, f64::max);
        let mut outside = 0;
        for (frame, level) in levels.iter().enumerate() {
            if *level > loudest / 10.0 {
                totals.loud += 1;
                outside += usize::from(!inside[frame * 480]);
            }
        }
        totals.loud_outside += outside;
        if all {
            let spans: Vec<String> = heard
                .cut
                .iter()
                .map(|(start, samples)| {
                    let from = *start as f64 / 16_000.0;
                    format!("{from:.2}-{:.2}", from + samples.len() as f64 / 16_000.0)
                })
                .collect();
            println!(
                "{kind} {path} {seconds:.2} outside {outside} {}",
                spans.join(" ")
            );
        }
    }
    println!(
        "part\tfiles\tseconds\tutterances\tfiles without any\tseconds inside\tlongest\tloud outside %"
    );
    for (part, t) in &parts {
        println!(
            "{part}\t{}\t{:.0}\t{}\t{}\t{:.0}\t{:.1}\t{:.2}",
            t.files,
            t.seconds,
            t.utterances,
            t.without_any,
            t.inside_s,
            t.longest_s,
            100.0 * t.loud_outside as f64 / t.loud.max(1) as f64
        );
    }
    Ok(())
}

fn wav(samples: &[i16]) -> Vec<u8> {
    let length = 2 * samples.len() as u32;
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + length).to_le_bytes());
    // 16 bytes of format: PCM, mono, 16 000 a second, 32 000 bytes a second, 2 a frame, 16 bits.
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data");
    wav.extend(length.to_le_bytes());
    wav.extend(samples.iter().flat_map(|s| s.to_le_bytes()));
    wav
}

struct Heard {
    whole: Vec<i16>,
    cut: Vec<(usize, Vec<i16>)>,
}

fn capture(path: &Path, settings: &CaptureSettings) -> anyhow::Result<Heard> {
    let (to_transcriber, mut speech) = mpsc::channel(SPEECH_QUEUE);
    let (to_daemon, mut events) = mpsc::channel(EVENT_QUEUE);
    let sound = File::open(path).with_context(|| path.display().to_string())?;
    let _capture = capture::open(
        CaptureRequest {
            session: 1,
            source: SourceRequest::Feed {
                sound: sound.into(),
                format: FeedFormat::Auto,
                realtime: false,
            },
            settings: settings.clone(),
            options: Arc::default(),
            next_utterance: Arc::new(AtomicU64::new(1)),
        },
        to_transcriber,
        to_daemon,
    );
    let events = std::thread::spawn(move || {
        let mut starts = Vec::new();
        while let Some(event) = events.blocking_recv() {
            match event {
                Event::Started { at_s, .. } => starts.push((at_s * 16_000.0).round() as usize),
                Event::CaptureFailed { fault, .. } => bail!("{fault}"),
                Event::CaptureEnded {
                    fault: Some(fault), ..
                } => bail!("{fault}"),
                _ => {}
            }
        }
        Ok(starts)
    });
    let mut cut: Vec<Vec<i16>> = Vec::new();
    while let Some(speech) = speech.blocking_recv() {
        match speech {
            Speech::Begin(_) => cut.push(Vec::new()),
            Speech::Sound { samples, .. } => {
                cut.last_mut()
                    .context("sound before an utterance")?
                    .extend(samples.iter());
            }
            _ => {}
        }
    }
    let starts = events.join().expect("the thread does not panic")?;
    let output = std::process::Command::new("sox")
        .arg(path)
        .args(["-t", "raw", "-e", "signed", "-b", "16", "-"])
        .output()
        .context("sox")?;
    let whole = output
        .stdout
        .chunks_exact(2)
        .map(|b| i16::from_le_bytes([b[0], b[1]]))
        .collect();
    Ok(Heard {
        whole,
        cut: starts.into_iter().zip(cut).collect(),
    })
}
