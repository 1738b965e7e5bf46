//! The real engine and a real model, where there are any: what is lost of speech when it dies or
//! stands still in the middle of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use wstream_wire::{FRAME_SAMPLES, files};

use super::{Rig, settings};
use crate::event::Event;
use crate::speech::{SPEECH_QUEUE, Speech};

/// A human voice, from the package alsa-utils.
const VOICE: [&str; 4] = ["Front_Center", "Rear_Left", "Side_Right", "Front_Left"];

struct Real {
    /// Holds a link to the model under a name that tells this test's engine from others'.
    folder: tempfile::TempDir,
    program: PathBuf,
    speech: Vec<i16>,
}

impl Real {
    /// `None`, and a line that says what is missing.
    fn new() -> Option<Self> {
        let missing = |what: &str| println!("skipped: there is no {what}");
        let built = || {
            let test = std::env::current_exe().ok()?;
            Some(test.parent()?.parent()?.join("wstream-engine"))
        };
        let program = std::env::var_os("WSTREAM_ENGINE")
            .map(PathBuf::from)
            .or_else(built)?;
        let says = Command::new(&program).arg("--system-info").output();
        if !says.is_ok_and(|says| !says.stdout.is_empty()) {
            missing(&format!("engine {}", program.display()));
            return None;
        }
        let model = files::model_path(&files::models_dir()?, "tiny.en");
        if !model.exists() {
            missing(&format!("model {}", model.display()));
            return None;
        }
        let mut speech = Vec::new();
        for name in VOICE {
            let path = Path::new("/usr/share/sounds/alsa")
                .join(name)
                .with_extension("wav");
            let Ok(bytes) = std::fs::read(&path) else {
                missing(&format!("voice {}", path.display()));
                return None;
            };
            // 48 kHz, mono, 16 bits behind a header of 44 bytes; every third sample is enough
            // for a voice.
            let (samples, _) = bytes[44..].as_chunks::<2>();
            speech.extend(samples.iter().step_by(3).map(|it| i16::from_le_bytes(*it)));
        }
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(&model, folder.path().join("ggml-tiny.en.bin")).unwrap();
        Some(Real {
            folder,
            program,
            speech,
        })
    }

    fn start(&self) -> Rig {
        let mut settings = settings("ws://nowhere");
        settings.backend = wstream_api::BACKEND_LOCAL.to_owned();
        settings.engine.program.clone_from(&self.program);
        settings.engine.model_path = self.folder.path().join("ggml-tiny.en.bin");
        Rig::start(settings)
    }

    fn frames(&self) -> impl Iterator<Item = Speech> {
        self.speech
            .chunks(FRAME_SAMPLES)
            .map(|frame| Speech::Sound {
                utterance: 1,
                samples: frame.into(),
            })
    }

    /// What the speech is when nothing happens.
    async fn text(&self) -> String {
        let mut rig = self.start();
        rig.begin(1).await;
        for frame in self.frames() {
            rig.hear(frame).await;
        }
        rig.end(1).await;
        let text = rig.ending().await.unwrap().text;
        assert!(rig.stop().await.is_empty());
        assert!(text.to_lowercase().contains("center"), "{text}");
        text
    }

    /// The engine that runs now.
    fn pid(&self) -> Pid {
        let model = self.folder.path().join("ggml-tiny.en.bin");
        let is_ours = |pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(model.to_str().unwrap())
        };
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let mut pids = entries.filter_map(|it| it.file_name().to_str()?.parse().ok());
        Pid::from_raw(pids.find(is_ours).expect("an engine runs")).unwrap()
    }
}

/// Says the speech at its own pace until there is a partial, then goes on without waiting; what
/// happens in the middle is up to `strike`.
async fn says_with(real: &Real, rig: &mut Rig, strike: impl FnOnce(Pid)) {
    rig.warm().await;
    rig.begin(1).await;
    let mut frames = real.frames();
    let mut pace = tokio::time::interval(Duration::from_millis(30));
    let mut last = None;
    while last.is_none() {
        pace.tick().await;
        // Once all is said there is time enough for a partial.
        match frames.next() {
            Some(frame) => rig.hear(frame).await,
            None => last = Some(rig.event().await),
        }
        match rig.from_transcriber.try_recv() {
            Ok(Event::Server(_)) | Err(_) => {}
            Ok(event) => last = Some(event),
        }
    }
    assert!(matches!(last, Some(Event::Partial { .. })), "{last:?}");
    strike(real.pid());
    for frame in frames {
        rig.hear(frame).await;
    }
    rig.end(1).await;
}

#[tokio::test]
async fn a_real_engine_is_killed_in_the_middle() {
    let Some(real) = Real::new() else {
        return;
    };
    let text = real.text().await;
    let mut rig = real.start();
    says_with(&real, &mut rig, |pid| {
        kill_process(pid, Signal::KILL).unwrap()
    })
    .await;
    let transcript = rig.ending().await.unwrap();
    assert_eq!((transcript.utterance, transcript.text), (1, text));
    assert_eq!(rig.stop().await.len(), 1);
}

#[tokio::test]
async fn a_real_engine_is_stopped_in_the_middle() {
    let Some(real) = Real::new() else {
        return;
    };
    let text = real.text().await;
    let mut rig = real.start();
    says_with(&real, &mut rig, |pid| {
        kill_process(pid, Signal::STOP).unwrap()
    })
    .await;
    if std::env::var_os("RUN_SLOW_TESTS").is_some() {
        rig.wait(Duration::from_secs(20)).await;
    }
    while rig.to_audio.capacity() < SPEECH_QUEUE {
        rig.wait(Duration::from_millis(10)).await;
    }
    kill_process(real.pid(), Signal::CONT).unwrap();
    let transcript = rig.ending().await.unwrap();
    assert_eq!((transcript.utterance, transcript.text), (1, text));
    assert!(rig.stop().await.is_empty());
}
