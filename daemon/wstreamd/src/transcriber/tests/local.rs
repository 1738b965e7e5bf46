//! The engine as a child: here the test program itself stands in for it, see `engine.sh`.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::server::{Script, Seen, connection};
use super::{Act, Rig, Version, settings};
use crate::fault::FaultKind;
use crate::transcriber::{ToTranscriber, TranscriberSettings};

/// Not a test of its own: what an engine does that is started by one.
#[test]
fn serve_as_engine() {
    let Some(model) = std::env::var_os("WSTREAM_TEST_ENGINE") else {
        return;
    };
    let model = PathBuf::from(model);
    let folder = model.parent().unwrap();
    let mut pids = std::fs::OpenOptions::new();
    let mut pids = pids
        .append(true)
        .create(true)
        .open(folder.join("pids"))
        .unwrap();
    writeln!(pids, "{}", std::process::id()).unwrap();
    if model.ends_with("deaf") {
        loop {
            std::thread::park();
        }
    }
    let act = match model.file_name().unwrap().to_str().unwrap() {
        "serve" => Act::Serve,
        "dies" => Act::DropAtEnd,
        "missing" => Act::Refuse(wstream_wire::v2::codes::MODEL_MISSING),
        other => panic!("no model {other}"),
    };
    let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let socket = StdUnixStream::from(socket);
    socket.set_nonblocking(true).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let socket = tokio::net::UnixStream::from_std(socket).unwrap();
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Seen::default()));
        connection(socket, Version::V2, Script::new(&[act]), seen).await;
    });
    // Whoever reads the engine's log must be able to cope with this.
    eprint!("WARN no newline at the end \u{fffd}");
    std::process::exit(0);
}

struct Local {
    folder: tempfile::TempDir,
}

impl Local {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Local { folder }
    }

    fn settings(&self, model: &str) -> TranscriberSettings {
        let mut settings = settings("ws://nowhere");
        settings.backend = wstream_api::BACKEND_LOCAL.to_owned();
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/transcriber/tests");
        settings.engine.program = tests.join("engine.sh");
        settings.engine.model_path = self.folder.path().join(model);
        settings
    }

    /// The engines so far, oldest first.
    fn pids(&self) -> Vec<Pid> {
        let pids = std::fs::read_to_string(self.folder.path().join("pids")).unwrap_or_default();
        let pids = pids
            .lines()
            .map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap());
        pids.collect()
    }

    fn signal(&self, signal: Signal) {
        kill_process(*self.pids().last().unwrap(), signal).unwrap();
    }
}

fn is_alive(pid: Pid) -> bool {
    rustix::process::test_kill_process(pid).is_ok()
}

#[tokio::test]
async fn an_engine_is_started_kept_and_ended() {
    let local = Local::new();
    let mut settings = local.settings("serve");
    let mut rig = Rig::start(settings.clone());
    for utterance in 1..=3 {
        rig.say(utterance, 20).await;
        rig.expect_words(utterance, 20).await;
    }
    let [pid] = local.pids()[..] else {
        panic!("{:?}", local.pids());
    };
    assert!(is_alive(pid));
    // With nothing to do it goes.
    settings.engine.unload_after = Duration::ZERO;
    rig.tell(ToTranscriber::Configure(Box::new(settings))).await;
    while is_alive(pid) {
        rig.wait(Duration::from_millis(10)).await;
    }
    rig.say(4, 20).await;
    rig.expect_words(4, 20).await;
    assert!(rig.stop().await.is_empty());
    assert_eq!(local.pids().len(), 2);
    assert!(!local.pids().into_iter().any(is_alive));
}

#[tokio::test]
async fn a_killed_engine_costs_no_word() {
    let local = Local::new();
    let mut rig = Rig::start(local.settings("serve"));
    rig.say(1, 5).await;
    rig.begin(2).await;
    rig.frames(2, 0..20).await;
    rig.expect_words(1, 5).await;
    // Until it has committed something of the second.
    while !matches!(
        rig.event().await,
        crate::event::Event::Partial { utterance: 2, .. }
    ) {}
    local.signal(Signal::KILL);
    rig.frames(2, 20..30).await;
    rig.end(2).await;
    rig.expect_words(2, 30).await;
    assert_eq!(rig.stop().await.len(), 1);
    assert_eq!(local.pids().len(), 2);
}

#[tokio::test]
async fn a_stopped_engine_costs_no_word() {
    let local = Local::new();
    let mut rig = Rig::start(local.settings("serve"));
    rig.say(1, 5).await;
    rig.expect_words(1, 5).await;
    local.signal(Signal::STOP);
    // Each is more than the socket's buffers hold: 21 s.
    for utterance in 2..=6 {
        rig.say(utterance, 700).await;
    }
    rig.wait(Duration::from_millis(200)).await;
    assert_eq!(rig.to_audio.capacity(), crate::speech::SPEECH_QUEUE);
    local.signal(Signal::CONT);
    for utterance in 2..=6 {
        rig.expect_words(utterance, 700).await;
    }
    assert!(rig.stop().await.is_empty());
    assert_eq!(local.pids().len(), 1);
}

#[tokio::test]
async fn sound_that_kills_the_engine_twice_is_given_up() {
    let local = Local::new();
    let mut settings = local.settings("dies");
    let mut rig = Rig::start(settings.clone());
    rig.say(1, 5).await;
    let (utterance, fault) = rig.ending().await.unwrap_err();
    assert_eq!((utterance, fault.kind), (1, FaultKind::EngineFailed));
    assert_eq!(local.pids().len(), 2);
    // The next may be better off with another model.
    rig.begin(2).await;
    rig.frames(2, 0..5).await;
    settings.engine.model_path = local.settings("serve").engine.model_path;
    rig.tell(ToTranscriber::Configure(Box::new(settings))).await;
    rig.end(2).await;
    rig.expect_words(2, 5).await;
    assert_eq!(rig.stop().await.len(), 1);
}

#[tokio::test]
async fn an_engine_without_its_model_says_so() {
    let local = Local::new();
    let mut rig = Rig::start(local.settings("missing"));
    rig.say(1, 5).await;
    let (_, fault) = rig.ending().await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::ModelMissing);
    rig.stop().await;
    assert_eq!(local.pids().len(), 1);
}

#[tokio::test]
async fn an_engine_that_cannot_be_run() {
    for program in ["/nowhere/wstream-engine", "/bin/false", "/etc/passwd"] {
        let local = Local::new();
        let mut settings = local.settings("serve");
        settings.engine.program = PathBuf::from(program);
        let mut rig = Rig::start(settings);
        rig.say(1, 5).await;
        let (_, fault) = rig.ending().await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::EngineFailed, "{program}");
        rig.stop().await;
    }
}

#[test]
fn an_engine_does_not_outlive_a_daemon_that_dies() {
    let local = Local::new();
    let settings = local.settings("deaf");
    let pid = std::thread::scope(|scope| {
        let daemon = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = runtime.unwrap();
            let pid = runtime.block_on(async {
                let rig = Rig::start(settings);
                rig.warm().await;
                while local.pids().is_empty() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                std::mem::forget(rig);
                local.pids()[0]
            });
            // As if killed: nothing is dropped, and the socket stays open.
            std::mem::forget(runtime);
            pid
        });
        daemon.join().unwrap()
    });
    // It is dead, or dead and not yet waited for.
    let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
    while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        std::thread::sleep(Duration::from_millis(5));
    }
}
