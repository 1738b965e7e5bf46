//! Whether a frame holds voice.
//!
//! Enters: frames of 30 ms at 16 kHz. Leaves: what each holds. Lives on the audio thread, because
//! WebRTC's C object cannot be moved to another.

use std::fmt;
use std::ops::RangeInclusive;

use serde::Deserialize;
use webrtc_vad::{SampleRate, Vad};

use crate::endpoint::{FRAME, rms};

/// Who tells voice from other sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detector {
    /// WebRTC's: the energies of six bands, compared with those of speech and of the noise so far.
    #[default]
    Webrtc,
    /// A small neural network.
    Earshot,
}

impl Detector {
    /// All.
    pub const ALL: [Detector; 2] = [Detector::Webrtc, Detector::Earshot];

    /// As the configuration calls it.
    pub fn name(self) -> &'static str {
        match self {
            Detector::Webrtc => "webrtc",
            Detector::Earshot => "earshot",
        }
    }
}

/// How readily sound passes for voice. Named as WebRTC names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VadMode {
    /// Nearly everything that may be voice.
    Quality,
    /// A little stricter. Finds all the words that the first finds, and half as much again of their
    /// pauses as the next: a sentence stays in one piece.
    #[default]
    LowBitrate,
    /// Strict: short words alone may be missed.
    Aggressive,
    /// Only what is surely voice; the weak ends of words are missed.
    VeryAggressive,
}

impl VadMode {
    /// All, from the most to the least ready.
    pub const ALL: [VadMode; 4] = [
        VadMode::Quality,
        VadMode::LowBitrate,
        VadMode::Aggressive,
        VadMode::VeryAggressive,
    ];

    /// As the configuration calls it.
    pub fn name(self) -> &'static str {
        match self {
            VadMode::Quality => "quality",
            VadMode::LowBitrate => "low-bitrate",
            VadMode::Aggressive => "aggressive",
            VadMode::VeryAggressive => "very-aggressive",
        }
    }
}

/// Quieter frames are never voice: -66 dBFS, the hum of an input with nothing connected. The loud
/// frames of the quietest recording of speech in the test corpus are 18 dB above it.
const FLOOR: f64 = 0.0005;

/// How like itself sound must be a moment later to be sung by vocal cords, 1 being the same.
/// At 0.5 half of all key strokes pass, at 0.8 single digits begin to be missed (with three
/// frames of it, on the test corpus).
const PERIODIC: f32 = 0.7;

/// Lags in which vocal cords repeat themselves: 400 Hz (a child) to 70 Hz.
const LAGS: RangeInclusive<usize> = 40..=228;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// No voice.
    Silence,
    /// What may be voice: also whispering, consonants, typing, music.
    Sound,
    /// What may be voice and has a pitch, as every spoken syllable has.
    Pitch,
}

/// Tells voice from other sound, one frame after the other.
pub struct VoiceDetector {
    voice: Voice,
}

enum Voice {
    Webrtc(Vad),
    Earshot(Earshot),
}

impl fmt::Debug for VoiceDetector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VoiceDetector").finish_non_exhaustive()
    }
}

impl VoiceDetector {
    /// A detector that has heard nothing yet.
    pub fn new(detector: Detector, mode: VadMode) -> Self {
        let voice = match detector {
            Detector::Webrtc => {
                let mode = match mode {
                    VadMode::Quality => webrtc_vad::VadMode::Quality,
                    VadMode::LowBitrate => webrtc_vad::VadMode::LowBitrate,
                    VadMode::Aggressive => webrtc_vad::VadMode::Aggressive,
                    VadMode::VeryAggressive => webrtc_vad::VadMode::VeryAggressive,
                };
                Voice::Webrtc(Vad::new_with_rate_and_mode(SampleRate::Rate16kHz, mode))
            }
            Detector::Earshot => Voice::Earshot(Earshot::new(mode)),
        };
        VoiceDetector { voice }
    }

    /// What the next frame holds. Remembers what came before.
    pub fn hear(&mut self, frame: &[i16; FRAME]) -> Heard {
        // The detector is asked in any case, so that its memory has no holes.
        let voiced = match &mut self.voice {
            Voice::Webrtc(vad) => vad
                .is_voice_segment(frame)
                .expect("480 samples at 16 kHz are a length that the detector takes"),
            Voice::Earshot(earshot) => earshot.is_voice(frame),
        };
        if !voiced || rms(frame) < FLOOR {
            Heard::Silence
        } else if has_pitch(frame) {
            Heard::Pitch
        } else {
            Heard::Sound
        }
    }
}

/// Samples that the network takes at once: 16 ms.
const NETWORK_FRAME: usize = 256;

/// The neural detector, which has frames of its own.
struct Earshot {
    network: Box<earshot::Detector>,
    /// The lowest score of voice, 0..1.
    least: f32,
    /// What does not fill a frame of the network's yet.
    rest: Vec<i16>,
}

impl Earshot {
    fn new(mode: VadMode) -> Self {
        Earshot {
            network: earshot::Detector::default_boxed(),
            // 0.5 is what its authors advise; the others are as far from it as the modes of WebRTC
            // are from each other on the test corpus.
            least: match mode {
                VadMode::Quality => 0.3,
                VadMode::LowBitrate => 0.5,
                VadMode::Aggressive => 0.7,
                VadMode::VeryAggressive => 0.85,
            },
            rest: Vec::with_capacity(NETWORK_FRAME + FRAME),
        }
    }

    /// Whether any of the network's frames that end in this one holds voice; there is at least one.
    fn is_voice(&mut self, frame: &[i16; FRAME]) -> bool {
        self.rest.extend_from_slice(frame);
        let mut frames = self.rest.chunks_exact(NETWORK_FRAME);
        let mut is_voice = false;
        for frame in &mut frames {
            is_voice |= self.network.predict_i16(frame) >= self.least;
        }
        let left = frames.remainder().len();
        self.rest.drain(..self.rest.len() - left);
        is_voice
    }
}

/// Whether the frame repeats itself within it, as voice does at its pitch: its normalised
/// autocorrelation. 90 000 products, a few microseconds.
fn has_pitch(frame: &[i16; FRAME]) -> bool {
    let mean = frame.iter().map(|&s| f32::from(s)).sum::<f32>() / FRAME as f32;
    let frame: [f32; FRAME] = std::array::from_fn(|n| f32::from(frame[n]) - mean);
    let energy = |samples: &[f32]| samples.iter().map(|s| s * s).sum::<f32>();
    LAGS.into_iter().any(|lag| {
        let (early, late) = (&frame[..FRAME - lag], &frame[lag..]);
        let product: f32 = early.iter().zip(late).map(|(a, b)| a * b).sum();
        product > PERIODIC * (energy(early) * energy(late)).sqrt()
    })
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn frame(of: impl FnMut(usize) -> f64) -> [i16; FRAME] {
        let mut of = of;
        std::array::from_fn(|n| of(n) as i16)
    }

    /// Noise that is the same in every run.
    fn noise() -> impl FnMut() -> f64 {
        let mut state = 1u32;
        move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 16) / 65_536.0 - 0.5
        }
    }

    #[test]
    fn vowels_have_a_pitch() {
        for hertz in [75.0, 120.0, 250.0, 390.0] {
            let mut noise = noise();
            let buzz = frame(|n| {
                let phase = TAU * hertz * n as f64 / 16_000.0;
                let tone: f64 = (1..10).map(|h| (phase * f64::from(h)).sin()).sum();
                500.0 * tone + 500.0 * noise()
            });
            assert!(has_pitch(&buzz), "{hertz} Hz");
        }
    }

    #[test]
    fn noises_have_none() {
        let mut noise = noise();
        assert!(!has_pitch(&frame(|_| 10_000.0 * noise())));
        // A click that dies away within a few milliseconds.
        let click = |n: usize| 20_000.0 * (-(n as f64) / 100.0).exp() * noise();
        assert!(!has_pitch(&frame(click)));
        assert!(!has_pitch(&[0; FRAME]));
        assert!(!has_pitch(&[1_000; FRAME]));
    }

    #[test]
    fn silence_is_silence_in_every_mode() {
        for detector in Detector::ALL {
            for mode in VadMode::ALL {
                let mut detector = VoiceDetector::new(detector, mode);
                let mut noise = noise();
                for _ in 0..100 {
                    assert_eq!(detector.hear(&[0; FRAME]), Heard::Silence);
                    assert_eq!(detector.hear(&frame(|_| 20.0 * noise())), Heard::Silence);
                }
            }
        }
    }

    /// No sample is given to the network twice or not at all, whatever the lengths of the frames.
    #[test]
    fn the_network_hears_every_sample_once() {
        let mut noise = noise();
        let sound: Vec<i16> = (0..FRAME * 16)
            .map(|_| (9_000.0 * noise()) as i16)
            .collect();
        let mut earshot = Earshot::new(VadMode::LowBitrate);
        for frame in sound.as_chunks().0 {
            earshot.is_voice(frame);
        }
        assert!(earshot.rest.is_empty(), "16 of ours are 30 of its frames");
        let mut network = earshot::Detector::default_boxed();
        for frame in sound.chunks_exact(NETWORK_FRAME) {
            network.predict_i16(frame);
        }
        // The same past, the same answer.
        let next = &sound[..NETWORK_FRAME];
        assert_eq!(earshot.network.predict_i16(next), network.predict_i16(next));
    }

    #[test]
    fn modes_have_their_names() {
        for mode in VadMode::ALL {
            let value = toml::Value::String(mode.name().to_owned());
            assert_eq!(VadMode::deserialize(value), Ok(mode));
        }
        for detector in Detector::ALL {
            let value = toml::Value::String(detector.name().to_owned());
            assert_eq!(Detector::deserialize(value), Ok(detector));
        }
    }
}
