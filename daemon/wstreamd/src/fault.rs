//! What can go wrong, as the user is told it: a name that programs decide on and one sentence.

/// The name of a fault; on the bus `org.wstream.Dictation1.Error.NAME`. See
/// `wstream_api::Error` for what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "documented once, in wstream_api::Error")]
pub enum FaultKind {
    NoMicrophone,
    MicrophoneBusy,
    UnknownMicrophone,
    MicrophoneLost,
    MicrophoneSilent,
    MicrophoneTooLoud,
    BadSound,
    SoundLost,
    ModelMissing,
    ModelInvalid,
    CpuUnsupported,
    EngineFailed,
    RemoteRefused,
    RemoteLost,
    UnknownBackend,
    Busy,
    Locked,
    BadOption,
    BadConfig,
    FilterFailed,
    PluginFailed,
    NotTyped,
    Failed,
}

impl FaultKind {
    /// The last part of the error's name on the bus.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::NoMicrophone => "NoMicrophone",
            FaultKind::MicrophoneBusy => "MicrophoneBusy",
            FaultKind::UnknownMicrophone => "UnknownMicrophone",
            FaultKind::MicrophoneLost => "MicrophoneLost",
            FaultKind::MicrophoneSilent => "MicrophoneSilent",
            FaultKind::MicrophoneTooLoud => "MicrophoneTooLoud",
            FaultKind::BadSound => "BadSound",
            FaultKind::SoundLost => "SoundLost",
            FaultKind::ModelMissing => "ModelMissing",
            FaultKind::ModelInvalid => "ModelInvalid",
            FaultKind::CpuUnsupported => "CpuUnsupported",
            FaultKind::EngineFailed => "EngineFailed",
            FaultKind::RemoteRefused => "RemoteRefused",
            FaultKind::RemoteLost => "RemoteLost",
            FaultKind::UnknownBackend => "UnknownBackend",
            FaultKind::Busy => "Busy",
            FaultKind::Locked => "Locked",
            FaultKind::BadOption => "BadOption",
            FaultKind::BadConfig => "BadConfig",
            FaultKind::FilterFailed => "FilterFailed",
            FaultKind::PluginFailed => "PluginFailed",
            FaultKind::NotTyped => "NotTyped",
            FaultKind::Failed => "Failed",
        }
    }
}

/// A fault with its sentence: lower case, no full stop, ends with what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What programs decide on.
    pub kind: FaultKind,
    /// What a person reads.
    pub message: String,
}

impl Fault {
    /// Makes a fault; `message` says what was wrong and what to do.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Fault {
            kind,
            message: message.into(),
        }
    }
}
