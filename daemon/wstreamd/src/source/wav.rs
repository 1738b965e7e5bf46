//! The header of a WAV file, read as it comes, and PCM samples as numbers.
//!
//! Our own because it must be read from a pipe that is still being written: the lengths that
//! recorders write before they know better are understood, which general readers refuse.

use std::io::{self, Read};

/// What a WAV header says, or what the caller says of raw samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pcm {
    pub(crate) encoding: Encoding,
    pub(crate) rate: u32,
    pub(crate) channels: u16,
    /// Bytes of sound to come; `None`: until the end.
    pub(crate) length: Option<u64>,
}

/// How one sample is written, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    U8,
    S16,
    S24,
    S32,
    F32,
    F64,
}

/// Why a header cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadWav {
    #[error("the WAV header ends early")]
    EndsEarly,
    #[error("the file calls itself RIFF, but not WAV")]
    NotWav,
    #[error("the WAV header has no description of its format before the sound")]
    NoFormat,
    #[error("the WAV header contradicts itself: {0}")]
    Nonsense(String),
    #[error("WAV with {0} is not understood")]
    Encoding(String),
    #[error(transparent)]
    Read(io::Error),
}

impl From<io::Error> for BadWav {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            BadWav::EndsEarly
        } else {
            BadWav::Read(error)
        }
    }
}

/// From this length on a header means "until the end". What programs write that do not know it yet
/// lies here: 0xFFFFFFFF (ffmpeg), about 0x7FFFFFFF (sox) and 0x80000000 (arecord).
const UNTIL_THE_END: u32 = 0x7FFF_0000;

const FORMAT_PCM: u16 = 1;
const FORMAT_FLOAT: u16 = 3;
const FORMAT_EXTENSIBLE: u16 = 0xFFFE;

/// Reads a header up to the first byte of sound. `RIFF` or `RF64` has been read already.
pub(crate) fn read_header(bytes: &mut impl Read) -> Result<Pcm, BadWav> {
    let _length: [u8; 4] = take(bytes)?;
    let form: [u8; 4] = take(bytes)?;
    if &form != b"WAVE" {
        return Err(BadWav::NotWav);
    }
    let mut format = None;
    loop {
        let name: [u8; 4] = take(bytes)?;
        let length = u32::from_le_bytes(take(bytes)?);
        match &name {
            b"fmt " => format = Some(read_format(bytes, length)?),
            b"data" => {
                let mut pcm = format.ok_or(BadWav::NoFormat)?;
                let known = (1..UNTIL_THE_END).contains(&length);
                pcm.length = known.then(|| u64::from(length));
                return Ok(pcm);
            }
            _ => skip(bytes, u64::from(length) + u64::from(length % 2))?,
        }
    }
}

fn read_format(bytes: &mut impl Read, length: u32) -> Result<Pcm, BadWav> {
    let short = || BadWav::Nonsense(format!("a format of {length} bytes"));
    let extra = length.checked_sub(16).ok_or_else(short)?;
    let mut tag = u16::from_le_bytes(take(bytes)?);
    let channels = u16::from_le_bytes(take(bytes)?);
    let rate = u32::from_le_bytes(take(bytes)?);
    let _bytes_per_second: [u8; 4] = take(bytes)?;
    let block = u16::from_le_bytes(take(bytes)?);
    let bits = u16::from_le_bytes(take(bytes)?);
    let mut unread = u64::from(extra) + u64::from(extra % 2);
    if tag == FORMAT_EXTENSIBLE {
        unread = unread.checked_sub(10).ok_or_else(short)?;
        // Length of the extension, valid bits, speaker positions; then what the format really is.
        let _: [u8; 8] = take(bytes)?;
        tag = u16::from_le_bytes(take(bytes)?);
    }
    skip(bytes, unread)?;
    if channels == 0 || !block.is_multiple_of(channels) {
        return Err(BadWav::Nonsense(format!(
            "{channels} channels in blocks of {block} bytes"
        )));
    }
    // Not the bits: 20 of them are written in 24.
    let width = block / channels;
    let encoding = match (tag, width) {
        (FORMAT_PCM, 1) => Encoding::U8,
        (FORMAT_PCM, 2) => Encoding::S16,
        (FORMAT_PCM, 3) => Encoding::S24,
        (FORMAT_PCM, 4) => Encoding::S32,
        (FORMAT_FLOAT, 4) => Encoding::F32,
        (FORMAT_FLOAT, 8) => Encoding::F64,
        _ => {
            return Err(BadWav::Encoding(format!(
                "format {tag} in {bits} bits per sample"
            )));
        }
    };
    if bits == 0 || bits.div_ceil(8) > width {
        return Err(BadWav::Nonsense(format!(
            "{bits} bits in {width} bytes per sample"
        )));
    }
    Ok(Pcm {
        encoding,
        rate,
        channels,
        length: None,
    })
}

fn take<const N: usize>(bytes: &mut impl Read) -> io::Result<[u8; N]> {
    let mut taken = [0; N];
    bytes.read_exact(&mut taken)?;
    Ok(taken)
}

fn skip(bytes: &mut impl Read, length: u64) -> Result<(), BadWav> {
    let skipped = io::copy(&mut bytes.take(length), &mut io::sink())?;
    if skipped < length {
        return Err(BadWav::EndsEarly);
    }
    Ok(())
}

impl Pcm {
    /// Bytes that one moment takes, all channels together.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.encoding.bytes() * usize::from(self.channels)
    }

    /// Appends the mean of the channels for each whole frame in `bytes`, full scale being 1.
    /// Stops at what is no finite number, and returns `false`.
    pub(crate) fn mix(&self, bytes: &[u8], mono: &mut Vec<f32>) -> bool {
        let share = 1.0 / f32::from(self.channels);
        for frame in bytes.chunks_exact(self.frame_bytes()) {
            let sum: f32 = frame
                .chunks_exact(self.encoding.bytes())
                .map(|sample| self.encoding.value(sample))
                .sum();
            if !sum.is_finite() {
                return false;
            }
            mono.push(sum * share);
        }
        true
    }
}

impl Encoding {
    fn bytes(self) -> usize {
        match self {
            Encoding::U8 => 1,
            Encoding::S16 => 2,
            Encoding::S24 => 3,
            Encoding::S32 | Encoding::F32 => 4,
            Encoding::F64 => 8,
        }
    }

    /// The number that these bytes, as many as [`Encoding::bytes`] says, stand for.
    fn value(self, sample: &[u8]) -> f32 {
        match (self, sample) {
            (Encoding::U8, &[a]) => (f32::from(a) - 128.0) / 128.0,
            (Encoding::S16, &[a, b]) => f32::from(i16::from_le_bytes([a, b])) / 32_768.0,
            (Encoding::S24, &[a, b, c]) => from_i32(i32::from_le_bytes([0, a, b, c])),
            (Encoding::S32, &[a, b, c, d]) => from_i32(i32::from_le_bytes([a, b, c, d])),
            (Encoding::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
            (Encoding::F64, &[a, b, c, d, e, f, g, h]) => {
                f64::from_le_bytes([a, b, c, d, e, f, g, h]) as f32
            }
            _ => unreachable!("samples are cut to the length of their encoding"),
        }
    }
}

fn from_i32(sample: i32) -> f32 {
    (f64::from(sample) / 2_147_483_648.0) as f32
}
