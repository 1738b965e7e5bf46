//! A transcription server around Whisper: a library only so that tests and fuzz targets reach the parts.

pub mod model;
