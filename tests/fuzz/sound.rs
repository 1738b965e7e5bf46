//! Sound that a client hands over: WAV, FLAC or raw, through a whole session of the daemon's audio
//! thread.
//!
//! The first byte chooses the format; for raw sound the next ones are rate and channels.

#![no_main]

use std::fs::File;
use std::io::{Seek, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use libfuzzer_sys::fuzz_target;
use rustix::fs::{MemfdFlags, memfd_create};
use tokio::sync::mpsc;
use wstreamd::capture::{CaptureRequest, CaptureSettings, FeedFormat, SourceRequest, open};
use wstreamd::event::{EVENT_QUEUE, Event};
use wstreamd::speech::{SPEECH_QUEUE, SessionOptions, Speech};

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, bytes)) = bytes.split_first() else {
        return;
    };
    let (format, bytes) = match (kind % 4, bytes) {
        (2, [a, b, c, channels, rest @ ..]) => {
            let rate = u32::from_le_bytes([*a, *b, *c, 0]);
            let channels = u16::from(*channels);
            (FeedFormat::S16le { rate, channels }, rest)
        }
        (3, [a, b, c, channels, rest @ ..]) => {
            let rate = u32::from_le_bytes([*a, *b, *c, 0]);
            let channels = u16::from(*channels);
            (FeedFormat::F32le { rate, channels }, rest)
        }
        _ => (FeedFormat::Auto, bytes),
    };
    let memory = memfd_create("sound", MemfdFlags::CLOEXEC).expect("memory for a file");
    let mut file = File::from(memory);
    file.write_all(bytes).expect("memory for a file");
    file.rewind().expect("a file in memory can be rewound");

    let (to_transcriber, mut speech) = mpsc::channel(SPEECH_QUEUE);
    let (to_daemon, mut events) = mpsc::channel(EVENT_QUEUE);
    let request = CaptureRequest {
        session: 1,
        source: SourceRequest::Feed {
            sound: file.into(),
            format,
            realtime: false,
        },
        settings: CaptureSettings::default(),
        options: Arc::new(SessionOptions::default()),
        next_utterance: Arc::new(AtomicU64::new(1)),
    };
    let capture = open(request, to_transcriber, to_daemon);
    let listener = std::thread::spawn(move || {
        let mut open = None;
        while let Some(event) = events.blocking_recv() {
            match event {
                Event::Started { utterance, .. } => open = Some(utterance),
                Event::Ended { utterance, .. } => assert_eq!(open.take(), Some(utterance)),
                _ => {}
            }
        }
    });
    // Every utterance that begins ends, and there is no sound between them.
    let mut open = None;
    while let Some(message) = speech.blocking_recv() {
        match message {
            Speech::Begin(utterance) => {
                assert_eq!(open.replace(utterance.utterance), None);
            }
            Speech::Sound { utterance, .. }
            | Speech::Pause { utterance, .. }
            | Speech::Resume { utterance } => assert_eq!(open, Some(utterance)),
            Speech::End { utterance, .. } | Speech::Abort { utterance } => {
                assert_eq!(open.take(), Some(utterance));
            }
        }
    }
    assert_eq!(open, None, "an utterance without an end");
    listener.join().expect("the daemon's side saw what it may see");
    drop(capture);
});
