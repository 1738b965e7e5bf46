//! The transcriber's task with something to hear, and its events.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wstream_wire::{FRAME_SAMPLES, Strategy};

use crate::event::{EVENT_QUEUE, Event, ServerStatus, Transcript};
use crate::fault::Fault;
use crate::speech::{SPEECH_QUEUE, SessionOptions, Speech, Utterance};
use crate::transcriber::{
    DEFAULT_PROTOCOL, EngineSettings, Remote, ToTranscriber, TranscriberSettings, run,
};

/// What goes on behind a cut has numbers from here on; the tests' own are below.
pub(super) const FIRST_NEW_NUMBER: u64 = 100;

/// Settings with the server at `url` as the backend `there`.
pub(super) fn settings(url: &str) -> TranscriberSettings {
    TranscriberSettings {
        backend: "there".to_owned(),
        remotes: vec![Remote {
            name: "there".to_owned(),
            url: url.to_owned(),
            protocol: DEFAULT_PROTOCOL.to_owned(),
            ..Remote::default()
        }],
        strategy: Strategy::Prompt,
        language: "auto".to_owned(),
        languages: Arc::default(),
        vocabulary: Arc::default(),
        engine: EngineSettings {
            program: PathBuf::from("/nowhere/wstream-engine"),
            model_path: PathBuf::from("/nowhere/ggml-none.bin"),
            threads: None,
            nice: 0,
            partial_interval_ms: 500,
            unload_after: Duration::from_secs(60),
        },
        unanswered_limit: Duration::from_secs(300),
        retry_limit: Duration::from_secs(300),
    }
}

/// A running transcriber.
pub(super) struct Rig {
    pub(super) to_audio: mpsc::Sender<Speech>,
    pub(super) to_transcriber: mpsc::Sender<ToTranscriber>,
    pub(super) from_transcriber: mpsc::Receiver<Event>,
    pub(super) task: JoinHandle<()>,
    /// What the last utterance had as partials, until its end.
    pub(super) partials: Vec<(u64, String, String)>,
    pub(super) troubles: Vec<Fault>,
    /// How it stood with the server, oldest first.
    pub(super) statuses: Vec<ServerStatus>,
    /// What went on as what, and the seconds before the cut.
    pub(super) cuts: Vec<(u64, u64, f64)>,
    pub(super) options: Arc<SessionOptions>,
    pub(super) session: u64,
    pub(super) live: bool,
    /// What the audio thread is told of the utterances that begin.
    pub(super) answered_samples: Arc<AtomicU64>,
}

/// The sound of frame `index` of an utterance: no two frames are alike.
pub(super) fn frame(utterance: u64, index: usize) -> Arc<[i16]> {
    vec![(utterance as i16) * 1000 + index as i16; FRAME_SAMPLES].into()
}

/// What the server makes of an utterance of so many frames.
pub(super) fn words(utterance: u64, frames: usize) -> String {
    let sound: Vec<i16> = (0..frames)
        .flat_map(|index| frame(utterance, index).to_vec())
        .collect();
    super::server::words(&sound).join(" ")
}

impl Rig {
    pub(super) fn start(settings: TranscriberSettings) -> Self {
        Rig::with_queue(settings, EVENT_QUEUE)
    }

    /// With a shorter queue of events.
    pub(super) fn with_queue(settings: TranscriberSettings, events: usize) -> Self {
        let (to_audio, from_audio) = mpsc::channel(SPEECH_QUEUE);
        let (to_transcriber, from_daemon) = mpsc::channel(16);
        let (to_daemon, from_transcriber) = mpsc::channel(events);
        let numbers = Arc::new(AtomicU64::new(FIRST_NEW_NUMBER));
        let task = tokio::spawn(run(settings, numbers, from_audio, from_daemon, to_daemon));
        Rig {
            to_audio,
            to_transcriber,
            from_transcriber,
            task,
            partials: Vec::new(),
            troubles: Vec::new(),
            statuses: Vec::new(),
            cuts: Vec::new(),
            options: Arc::default(),
            session: 1,
            live: true,
            answered_samples: Arc::default(),
        }
    }

    pub(super) async fn hear(&self, speech: Speech) {
        self.to_audio.send(speech).await.unwrap();
    }

    pub(super) async fn begin(&self, utterance: u64) {
        self.hear(Speech::Begin(Utterance {
            utterance,
            session: self.session,
            live: self.live,
            options: self.options.clone(),
            answered_samples: self.answered_samples.clone(),
        }))
        .await;
    }

    pub(super) async fn frames(&self, utterance: u64, frames: std::ops::Range<usize>) {
        for index in frames {
            let samples = frame(utterance, index);
            self.hear(Speech::Sound { utterance, samples }).await;
        }
    }

    pub(super) async fn end(&self, utterance: u64) {
        let at = std::time::Instant::now();
        self.hear(Speech::End { utterance, at }).await;
    }

    /// A whole utterance.
    pub(super) async fn say(&self, utterance: u64, frames: usize) {
        self.begin(utterance).await;
        self.frames(utterance, 0..frames).await;
        self.end(utterance).await;
    }

    /// Speech is likely soon.
    pub(super) async fn warm(&self) {
        let options = self.options.clone();
        self.tell(ToTranscriber::Warm { options }).await;
    }

    pub(super) async fn tell(&self, command: ToTranscriber) {
        self.to_transcriber.send(command).await.unwrap();
    }

    /// The next event. A test that waits for ten minutes, mostly of paused time, has failed.
    pub(super) async fn event(&mut self) -> Event {
        loop {
            let event = self.from_transcriber.recv();
            let event = tokio::time::timeout(Duration::from_secs(600), event).await;
            let event = event.expect("nothing happens any more");
            match event.expect("the transcriber has ended") {
                Event::Server(status) => self.statuses.push(status),
                event => return event,
            }
        }
    }

    /// The end of the next utterance that ends, also by a cut. Checks on the way what always must
    /// hold.
    pub(super) async fn ending(&mut self) -> Result<Transcript, (u64, Fault)> {
        loop {
            match self.event().await {
                Event::Partial {
                    utterance,
                    committed,
                    tentative,
                    ..
                } => {
                    if let Some((last, before, _)) = self.partials.last()
                        && *last == utterance
                    {
                        assert!(
                            committed.starts_with(before.as_str()),
                            "{before:?} taken back"
                        );
                    }
                    self.partials.push((utterance, committed, tentative));
                }
                Event::Final(transcript) => {
                    self.check_text(&transcript);
                    return Ok(transcript);
                }
                Event::Cut {
                    transcript,
                    duration_s,
                    next,
                } => {
                    self.check_text(&transcript);
                    self.cuts.push((transcript.utterance, next, duration_s));
                    return Ok(transcript);
                }
                Event::Failed { utterance, fault } => return Err((utterance, fault)),
                Event::Trouble(fault) => self.troubles.push(fault),
                other => panic!("{other:?} is not the transcriber's"),
            }
        }
    }

    /// A final begins with what was committed.
    fn check_text(&mut self, transcript: &Transcript) {
        let ended = transcript.utterance;
        if let Some((_, committed, _)) = self.partials.iter().rfind(|it| it.0 == ended) {
            assert!(transcript.text.starts_with(committed.as_str()));
        }
        self.partials.retain(|it| it.0 != ended);
    }

    /// The next utterance to end is this one, and it has these words.
    pub(super) async fn expect_words(&mut self, utterance: u64, frames: usize) {
        let transcript = self.ending().await.unwrap();
        assert_eq!(transcript.utterance, utterance);
        assert_eq!(transcript.text, words(utterance, frames));
    }

    /// Ends the transcriber. Nothing but partials and troubles may be left.
    pub(super) async fn stop(mut self) -> Vec<Fault> {
        let (done, ended) = oneshot::channel();
        self.tell(ToTranscriber::Shutdown(done)).await;
        ended.await.unwrap();
        self.task.await.unwrap();
        while let Some(event) = self.from_transcriber.recv().await {
            match event {
                Event::Trouble(fault) => self.troubles.push(fault),
                Event::Server(_) => {}
                other => panic!("{other:?} came too many"),
            }
        }
        self.troubles
    }

    /// Lets everything happen that can happen within this time.
    pub(super) async fn wait(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while let Ok(event) = tokio::time::timeout_at(until, self.from_transcriber.recv()).await {
            match event.expect("the transcriber has ended") {
                Event::Trouble(fault) => self.troubles.push(fault),
                Event::Server(status) => self.statuses.push(status),
                Event::Partial { .. } => {}
                other => panic!("{other:?} was not awaited"),
            }
        }
    }
}
