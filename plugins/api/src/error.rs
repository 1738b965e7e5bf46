use zbus::DBusError;

/// What the daemon's methods fail with, as `org.wstream.Dictation1.Error.NAME` on the bus.
///
/// The text is one sentence that says what was wrong and what to do. The same names appear in
/// the signals `Failed` and `Trouble`, and in `SessionEnded`.
#[derive(Debug, DBusError)]
#[zbus(prefix = "org.wstream.Dictation1.Error")]
pub enum Error {
    /// The bus itself failed: no bus, no daemon, no answer.
    #[zbus(error)]
    Bus(zbus::Error),
    /// No sound server runs, or it has no microphone.
    NoMicrophone(String),
    /// The microphone is in use by a program that does not share it.
    MicrophoneBusy(String),
    /// The microphone that was named does not exist.
    UnknownMicrophone(String),
    /// The microphone went away, or stopped delivering sound.
    MicrophoneLost(String),
    /// The microphone gives nothing but zeros: it is muted or switched off. Only in `Trouble`.
    MicrophoneSilent(String),
    /// The microphone's sound is cut off at the ends of the scale. Only in `Trouble`.
    MicrophoneTooLoud(String),
    /// What `Feed` was given is not sound that can be read, or ends in the middle.
    BadSound(String),
    /// Sound arrived faster than it could be taken.
    SoundLost(String),
    /// The model is not there.
    ModelMissing(String),
    /// The model's file is damaged or something else.
    ModelInvalid(String),
    /// This processor lacks instructions that the engine was built for.
    CpuUnsupported(String),
    /// The engine could not be started, or died repeatedly over the same sound.
    EngineFailed(String),
    /// The server refused: address, path, credentials or protocol.
    RemoteRefused(String),
    /// The server stayed away for too long.
    RemoteLost(String),
    /// No backend of that name is configured.
    UnknownBackend(String),
    /// A session is under way.
    Busy(String),
    /// The screen is locked, and nobody is to be listened to.
    Locked(String),
    /// An option, or an argument's value, is not known.
    BadOption(String),
    /// The configuration cannot be used.
    BadConfig(String),
    /// A filter was late, failed, left the bus, or answered something else.
    FilterFailed(String),
    /// A plugin of the configuration is not installed, or does not stay up.
    PluginFailed(String),
    /// A text was not typed, or nothing was that could be taken away.
    NotTyped(String),
    /// Anything else.
    Failed(String),
}

impl Error {
    /// Makes the error called `name` (with or without the prefix) with its sentence; an unknown
    /// name becomes [`Error::Failed`].
    pub fn from_name(name: &str, message: String) -> Self {
        let variant = match name.rsplit('.').next().unwrap_or(name) {
            "NoMicrophone" => Error::NoMicrophone,
            "MicrophoneBusy" => Error::MicrophoneBusy,
            "UnknownMicrophone" => Error::UnknownMicrophone,
            "MicrophoneLost" => Error::MicrophoneLost,
            "MicrophoneSilent" => Error::MicrophoneSilent,
            "MicrophoneTooLoud" => Error::MicrophoneTooLoud,
            "BadSound" => Error::BadSound,
            "SoundLost" => Error::SoundLost,
            "ModelMissing" => Error::ModelMissing,
            "ModelInvalid" => Error::ModelInvalid,
            "CpuUnsupported" => Error::CpuUnsupported,
            "EngineFailed" => Error::EngineFailed,
            "RemoteRefused" => Error::RemoteRefused,
            "RemoteLost" => Error::RemoteLost,
            "UnknownBackend" => Error::UnknownBackend,
            "Busy" => Error::Busy,
            "Locked" => Error::Locked,
            "BadOption" => Error::BadOption,
            "BadConfig" => Error::BadConfig,
            "FilterFailed" => Error::FilterFailed,
            "PluginFailed" => Error::PluginFailed,
            "NotTyped" => Error::NotTyped,
            _ => Error::Failed,
        };
        variant(message)
    }

    /// The sentence alone, without the error's name.
    pub fn message(&self) -> String {
        use zbus::DBusError as _;
        match self {
            Error::Bus(error) => error.to_string(),
            other => other.description().unwrap_or_default().to_owned(),
        }
    }
}
