//! Whole sessions on feeds: what the transcriber and the daemon are told.

use std::io::{Seek as _, Write as _};
use std::time::{Duration, Instant};

use super::*;
use crate::event::EVENT_QUEUE;
use crate::speech::SPEECH_QUEUE;

/// Something like a voice: a buzz of 120 Hz with syllables, four a second.
fn voice(seconds: f64) -> Vec<i16> {
    (0..(seconds * 16_000.0) as usize)
        .map(|n| {
            let t = n as f64 / 16_000.0;
            let syllable = (std::f64::consts::PI * 4.0 * t).sin().abs().sqrt();
            let buzz: f64 = (1..20)
                .map(|harmonic| {
                    let hertz = 120.0 * f64::from(harmonic);
                    let formant = (-((hertz - 600.0) / 400.0).powi(2)).exp() + 0.1;
                    formant * (std::f64::consts::TAU * hertz * t).sin()
                })
                .sum();
            (4_000.0 * syllable * buzz) as i16
        })
        .collect()
}

fn silence(seconds: f64) -> Vec<i16> {
    vec![0; (seconds * 16_000.0) as usize]
}

fn bytes(sound: &[i16]) -> Vec<u8> {
    sound.iter().flat_map(|s| s.to_le_bytes()).collect()
}

fn file(sound: &[i16]) -> OwnedFd {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes(sound)).unwrap();
    file.rewind().unwrap();
    file.into()
}

const RAW: FeedFormat = FeedFormat::S16le {
    rate: 16_000,
    channels: 1,
};

struct Session {
    capture: Capture,
    speech: mpsc::Receiver<Speech>,
    events: mpsc::Receiver<Event>,
}

fn start_session(sound: OwnedFd, format: FeedFormat, realtime: bool, room: usize) -> Session {
    let (to_transcriber, speech) = mpsc::channel(room);
    let (to_daemon, events) = mpsc::channel(EVENT_QUEUE);
    let request = CaptureRequest {
        session: 7,
        source: SourceRequest::Feed {
            sound,
            format,
            realtime,
        },
        settings: CaptureSettings::default(),
        options: Arc::default(),
        next_utterance: Arc::new(AtomicU64::new(5)),
    };
    Session {
        capture: open(request, to_transcriber, to_daemon),
        speech,
        events,
    }
}

/// What a session said, in words. Both channels are emptied as the daemon and the transcriber do.
struct Told {
    events: Vec<String>,
    speech: Vec<String>,
    samples: Vec<Vec<i16>>,
    fault: Option<Fault>,
}

impl Session {
    /// Reads until the session is over.
    fn told(mut self) -> Told {
        let mut events = self.events;
        let reader = thread::spawn(move || {
            let mut told = Vec::new();
            let mut ended = None;
            while let Some(event) = events.blocking_recv() {
                told.push(match event {
                    Event::CaptureOpened { session: 7, .. } => "opened".to_owned(),
                    Event::CaptureFailed { session: 7, fault } => {
                        ended = Some(fault);
                        "failed".to_owned()
                    }
                    Event::CaptureEnded { session: 7, fault } => {
                        ended = fault;
                        "closed".to_owned()
                    }
                    Event::Started {
                        utterance,
                        session: 7,
                        at_s,
                    } => format!("started {utterance} at {at_s:.1}"),
                    Event::Ended {
                        utterance,
                        session: 7,
                        at_s,
                        duration_s,
                        ..
                    } => {
                        format!("ended {utterance} at {at_s:.1} after {duration_s:.1}")
                    }
                    other => panic!("unexpected {other:?}"),
                });
            }
            (told, ended)
        });
        let mut speech = Vec::new();
        let mut samples: Vec<Vec<i16>> = Vec::new();
        while let Some(message) = self.speech.blocking_recv() {
            match message {
                Speech::Begin(begin) => {
                    assert!(!begin.live);
                    assert_eq!(begin.session, 7);
                    samples.push(Vec::new());
                    speech.push(format!("begin {}", begin.utterance));
                }
                // The beginning may have been waited for by the test itself.
                Speech::Sound { samples: new, .. } => match samples.last_mut() {
                    Some(samples) => samples.extend_from_slice(&new),
                    None => samples.push(new.to_vec()),
                },
                // How often a voice pauses is the detector's affair.
                Speech::Pause { .. } | Speech::Resume { .. } => {}
                Speech::End { utterance, .. } => speech.push(format!("end {utterance}")),
                Speech::Abort { utterance } => speech.push(format!("abort {utterance}")),
            }
        }
        let (events, fault) = reader.join().unwrap();
        Told {
            events,
            speech,
            samples,
            fault,
        }
    }
}

#[test]
fn two_utterances_of_a_feed() {
    let sound = [
        silence(1.0),
        voice(1.0),
        silence(1.0),
        voice(2.0),
        silence(1.0),
    ]
    .concat();
    let told = start_session(file(&sound), RAW, false, SPEECH_QUEUE).told();
    assert_eq!(told.fault, None);
    assert_eq!(told.speech, ["begin 5", "end 5", "begin 6", "end 6"]);
    let events: Vec<&str> = told.events.iter().map(String::as_str).collect();
    assert_eq!(events.len(), 6, "{events:?}");
    assert_eq!(events[0], "opened");
    assert!(events[1].starts_with("started 5 at 0."));
    assert!(events[2].starts_with("ended 5 at 2."), "{events:?}");
    assert!(events[3].starts_with("started 6 at 2."));
    assert!(events[4].starts_with("ended 6 at 5."), "{events:?}");
    assert_eq!(events[5], "closed");
    // Each is a piece of what was fed, with all of the voice.
    for (heard, from, to) in [(&told.samples[0], 1.0, 2.0), (&told.samples[1], 3.0, 5.0)] {
        let (from, to) = ((from * 16_000.0) as usize, (to * 16_000.0) as usize);
        let voice = &sound[from..to];
        assert!(heard.windows(voice.len()).any(|window| window == voice));
    }
}

#[test]
fn silence_and_noise_without_voice_say_nothing() {
    let mut state = 1u32;
    let hiss: Vec<i16> = (0..80_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 27) as i16 - 16
        })
        .collect();
    for sound in [silence(5.0), hiss] {
        let told = start_session(file(&sound), RAW, false, SPEECH_QUEUE).told();
        assert_eq!(told.events, ["opened", "closed"]);
        assert_eq!(told.speech, [""; 0]);
    }
}

#[test]
fn a_bad_feed_fails_before_anything_else() {
    let told = start_session(file(&[]), FeedFormat::Auto, false, SPEECH_QUEUE).told();
    assert_eq!(told.events, ["failed"]);
    assert_eq!(told.fault.unwrap().kind, FaultKind::BadSound);
}

#[test]
fn a_truncated_feed_is_transcribed_and_then_fails() {
    let mut wav =
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data"
            .to_vec();
    wav.extend(1_000_000u32.to_le_bytes());
    wav.extend(bytes(&voice(1.0)));
    let mut sound = tempfile::tempfile().unwrap();
    sound.write_all(&wav).unwrap();
    sound.rewind().unwrap();
    let told = start_session(sound.into(), FeedFormat::Auto, false, SPEECH_QUEUE).told();
    assert_eq!(told.speech, ["begin 5", "end 5"]);
    assert_eq!(told.samples[0], voice(1.0));
    assert_eq!(told.events.last().unwrap(), "closed");
    let fault = told.fault.unwrap();
    assert_eq!(fault.kind, FaultKind::BadSound);
    assert!(
        fault.message.contains("after 1.0 of 31.2 seconds"),
        "{fault}"
    );
}

#[test]
fn a_feed_waits_for_a_slow_transcriber() {
    let sound = voice(10.0);
    let told = start_session(file(&sound), RAW, false, 2).told();
    assert_eq!(told.speech, ["begin 5", "end 5"]);
    assert_eq!(told.samples[0], sound);
}

/// Waits for the message that says that speech has begun.
fn wait_for_begin(session: &mut Session) {
    match session.speech.blocking_recv() {
        Some(Speech::Begin(_)) => {}
        other => panic!("unexpected {other:?}"),
    }
}

#[test]
fn stop_ends_the_open_utterance_while_the_feed_waits_for_room() {
    let mut session = start_session(file(&voice(20.0)), RAW, false, 4);
    wait_for_begin(&mut session);
    session.capture.stop();
    let mut last = None;
    let mut heard = 0;
    while let Some(speech) = session.speech.blocking_recv() {
        if let Speech::Sound { samples, .. } = &speech {
            heard += samples.len();
        }
        last = Some(speech);
    }
    assert!(
        matches!(last, Some(Speech::End { utterance: 5, .. })),
        "{last:?}"
    );
    let mut ended = None;
    while let Some(event) = session.events.blocking_recv() {
        if let Event::Ended { duration_s, .. } = event {
            ended = Some(duration_s);
        }
    }
    // What the daemon is told is what the transcriber got.
    assert_eq!(ended, Some(heard as f64 / 16_000.0));
    assert!(heard < 20 * 16_000);
}

#[test]
fn stop_ends_the_open_utterance_while_the_feed_waits_for_sound() {
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(&bytes(&voice(1.0))).unwrap();
    let mut session = start_session(reader.into(), RAW, false, SPEECH_QUEUE);
    wait_for_begin(&mut session);
    session.capture.stop();
    let told = session.told();
    assert_eq!(told.speech, ["end 5"]);
    assert_eq!(told.events.last().unwrap(), "closed");
    drop(writer);
}

#[test]
fn abandon_and_drop_give_up_the_open_utterance() {
    for drop_it in [false, true] {
        let mut session = start_session(file(&voice(20.0)), RAW, true, SPEECH_QUEUE);
        wait_for_begin(&mut session);
        if drop_it {
            drop(session.capture);
        } else {
            session.capture.abandon();
        }
        let mut last = None;
        while let Some(speech) = session.speech.blocking_recv() {
            last = Some(speech);
        }
        assert!(
            matches!(last, Some(Speech::Abort { utterance: 5 })),
            "{last:?}"
        );
        let mut told = Vec::new();
        while let Some(event) = session.events.blocking_recv() {
            told.push(event);
        }
        assert!(matches!(
            told.last(),
            Some(Event::CaptureEnded { fault: None, .. })
        ));
        assert!(
            !told
                .iter()
                .any(|event| matches!(event, Event::Ended { .. }))
        );
    }
}

#[test]
fn a_paced_feed_takes_as_long_as_its_sound() {
    let began = Instant::now();
    let told = start_session(file(&voice(0.6)), RAW, true, SPEECH_QUEUE).told();
    assert_eq!(told.speech, ["begin 5", "end 5"]);
    // It cannot be faster; how much slower it is depends on the machine.
    assert!(began.elapsed() >= Duration::from_millis(600));
}

#[test]
fn stopping_a_feed_that_has_given_nothing_yet_closes_it() {
    let (reader, writer) = io::pipe().unwrap();
    let session = start_session(reader.into(), RAW, false, SPEECH_QUEUE);
    session.capture.stop();
    let told = session.told();
    assert_eq!(told.events, ["closed"]);
    assert_eq!(told.fault, None);
    drop(writer);
}

#[test]
fn levels_are_sent_only_while_watched() {
    let (reader, mut writer) = io::pipe().unwrap();
    let mut session = start_session(reader.into(), RAW, false, SPEECH_QUEUE);
    writer.write_all(&bytes(&silence(0.3))).unwrap();
    assert!(matches!(
        session.events.blocking_recv(),
        Some(Event::CaptureOpened { .. })
    ));
    session.capture.watch_level(true);
    writer.write_all(&bytes(&vec![16_384; 4_800])).unwrap();
    let rms = loop {
        match session.events.blocking_recv() {
            Some(Event::Level { rms }) if rms > 0.0 => break rms,
            Some(Event::Level { .. }) => {}
            other => panic!("unexpected {other:?}"),
        }
    };
    assert!((rms - 0.5).abs() < 1e-9);
    drop(writer);
}
