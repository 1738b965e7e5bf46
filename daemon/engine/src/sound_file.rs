//! Sound from files: WAV and FLAC at 16 kHz.
//!
//! Enters: a path. Leaves: mono samples. Runs on the calling thread.

use std::fs::File;
use std::path::Path;

use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use wstream_wire::SAMPLE_RATE;

/// Why a file gives no samples.
#[derive(Debug, thiserror::Error)]
pub enum SoundFileError {
    /// It cannot be opened.
    #[error("cannot open the file")]
    Open(#[source] std::io::Error),
    /// It is neither WAV nor FLAC, or damaged.
    #[error("no sound that can be read: WAV and FLAC files are")]
    Format(#[source] Error),
    /// It holds no sound.
    #[error("no sound in it")]
    NoSound,
    /// Its rate is another.
    #[error("{0} samples per second: only 16000 are taken here, convert it first")]
    Rate(u32),
}

/// Reads a whole file and mixes its channels.
pub fn read(path: &Path) -> Result<Vec<f32>, SoundFileError> {
    let file = File::open(path).map_err(SoundFileError::Open)?;
    let stream = MediaSourceStream::new(Box::new(file), MediaSourceStreamOptions::default());
    let mut hint = Hint::new();
    if let Some(extension) = path.extension().and_then(|extension| extension.to_str()) {
        hint.with_extension(extension);
    }
    let mut format = symphonia::default::get_probe()
        .probe(
            &hint,
            stream,
            FormatOptions::default(),
            MetadataOptions::default(),
        )
        .map_err(SoundFileError::Format)?;
    let track = format
        .default_track(TrackType::Audio)
        .ok_or(SoundFileError::NoSound)?;
    let track_id = track.id;
    let parameters = track
        .codec_params
        .as_ref()
        .and_then(|parameters| parameters.audio())
        .ok_or(SoundFileError::NoSound)?;
    if let Some(rate) = parameters.sample_rate.filter(|&rate| rate != SAMPLE_RATE) {
        return Err(SoundFileError::Rate(rate));
    }
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())
        .map_err(SoundFileError::Format)?;
    let mut mono = Vec::new();
    let mut interleaved: Vec<f32> = Vec::new();
    while let Some(packet) = format.next_packet().map_err(SoundFileError::Format)? {
        if packet.track_id != track_id {
            continue;
        }
        let decoded = decoder.decode(&packet).map_err(SoundFileError::Format)?;
        let channels = decoded.spec().channels().count().max(1);
        decoded.copy_to_vec_interleaved(&mut interleaved);
        mono.extend(
            interleaved
                .chunks_exact(channels)
                .map(|frame| frame.iter().sum::<f32>() / channels as f32),
        );
    }
    if mono.is_empty() {
        return Err(SoundFileError::NoSound);
    }
    Ok(mono)
}
