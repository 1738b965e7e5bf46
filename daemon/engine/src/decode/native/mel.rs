//! The log-mel spectrogram, as OpenAI's `audio.py` computes it.
//!
//! Enters: samples. Leaves: one row of bands for each 10 ms. Windows of 400 samples with Hann's
//! shape, 160 samples apart, the first one centred on the first sample (what is missing in front
//! is mirrored, what is missing behind is silence); the power spectrum through the file's own
//! filter bank; the logarithm to base 10, nothing below the maximum less 8, then `(x + 4) / 4`.
//! Windows behind the sound are all alike and are not computed.

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

/// Samples of a window (25 ms).
const WINDOW: usize = 400;

/// Samples from one window to the next.
const HOP: usize = 160;

/// Frequencies of a window's spectrum.
const BINS: usize = WINDOW / 2 + 1;

/// Powers below this count as this.
const LEAST_POWER: f32 = 1e-10;

/// What is computed once for a model.
pub(super) struct Mel {
    fft: Arc<dyn RealToComplex<f32>>,
    hann: Vec<f32>,
    /// For each band, the first frequency with a weight, and the weights from there on.
    bands: Vec<(usize, Vec<f32>)>,
}

impl std::fmt::Debug for Mel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bands = self.bands.len();
        f.debug_struct("Mel")
            .field("bands", &bands)
            .finish_non_exhaustive()
    }
}

impl Mel {
    /// From the filter bank of a model's file.
    pub(super) fn new(filters: &[f32]) -> Mel {
        let step = std::f64::consts::TAU / WINDOW as f64;
        let hann = (0..WINDOW).map(|i| (0.5 * (1.0 - (i as f64 * step).cos())) as f32);
        let bands = filters.chunks_exact(BINS).map(|band| {
            let first = band.iter().position(|&w| w != 0.0).unwrap_or(0);
            let last = band.iter().rposition(|&w| w != 0.0).unwrap_or(0);
            (first, band[first..=last].to_vec())
        });
        Mel {
            fft: RealFftPlanner::new().plan_fft_forward(WINDOW),
            hann: hann.collect(),
            bands: bands.collect(),
        }
    }

    /// Bands of a row.
    pub(super) fn bands(&self) -> usize {
        self.bands.len()
    }

    /// Writes `frames` rows to `out`, which is emptied first.
    pub(super) fn spectrogram(&self, samples: &[f32], frames: usize, out: &mut Vec<f32>) {
        let bands = self.bands.len();
        let half = WINDOW / 2;
        // Behind this one a window has no sound in it.
        let heard = (samples.len() + half) / HOP + 1;
        let silence = LEAST_POWER.log10();
        let mut maximum = silence;
        let mut window = self.fft.make_input_vec();
        let mut spectrum = self.fft.make_output_vec();
        let mut scratch = self.fft.make_scratch_vec();
        let mut power = [0.0; BINS];
        out.clear();
        // Those behind `frames` still count for the maximum.
        for frame in 0..heard {
            // The window's first sample, counted from `half` before the first one.
            let start = frame * HOP;
            for (index, (value, hann)) in window.iter_mut().zip(&self.hann).enumerate() {
                let at = start + index;
                let sample = if at < half {
                    samples.get(half - at)
                } else {
                    samples.get(at - half)
                };
                *value = hann * sample.copied().unwrap_or_default();
            }
            self.fft
                .process_with_scratch(&mut window, &mut spectrum, &mut scratch)
                .expect("the buffers were made for it");
            for (power, bin) in power.iter_mut().zip(&spectrum) {
                *power = Complex::norm_sqr(bin);
            }
            for (first, weights) in &self.bands {
                let sum: f32 = weights
                    .iter()
                    .zip(&power[*first..])
                    .map(|(w, p)| w * p)
                    .sum();
                // Sound beyond all measure must not become infinite.
                let value = sum.clamp(LEAST_POWER, f32::MAX).log10();
                maximum = maximum.max(value);
                if frame < frames {
                    out.push(value);
                }
            }
        }
        out.resize(frames * bands, silence);
        for value in out {
            *value = (value.max(maximum - 8.0) + 4.0) / 4.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::mel::filter_bank;

    /// By the definition, in double precision.
    fn naive(samples: &[f32], bands: usize, frames: usize) -> Vec<f64> {
        let filters = filter_bank(bands);
        let sample = |at: i64| {
            let at = at.unsigned_abs() as usize;
            samples.get(at).map_or(0.0, |&s| f64::from(s))
        };
        let mut rows = Vec::new();
        for frame in 0..frames {
            let mut power = Vec::new();
            for bin in 0..BINS {
                let (mut re, mut im) = (0.0, 0.0);
                for i in 0..WINDOW {
                    let hann = 0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / 400.0).cos();
                    let at = (frame * HOP + i) as i64 - 200;
                    let angle = std::f64::consts::TAU * (i * bin % WINDOW) as f64 / 400.0;
                    re += hann * sample(at) * angle.cos();
                    im -= hann * sample(at) * angle.sin();
                }
                power.push(re * re + im * im);
            }
            for band in filters.chunks_exact(BINS) {
                let sum: f64 = band
                    .iter()
                    .zip(&power)
                    .map(|(&w, p)| f64::from(w) * p)
                    .sum();
                rows.push(sum.max(1e-10).log10());
            }
        }
        let maximum = rows.iter().copied().fold(f64::MIN, f64::max);
        rows.iter()
            .map(|&v| (v.max(maximum - 8.0) + 4.0) / 4.0)
            .collect()
    }

    #[test]
    fn the_spectrogram_is_what_its_definition_says() {
        let samples: Vec<f32> = super::super::kernels::noise(3000, 7)
            .iter()
            .enumerate()
            .map(|(i, noise)| 0.3 * (i as f32 * 0.05).sin() + 0.05 * noise)
            .collect();
        for bands in [80, 128] {
            let mut rows = Vec::new();
            Mel::new(&filter_bank(bands)).spectrogram(&samples, 30, &mut rows);
            assert_eq!(rows.len(), 30 * bands);
            for (index, (found, expected)) in
                rows.iter().zip(naive(&samples, bands, 30)).enumerate()
            {
                let error = (f64::from(*found) - expected).abs();
                assert!(error < 1e-3, "{index}: {found} and not {expected}");
            }
        }
    }

    #[test]
    fn a_loud_end_counts_although_it_is_not_shown() {
        let mut samples = vec![0.001; 16_000];
        samples[12_000..].fill(0.9);
        let mel = Mel::new(&filter_bank(80));
        let (mut all, mut some) = (Vec::new(), Vec::new());
        mel.spectrogram(&samples, 101, &mut all);
        mel.spectrogram(&samples, 20, &mut some);
        assert_eq!(all[..some.len()], some);
    }
}
