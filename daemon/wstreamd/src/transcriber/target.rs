//! Who is to transcribe: our engine or a remote, chosen by the settings, by what a session asks
//! for, and by which remotes are away. No input or output.

use std::time::Duration;

use super::kept::Manner;
use super::remote::{Fallback, Remote};
use super::standing::Standing;
use super::{EngineSettings, TranscriberSettings};
use crate::fault::{Fault, FaultKind};
use crate::speech::SessionOptions;

/// Who is to transcribe.
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there are two or three at a time"
)]
pub(super) enum Target {
    /// An engine of ours, started like this.
    Local(EngineSettings),
    /// A server of somebody else's.
    Remote(Remote),
}

/// How long things may take with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// To accept a connection.
    pub(super) opening: Duration,
    /// Silence, while something is owed, after which it is asked for a sign of life.
    pub(super) ping: Duration,
    /// Silence after which it is taken for dead.
    pub(super) dead: Duration,
    /// A final, after the end was told and nothing more was heard of any text.
    pub(super) answer: Duration,
    /// Silence after which a connection without anything to do is kept alive; `None`: it need not.
    pub(super) keep_alive: Option<Duration>,
}

impl Times {
    /// An engine of ours. One that is stopped for 20 s in the middle of its start is not dead. A
    /// final may take ten times the longest piece that Whisper takes: a model that is slower is of
    /// no use for dictation.
    const ENGINE: Times = Times {
        opening: Duration::from_secs(30),
        ping: Duration::from_secs(10),
        dead: Duration::from_secs(30),
        answer: Duration::from_secs(300),
        keep_alive: None,
    };

    /// Proxies and routers forget a connection after 30 or 60 s without any traffic.
    const KEEP_ALIVE: Duration = Duration::from_secs(25);
}

impl Target {
    /// The backend that `options` and `settings` ask for, or its fallback if it is away.
    pub(super) fn resolve(
        settings: &TranscriberSettings,
        options: &SessionOptions,
        standing: &Standing,
    ) -> Result<Self, Fault> {
        let mut target = Target::wanted(settings, options)?;
        // Each step goes to another remote: the configuration has no circles.
        for _ in 0..settings.remotes.len() {
            let next = (target.fallback())
                .filter(|_| standing.fault(target.name()).is_some())
                .map(|fallback| fallback.to.clone());
            let Some(next) = next else {
                break;
            };
            target = Target::named(settings, &next)?;
        }
        Ok(target)
    }

    /// The backend that `options` and `settings` ask for.
    pub(super) fn wanted(
        settings: &TranscriberSettings,
        options: &SessionOptions,
    ) -> Result<Self, Fault> {
        let name = options.backend.as_ref().unwrap_or(&settings.backend);
        Target::named(settings, name)
    }

    pub(super) fn named(settings: &TranscriberSettings, name: &str) -> Result<Self, Fault> {
        if name == wstream_api::BACKEND_LOCAL {
            return Ok(Target::Local(settings.engine.clone()));
        }
        let remote = settings.remotes.iter().find(|remote| remote.name == name);
        let remote = remote.cloned().ok_or_else(|| {
            let message = format!(
                "no backend {name} is configured: use local, or add a table [remote.{name}]"
            );
            Fault::new(FaultKind::UnknownBackend, message)
        })?;
        Ok(Target::Remote(remote))
    }

    /// `local`, or the remote's name.
    pub(super) fn name(&self) -> &str {
        match self {
            Target::Local(_) => wstream_api::BACKEND_LOCAL,
            Target::Remote(remote) => &remote.name,
        }
    }

    /// Who takes over when it is away.
    pub(super) fn fallback(&self) -> Option<&Fallback> {
        match self {
            Target::Local(_) => None,
            Target::Remote(remote) => remote.fallback.as_ref(),
        }
    }

    /// How an utterance is to be transcribed there.
    pub(super) fn manner(&self, manner: &Manner, options: &SessionOptions) -> Manner {
        let mut manner = manner.clone();
        if let Target::Remote(Remote {
            language: Some(language),
            ..
        }) = self
            && options.language.is_none()
        {
            manner.language.clone_from(language);
        }
        manner
    }

    /// Whether it is our own engine.
    pub(super) fn is_local(&self) -> bool {
        matches!(self, Target::Local(_))
    }

    /// Whether it is connected before somebody speaks.
    pub(super) fn is_early(&self) -> bool {
        match self {
            Target::Local(_) => true,
            Target::Remote(remote) => remote.early,
        }
    }

    /// How long things may take there.
    pub(super) fn times(&self) -> Times {
        match self {
            Target::Local(_) => Times::ENGINE,
            Target::Remote(remote) => Times {
                opening: remote.connect_timeout,
                ping: remote.answer_timeout / 3,
                dead: remote.answer_timeout,
                answer: remote.answer_timeout * 10,
                keep_alive: Some(Times::KEEP_ALIVE),
            },
        }
    }

    /// How long it is kept without anything to do; `None`: for good.
    pub(super) fn idle_limit(&self, settings: &TranscriberSettings) -> Option<Duration> {
        match self {
            Target::Local(_) => Some(settings.engine.unload_after),
            Target::Remote(remote) => remote.idle_disconnect,
        }
    }

    /// Whether a connection to `other` is one to this.
    pub(super) fn is(&self, other: &Target) -> bool {
        match (self, other) {
            (Target::Local(engine), Target::Local(other)) => {
                engine.program == other.program
                    && engine.model_path == other.model_path
                    && engine.threads == other.threads
                    && engine.nice == other.nice
                    && engine.partial_interval_ms == other.partial_interval_ms
            }
            (Target::Remote(remote), Target::Remote(other)) => remote == other,
            _ => false,
        }
    }
}
