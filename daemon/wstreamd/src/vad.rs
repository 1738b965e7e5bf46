//! Whether a frame holds voice.
//!
//! Enters: frames of 30 ms at 16 kHz. Leaves: yes or no. Lives on the audio thread, because the
//! detector's C object cannot be moved to another.

use std::fmt;

use serde::Deserialize;
use webrtc_vad::{SampleRate, Vad};

use crate::endpoint::{FRAME, rms};

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

/// Quieter frames are never voice: -60 dBFS, the hum of an input with nothing connected. The
/// quietest speech of the test corpus is 20 dB louder.
const FLOOR: f64 = 0.001;

/// Tells voice from other sound, one frame after the other.
pub struct VoiceDetector {
    vad: Vad,
}

impl fmt::Debug for VoiceDetector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VoiceDetector").finish_non_exhaustive()
    }
}

impl VoiceDetector {
    /// A detector that has heard nothing yet.
    pub fn new(mode: VadMode) -> Self {
        let mode = match mode {
            VadMode::Quality => webrtc_vad::VadMode::Quality,
            VadMode::LowBitrate => webrtc_vad::VadMode::LowBitrate,
            VadMode::Aggressive => webrtc_vad::VadMode::Aggressive,
            VadMode::VeryAggressive => webrtc_vad::VadMode::VeryAggressive,
        };
        VoiceDetector {
            vad: Vad::new_with_rate_and_mode(SampleRate::Rate16kHz, mode),
        }
    }

    /// Whether the next frame holds voice. Remembers what came before.
    pub fn is_voiced(&mut self, frame: &[i16; FRAME]) -> bool {
        // The detector is asked in any case, so that its memory has no holes.
        let voiced = self
            .vad
            .is_voice_segment(frame)
            .expect("480 samples at 16 kHz are a length that the detector takes");
        voiced && rms(frame) >= FLOOR
    }
}
