//! Sound that is voice for a machine and says nothing: vowels in syllables, made from their formants.
//! No input or output.

use std::f64::consts::TAU;

/// Samples per second.
pub(crate) const RATE: u32 = 16_000;

/// Formants of "ah": centre and width in Hz (Peterson and Barney, "Control Methods Used in a Study
/// of the Vowels", 1952, men; the widths are usual ones).
const FORMANTS: [(f64, f64); 3] = [(730.0, 90.0), (1090.0, 110.0), (2440.0, 170.0)];

/// Syllables in a second.
const SYLLABLES: f64 = 3.0;

/// `seconds` of voice, then `silent` seconds of nothing, as samples at [`RATE`].
pub(crate) fn ah(seconds: f64, silent: f64) -> Vec<i16> {
    let count = |seconds: f64| (seconds * f64::from(RATE)) as usize;
    let step = 1.0 / f64::from(RATE);
    let mut resonators = FORMANTS.map(|(centre, width)| Resonator::new(centre, width));
    let mut phase = 0.0;
    let voiced: Vec<f64> = (0..count(seconds))
        .map(|index| {
            let at = index as f64 * step;
            // A pitch that falls a little, as in a statement.
            phase += (130.0 - 20.0 * at / seconds) * step;
            // One pulse of the glottis for each turn.
            let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
            phase -= pulse;
            let sound: f64 = resonators.iter_mut().fold(pulse, |x, it| it.next(x));
            let loudness = (0.5 - 0.5 * (TAU * SYLLABLES * at).cos()).sqrt();
            sound * loudness
        })
        .collect();
    let peak = voiced.iter().fold(0.0_f64, |peak, x| peak.max(x.abs()));
    let scale = 0.3 * f64::from(i16::MAX) / peak.max(f64::MIN_POSITIVE);
    let mut samples: Vec<i16> = voiced.iter().map(|x| (x * scale) as i16).collect();
    samples.resize(samples.len() + count(silent), 0);
    samples
}

/// A second-order filter that rings at one frequency (Klatt, "Software for a cascade/parallel
/// formant synthesizer", 1980).
#[derive(Debug)]
struct Resonator {
    a: f64,
    b: f64,
    c: f64,
    last: [f64; 2],
}

impl Resonator {
    fn new(centre: f64, width: f64) -> Self {
        let step = 1.0 / f64::from(RATE);
        let c = -(-TAU * width * step).exp();
        let b = 2.0 * (-TAU / 2.0 * width * step).exp() * (TAU * centre * step).cos();
        let a = 1.0 - b - c;
        Resonator {
            a,
            b,
            c,
            last: [0.0; 2],
        }
    }

    fn next(&mut self, x: f64) -> f64 {
        let y = self.a * x + self.b * self.last[0] + self.c * self.last[1];
        self.last = [y, self.last[0]];
        y
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loud_where_it_is_voice_and_silent_behind() {
        let samples = ah(1.0, 0.5);
        assert_eq!(samples.len(), 24_000);
        let peak = samples.iter().map(|x| x.unsigned_abs()).max();
        assert!(peak.is_some_and(|peak| (9000..11_000).contains(&peak)));
        assert!(samples[16_000..].iter().all(|x| *x == 0));
    }
}
