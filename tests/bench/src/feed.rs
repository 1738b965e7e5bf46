//! Sound into a pipe, frame by frame at absolute deadlines, from a thread of its own.

use std::io::{PipeReader, PipeWriter, Write as _};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;

/// Samples per second, everywhere.
pub const RATE: u32 = 16_000;

/// Milliseconds that are written at once: what a microphone hands over.
const FRAME_MS: u64 = 30;

const FRAME: usize = (RATE as u64 * FRAME_MS / 1000) as usize;

/// Silence after each file, so that its end is found as behind a microphone: by silence, not by
/// the end of the sound. Longer than any hangover in use and the slowest final.
const TAIL_S: f64 = 1.5;

/// Loudness of that silence, in 16-bit steps: -66 dBFS, a quiet room in a good microphone.
/// Digital zero is what no microphone gives, and too easy for a voice detector.
const TAIL_LEVEL: f64 = 16.0;

/// How fast sound is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As it would be spoken.
    Spoken,
    /// As fast as it is taken.
    Fast,
}

/// How the writer kept its deadlines, in milliseconds behind them.
#[derive(Clone, Debug, Default)]
pub struct Lateness {
    pub each_ms: Vec<f64>,
}

impl Lateness {
    pub fn worst_ms(&self) -> f64 {
        self.each_ms.iter().copied().fold(0.0, f64::max)
    }
}

/// Starts writing `samples` and the silence after them; the first sample is due at `begin`, and a
/// frame is written when its last sample is. Gives the end to read from.
pub fn start(
    samples: &[i16],
    begin: Instant,
    pace: Pace,
) -> Result<(PipeReader, JoinHandle<Lateness>)> {
    let (reader, writer) = std::io::pipe()?;
    let mut all = samples.to_vec();
    all.extend(tail());
    let bytes: Vec<u8> = all.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let thread = thread::Builder::new()
        .name("feed".into())
        .spawn(move || write(writer, &bytes, begin, pace))?;
    Ok((reader, thread))
}

fn write(mut pipe: PipeWriter, bytes: &[u8], begin: Instant, pace: Pace) -> Lateness {
    let mut lateness = Lateness::default();
    let mut due = begin;
    for frame in bytes.chunks(FRAME * size_of::<i16>()) {
        // From the beginning, not from the frame before: no error adds up.
        due += Duration::from_millis(FRAME_MS);
        if pace == Pace::Spoken {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let late = Instant::now().saturating_duration_since(due);
            lateness.each_ms.push(late.as_secs_f64() * 1000.0);
        }
        // Whoever stops reading has ended the session; its signals tell why.
        if pipe.write_all(frame).is_err() {
            break;
        }
    }
    lateness
}

/// Noise of triangular distribution, the same in every run.
fn tail() -> impl Iterator<Item = i16> {
    let mut state: u32 = 1;
    let mut uniform = move || {
        // Numerical Recipes' generator; its high bits are good enough for noise.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 24) - 0.5
    };
    // The sum of two uniform numbers has a deviation of 1/sqrt(6).
    let scale = TAIL_LEVEL * 6f64.sqrt();
    (0..(TAIL_S * f64::from(RATE)) as usize)
        .map(move |_| ((uniform() + uniform()) * scale).round() as i16)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn frames_come_when_they_are_due() {
        let begin = Instant::now() + Duration::from_millis(20);
        let (mut reader, thread) = start(&[7; 1440], begin, Pace::Spoken).unwrap();
        let mut frame = [0; FRAME * 2];
        for number in 1..=3 {
            reader.read_exact(&mut frame).unwrap();
            let due = begin + Duration::from_millis(30 * number);
            assert!(Instant::now() >= due, "frame {number} is early");
            assert_eq!(frame[..2], 7i16.to_le_bytes());
        }
        drop(reader);
        assert!(thread.join().unwrap().each_ms.len() >= 3);
    }

    #[test]
    fn the_tail_is_quiet_but_not_silent() {
        let samples: Vec<f64> = tail().map(f64::from).collect();
        let power = samples.iter().map(|s| s * s).sum::<f64>() / samples.len() as f64;
        assert!((power.sqrt() - TAIL_LEVEL).abs() < 0.5, "{}", power.sqrt());
        assert_eq!(samples.len(), 24_000);
    }
}
