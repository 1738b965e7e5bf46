//! Real files through a real pipe or file, and what comes out as samples.
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// All that comes out, and how it ended.
fn drain(feed: &mut Feed) -> (Vec<i16>, Option<Fault>) {
    let mut sound = Vec::new();
    loop {
        match feed.read(&mut sound) {
            Read::More => {}
            Read::End => return (sound, None),
            Read::Fault(fault) => return (sound, Some(fault)),
            other => panic!("unexpected {other:?}"),
        }
    }
}

fn file(bytes: &[u8]) -> OwnedFd {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file.into()
}

/// A pipe into which a thread writes these pieces, with a moment between them.
fn pipe(pieces: Vec<Vec<u8>>) -> OwnedFd {
    let (reader, mut writer) = io::pipe().unwrap();
    thread::spawn(move || {
        for piece in pieces {
            // A reader that has gone is what some tests are about.
            let _ = writer.write_all(&piece);
            thread::sleep(Duration::from_millis(1));
        }
    });
    reader.into()
}

fn open(sound: OwnedFd, format: FeedFormat) -> Result<Feed, Fault> {
    let interrupt = Arc::new(Interrupt::new().unwrap());
    Feed::open(sound, format, interrupt).map(|feed| feed.expect("nobody interrupts"))
}

fn read(bytes: &[u8], format: FeedFormat) -> (Vec<i16>, Option<Fault>) {
    drain(&mut open(file(bytes), format).unwrap())
}

#[track_caller]
fn refused(bytes: &[u8], format: FeedFormat) -> String {
    let fault = open(file(bytes), format).unwrap_err();
    assert_eq!(fault.kind, FaultKind::BadSound);
    assert!(!fault.message.ends_with('.'), "{fault}");
    fault.message
}

/// A second of a sound with something in it at every frequency, different in every sample.
fn samples(rate: u32) -> Vec<i16> {
    (0..rate)
        .map(|n| {
            let t = f64::from(n) / f64::from(rate);
            let sweep = (std::f64::consts::TAU * (100.0 + 300.0 * t) * t).sin();
            (sweep * 12_000.0) as i16
        })
        .collect()
}

/// `fmt ` of 16 bytes and `data`, of samples given as bytes.
fn wav(tag: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
    let block = channels * bits / 8;
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + data.len() as u32).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16u32.to_le_bytes());
    wav.extend(tag.to_le_bytes());
    wav.extend(channels.to_le_bytes());
    wav.extend(rate.to_le_bytes());
    wav.extend((rate * u32::from(block)).to_le_bytes());
    wav.extend(block.to_le_bytes());
    wav.extend(bits.to_le_bytes());
    wav.extend(b"data");
    wav.extend((data.len() as u32).to_le_bytes());
    wav.extend(data);
    wav
}

fn s16(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|s| s.to_le_bytes()).collect()
}

fn wav_s16(samples: &[i16]) -> Vec<u8> {
    wav(1, 1, 16_000, 16, &s16(samples))
}

/// Where the length of the data stands in a header of [`wav`].
const LENGTH_AT: usize = 40;

#[test]
fn wav_of_16_bits_comes_out_as_it_is() {
    let samples = samples(16_000);
    assert_eq!(read(&wav_s16(&samples), FeedFormat::Auto), (samples, None));
}

/// Every encoding, within the error of its own steps.
#[test]
fn every_encoding_of_wav() {
    let samples = samples(16_000);
    let floats: Vec<f32> = samples.iter().map(|&s| f32::from(s) / 32_768.0).collect();
    let bytes =
        |of: &dyn Fn(f32) -> Vec<u8>| -> Vec<u8> { floats.iter().flat_map(|&s| of(s)).collect() };
    let cases = [
        (1, 8, 256, bytes(&|s| vec![(s * 128.0 + 128.0) as u8])),
        (
            1,
            24,
            1,
            bytes(&|s| ((s * 8_388_608.0) as i32).to_le_bytes()[..3].to_vec()),
        ),
        (
            1,
            32,
            1,
            bytes(&|s| {
                ((f64::from(s) * 2_147_483_648.0) as i32)
                    .to_le_bytes()
                    .to_vec()
            }),
        ),
        (3, 32, 0, bytes(&|s| s.to_le_bytes().to_vec())),
        (3, 64, 0, bytes(&|s| f64::from(s).to_le_bytes().to_vec())),
    ];
    for (tag, bits, error, data) in cases {
        let (heard, fault) = read(&wav(tag, 1, 16_000, bits, &data), FeedFormat::Auto);
        assert_eq!(fault, None);
        assert_eq!(heard.len(), samples.len());
        for (heard, sample) in heard.iter().zip(&samples) {
            assert!(
                heard.abs_diff(*sample) <= error,
                "{bits} bits: {heard}, not {sample}"
            );
        }
    }
}

#[test]
fn an_extensible_header_is_understood() {
    let samples = samples(16_000);
    let plain = wav_s16(&samples);
    let mut extensible = plain[..16].to_vec();
    extensible.extend(40u32.to_le_bytes());
    extensible.extend(0xFFFEu16.to_le_bytes());
    extensible.extend(&plain[22..36]);
    extensible.extend([22, 0, 16, 0, 4, 0, 0, 0]);
    extensible.extend([1, 0, 0, 0, 0, 0, 16, 0, 128, 0, 0, 170, 0, 56, 155, 113]);
    // And something between, of an odd length, that is to be skipped.
    extensible.extend(b"LIST\x05\0\0\0hello\0");
    extensible.extend(&plain[36..]);
    assert_eq!(read(&extensible, FeedFormat::Auto), (samples, None));
}

#[test]
fn channels_are_mixed() {
    let interleaved: Vec<i16> = [(1000, 3000), (-4, -4), (32_767, 32_767)]
        .iter()
        .flat_map(|&(left, right)| [left, right])
        .collect();
    let wav = wav(1, 2, 16_000, 16, &s16(&interleaved));
    assert_eq!(read(&wav, FeedFormat::Auto).0, [2000, -4, 32_767]);
}

#[test]
fn any_rate_becomes_16_khz() {
    for rate in [8_000, 11_025, 44_100, 48_000, 96_000] {
        let (heard, fault) = read(&wav(1, 1, rate, 16, &s16(&samples(rate))), FeedFormat::Auto);
        assert_eq!(fault, None);
        let wanted = samples(16_000);
        assert_eq!(heard.len(), wanted.len(), "{rate}");
        for n in 500..15_500 {
            assert!(heard[n].abs_diff(wanted[n]) < 200, "{rate} at {n}");
        }
    }
}

#[test]
fn lengths_of_recorders_that_stream_mean_until_the_end() {
    let samples = samples(16_000);
    for length in [
        0,
        0xFFFF_FFFF,
        0x7FFF_FFFF - 36,
        0x8000_0000,
        0x7FFF_F000u32,
    ] {
        let mut wav = wav_s16(&samples);
        wav[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_le_bytes());
        assert_eq!(
            read(&wav, FeedFormat::Auto),
            (samples.clone(), None),
            "{length:#x}"
        );
    }
}

#[test]
fn what_follows_the_data_is_no_sound() {
    let samples = samples(16_000);
    let mut wav = wav_s16(&samples);
    wav.extend(b"LIST\x04\0\0\0test");
    assert_eq!(read(&wav, FeedFormat::Auto), (samples, None));
}

#[test]
fn a_truncated_wav_says_where() {
    let samples = samples(16_000);
    let wav = wav_s16(&samples);
    let (heard, fault) = read(&wav[..44 + 16_001], FeedFormat::Auto);
    assert_eq!(heard, samples[..8000]);
    let fault = fault.unwrap();
    assert_eq!(fault.kind, FaultKind::BadSound);
    assert!(
        fault.message.contains("after 0.5 of 1.0 seconds"),
        "{fault}"
    );
}

#[test]
fn a_wav_without_sound_is_refused() {
    let empty = wav_s16(&[]);
    assert!(refused(&empty, FeedFormat::Auto).contains("empty"));
    assert!(refused(b"", FeedFormat::Auto).contains("empty"));
    let raw = FeedFormat::S16le {
        rate: 16_000,
        channels: 1,
    };
    assert!(refused(b"", raw).contains("empty"));
    assert!(refused(b"x", raw).contains("empty"));
}

#[test]
fn a_truncated_header_is_refused() {
    let wav = wav_s16(&samples(16_000));
    for length in [1, 3] {
        assert!(refused(&wav[..length], FeedFormat::Auto).contains("neither"));
    }
    for length in [4, 11, 20, 35, 43] {
        let message = refused(&wav[..length], FeedFormat::Auto);
        assert!(message.contains("header ends early"), "{length}: {message}");
    }
}

#[test]
fn what_is_no_sound_is_refused_by_name() {
    let refused = |bytes: &[u8]| refused(bytes, FeedFormat::Auto);
    assert!(refused(b"Dear diary, today I").contains("neither a WAV nor a FLAC file"));
    assert!(refused(b"ID3\x04\0\0\0\0").contains("an MP3 file"));
    assert!(refused(b"\xFF\xFB\x90\0").contains("an MP3 file"));
    assert!(refused(b"OggS\0\0\0\0").contains("an Ogg file"));
    assert!(refused(b"RIFF\0\0\0\0AVI LIST").contains("not WAV"));
    assert!(refused(&wav(7, 1, 8_000, 8, &[0; 80])).contains("format 7 in 8 bits"));
    assert!(refused(&wav(1, 0, 8_000, 16, &[0; 80])).contains("0 channels"));
    assert!(refused(&wav(1, 1, 5, 16, &[0; 80])).contains("5 samples per second"));
    assert!(refused(&wav(1, 65, 8_000, 8, &[0; 80])).contains("65 channels"));
    let no_format = b"RIFF\x20\0\0\0WAVEdata\x04\0\0\0abcd";
    assert!(refused(no_format).contains("no description"));
}

#[test]
fn a_descriptor_that_cannot_be_read_is_refused() {
    let folder = File::open(std::env::temp_dir()).unwrap();
    let message = open(folder.into(), FeedFormat::Auto).unwrap_err().message;
    assert!(message.contains("cannot be read"), "{message}");
    let scratch = tempfile::NamedTempFile::new().unwrap();
    let write_only = File::options().write(true).open(scratch.path()).unwrap();
    let message = open(write_only.into(), FeedFormat::Auto)
        .unwrap_err()
        .message;
    assert!(message.contains("open for reading"), "{message}");
}

#[test]
fn raw_samples() {
    let samples = samples(16_000);
    let format = FeedFormat::S16le {
        rate: 16_000,
        channels: 1,
    };
    // A byte too many is nobody's loss.
    let mut bytes = s16(&samples);
    bytes.push(1);
    assert_eq!(read(&bytes, format), (samples.clone(), None));

    let floats: Vec<u8> = samples
        .iter()
        .flat_map(|&s| (f32::from(s) / 32_768.0).to_le_bytes())
        .collect();
    let format = FeedFormat::F32le {
        rate: 16_000,
        channels: 1,
    };
    assert_eq!(read(&floats, format), (samples, None));
}

#[test]
fn what_is_no_number_ends_the_sound() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for at in [0, 1, 100, 8_000, 15_999] {
            let mut floats = vec![0.25f32; 16_000];
            floats[at] = bad;
            let bytes: Vec<u8> = floats.iter().flat_map(|s| s.to_le_bytes()).collect();
            let format = FeedFormat::F32le {
                rate: 16_000,
                channels: 1,
            };
            let opened = open(file(&bytes), format);
            let (heard, fault) = match opened {
                Ok(mut feed) => drain(&mut feed),
                Err(fault) => (Vec::new(), Some(fault)),
            };
            assert_eq!(heard, vec![8_192; at]);
            let fault = fault.unwrap();
            assert_eq!(fault.kind, FaultKind::BadSound);
            assert!(fault.message.contains("no number"), "{fault}");
        }
    }
}

#[test]
fn a_slow_pipe_gives_its_sound_as_it_comes() {
    let samples = samples(16_000);
    let bytes = wav_s16(&samples);
    let pieces = bytes.chunks(777).map(<[u8]>::to_vec).collect();
    let mut feed = open(pipe(pieces), FeedFormat::Auto).unwrap();
    assert_eq!(drain(&mut feed), (samples, None));

    // What is in the pipe is given although the pipe stays open.
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(&bytes[..44 + 2 * 1000]).unwrap();
    let mut feed = open(reader.into(), FeedFormat::Auto).unwrap();
    let mut heard = Vec::new();
    assert!(matches!(feed.read(&mut heard), Read::More));
    assert_eq!(heard.len(), 1000);
    // And then it closes in the middle.
    drop(writer);
    let fault = drain(&mut feed).1.unwrap();
    assert!(
        fault.message.contains("after 0.1 of 1.0 seconds"),
        "{fault}"
    );
}

#[test]
fn a_reader_that_waits_can_be_interrupted() {
    let bytes = wav_s16(&samples(16_000));
    // Where the writer stops: before the first byte, in the header, before the sound, within it.
    for length in [0, 2, 20, 44, 44 + 100] {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(&bytes[..length]).unwrap();
        let interrupt = Arc::new(Interrupt::new().unwrap());
        let raise = Arc::clone(&interrupt);
        let raiser = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            raise.raise();
        });
        let feed = Feed::open(reader.into(), FeedFormat::Auto, interrupt).unwrap();
        match feed {
            None => assert!(length <= 44),
            Some(mut feed) => {
                let mut heard = Vec::new();
                let last = loop {
                    match feed.read(&mut heard) {
                        Read::More => {}
                        last => break last,
                    }
                };
                assert!(matches!(last, Read::Interrupted), "{last:?}");
            }
        }
        raiser.join().unwrap();
        drop(writer);
    }
}

/// The reference encoder's output of these samples, or `None` where it is not installed.
fn flac(wav: &[u8]) -> Option<Vec<u8>> {
    let spawned = Command::new("flac")
        .args(["--silent", "--stdout", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut encoder) = spawned else {
        eprintln!("skipped: flac is not installed");
        return None;
    };
    let mut input = encoder.stdin.take().unwrap();
    let wav = wav.to_vec();
    let writer = thread::spawn(move || input.write_all(&wav).unwrap());
    let mut encoded = Vec::new();
    encoder
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut encoded)
        .unwrap();
    writer.join().unwrap();
    assert!(encoder.wait().unwrap().success());
    Some(encoded)
}

#[test]
fn flac_comes_out_as_it_went_in() {
    let samples: Vec<i16> = samples(16_000).repeat(5);
    let Some(encoded) = flac(&wav_s16(&samples)) else {
        return;
    };
    assert_eq!(read(&encoded, FeedFormat::Auto), (samples.clone(), None));
    let pieces = encoded.chunks(501).map(<[u8]>::to_vec).collect();
    let mut feed = open(pipe(pieces), FeedFormat::Auto).unwrap();
    assert_eq!(drain(&mut feed), (samples, None));
}

#[test]
fn flac_of_44100_hz_in_stereo_and_24_bits() {
    let data: Vec<u8> = samples(44_100)
        .iter()
        .flat_map(|&s| {
            let bytes = (i32::from(s) << 8).to_le_bytes();
            [bytes[0], bytes[1], bytes[2], bytes[0], bytes[1], bytes[2]]
        })
        .collect();
    let Some(encoded) = flac(&wav(1, 2, 44_100, 24, &data)) else {
        return;
    };
    let (heard, fault) = read(&encoded, FeedFormat::Auto);
    assert_eq!(fault, None);
    assert_eq!(heard.len(), 16_000);
    let wanted = samples(16_000);
    for n in 500..15_500 {
        assert!(heard[n].abs_diff(wanted[n]) < 200, "at {n}");
    }
}

#[test]
fn a_truncated_or_damaged_flac_says_where() {
    let samples: Vec<i16> = samples(16_000).repeat(5);
    let Some(encoded) = flac(&wav_s16(&samples)) else {
        return;
    };
    let (heard, fault) = read(&encoded[..encoded.len() / 2], FeedFormat::Auto);
    assert!(
        heard.len() > 20_000 && heard.len() < 60_000,
        "{}",
        heard.len()
    );
    assert_eq!(heard, samples[..heard.len()]);
    let fault = fault.unwrap();
    assert!(fault.message.contains("of 5.0 seconds"), "{fault}");

    let mut damaged = encoded.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 200].fill(0x55);
    let (heard, fault) = read(&damaged, FeedFormat::Auto);
    assert_eq!(heard, samples[..heard.len()]);
    let fault = fault.unwrap();
    assert!(fault.message.contains("damaged after"), "{fault}");

    for length in [4, 8, 30, 60] {
        refused(&encoded[..length], FeedFormat::Auto);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever a file holds, reading it ends, without a panic, and gives no more sound than the
    /// bytes could hold.
    #[test]
    fn any_bytes(
        mut bytes in prop::collection::vec(any::<u8>(), 0..600),
        start in prop::sample::select(vec![
            &b""[..], b"RIFF", b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0", b"fLaC", b"fLaC\0\0\0\x22",
        ]),
    ) {
        bytes.splice(0..0, start.iter().copied());
        if let Ok(mut feed) = open(file(&bytes), FeedFormat::Auto) {
            let (heard, _) = drain(&mut feed);
            // A byte of FLAC may stand for many samples, 65 535 in a frame of about ten bytes.
            prop_assert!(heard.len() <= bytes.len() * 8_192 * 4);
        }
    }

    /// A good WAV with a few bytes changed.
    #[test]
    fn a_changed_wav(changes in prop::collection::vec((0..144usize, any::<u8>()), 1..6)) {
        let mut bytes = wav_s16(&samples(16_000)[..50]);
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        if let Ok(mut feed) = open(file(&bytes), FeedFormat::Auto) {
            drain(&mut feed);
        }
    }
}
