//! Sound from a descriptor that a client handed over: WAV or FLAC, told by the first bytes, or raw
//! samples. A file, a pipe or a socket; read as it comes, never further than it is asked for.

use std::fmt;
use std::io::{self, Cursor, Read as _};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as FlacError;
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::{MediaSourceStream, ReadOnlySource};
use symphonia::default::codecs::FlacDecoder;
use symphonia::default::formats::FlacReader;

use super::resample::{BadRate, Resampler};
use super::wav::{BadWav, Encoding, Pcm, read_header};
use super::{Interrupt, Read, Source};
use crate::capture::FeedFormat;
use crate::fault::{Fault, FaultKind};

/// Samples per second that a feed may have: telephones have 8000, studios up to 384 000.
pub const RATES: RangeInclusive<u32> = 4_000..=384_000;

/// Channels that a feed may have; more than anything that is sold.
pub const CHANNELS: RangeInclusive<u16> = 1..=64;

/// Bytes read at once: 128 ms of 16 kHz in 16 bits.
const PIECE: usize = 4096;

/// Why a feed cannot be used, or ends before its time.
#[derive(Debug, thiserror::Error)]
enum BadSound {
    /// Not shown: the reader was told to stop.
    #[error("interrupted")]
    Interrupted,
    #[error("the sound is empty: not one sample came; record something first")]
    Empty,
    #[error(
        "this is {0}; hand over WAV or FLAC (`ffmpeg -i FILE out.wav` makes one), or raw samples with their format and rate"
    )]
    NotSound(&'static str),
    #[error("{0}; save it again as WAV or FLAC, for instance with `ffmpeg -i FILE out.wav`")]
    Wav(BadWav),
    #[error("the FLAC header cannot be read ({0}); save the file again")]
    FlacHeader(FlacError),
    #[error(
        "{0} samples per second are not understood, only 4000 to 384000; state the rate that the sound has"
    )]
    Rate(u32),
    #[error("{0} channels are not understood, only 1 to 64; state how many the sound has")]
    Channels(u16),
    #[error(transparent)]
    Resampler(BadRate),
    #[error("the sound cannot be read: {0}; hand over a descriptor that is open for reading")]
    Unreadable(io::Error),
    #[error(
        "the sound ended after {heard_s:.1} of {announced_s:.1} seconds; what came was transcribed, get the whole file for the rest"
    )]
    EndsEarly { heard_s: f64, announced_s: f64 },
    #[error(
        "the sound is damaged after {heard_s:.1} seconds; what came before was transcribed, get an undamaged file for the rest"
    )]
    Damaged { heard_s: f64 },
    #[error(
        "reading the sound failed after {heard_s:.1} seconds: {cause}; what came before was transcribed, hand the rest over again"
    )]
    Broken { heard_s: f64, cause: io::Error },
    #[error(
        "a sample after {heard_s:.1} seconds is no number; what came before was transcribed, check the program that wrote the sound"
    )]
    NoNumber { heard_s: f64 },
}

impl From<BadSound> for Fault {
    fn from(bad: BadSound) -> Self {
        Fault::new(FaultKind::BadSound, bad.to_string())
    }
}

/// A descriptor being read.
pub(crate) struct Feed {
    decoder: Decoder,
    interrupt: Arc<Interrupt>,
    resampler: Resampler,
    /// Samples per second in the descriptor.
    rate: u32,
    /// Frames decoded so far.
    heard: u64,
    mono: Vec<f32>,
}

enum Decoder {
    Pcm {
        bytes: Bytes,
        pcm: Pcm,
        /// Bytes of sound read so far.
        taken: u64,
        /// What was read, from its beginning on; less than a frame between two reads.
        buffer: Vec<u8>,
    },
    Flac(Box<Flac>),
}

struct Flac {
    reader: FlacReader<'static>,
    decoder: FlacDecoder,
    channels: u16,
    /// Frames in all, if the header says.
    announced: Option<u64>,
    samples: Vec<f32>,
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("rate", &self.rate)
            .field("heard", &self.heard)
            .finish_non_exhaustive()
    }
}

impl Feed {
    /// Reads up to the first samples, so that a descriptor without sound fails here. `None`: the
    /// interrupt was raised before they came.
    pub(crate) fn open(
        sound: OwnedFd,
        format: FeedFormat,
        interrupt: Arc<Interrupt>,
    ) -> Result<Option<Self>, Fault> {
        match Feed::try_open(sound, format, interrupt) {
            Ok(feed) => Ok(Some(feed)),
            Err(BadSound::Interrupted) => Ok(None),
            Err(bad) => Err(bad.into()),
        }
    }

    fn try_open(
        sound: OwnedFd,
        format: FeedFormat,
        interrupt: Arc<Interrupt>,
    ) -> Result<Self, BadSound> {
        let bytes = Bytes {
            descriptor: sound,
            interrupt: Arc::clone(&interrupt),
        };
        let (decoder, rate, channels) = match format {
            FeedFormat::Auto => Decoder::detect(bytes),
            FeedFormat::S16le { rate, channels } => {
                Ok(Decoder::raw(bytes, Encoding::S16, rate, channels))
            }
            FeedFormat::F32le { rate, channels } => {
                Ok(Decoder::raw(bytes, Encoding::F32, rate, channels))
            }
        }
        .map_err(|bad| bad.unless_raised(&interrupt))?;
        if !RATES.contains(&rate) {
            return Err(BadSound::Rate(rate));
        }
        if !CHANNELS.contains(&channels) {
            return Err(BadSound::Channels(channels));
        }
        let mut feed = Feed {
            decoder,
            interrupt,
            resampler: Resampler::new(rate).map_err(BadSound::Resampler)?,
            rate,
            heard: 0,
            mono: Vec::new(),
        };
        match feed.decode() {
            Ok(true) => Ok(feed),
            Ok(false) => Err(BadSound::Empty),
            Err(bad) => Err(bad.unless_raised(&feed.interrupt)),
        }
    }

    /// Decodes some more into `mono`. `false`: the end, which came where it should.
    fn decode(&mut self) -> Result<bool, BadSound> {
        let before = self.mono.len();
        let heard = self.heard;
        let result = self.decoder.decode(self.rate, heard, &mut self.mono);
        self.heard += (self.mono.len() - before) as u64;
        match result {
            // Where the fault lies in the middle of a piece, the sound before it comes first and
            // the fault is met again.
            Err(bad) if self.mono.len() == before => Err(bad),
            Ok(more) => Ok(more),
            Err(_) => Ok(true),
        }
    }
}

impl Source for Feed {
    fn read(&mut self, into: &mut Vec<i16>) -> Read {
        if self.interrupt.is_raised() {
            return Read::Interrupted;
        }
        let result = if self.mono.is_empty() {
            self.decode()
        } else {
            // What `open` read.
            Ok(true)
        };
        self.resampler.push(&self.mono, into);
        self.mono.clear();
        match result {
            Ok(true) => Read::More,
            Err(_) if self.interrupt.is_raised() => Read::Interrupted,
            Ok(false) => {
                self.resampler.finish(into);
                Read::End
            }
            Err(bad) => {
                self.resampler.finish(into);
                Read::Fault(bad.into())
            }
        }
    }
}

impl Decoder {
    /// Tells WAV and FLAC by the first bytes. Also returns the rate and the channels.
    fn detect(mut bytes: Bytes) -> Result<(Self, u32, u16), BadSound> {
        let mut first = [0; 4];
        let mut length = 0;
        while length < first.len() {
            match bytes.read(&mut first[length..]) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) => return Err(BadSound::Unreadable(error)),
            }
        }
        match &first {
            _ if length == 0 => Err(BadSound::Empty),
            b"RIFF" | b"RF64" => {
                let pcm = read_header(&mut bytes).map_err(|bad| match bad {
                    BadWav::Read(error) => BadSound::Unreadable(error),
                    bad => BadSound::Wav(bad),
                })?;
                Ok((Decoder::pcm(bytes, pcm), pcm.rate, pcm.channels))
            }
            b"fLaC" => Decoder::flac(first, bytes),
            b"OggS" => Err(BadSound::NotSound("an Ogg file")),
            [b'I', b'D', b'3', _] | [0xFF, 0xE0..=0xFF, ..] => {
                Err(BadSound::NotSound("an MP3 file"))
            }
            b"RIFX" | b"FORM" | b"caff" => Err(BadSound::NotSound(
                "a sound file of a kind that is not understood",
            )),
            [0x1A, 0x45, 0xDF, 0xA3] => Err(BadSound::NotSound("a Matroska or WebM file")),
            _ => Err(BadSound::NotSound("neither a WAV nor a FLAC file")),
        }
    }

    fn raw(bytes: Bytes, encoding: Encoding, rate: u32, channels: u16) -> (Self, u32, u16) {
        let pcm = Pcm {
            encoding,
            rate,
            channels,
            length: None,
        };
        (Decoder::pcm(bytes, pcm), rate, channels)
    }

    fn pcm(bytes: Bytes, pcm: Pcm) -> Self {
        Decoder::Pcm {
            bytes,
            pcm,
            taken: 0,
            buffer: Vec::with_capacity(PIECE + pcm.frame_bytes()),
        }
    }

    fn flac(first: [u8; 4], bytes: Bytes) -> Result<(Self, u32, u16), BadSound> {
        let whole = ReadOnlySource::new(Cursor::new(first).chain(bytes));
        let stream = MediaSourceStream::new(Box::new(whole), Default::default());
        let reader =
            FlacReader::try_new(stream, FormatOptions::default()).map_err(BadSound::FlacHeader)?;
        let unusable = || BadSound::FlacHeader(FlacError::DecodeError("no sound is described"));
        let track = reader.tracks().first().ok_or_else(unusable)?;
        let announced = track.num_frames;
        let parameters = track.codec_params.as_ref().and_then(|p| p.audio());
        let parameters = parameters.ok_or_else(unusable)?;
        let rate = parameters.sample_rate.ok_or_else(unusable)?;
        let channels = parameters.channels.as_ref().ok_or_else(unusable)?.count() as u16;
        let decoder = FlacDecoder::try_new(parameters, &AudioDecoderOptions::default())
            .map_err(BadSound::FlacHeader)?;
        let flac = Flac {
            reader,
            decoder,
            channels,
            announced,
            samples: Vec::new(),
        };
        Ok((Decoder::Flac(Box::new(flac)), rate, channels))
    }

    /// Decodes some more; `heard` is the number of frames before. `false`: the end.
    fn decode(&mut self, rate: u32, heard: u64, mono: &mut Vec<f32>) -> Result<bool, BadSound> {
        let seconds = |frames: u64| frames as f64 / f64::from(rate);
        let heard_s = seconds(heard);
        match self {
            Decoder::Pcm {
                bytes,
                pcm,
                taken,
                buffer,
            } => loop {
                let known = buffer.len();
                let left = pcm.length.map_or(u64::MAX, |length| length - *taken);
                let wanted = left.min(PIECE as u64) as usize;
                buffer.resize(known + wanted, 0);
                let read = match bytes.read(&mut buffer[known..]) {
                    Ok(read) => read,
                    Err(_) if bytes.interrupt.is_raised() => return Err(BadSound::Interrupted),
                    Err(cause) if heard == 0 => return Err(BadSound::Unreadable(cause)),
                    Err(cause) => return Err(BadSound::Broken { heard_s, cause }),
                };
                buffer.truncate(known + read);
                *taken += read as u64;
                if read == 0 {
                    if buffer.len() >= pcm.frame_bytes() {
                        return Err(BadSound::NoNumber { heard_s });
                    }
                    // Less than a frame may be left; nobody can hear it.
                    return match pcm.length {
                        Some(length) if *taken < length => Err(BadSound::EndsEarly {
                            heard_s,
                            announced_s: seconds(length / pcm.frame_bytes() as u64),
                        }),
                        _ => Ok(false),
                    };
                }
                let before = mono.len();
                let sane = pcm.mix(buffer, mono);
                let frames = mono.len() - before;
                buffer.drain(..frames * pcm.frame_bytes());
                if !sane {
                    // The bad frame stays the first in the buffer, and no more of it passes.
                    return Err(BadSound::NoNumber {
                        heard_s: seconds(heard + frames as u64),
                    });
                }
                if frames > 0 {
                    return Ok(true);
                }
            },
            Decoder::Flac(flac) => flac.decode(rate, heard, mono),
        }
    }
}

impl Flac {
    fn decode(&mut self, rate: u32, heard: u64, mono: &mut Vec<f32>) -> Result<bool, BadSound> {
        let heard_s = heard as f64 / f64::from(rate);
        let Flac {
            reader,
            decoder,
            channels,
            announced,
            samples,
        } = self;

        let packet = match reader.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => return ended_early(*announced, heard, rate).map_or(Ok(false), Err),
            Err(FlacError::IoError(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return ended_early(*announced, heard, rate).map_or(Ok(false), Err);
            }
            Err(FlacError::IoError(cause)) => {
                return Err(BadSound::Broken { heard_s, cause });
            }
            Err(_) => return Err(BadSound::Damaged { heard_s }),
        };
        // The reader skips what it cannot make out; the time tells that it did.
        if u64::try_from(packet.pts.get()) != Ok(heard) {
            return Err(BadSound::Damaged { heard_s });
        }
        let Ok(decoded) = decoder.decode(&packet) else {
            return Err(BadSound::Damaged { heard_s });
        };
        decoded.copy_to_vec_interleaved(samples);
        let channels = usize::from(*channels);
        if decoded.spec().channels().count() != channels {
            return Err(BadSound::Damaged { heard_s });
        }
        let share = 1.0 / channels as f32;
        mono.extend(
            samples
                .chunks_exact(channels)
                .map(|frame| frame.iter().sum::<f32>() * share),
        );
        Ok(true)
    }
}

/// The fault of a file that announced more than came.
fn ended_early(announced: Option<u64>, heard: u64, rate: u32) -> Option<BadSound> {
    let seconds = |frames: u64| frames as f64 / f64::from(rate);
    let announced = announced.filter(|&announced| heard < announced)?;
    Some(BadSound::EndsEarly {
        heard_s: seconds(heard),
        announced_s: seconds(announced),
    })
}

impl BadSound {
    /// A reader that was interrupted sees whatever its decoder makes of that.
    fn unless_raised(self, interrupt: &Interrupt) -> Self {
        if interrupt.is_raised() {
            BadSound::Interrupted
        } else {
            self
        }
    }
}

/// A descriptor whose reader can be interrupted while it waits.
struct Bytes {
    descriptor: OwnedFd,
    interrupt: Arc<Interrupt>,
}

impl io::Read for Bytes {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            let mut waiting = [
                PollFd::new(&self.descriptor, PollFlags::IN),
                PollFd::new(&*self.interrupt, PollFlags::IN),
            ];
            match poll(&mut waiting, None) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            if !waiting[1].revents().is_empty() {
                return Err(io::Error::other("interrupted"));
            }
            match rustix::io::read(&self.descriptor, &mut *into) {
                // Another reader of the same description was faster.
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Ok(read) => return Ok(read),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
