//! A real microphone session on a real sound server, through each of the hosts.
//!
//! Without arguments this program runs every scenario in a process of its own, under
//! `tests/mic.sh`, which sets the environment that the sound libraries read when they start. A
//! scenario whose server is not installed is skipped, with a printed line.
#![allow(clippy::print_stdout, reason = "it reports like other tests")]

use std::f64::consts::{PI, TAU};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use wstreamd::capture::{self, Capture, CaptureRequest, CaptureSettings, SourceRequest, Standby};
use wstreamd::event::{EVENT_QUEUE, Event};
use wstreamd::fault::{Fault, FaultKind};
use wstreamd::source::{Wanted, microphones};
use wstreamd::speech::{SPEECH_QUEUE, Speech};

/// The sound server, the name of the scenario, and what it does with the host's name.
type Scenario = (
    &'static str,
    &'static str,
    fn(Option<&'static str>),
    Option<&'static str>,
);

const SCENARIOS: &[Scenario] = &[
    ("pulseaudio", "any", hears, None),
    ("pulseaudio", "pulseaudio", hears, Some("pulseaudio")),
    ("pulseaudio", "alsa", hears, Some("alsa")),
    ("pipewire", "pulseaudio", hears, Some("pulseaudio")),
    ("pipewire", "alsa", hears, Some("alsa")),
    #[cfg(feature = "pipewire")]
    ("pipewire", "pipewire", hears, Some("pipewire")),
    ("pulseaudio", "names", names, None),
    (
        "pulseaudio",
        "unplugged",
        waits_unplugged,
        Some("pulseaudio"),
    ),
    ("pipewire", "unplugged", waits_unplugged, Some("pulseaudio")),
    (
        "pulseaudio",
        "default",
        follows_the_default,
        Some("pulseaudio"),
    ),
    (
        "pipewire",
        "default",
        follows_the_default,
        Some("pulseaudio"),
    ),
    (
        "pulseaudio",
        "chosen",
        comes_back_to_the_chosen,
        Some("pulseaudio"),
    ),
    (
        "pulseaudio",
        "mute",
        says_that_it_is_mute,
        Some("pulseaudio"),
    ),
    (
        "pulseaudio",
        "monitor",
        takes_no_monitor,
        Some("pulseaudio"),
    ),
    ("pipewire", "monitor", takes_no_monitor, Some("pulseaudio")),
    ("pulseaudio", "kept", keeps_open, Some("pulseaudio")),
    ("pipewire", "kept", keeps_open, Some("pulseaudio")),
    ("pulseaudio", "kept-alsa", keeps_open, Some("alsa")),
    ("pulseaudio", "killed", loses_killed, Some("pulseaudio")),
    ("pulseaudio", "killed-alsa", loses_killed, Some("alsa")),
    ("pipewire", "killed", loses_killed, Some("pulseaudio")),
    ("pipewire", "killed-alsa", loses_killed, Some("alsa")),
    #[cfg(feature = "pipewire")]
    (
        "pipewire",
        "killed-pipewire",
        loses_killed,
        Some("pipewire"),
    ),
    ("pulseaudio", "late", fails_late, None),
    ("pulseaudio", "none", finds_none, None),
];

/// For whatever takes milliseconds when all is well. An attempt at a stream that a server on a busy
/// machine never starts takes ten seconds, and the next one a second more.
const PATIENCE: Duration = Duration::from_secs(90);

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/mic.sh")
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, server, name] = arguments.as_slice()
        && flag == "--scenario"
    {
        let (.., run, host) = SCENARIOS
            .iter()
            .find(|scenario| (scenario.0, scenario.1) == (server, name))
            .expect("it is in the list");
        run(*host);
        return ExitCode::SUCCESS;
    }
    // As of other tests: a part of a name chooses; flags are for a harness that this has not.
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let mut failed = 0;
    for (server, name, ..) in SCENARIOS {
        let title = format!("{server}/{name}");
        if filter.is_some_and(|filter| !title.contains(filter.as_str())) {
            continue;
        }
        let status = Command::new(script())
            .args(["run", server])
            .arg(std::env::current_exe().expect("this program has a path"))
            .args(["--scenario", server, name])
            .status()
            .expect("the script can be run");
        match status.code() {
            Some(0) => println!("test {title} ... ok"),
            Some(77) => println!("test {title} ... skipped: {server} is not installed"),
            _ => {
                println!("test {title} ... FAILED");
                failed += 1;
            }
        }
    }
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        println!("{failed} failed");
        ExitCode::FAILURE
    }
}

/// A voice-like buzz, its pitch different at every moment, so that it is found in only one place.
fn voice(seconds: f64, pitch: f64) -> Vec<i16> {
    let mut phase = 0.0;
    (0..(seconds * 16_000.0) as usize)
        .map(|n| {
            let t = n as f64 / 16_000.0;
            phase += TAU * (pitch + 40.0 * t) / 16_000.0;
            let syllable = (PI * 4.0 * t).sin().abs().sqrt();
            let buzz: f64 = (1..20)
                .map(|harmonic| {
                    let hertz = pitch * f64::from(harmonic);
                    let formant = (-((hertz - 600.0) / 400.0).powi(2)).exp() + 0.1;
                    formant * (phase * f64::from(harmonic)).sin()
                })
                .sum();
            (4_000.0 * syllable * buzz) as i16
        })
        .collect()
}

/// Speaks into the microphone; returns when the server has taken it.
fn speak(sound: &[i16]) {
    let folder = PathBuf::from(std::env::var_os("MIC_DIR").expect("set by the script"));
    let path = folder.join("spoken.raw");
    let bytes: Vec<u8> = sound.iter().flat_map(|s| s.to_le_bytes()).collect();
    fs::write(&path, bytes).expect("the folder can be written");
    let status = Command::new("paplay")
        .args(["--raw", "--rate=16000", "--channels=1", "--format=s16le"])
        .arg("--device=speaker")
        .arg(&path)
        .status()
        .expect("paplay can be run");
    assert!(status.success());
}

fn script_says(command: &str) {
    let status = Command::new(script()).arg(command).status();
    assert!(status.expect("the script can be run").success());
}

/// Waits for what is told next.
fn next(events: &mut mpsc::Receiver<Event>) -> Event {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match events.try_recv() {
            Ok(event) => return event,
            Err(error) => {
                assert!(Instant::now() < deadline, "no event came: {error}");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

fn request(wanted: Wanted) -> CaptureRequest {
    CaptureRequest {
        session: 1,
        source: SourceRequest::Microphone(wanted),
        settings: CaptureSettings::default(),
        options: Arc::default(),
        next_utterance: Arc::new(AtomicU64::new(1)),
    }
}

struct Session {
    capture: Capture,
    speech: mpsc::Receiver<Speech>,
    events: mpsc::Receiver<Event>,
}

impl Session {
    fn open(host: Option<&str>, device: Option<&str>) -> Self {
        Session::open_with_room(host, device, SPEECH_QUEUE)
    }

    fn open_with_room(host: Option<&str>, device: Option<&str>, room: usize) -> Self {
        Session::open_as(host, device, false, room)
    }

    fn open_as(host: Option<&str>, device: Option<&str>, fallback: bool, room: usize) -> Self {
        let (to_transcriber, speech) = mpsc::channel(room);
        let (to_daemon, events) = mpsc::channel(EVENT_QUEUE);
        let request = request(Wanted {
            host: host.map(str::to_owned),
            device: device.map(str::to_owned),
            fallback,
        });
        Session {
            capture: capture::open(request, to_transcriber, to_daemon),
            speech,
            events,
        }
    }

    fn event(&mut self) -> Event {
        next(&mut self.events)
    }

    fn opened(&mut self) -> String {
        match self.event() {
            Event::CaptureOpened { session: 1, name } => name,
            other => panic!("unexpected {other:?}"),
        }
    }

    /// Waits until the microphone has gone by a fault.
    fn lost(&mut self) {
        match self.event() {
            Event::MicrophoneLost {
                session: 1,
                fault: Some(fault),
            } => {
                println!("{fault}");
                assert_eq!(fault.kind, FaultKind::MicrophoneLost);
            }
            other => panic!("unexpected {other:?}"),
        }
    }

    /// Waits until there is one again; returns its name.
    fn found(&mut self) -> String {
        match self.event() {
            Event::MicrophoneFound { session: 1, name } => name,
            other => panic!("unexpected {other:?}"),
        }
    }

    /// The same for one that was left for another, or that was taken away.
    fn found_later(&mut self) -> String {
        match self.event() {
            Event::MicrophoneLost { session: 1, .. } => self.found(),
            other => panic!("unexpected {other:?}"),
        }
    }

    /// Waits for the end of an utterance; returns its number.
    fn utterance(&mut self) -> u64 {
        let started = match self.event() {
            Event::Started { utterance, .. } => utterance,
            other => panic!("unexpected {other:?}"),
        };
        match self.event() {
            Event::Ended { utterance, .. } => assert_eq!(utterance, started),
            other => panic!("unexpected {other:?}"),
        }
        started
    }

    /// Waits for the end of the session; returns what was handed over and the fault.
    fn ended(mut self) -> (Vec<Vec<i16>>, Option<Fault>) {
        let fault = loop {
            match self.event() {
                Event::CaptureEnded { fault, .. } => break fault,
                Event::Started { .. } | Event::Ended { .. } => {}
                other => panic!("unexpected {other:?}"),
            }
        };
        let mut utterances: Vec<Vec<i16>> = Vec::new();
        let mut open = false;
        while let Some(speech) = self.speech.blocking_recv() {
            match speech {
                Speech::Begin(begin) => {
                    assert!(begin.live && !open);
                    open = true;
                    utterances.push(Vec::new());
                }
                Speech::Sound { samples, .. } => {
                    utterances
                        .last_mut()
                        .expect("after a beginning")
                        .extend(samples.iter());
                }
                Speech::Pause { .. } | Speech::Resume { .. } => {}
                Speech::End { .. } => open = false,
                Speech::Abort { .. } => panic!("nothing was given up"),
            }
        }
        assert!(!open);
        (utterances, fault)
    }
}

/// How alike the sound is to the place in `heard` where it is most alike; 1 is the same.
fn likeness(heard: &[i16], sound: &[i16]) -> f64 {
    let norm = |samples: &[i16]| -> f64 {
        let sum: f64 = samples.iter().map(|&s| f64::from(s).powi(2)).sum();
        sum.sqrt()
    };
    heard
        .windows(sound.len())
        .map(|window| {
            let product: i64 = window
                .iter()
                .zip(sound)
                .map(|(&a, &b)| i64::from(a) * i64::from(b))
                .sum();
            product as f64 / (norm(window) * norm(sound)).max(1.0)
        })
        .fold(0.0, f64::max)
}

fn threads() -> Vec<String> {
    fs::read_dir("/proc/self/task")
        .expect("threads are listed")
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect()
}

/// Whether the server is asked to say what changes.
fn listens_for_changes() -> bool {
    threads().iter().any(|name| name == "sound changes")
}

/// Waits for what threads show.
fn until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not yet: {:?}", threads());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Two utterances arrive as they were spoken, and nothing stays behind.
fn hears(host: Option<&str>) {
    // The software microphone listens to its sink: that is one of them.
    let open = || pactl(&["list", "short", "source-outputs"]).lines().count();
    // The connection to the server stays.
    microphones(host).expect("the server answers");
    let (before, open_before) = (threads().len(), open());
    let mut session = Session::open(host, None);
    let name = session.opened();
    println!("{host:?} listens to {name}");
    assert_eq!(open(), open_before + 1);
    if matches!(host, None | Some("pulseaudio")) {
        until(listens_for_changes);
    }
    let spoken = [voice(1.2, 110.0), voice(1.5, 170.0)];
    let silence = vec![0; 16_000];
    speak(
        &[
            &silence,
            spoken[0].as_slice(),
            &silence,
            &spoken[1],
            &silence,
        ]
        .concat(),
    );
    assert_eq!(session.utterance(), 1);
    assert_eq!(session.utterance(), 2);
    session.capture.stop();
    let (heard, fault) = session.ended();
    assert_eq!(fault, None);
    assert_eq!(heard.len(), 2);
    for (heard, spoken) in heard.iter().zip(&spoken) {
        // The edges fade in and out of silence; resampling there and back may move the rest by a
        // part of a sample.
        let likeness = likeness(heard, &spoken[800..spoken.len() - 800]);
        println!("{host:?} heard it with a correlation of {likeness:.3}");
        assert!(likeness > 0.95, "{likeness}");
    }
    until(|| threads().len() <= before);
    assert_eq!(open(), open_before, "the microphone stays open");
}

fn pactl(arguments: &[&str]) -> String {
    let output = Command::new("pactl").args(arguments).output();
    String::from_utf8(output.expect("pactl can be run").stdout).expect("it prints text")
}

/// Microphones are listed, found by identifier, name and part, and refused with the list.
fn names(_: Option<&str>) {
    let list = microphones(Some("pulseaudio")).expect("the server answers");
    let (before, clients) = (threads().len(), || {
        pactl(&["list", "short", "clients"]).lines().count()
    });
    let clients_before = clients();
    for _ in 0..100 {
        assert_eq!(microphones(None).as_ref(), Ok(&list));
    }
    assert_eq!(clients(), clients_before, "one connection is enough");
    until(|| threads().len() <= before);
    let ids: Vec<&str> = list.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids, ["microphone", "speaker.monitor"]);
    assert_eq!(list[0].name, "Test-Microphone");
    assert!(list[0].is_default && !list[1].is_default);
    for part in ["microphone", "Test-Microphone", "test-mic"] {
        let mut session = Session::open(None, Some(part));
        assert_eq!(session.opened(), "Test-Microphone");
        session.capture.abandon();
        assert_eq!(session.ended(), (Vec::new(), None));
    }
    for (host, device, told) in [
        (None, Some("webcam"), "microphone (Test-Microphone)"),
        (None, Some("e"), "more than one"),
        (Some("jack"), None, "pulseaudio, pipewire, alsa"),
    ] {
        let fault = failed(Session::open(host, device));
        assert_eq!(fault.kind, FaultKind::UnknownMicrophone);
        assert!(fault.message.contains(told), "{fault}");
    }
    let alsa = microphones(Some("alsa")).expect("ALSA answers");
    assert!(alsa.iter().any(|one| one.id == "default" && one.is_default));
    assert!(alsa.iter().all(|one| one.id != "null"));
}

fn failed(mut session: Session) -> Fault {
    match session.event() {
        Event::CaptureFailed { session: 1, fault } => fault,
        other => panic!("unexpected {other:?}"),
    }
}

/// The session waits for the microphone and goes on with it.
fn waits_unplugged(host: Option<&str>) {
    let mut session = Session::open(host, None);
    session.opened();
    script_says("unplug");
    session.lost();
    script_says("plug");
    assert_eq!(session.found(), "Test-Microphone");
    // A server on a busy machine may connect the two later than it lists them.
    for _ in 0..5 {
        speak(&[vec![0; 8_000], voice(0.8, 120.0), vec![0; 16_000]].concat());
        if !session.events.is_empty() {
            break;
        }
    }
    assert_eq!(session.utterance(), 1);
    session.capture.stop();
    let (heard, fault) = session.ended();
    assert_eq!((heard.len(), fault), (1, None));
}

/// Who has another default listens to that one, and comes back to the first.
fn follows_the_default(host: Option<&str>) {
    let mut session = Session::open(host, None);
    assert_eq!(session.opened(), "Test-Microphone");
    for (command, name) in [
        ("plug-second", "Second-Microphone"),
        ("unplug-second", "Test-Microphone"),
    ] {
        script_says(command);
        assert_eq!(session.found_later(), name);
    }
    session.capture.abandon();
    assert_eq!(session.ended(), (Vec::new(), None));
}

/// In place of the chosen one the default is listened to, until the chosen one is there.
fn comes_back_to_the_chosen(host: Option<&str>) {
    let mut session = Session::open_as(host, Some("Second"), true, SPEECH_QUEUE);
    assert_eq!(session.opened(), "Test-Microphone");
    match session.event() {
        Event::Trouble(fault) => assert_eq!(fault.kind, FaultKind::UnknownMicrophone),
        other => panic!("unexpected {other:?}"),
    }
    script_says("plug-second");
    assert_eq!(session.found_later(), "Second-Microphone");
    session.capture.abandon();
    assert_eq!(session.ended(), (Vec::new(), None));
}

/// Where the default is what an output plays, the microphone is listened to all the same.
fn takes_no_monitor(host: Option<&str>) {
    let monitor = "speaker.monitor";
    pactl(&["set-default-source", monitor]);
    until(|| {
        let list = microphones(host).expect("the server answers");
        list.iter().any(|one| one.is_default && one.id == monitor)
    });
    let mut session = Session::open(host, None);
    assert_eq!(session.opened(), "Test-Microphone");
    session.capture.abandon();
    assert_eq!(session.ended(), (Vec::new(), None));
}

/// Nothing but zeros is said once.
fn says_that_it_is_mute(host: Option<&str>) {
    let mut session = Session::open(host, None);
    session.opened();
    match session.event() {
        Event::Trouble(fault) => assert_eq!(fault.kind, FaultKind::MicrophoneSilent),
        other => panic!("unexpected {other:?}"),
    }
    session.capture.stop();
    assert_eq!(session.ended(), (Vec::new(), None));
}

/// What a session begins with that was kept open has been said before it; and only then.
fn keeps_open(host: Option<&str>) {
    let open = || pactl(&["list", "short", "source-outputs"]).lines().count();
    microphones(host).expect("the server answers");
    let (before, open_before) = (threads().len(), open());
    let (to_daemon, mut told) = mpsc::channel(EVENT_QUEUE);
    let mut named = || match next(&mut told) {
        Event::StandsBy { number: 7, name } => name,
        other => panic!("unexpected {other:?}"),
    };
    let wanted = Wanted {
        host: host.map(str::to_owned),
        ..Wanted::default()
    };
    let standby = Standby::open(wanted.clone(), 7, to_daemon.clone());
    let name = named();
    assert_eq!(open(), open_before + 1);

    let spoken = voice(4.0, 110.0);
    let speaking = std::thread::spawn(move || speak(&spoken));
    std::thread::sleep(Duration::from_millis(1_500));
    let (to_transcriber, speech) = mpsc::channel(SPEECH_QUEUE);
    let (to_daemon_then, events) = mpsc::channel(EVENT_QUEUE);
    let began = Instant::now();
    let request = request(wanted.clone());
    let capture = standby.begin(request, to_transcriber, to_daemon_then);
    let mut session = Session {
        capture: capture.expect("it hears"),
        speech,
        events,
    };
    assert_eq!(session.opened(), name);
    // More of it than there has been time for.
    let mut samples = 0;
    loop {
        let elapsed = began.elapsed();
        while let Ok(speech) = session.speech.try_recv() {
            if let Speech::Sound { samples: some, .. } = speech {
                samples += some.len();
            }
        }
        let early = samples as f64 / 16_000.0 - elapsed.as_secs_f64();
        if early > 0.15 {
            println!("{host:?} begins {early:.2} s before it began");
            assert!(early < 0.5, "{early}");
            break;
        }
        assert!(elapsed < PATIENCE, "only {samples} samples came");
        std::thread::sleep(Duration::from_millis(5));
    }
    session.capture.abandon();
    while !matches!(session.event(), Event::CaptureEnded { fault: None, .. }) {}
    speaking.join().expect("it speaks");

    // Dropped, it is closed; and a session of a microphone that is away begins as any other.
    let standby = Standby::open(wanted.clone(), 7, to_daemon.clone());
    named();
    if host == Some("pulseaudio") {
        script_says("unplug");
        assert_eq!(named(), "");
        script_says("plug");
        assert_eq!(named(), name);
    }
    drop(standby);
    let standby = Standby::open(wanted.clone(), 7, to_daemon);
    let (to_transcriber, _speech) = mpsc::channel(SPEECH_QUEUE);
    let (to_daemon, _events) = mpsc::channel(EVENT_QUEUE);
    let refused = standby.begin(self::request(wanted), to_transcriber, to_daemon);
    assert!(refused.is_err(), "it has not heard anything yet");
    until(|| threads().len() <= before && open() <= open_before);
}

fn loses_killed(host: Option<&str>) {
    let mut session = Session::open(host, None);
    session.opened();
    speak(&[vec![0; 8_000], voice(0.8, 120.0), vec![0; 16_000]].concat());
    assert_eq!(session.utterance(), 1);
    script_says("stop");
    session.lost();
    session.capture.stop();
    let (heard, fault) = session.ended();
    assert_eq!((heard.len(), fault), (1, None));
    // And the daemon can try again: it fails in words, at once or after a time.
    let fault = failed(Session::open(host, None));
    println!("afterwards: {fault}");
    assert_eq!(fault.kind, FaultKind::NoMicrophone);
}

/// A transcriber that takes nothing: the utterance fails, aloud, and the next one is whole.
fn fails_late(host: Option<&str>) {
    let mut session = Session::open_with_room(host, None, 100);
    session.opened();
    let silence = vec![0; 8_000];
    speak(&[silence.as_slice(), &voice(5.0, 110.0), &silence, &silence].concat());
    assert!(matches!(
        session.event(),
        Event::Started { utterance: 1, .. }
    ));
    match session.event() {
        Event::Failed {
            utterance: 1,
            fault,
        } => assert_eq!(fault.kind, FaultKind::SoundLost),
        other => panic!("unexpected {other:?}"),
    }
    let mut last = None;
    while let Ok(speech) = session.speech.try_recv() {
        last = Some(speech);
    }
    assert!(
        matches!(last, Some(Speech::Abort { utterance: 1 })),
        "{last:?}"
    );
    speak(&[voice(1.0, 170.0), silence.clone(), silence].concat());
    assert_eq!(session.utterance(), 2);
    session.capture.stop();
    let (heard, fault) = session.ended();
    assert_eq!((heard.len(), fault), (1, None));
}

/// No server at all, and no hardware that anybody could know of.
fn finds_none(_: Option<&str>) {
    script_says("stop");
    for host in [None, Some("pulseaudio"), Some("alsa")] {
        let fault = failed(Session::open(host, None));
        println!("{host:?}: {fault}");
        assert_eq!(fault.kind, FaultKind::NoMicrophone);
    }
    assert!(microphones(Some("pulseaudio")).is_err());
}
