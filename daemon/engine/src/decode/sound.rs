//! What can be told of sound without the model.
//!
//! Enters: samples. Leaves: levels, how much of it may be voice, how much the encoder must look at,
//! where to cut a long utterance. Pure functions of the samples, so that every decode of the same
//! sound does the same.

use wstream_wire::SAMPLE_RATE;

/// Samples per second.
const RATE: usize = SAMPLE_RATE as usize;

/// 30 ms: the frame of the whole program.
const FRAME: usize = wstream_wire::FRAME_SAMPLES;

/// And its seconds.
const FRAME_S: f64 = FRAME as f64 / RATE as f64;

/// Below this every frame is silence whatever it holds: -66 dB of full scale, under the noise floor
/// of any microphone that is open. The quietest utterance of the test corpus is 20 dB louder.
const SILENCE: f32 = 0.0005;

/// Encoder positions per second of sound.
const POSITIONS_PER_S: f64 = 50.0;

/// All positions: 30 s.
pub const WHOLE_WINDOW: i32 = 1500;

/// Less than this makes the decoder loop on short sound (measured: 384 loops, 448 does not).
const LEAST_POSITIONS: i32 = 512;

/// Positions that must stay free behind the sound, or the decoder repeats itself.
const SLACK: f64 = 64.0;

/// The encoder's width goes in these steps.
const STEP: i32 = 256;

/// What a second attempt looks at, where that is more.
const SECOND_ATTEMPT: i32 = 1024;

/// From here on the whole window is used: what a smaller one would save is little.
const WHOLE_WINDOW_FROM_S: f64 = 24.0;

/// How many encoder positions `samples` samples need.
pub fn audio_context(samples: usize) -> i32 {
    let seconds = samples as f64 / RATE as f64;
    if seconds > WHOLE_WINDOW_FROM_S {
        return WHOLE_WINDOW;
    }
    let needed = (seconds * POSITIONS_PER_S + SLACK).ceil() as i32;
    ((needed + STEP - 1) / STEP * STEP).clamp(LEAST_POSITIONS, WHOLE_WINDOW)
}

/// Encoder positions for the second attempt at sound that was doubted with `positions`. All of them
/// are no better than these (words wrong over all of English with `tiny.en`: 8.58 % with 1500, 8.62
/// with 1024, 8.86 with 768), and for short sound they take twice as long.
pub fn more_context(positions: i32) -> i32 {
    if positions < SECOND_ATTEMPT {
        SECOND_ATTEMPT
    } else {
        WHOLE_WINDOW
    }
}

/// The loudness of each whole frame: root mean square, 0..1.
pub fn levels(samples: &[f32]) -> Vec<f32> {
    samples
        .chunks_exact(FRAME)
        .map(|frame| (frame.iter().map(|s| s * s).sum::<f32>() / FRAME as f32).sqrt())
        .collect()
}

/// Whether nothing in it can be voice.
pub fn is_silent(samples: &[f32]) -> bool {
    levels(samples).into_iter().all(|level| level < SILENCE)
}

/// Seconds that may be voice.
pub fn voiced_seconds(samples: &[f32]) -> f64 {
    let voiced = voiced_frames(samples);
    voiced.into_iter().filter(|&is_voiced| is_voiced).count() as f64 * FRAME_S
}

/// The second behind which less than half a second of voice is left; 0 where there is none at all.
pub fn voice_until(samples: &[f32]) -> f64 {
    const LEFT_FRAMES: usize = 16;
    voiced_frames(samples)
        .into_iter()
        .enumerate()
        .rev()
        .filter_map(|(index, is_voiced)| is_voiced.then_some(index))
        .nth(LEFT_FRAMES)
        .map_or(0.0, |index| index as f64 * FRAME_S)
}

/// Which frames may be voice: well above the floor and not far below the loudest ones.
fn voiced_frames(samples: &[f32]) -> Vec<bool> {
    let levels = levels(samples);
    let mut sorted = levels.clone();
    sorted.sort_by(f32::total_cmp);
    let at = |part: f64| {
        sorted
            .get((sorted.len() as f64 * part) as usize)
            .copied()
            .unwrap_or_default()
    };
    // Speech spans about 30 dB; a frame counts from 26 dB below the loud ones, or 6 dB above the
    // floor where the floor is high.
    let threshold = (at(0.95) / 20.0).max(at(0.05) * 2.0).max(SILENCE);
    levels.into_iter().map(|level| level > threshold).collect()
}

/// A longer utterance is decoded in pieces. 28 s and a second of context stay below the window.
pub const LONGEST_PIECE: usize = 28 * RATE;

/// A piece is cut between these two.
const CUT_FROM: usize = 15 * RATE;
const CUT_TO: usize = 25 * RATE;

/// Where to cut the first piece off `samples`, or `None` while it is short enough to stay whole:
/// in the middle of the quietest 0.3 s. Depends on the first 25 s alone, so that it does not matter
/// when it is asked.
pub fn cut(samples: &[f32]) -> Option<usize> {
    if samples.len() <= LONGEST_PIECE {
        return None;
    }
    let levels = levels(&samples[CUT_FROM..CUT_TO]);
    const PAUSE_FRAMES: usize = 10;
    let quietest = levels
        .windows(PAUSE_FRAMES)
        .map(|frames| frames.iter().map(|level| level * level).sum::<f32>())
        .enumerate()
        // Of equal ones the last: longer pieces are decoded better.
        .min_by(|(i, a), (j, b)| a.total_cmp(b).then(j.cmp(i)))
        .map(|(index, _)| index)?;
    Some(CUT_FROM + (quietest + PAUSE_FRAMES / 2) * FRAME)
}

/// The middle of the quietest 60 ms of `samples`, in steps of 10 ms; the middle of all where there
/// are not so many.
pub fn quietest(samples: &[f32]) -> usize {
    const STEP: usize = RATE / 100;
    const WIDTH: usize = 6 * STEP;
    (0..(samples.len() + STEP).saturating_sub(WIDTH))
        .step_by(STEP)
        .filter_map(|from| Some((from, samples.get(from..from + WIDTH)?)))
        .map(|(from, part)| (from, part.iter().map(|s| s * s).sum::<f32>()))
        .min_by(|(_, a), (_, b)| a.total_cmp(b))
        .map_or(samples.len() / 2, |(from, _)| from + WIDTH / 2)
}

/// Whether what follows `cut` is so quiet beside the rest that no word can be in it.
pub fn is_quiet_behind(samples: &[f32], cut: usize) -> bool {
    let (front, tail) = samples.split_at(cut.min(samples.len()));
    let mut front = levels(front);
    front.sort_by(f32::total_cmp);
    let loud = front
        .get(front.len() * 19 / 20)
        .copied()
        .unwrap_or_default();
    // 20 dB below the loud frames; a weak consonant at the end of a word is nearer than that.
    levels(tail)
        .into_iter()
        .all(|level| level < SILENCE || level < loud / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_context_follows_the_rule() {
        for (seconds, expected) in [
            (0.1, 512),
            (8.96, 512),
            (8.98, 768),
            (14.08, 768),
            (14.2, 1024),
            (19.2, 1024),
            (23.9, 1280),
            (24.1, 1500),
            (30.0, 1500),
        ] {
            let samples = (seconds * RATE as f64) as usize;
            assert_eq!(audio_context(samples), expected, "{seconds} s");
        }
    }

    #[test]
    fn a_long_utterance_is_cut_in_its_pause_whenever_it_is_asked() {
        let mut samples = vec![0.1; 40 * RATE];
        samples[20 * RATE..20 * RATE + RATE / 2].fill(0.0);
        assert_eq!(cut(&samples[..28 * RATE]), None);
        let at = cut(&samples).expect("40 s are too long for one piece");
        assert!((20 * RATE..20 * RATE + RATE / 2).contains(&at), "{at}");
        assert_eq!(cut(&samples[..28 * RATE + 1]), Some(at));
    }

    #[test]
    fn the_quietest_place_is_found() {
        let mut samples = vec![0.1; RATE];
        samples[4000..6000].fill(0.01);
        assert!((4480..5520).contains(&quietest(&samples)));
        assert_eq!(quietest(&samples[..960]), 480);
        assert_eq!(quietest(&samples[..300]), 150);
        assert_eq!(quietest(&[]), 0);
    }

    #[test]
    fn silence_is_told_from_a_quiet_voice() {
        assert!(is_silent(&vec![0.0; RATE]));
        assert!(is_silent(&[]));
        let mut quiet = vec![0.0; RATE];
        quiet[8000..8480].fill(0.002);
        assert!(!is_silent(&quiet));
        assert!(voiced_seconds(&quiet) > 0.0);
        assert_eq!(voiced_seconds(&vec![0.0; RATE]), 0.0);
        assert_eq!(voice_until(&quiet), 0.0);
    }

    #[test]
    fn the_end_of_the_voice_is_found() {
        let mut samples = vec![0.0; 3 * RATE];
        samples[RATE..2 * RATE].fill(0.1);
        let until = voice_until(&samples);
        assert!((1.4..1.6).contains(&until), "{until}");
    }

    #[test]
    fn a_quiet_tail_is_told_from_a_word() {
        let mut samples = vec![0.1; RATE];
        samples[RATE / 2..].fill(0.005);
        assert!(is_quiet_behind(&samples, RATE / 2));
        samples[RATE - 1000..].fill(0.05);
        assert!(!is_quiet_behind(&samples, RATE / 2));
        assert!(is_quiet_behind(&samples, RATE));
    }
}
