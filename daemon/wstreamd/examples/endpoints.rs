//! How the endpointer cuts a collection of sound: for tuning it.
//!
//!     cargo run --release -p wstreamd --example endpoints -- MANIFEST [KEY=VALUE…]
//!
//! MANIFEST is a table (tab-separated, with a heading) of path, seconds, speaker, language,
//! reference; an empty reference means that nothing is said. KEY is a field of the settings, or
//! `detector` or `mode`; `words=FILE` for what needs to know when each word is spoken (a line for
//! each file: path, onset, offset, then `word start end` for each word, separated by tabs);
//! `cut=FOLDER` to write the utterances there as WAV, one file each; `all=1` to print a line for
//! each file. Files are read with sox. What the columns mean is printed with them.
#![allow(clippy::print_stdout, reason = "it is a program")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use wstreamd::capture::CaptureSettings;
use wstreamd::endpoint::{Action, Endpointer, FRAME, RATE, rms};
use wstreamd::vad::{Detector, VadMode, VoiceDetector};

/// What of a word may be outside of all utterances: the error of the word times.
const CLIPPED_S: f64 = 0.08;

/// What the columns mean.
const LEGEND: &str = "\
any        files in which there was an utterance
loud%      loud frames outside of all utterances
clipped    words that are outside of all utterances with more than 80 ms
lost       words of which nothing is inside
early      ends of utterances with words of the same file still to come, and within 0.5 s
torn       of these, ends in the middle of a word
pause      seconds from the end of the last word to the frame that tells of the pause: median, 90 %
end        the same to the frame that tells of the end; where the sound goes on for long enough
cpu        microseconds for a second of sound, detector and endpointer";

#[derive(Default)]
struct Totals {
    files: usize,
    with_any: usize,
    seconds: f64,
    utterances: usize,
    inside_s: f64,
    longest_s: f64,
    /// Loud frames outside all utterances, as a share of all loud ones: words that may be lost.
    loud: usize,
    loud_outside: usize,
    words: usize,
    clipped: usize,
    lost: usize,
    early: usize,
    torn: usize,
    pauses_s: Vec<f64>,
    ends_s: Vec<f64>,
    cpu: Duration,
}

/// When a word is spoken, in seconds.
type Word = (f64, f64);

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let manifest = PathBuf::from(arguments.next().context("give a manifest")?);
    let mut settings = CaptureSettings::default();
    let (mut cut, mut all, mut words) = (None, false, BTreeMap::new());
    for argument in arguments {
        let (key, value) = argument.split_once('=').context("KEY=VALUE")?;
        let endpoint = &mut settings.endpoint;
        match key {
            "detector" => {
                let named = |detector: &Detector| detector.name() == value;
                let found = Detector::ALL.into_iter().find(named);
                settings.detector = found.context("no such detector")?;
            }
            "mode" => {
                let found = VadMode::ALL.into_iter().find(|mode| mode.name() == value);
                settings.vad = found.context("no such mode")?;
            }
            "onset_ms" => endpoint.onset_ms = value.parse()?,
            "pre_roll_ms" => endpoint.pre_roll_ms = value.parse()?,
            "hangover_ms" => endpoint.hangover_ms = value.parse()?,
            "tail_ms" => endpoint.tail_ms = value.parse()?,
            "min_speech_ms" => endpoint.min_speech_ms = value.parse()?,
            "max_utterance_s" => endpoint.max_utterance_s = value.parse()?,
            "words" => words = read_words(Path::new(value))?,
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
        let whole = decode(&folder.join(path))?;
        let began = Instant::now();
        let heard = hear(&whole, &settings);
        let cpu = began.elapsed();
        if let Some(cut) = &cut {
            write_utterances(cut, path, &whole, &heard)?;
        }
        let kind = if reference.is_empty() { "-" } else { "+" };
        if all {
            let spans: Vec<String> = (heard.iter())
                .map(|it| format!("{:.2}-{:.2}", seconds(it.start), seconds(it.end)))
                .collect();
            println!(
                "{kind} {path} {:.2} {}",
                seconds(whole.len()),
                spans.join(" ")
            );
        }
        let part = path.split('/').next().unwrap_or(path);
        let words = words.get(path).map_or(&[][..], Vec::as_slice);
        for name in [format!("{kind} {part}"), format!("{kind} all")] {
            let totals = parts.entry(name).or_default();
            totals.cpu += cpu;
            totals.add(&whole, &heard, words);
        }
    }
    println!("{LEGEND}\n");
    println!(
        "part\tfiles\tany\tseconds\tutterances\tinside\tlongest\tloud%\twords\tclipped\tlost\tearly\ttorn\tpause\t\tend\t\tcpu"
    );
    for (part, totals) in &mut parts {
        totals.print(part);
    }
    Ok(())
}

/// An utterance, in samples of the file.
#[derive(Default)]
struct Utterance {
    start: usize,
    end: usize,
    /// When its last pause was told of.
    paused: Option<usize>,
    /// When its end was told of; `None`: the file's end was its end.
    ended: Option<usize>,
}

fn hear(whole: &[i16], settings: &CaptureSettings) -> Vec<Utterance> {
    let mut detector = VoiceDetector::new(settings.detector, settings.vad);
    let mut endpointer = Endpointer::new(&settings.endpoint);
    let mut heard: Vec<Utterance> = Vec::new();
    let mut actions = Vec::new();
    let (frames, rest) = whole.as_chunks::<FRAME>();
    let mut take = |actions: &mut Vec<Action>, now: Option<usize>| {
        for action in actions.drain(..) {
            if let Action::Begin { at } = action {
                heard.push(Utterance {
                    start: at as usize,
                    end: at as usize,
                    ..Utterance::default()
                });
            }
            let Some(utterance) = heard.last_mut() else {
                continue;
            };
            match action {
                Action::Sound(samples) => utterance.end += samples.len(),
                Action::Pause { .. } => utterance.paused = now,
                Action::End { .. } => utterance.ended = now,
                Action::Begin { .. } | Action::Resume => {}
            }
        }
    };
    for (number, frame) in frames.iter().enumerate() {
        let heard = detector.hear(frame);
        endpointer.push(frame, heard, &mut actions);
        take(&mut actions, Some((number + 1) * FRAME));
    }
    endpointer.finish(rest, &mut actions);
    take(&mut actions, None);
    heard
}

impl Totals {
    fn add(&mut self, whole: &[i16], heard: &[Utterance], words: &[Word]) {
        self.files += 1;
        self.with_any += usize::from(!heard.is_empty());
        self.seconds += seconds(whole.len());
        self.utterances += heard.len();
        let mut inside = vec![false; whole.len()];
        for it in heard {
            let length_s = seconds(it.end - it.start);
            self.inside_s += length_s;
            self.longest_s = self.longest_s.max(length_s);
            inside[it.start..it.end].fill(true);
        }
        let levels: Vec<f64> = whole.chunks(FRAME).map(rms).collect();
        let loudest = levels.iter().copied().fold(0.0, f64::max);
        for (frame, level) in levels.iter().enumerate() {
            if *level > loudest / 10.0 {
                self.loud += 1;
                self.loud_outside += usize::from(!inside[frame * FRAME]);
            }
        }
        for &(start, end) in words {
            self.words += 1;
            let samples = |s: f64| ((s * f64::from(RATE)) as usize).min(whole.len());
            let word = &inside[samples(start)..samples(end)];
            let outside = word.iter().filter(|inside| !**inside).count();
            self.clipped += usize::from(seconds(outside) > CLIPPED_S);
            self.lost += usize::from(outside == word.len());
        }
        for it in heard {
            let end = seconds(it.end);
            let said: Vec<&Word> = words.iter().filter(|word| word.0 < end).collect();
            let Some(last) = said.last() else { continue };
            // The time between a word and the next: a speaker who pauses for longer has paused.
            let next = words.iter().find(|word| word.0 >= end);
            let is_torn = last.1 > end + CLIPPED_S;
            self.torn += usize::from(is_torn);
            self.early += usize::from(is_torn || next.is_some_and(|next| next.0 - last.1 < 0.5));
            if let (Some(paused), Some(ended)) = (it.paused, it.ended)
                && !is_torn
            {
                self.pauses_s.push(seconds(paused) - last.1);
                self.ends_s.push(seconds(ended) - last.1);
            }
        }
    }

    fn print(&mut self, part: &str) {
        let quantile = |values: &mut Vec<f64>, share: f64| {
            values.sort_by(f64::total_cmp);
            let index = (values.len() as f64 * share) as usize;
            values.get(index).copied().unwrap_or(f64::NAN)
        };
        println!(
            "{part}\t{}\t{}\t{:.0}\t{}\t{:.0}\t{:.1}\t{:.2}\t{}\t{}\t{}\t{}\t{}\t{:.2}\t{:.2}\t{:.2}\t{:.2}\t{:.0}",
            self.files,
            self.with_any,
            self.seconds,
            self.utterances,
            self.inside_s,
            self.longest_s,
            100.0 * self.loud_outside as f64 / self.loud.max(1) as f64,
            self.words,
            self.clipped,
            self.lost,
            self.early,
            self.torn,
            quantile(&mut self.pauses_s, 0.5),
            quantile(&mut self.pauses_s, 0.9),
            quantile(&mut self.ends_s, 0.5),
            quantile(&mut self.ends_s, 0.9),
            self.cpu.as_secs_f64() * 1e6 / self.seconds,
        );
    }
}

fn seconds(samples: usize) -> f64 {
    samples as f64 / f64::from(RATE)
}

fn read_words(path: &Path) -> anyhow::Result<BTreeMap<String, Vec<Word>>> {
    let mut files = BTreeMap::new();
    for line in fs::read_to_string(path)?.lines() {
        let mut fields = line.split('\t');
        let path = fields.next().context("no path")?;
        let mut words = Vec::new();
        for word in fields.skip(2) {
            let times: Vec<f64> = (word.split(' ').skip(1))
                .map(str::parse)
                .collect::<Result<_, _>>()
                .with_context(|| word.to_owned())?;
            let &[start, end] = &times[..] else {
                bail!("{word}: not `word start end`");
            };
            words.push((start, end));
        }
        files.insert(path.to_owned(), words);
    }
    Ok(files)
}

fn write_utterances(
    folder: &Path,
    path: &str,
    whole: &[i16],
    heard: &[Utterance],
) -> anyhow::Result<()> {
    let name = path.replace('/', "_").replace(".flac", "");
    fs::create_dir_all(folder)?;
    for (number, it) in heard.iter().enumerate() {
        let mut file = File::create(folder.join(format!("{name}.{number:03}.wav")))?;
        file.write_all(&wav(&whole[it.start..it.end]))?;
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

fn decode(path: &Path) -> anyhow::Result<Vec<i16>> {
    let output = std::process::Command::new("sox")
        .arg(path)
        .args([
            "-t", "raw", "-e", "signed", "-b", "16", "-r", "16000", "-c", "1", "-",
        ])
        .output()
        .context("sox")?;
    let (samples, _) = output.stdout.as_chunks::<2>();
    Ok(samples
        .iter()
        .map(|&bytes| i16::from_le_bytes(bytes))
        .collect())
}
