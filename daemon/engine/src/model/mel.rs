//! The mel filter bank that a ggml file carries: Slaney's, as librosa computes it for 16 kHz and
//! windows of 400 samples, which is what Whisper was trained with.
//!
//! Numbers in, numbers out.

use wstream_wire::SAMPLE_RATE;

/// Samples in a window of the spectrogram (25 ms).
const WINDOW: usize = 400;

/// Frequencies of a window's spectrum, from 0 Hz to half the sample rate.
pub const BINS: usize = WINDOW / 2 + 1;

/// Below this the mel scale is linear.
const LINEAR_HZ: f64 = 1000.0;

/// Width of a mel where it is linear.
const HZ_PER_MEL: f64 = 200.0 / 3.0;

/// Above [`LINEAR_HZ`] 27 mels are a factor of 6.4 (Slaney's Auditory Toolbox).
fn log_step() -> f64 {
    6.4_f64.ln() / 27.0
}

/// `bands` rows of [`BINS`] weights; each row a triangle of area one.
pub fn filter_bank(bands: usize) -> Vec<f32> {
    let highest = hz_to_mel(f64::from(SAMPLE_RATE) / 2.0);
    let corner = |index: usize| mel_to_hz(highest * index as f64 / (bands + 1) as f64);
    let bin_hz = f64::from(SAMPLE_RATE) / WINDOW as f64;
    let mut weights = Vec::with_capacity(bands * BINS);
    for band in 0..bands {
        let (low, centre, high) = (corner(band), corner(band + 1), corner(band + 2));
        let area = 2.0 / (high - low);
        weights.extend((0..BINS).map(|bin| {
            let hz = bin as f64 * bin_hz;
            let rising = (hz - low) / (centre - low);
            let falling = (high - hz) / (high - centre);
            (rising.min(falling).max(0.0) * area) as f32
        }));
    }
    weights
}

fn hz_to_mel(hz: f64) -> f64 {
    if hz < LINEAR_HZ {
        hz / HZ_PER_MEL
    } else {
        LINEAR_HZ / HZ_PER_MEL + (hz / LINEAR_HZ).ln() / log_step()
    }
}

fn mel_to_hz(mel: f64) -> f64 {
    let linear_mels = LINEAR_HZ / HZ_PER_MEL;
    if mel < linear_mels {
        mel * HZ_PER_MEL
    } else {
        LINEAR_HZ * ((mel - linear_mels) * log_step()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_slaneys() {
        // From the documentation of librosa's hz_to_mel and mel_to_hz.
        for (hz, mel) in [(60.0, 0.9), (110.0, 1.65), (220.0, 3.3), (440.0, 6.6)] {
            assert!((hz_to_mel(hz) - mel).abs() < 1e-9, "{hz} Hz");
        }
        for mel in [0.0, 3.0, 15.0, 30.0, 45.0] {
            assert!((hz_to_mel(mel_to_hz(mel)) - mel).abs() < 1e-9, "{mel}");
        }
        assert!((mel_to_hz(15.0 + 27.0) - 6400.0).abs() < 1e-6);
    }

    #[test]
    fn every_band_is_a_triangle_of_area_one() {
        for bands in [80, 128] {
            let bank = filter_bank(bands);
            assert_eq!(bank.len(), bands * BINS);
            for (band, row) in bank.chunks_exact(BINS).enumerate() {
                let peak = row.iter().copied().fold(0.0, f32::max);
                assert!(peak > 0.0, "band {band} of {bands} is deaf");
                let rises = row.windows(2).filter(|pair| pair[0] < pair[1]).count();
                let falls = row.windows(2).filter(|pair| pair[0] > pair[1]).count();
                let wide = row.iter().filter(|&&weight| weight > 0.0).count();
                assert!(
                    rises + falls <= wide + 1,
                    "band {band} has more than one peak"
                );
                // Narrow triangles are sampled too coarsely for the sum to be the area.
                let area: f32 = row.iter().sum::<f32>() * 40.0;
                if wide > 8 {
                    assert!((area - 1.0).abs() < 0.05, "band {band}: {area}");
                }
            }
        }
    }

    #[test]
    fn values_of_openais_own_bank() {
        let bank = filter_bank(80);
        // Band, frequency bin and weight in OpenAI's mel_filters.npz (`mel_80`).
        for (band, bin, weight) in [
            (0, 0, 0.0),
            (0, 1, 0.024_862_595),
            (1, 2, 0.022_871_772),
            (10, 12, 0.0),
            (20, 20, 0.013_890_394),
            (40, 43, 0.014_735_566),
            (79, 190, 0.002_232_055),
            (79, 192, 0.003_164_711_9),
            (79, 199, 0.000_448_759),
        ] {
            let ours = bank[band * BINS + bin];
            assert!((ours - weight).abs() < 1e-8, "{band}, {bin}: {ours}");
        }
    }
}
