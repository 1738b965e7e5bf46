//! Mono sound of any rate in, 16 bits of another rate out, mostly 16 kHz, without a shift in time.

use std::fmt;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, Fft, FixedAsync, FixedSync, Indexing, SincInterpolationParameters, WindowFunction,
};

use crate::endpoint::RATE;

/// Input frames converted at once, as a share of a second: 10 ms, up to 20 where the blocks are
/// longer, delay no one.
const CHUNKS_PER_SECOND: u32 = 100;

/// The FFT resampler works in blocks of the rates without their common divisor: 441 frames for
/// 44.1 kHz, but a whole second for a rate such as 44 101 Hz. Above this the other one is taken.
const LONGEST_BLOCK: u32 = 4800;

/// Length of the other one's filter: half of the library's advice, for half the work; what it
/// dampens lies beyond speech.
const SINC_LENGTH: usize = 128;

/// A rate that cannot be converted.
#[derive(Debug, thiserror::Error)]
#[error("cannot convert {rate} samples per second to {to}")]
pub(crate) struct BadRate {
    rate: u32,
    to: u32,
    #[source]
    cause: rubato::ResamplerConstructionError,
}

/// Converts a stream of sound bit by bit.
pub(crate) struct Resampler {
    /// `None`: the rate is right already.
    inner: Option<Box<dyn rubato::Resampler<f32>>>,
    rate: u32,
    to: u32,
    /// Sound that does not fill a chunk yet.
    pending: Vec<f32>,
    output: Vec<f32>,
    /// Output frames still to be dropped: the filter's delay.
    skip: usize,
    taken: u64,
    given: u64,
}

impl fmt::Debug for Resampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resampler")
            .field("rate", &self.rate)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

impl Resampler {
    /// From `rate` samples per second to the 16 kHz that everything here works with.
    pub(crate) fn new(rate: u32) -> Result<Self, BadRate> {
        Self::between(rate, RATE)
    }

    /// From `rate` samples per second to `to`.
    pub(crate) fn between(rate: u32, to: u32) -> Result<Self, BadRate> {
        let inner = (rate != to)
            .then(|| build(rate, to))
            .transpose()
            .map_err(|cause| BadRate { rate, to, cause })?;
        Ok(Resampler {
            output: vec![0.0; inner.as_ref().map_or(0, |r| r.output_frames_max())],
            skip: inner.as_ref().map_or(0, |r| r.output_delay()),
            inner,
            rate,
            to,
            pending: Vec::new(),
            taken: 0,
            given: 0,
        })
    }

    /// Converts the next samples; appends what is ready.
    pub(crate) fn push(&mut self, samples: &[f32], out: &mut Vec<i16>) {
        self.taken += samples.len() as u64;
        let Some(needed) = self.inner.as_ref().map(|r| r.input_frames_next()) else {
            out.extend(samples.iter().map(|&s| to_i16(s)));
            return;
        };
        self.pending.extend_from_slice(samples);
        let mut needed = needed;
        let mut used = 0;
        while self.pending.len() - used >= needed {
            used += self.convert(used, None, u64::MAX, out);
            needed = self.inner.as_ref().map_or(1, |r| r.input_frames_next());
        }
        self.pending.drain(..used);
    }

    /// The sound is over: gives the rest, so that in all there is as much sound as there was.
    pub(crate) fn finish(&mut self, out: &mut Vec<i16>) {
        if self.inner.is_none() {
            return;
        }
        let wanted = (self.taken * u64::from(self.to)).div_ceil(u64::from(self.rate));
        let mut rest = self.pending.len();
        while self.given < wanted {
            self.convert(0, Some(rest), wanted, out);
            rest = 0;
            self.pending.clear();
        }
    }

    /// Converts one chunk from `offset` on and appends it, but nothing beyond `limit` in all;
    /// returns the frames used.
    fn convert(
        &mut self,
        offset: usize,
        partial: Option<usize>,
        limit: u64,
        out: &mut Vec<i16>,
    ) -> usize {
        let Some(inner) = &mut self.inner else {
            return 0;
        };
        let indexing = Indexing {
            input_offset: offset,
            partial_len: partial,
            ..Indexing::default()
        };
        let frames = self.pending.len();
        let capacity = self.output.len();
        let input = InterleavedSlice::new(&self.pending, 1, frames)
            .expect("one channel has as many samples as frames");
        let mut output = InterleavedSlice::new_mut(&mut self.output, 1, capacity)
            .expect("one channel has as many samples as frames");
        let (used, made) = inner
            .process_into_buffer(&input, &mut output, Some(&indexing))
            .expect("the buffers are as long as the resampler asked for");
        let skipped = self.skip.min(made);
        self.skip -= skipped;
        let room = usize::try_from(limit - self.given).unwrap_or(usize::MAX);
        let ready = &self.output[skipped..made];
        let ready = &ready[..ready.len().min(room)];
        self.given += ready.len() as u64;
        out.extend(ready.iter().map(|&s| to_i16(s)));
        used
    }
}

fn build(
    rate: u32,
    to: u32,
) -> Result<Box<dyn rubato::Resampler<f32>>, rubato::ResamplerConstructionError> {
    let chunk = (rate / CHUNKS_PER_SECOND).max(1);
    let block = rate / greatest_common_divisor(rate, to);
    if block <= LONGEST_BLOCK {
        // Blocks of an even length, or the filter's middle lies between two samples and the sound
        // is shifted by half of one.
        let even = block << (block % 2);
        let chunk = chunk.next_multiple_of(even) as usize;
        let fft = Fft::new_custom(
            rate as usize,
            to as usize,
            chunk,
            1,
            1,
            WindowFunction::BlackmanHarris2,
            FixedSync::Input,
        )?;
        return Ok(Box::new(fft));
    }
    let chunk = chunk as usize;
    let ratio = f64::from(to) / f64::from(rate);
    let parameters = SincInterpolationParameters::new(SINC_LENGTH, WindowFunction::BlackmanHarris2);
    let sinc = Async::new_sinc(ratio, 1.0, &parameters, chunk, 1, FixedAsync::Input)?;
    Ok(Box::new(sinc))
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

/// Full scale is 1. What is louder is clipped; what is no number is silence.
fn to_i16(sample: f32) -> i16 {
    // A cast from float saturates, and makes 0 of what is no number.
    (sample * 32_768.0).round() as i16
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn tone(rate: u32, hertz: f64, seconds: f64) -> Vec<f32> {
        let samples = (f64::from(rate) * seconds) as usize;
        (0..samples)
            .map(|n| (0.5 * (TAU * hertz * n as f64 / f64::from(rate)).sin()) as f32)
            .collect()
    }

    fn convert(rate: u32, sound: &[f32], piece: usize) -> Vec<i16> {
        let mut resampler = Resampler::new(rate).unwrap();
        let mut out = Vec::new();
        for piece in sound.chunks(piece) {
            resampler.push(piece, &mut out);
        }
        resampler.finish(&mut out);
        out
    }

    /// A tone must come out as the same tone at the same time: compared sample by sample, but for
    /// the edges, where the filter sees silence.
    #[track_caller]
    fn assert_faithful(rate: u32, piece: usize, tolerance: f64) {
        let out = convert(rate, &tone(rate, 440.0, 1.0), piece);
        assert_eq!(out.len(), 16_000, "{rate} Hz in pieces of {piece}");
        for (n, &sample) in out.iter().enumerate().take(15_000).skip(1_000) {
            let wanted = 16_384.0 * (TAU * 440.0 * n as f64 / 16_000.0).sin();
            let error = (f64::from(sample) - wanted).abs();
            assert!(
                error < tolerance,
                "{rate} Hz, sample {n}: {sample}, not {wanted}"
            );
        }
    }

    #[test]
    fn keeps_tones_and_time() {
        let rates = [
            8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000,
        ];
        for piece in [1, 160, 1_023, 200_000] {
            for rate in rates {
                assert_faithful(rate, piece, 100.0);
            }
            // The other resampler counts its delay in whole samples: within one of them.
            assert_faithful(44_101, piece, 2_900.0);
        }
    }

    /// How strong `hertz` is in the middle of `sound`.
    fn strength(rate: u32, hertz: f64, sound: &[i16]) -> f64 {
        let middle = &sound[sound.len() / 10..sound.len() * 9 / 10];
        let turn = TAU * hertz / f64::from(rate);
        let (mut sine, mut cosine) = (0.0, 0.0);
        for (n, &sample) in middle.iter().enumerate() {
            sine += f64::from(sample) * (turn * n as f64).sin();
            cosine += f64::from(sample) * (turn * n as f64).cos();
        }
        2.0 * f64::hypot(sine, cosine) / middle.len() as f64
    }

    /// Upwards too, for servers that take nothing but 24 kHz: tones stay, and none comes back
    /// mirrored at the 8 kHz that 16 kHz can hold.
    #[test]
    fn keeps_tones_and_time_at_24_khz() {
        for (hertz, piece) in [(440.0, 480), (3_000.0, 1_023), (6_000.0, 200_000)] {
            let mut resampler = Resampler::between(RATE, 24_000).unwrap();
            let mut out = Vec::new();
            for piece in tone(RATE, hertz, 1.0).chunks(piece) {
                resampler.push(piece, &mut out);
            }
            resampler.finish(&mut out);
            assert_eq!(out.len(), 24_000);
            for (n, &sample) in out.iter().enumerate().take(22_000).skip(1_000) {
                let wanted = 16_384.0 * (TAU * hertz * n as f64 / 24_000.0).sin();
                let error = (f64::from(sample) - wanted).abs();
                assert!(
                    error < 100.0,
                    "{hertz} Hz, sample {n}: {sample}, not {wanted}"
                );
            }
            let mirrored = strength(24_000, 16_000.0 - hertz, &out);
            assert!(mirrored < 2.0, "{hertz} Hz is mirrored: {mirrored}");
        }
    }

    #[test]
    fn keeps_16_bit_samples_exactly() {
        let samples: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        let floats: Vec<f32> = samples.iter().map(|&s| f32::from(s) / 32_768.0).collect();
        assert_eq!(convert(16_000, &floats, 1_000), samples);
    }

    #[test]
    fn removes_what_16_khz_cannot_hold() {
        let out = convert(48_000, &tone(48_000, 12_000.0, 1.0), 480);
        let loudest = out[1_000..15_000].iter().map(|s| s.unsigned_abs()).max();
        assert!(loudest < Some(100), "12 kHz came back as {loudest:?}");
    }

    #[test]
    fn clips_and_silences() {
        let out = convert(16_000, &[2.0, -2.0, f32::NAN, f32::INFINITY], 4);
        assert_eq!(out, [i16::MAX, i16::MIN, 0, i16::MAX]);
    }

    #[test]
    fn short_and_empty_sound() {
        for samples in [0, 1, 2, 3, 100] {
            let out = convert(48_000, &vec![0.1; samples], 10);
            assert_eq!(out.len(), samples.div_ceil(3));
        }
    }
}
