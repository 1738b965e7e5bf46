//! A stream of a microphone's sound: the formats that are asked for, the server's callbacks, and what
//! these share with the audio thread.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use cpal::traits::{DeviceTrait as _, StreamTrait as _};
use cpal::{
    BufferSize, Data, ErrorKind, FromSample, SampleFormat, SizedSample, Stream, StreamConfig,
};
use rtrb::{Consumer, Producer, RingBuffer};
use tracing::{debug, info};

use super::devices::{Found, explain, find};
use super::lasting::Wanted;
use super::microphone::Opened;
use crate::endpoint::RATE;
use crate::fault::Fault;

/// Sound that the ring holds. Full: the audio thread has not run for so long, and what comes next
/// is dropped and counted.
const RING: Duration = Duration::from_secs(2);

/// How much sound the server is asked to hand over at once: a voice frame is 30 ms, and more would
/// only come late. As a share of a second.
const BUFFERS_PER_SECOND: u32 = 50;

/// What the server's threads tell the audio thread. No lock, no allocation.
#[derive(Debug)]
pub(super) struct Shared {
    /// Calls of the data callback.
    pub(super) callbacks: AtomicU64,
    /// Frames that found no room in the ring.
    pub(super) lost: AtomicU64,
    /// Times that the server itself lost sound.
    pub(super) overruns: AtomicU64,
    /// Whether `error` is taken; after that, errors cost next to nothing. ALSA's come by the
    /// hundred thousand.
    failed: AtomicBool,
    /// The first serious one.
    pub(super) error: OnceLock<cpal::Error>,
    /// Another microphone is meant from now on.
    pub(super) moved: AtomicBool,
    /// The server does not list this one any more.
    pub(super) gone: AtomicBool,
    pub(super) audio: Thread,
}

/// What the helper says once the stream runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) opened: Opened,
    pub(super) rate: u32,
    pub(super) sound: Consumer<f32>,
}

/// On the helper thread: finds the device and starts a stream, in the best of the formats that it
/// takes.
pub(super) fn open(
    wanted: &Wanted,
    shared: &Arc<Shared>,
    patience: Duration,
) -> Result<((Stream, Found), Running), Fault> {
    let found = find(wanted)?;
    let Found { device, name, .. } = &found;
    let mut error = cpal::Error::new(ErrorKind::UnsupportedConfig);
    for (config, format) in wishes(device) {
        let capacity = config.sample_rate as usize * RING.as_secs() as usize;
        let (into, sound) = RingBuffer::new(capacity);
        let started = build(device, config, format, into, Arc::clone(shared), patience)
            .and_then(|stream| stream.play().map(|()| stream));
        match started {
            Ok(stream) => {
                info!(
                    microphone = %name,
                    rate = config.sample_rate,
                    channels = config.channels,
                    %format,
                    "listening"
                );
                let rate = config.sample_rate;
                let opened = Opened {
                    name: name.clone(),
                    instead_of: found.is_instead.then(|| wanted.device.clone()).flatten(),
                    host: found.host_name(),
                };
                let running = Running {
                    opened,
                    rate,
                    sound,
                };
                return Ok(((stream, found), running));
            }
            Err(refused) => {
                debug!(microphone = %name, ?config, %format, error = %refused, "refused");
                error = refused;
                let hopeless = matches!(
                    error.kind(),
                    ErrorKind::DeviceBusy
                        | ErrorKind::DeviceNotAvailable
                        | ErrorKind::HostUnavailable
                        | ErrorKind::PermissionDenied
                );
                if hopeless {
                    break;
                }
            }
        }
    }
    Err(explain(&error, name))
}

/// Formats to ask for, best first. 16 kHz mono is taken by every server although not all list it,
/// and saves them and us work; hardware without a server wants its own.
fn wishes(device: &cpal::Device) -> Vec<(StreamConfig, SampleFormat)> {
    let with = |rate: u32, channels: u16, buffer_size: BufferSize| StreamConfig {
        channels,
        sample_rate: rate,
        buffer_size,
    };
    let short = |rate: u32| BufferSize::Fixed((rate / BUFFERS_PER_SECOND).max(1));
    let mut wishes = vec![
        (with(RATE, 1, short(RATE)), SampleFormat::F32),
        (with(RATE, 1, short(RATE)), SampleFormat::I16),
    ];
    match device.default_input_config() {
        Ok(own) => {
            let (rate, channels) = (own.sample_rate(), own.channels());
            wishes.push((with(rate, channels, short(rate)), own.sample_format()));
            wishes.push((
                with(rate, channels, BufferSize::Default),
                own.sample_format(),
            ));
        }
        Err(error) => debug!(%error, "the device names no format of its own"),
    }
    wishes
}

fn build(
    device: &cpal::Device,
    config: StreamConfig,
    format: SampleFormat,
    into: Producer<f32>,
    shared: Arc<Shared>,
    patience: Duration,
) -> Result<Stream, cpal::Error> {
    match format {
        SampleFormat::I8 => build_as::<i8>(device, config, into, shared, patience),
        SampleFormat::I16 => build_as::<i16>(device, config, into, shared, patience),
        SampleFormat::I24 => build_as::<cpal::I24>(device, config, into, shared, patience),
        SampleFormat::I32 => build_as::<i32>(device, config, into, shared, patience),
        SampleFormat::I64 => build_as::<i64>(device, config, into, shared, patience),
        SampleFormat::U8 => build_as::<u8>(device, config, into, shared, patience),
        SampleFormat::U16 => build_as::<u16>(device, config, into, shared, patience),
        SampleFormat::U24 => build_as::<cpal::U24>(device, config, into, shared, patience),
        SampleFormat::U32 => build_as::<u32>(device, config, into, shared, patience),
        SampleFormat::U64 => build_as::<u64>(device, config, into, shared, patience),
        SampleFormat::F32 => build_as::<f32>(device, config, into, shared, patience),
        SampleFormat::F64 => build_as::<f64>(device, config, into, shared, patience),
        _ => Err(cpal::Error::new(ErrorKind::UnsupportedConfig)),
    }
}

fn build_as<T>(
    device: &cpal::Device,
    config: StreamConfig,
    mut into: Producer<f32>,
    shared: Arc<Shared>,
    patience: Duration,
) -> Result<Stream, cpal::Error>
where
    T: SizedSample,
    f32: FromSample<T>,
{
    let channels = usize::from(config.channels.max(1));
    let share = 1.0 / channels as f32;
    // Half a voice frame: waking for less would only cost.
    let enough = (config.sample_rate / BUFFERS_PER_SECOND / 2) as usize;
    let capacity = into.buffer().capacity();
    let for_errors = Arc::clone(&shared);
    device.build_input_stream_raw(
        config,
        T::FORMAT,
        move |data: &Data, _| {
            let samples: &[T] = data.as_slice().unwrap_or(&[]);
            let frames = samples.len() / channels;
            match into.write_chunk_uninit(frames) {
                Ok(chunk) => {
                    chunk.fill_from_iter(samples.chunks_exact(channels).map(|frame| {
                        frame.iter().map(|&s| f32::from_sample_(s)).sum::<f32>() * share
                    }));
                }
                Err(_) => {
                    shared.lost.fetch_add(frames as u64, Ordering::Release);
                }
            }
            shared.callbacks.fetch_add(1, Ordering::Release);
            if capacity - into.slots() >= enough {
                shared.audio.unpark();
            }
        },
        move |error| for_errors.note(error),
        Some(patience),
    )
}

impl Shared {
    /// For a stream whose sound this thread takes.
    pub(super) fn of_this_thread() -> Arc<Self> {
        Arc::new(Shared {
            callbacks: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            overruns: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            error: OnceLock::new(),
            moved: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            audio: thread::current(),
        })
    }

    /// On a thread of the server's, perhaps very often.
    pub(super) fn note(&self, error: cpal::Error) {
        match error.kind() {
            ErrorKind::Xrun => {
                self.overruns.fetch_add(1, Ordering::Relaxed);
            }
            ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied => {}
            _ => {
                if !self.failed.swap(true, Ordering::Relaxed) {
                    let _ = self.error.set(error);
                    self.audio.unpark();
                }
            }
        }
    }
}
