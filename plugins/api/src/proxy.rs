use std::collections::HashMap;

use zbus::{Fd, ObjectPath, OwnedVariant, Variant, proxy};

use crate::Error;

/// A final kept by the daemon: utterance number, text, details as in the signal `Final`.
pub type RecentFinal = (u64, String, HashMap<String, OwnedVariant>);

/// The daemon, seen from a client. Keys of the dictionaries are in [`crate::keys`].
#[proxy(
    interface = "org.wstream.Dictation1",
    default_service = "org.wstream.Dictation1",
    default_path = "/org/wstream/Dictation1"
)]
pub trait Dictation {
    /// Opens the microphone; answers when it is open, with the session's number. While a
    /// microphone session is under way, that one's number.
    /// Options: `strategy`, `backend`, `language`, `languages`, `vocabulary`, `typing`, `desktop`.
    fn start(&self, options: HashMap<&str, Variant<'_>>) -> Result<u64, Error>;

    /// Closes the microphone, or stops reading what `Feed` was given. An utterance under way ends
    /// here and still gets its final. Without a session: nothing.
    fn stop(&self) -> Result<(), Error>;

    /// `Start` when idle or finishing, else `Stop`; answers with the state after it.
    fn toggle(&self, options: HashMap<&str, Variant<'_>>) -> Result<String, Error>;

    /// One key for both ways, with [`release`](Self::release): a tap starts, or stops when
    /// listening; while the key is held it is push-to-talk. A press that repeats is nothing. Answers
    /// with the state after it.
    fn press(&self, options: HashMap<&str, Variant<'_>>) -> Result<String, Error>;

    /// That key was let go. Listening ends a moment later if the press has started it and the key
    /// was held.
    fn release(&self) -> Result<(), Error>;

    /// Closes the microphone and forgets everything that is owed: each utterance without a final
    /// gets `Cancelled`.
    fn cancel(&self) -> Result<(), Error>;

    /// Takes sound from a descriptor (file, pipe or socket) in place of the microphone; answers
    /// when its format has been understood. `Error.Busy` while another session takes sound.
    /// Options: `format`, `rate`, `channels`, `realtime`, `strategy`, `backend`, `language`,
    /// `languages`, `vocabulary`, `typing`, `desktop`.
    fn feed(&self, sound: Fd<'_>, options: HashMap<&str, Variant<'_>>) -> Result<u64, Error>;

    /// Chooses the strategy from the next utterance on: `prompt`, `context` or `hybrid`.
    fn set_strategy(&self, strategy: &str) -> Result<(), Error>;

    /// Chooses who transcribes: `local`, or a remote's name from the configuration.
    fn set_backend(&self, backend: &str) -> Result<(), Error>;

    /// Chooses the local model by its name, as in `Models`.
    fn set_model(&self, model: &str) -> Result<(), Error>;

    /// Chooses the language: an ISO 639-1 code or `auto`.
    fn set_language(&self, language: &str) -> Result<(), Error>;

    /// Chooses the microphone by its identifier or a part of its name; empty for the system's
    /// default. Counts from the next session on.
    fn set_microphone(&self, microphone: &str) -> Result<(), Error>;

    /// Chooses when texts of the microphone are typed: `off`, `final` or `live`. With a filter,
    /// `live` waits for the final too.
    fn set_typing(&self, when: &str) -> Result<(), Error>;

    /// Takes away again what was typed last, if the window that it was typed into has the focus;
    /// answers with the number of characters. Once more: what was typed before that.
    fn undo(&self) -> Result<u32, Error>;

    /// Types a final that is among the recent ones where the focus is now; 0: the last one.
    fn retype(&self, utterance: u64) -> Result<(), Error>;

    /// Transcribes what has failed for want of a server and is kept, as a session of its own, whose
    /// number is the answer; 0 when nothing is kept. Choosing a backend does the same.
    fn retry(&self) -> Result<u64, Error>;

    /// The last finals, oldest first, at most `count`. They are kept in memory only.
    fn recent(&self, count: u32) -> Result<Vec<RecentFinal>, Error>;

    /// Asks for `Level` signals, or takes that back. Counted per caller; ends when the caller
    /// leaves the bus.
    fn watch_level(&self, watch: bool) -> Result<(), Error>;

    /// Has every final that has text pass through an object of the caller's with the interface
    /// `org.wstream.Filter1` (its XML is [`crate::FILTER_XML`]), in the order of priority, lowest
    /// first. One that does not answer within `timeout_ms` (1 to 2000) is passed over. Counted per
    /// caller and object, where the last priority and timeout count; ends when the caller leaves
    /// the bus.
    fn add_filter(
        &self,
        filter: ObjectPath<'_>,
        priority: i32,
        timeout_ms: u32,
    ) -> Result<(), Error>;

    /// Takes an `AddFilter` of the caller's back.
    fn remove_filter(&self, filter: ObjectPath<'_>) -> Result<(), Error>;

    /// `idle`, `listening` or `finishing`.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;

    /// The strategy in use.
    #[zbus(property)]
    fn strategy(&self) -> zbus::Result<String>;

    /// The backend in use.
    #[zbus(property)]
    fn backend(&self) -> zbus::Result<String>;

    /// The local model in use.
    #[zbus(property)]
    fn model(&self) -> zbus::Result<String>;

    /// The language in use.
    #[zbus(property)]
    fn language(&self) -> zbus::Result<String>;

    /// The microphone that was chosen; empty for the system's default.
    #[zbus(property)]
    fn microphone(&self) -> zbus::Result<String>;

    /// What the microphone is called that is open now; empty while none is, also while `State` is
    /// `listening` and one that went away is waited for.
    #[zbus(property)]
    fn open_microphone(&self) -> zbus::Result<String>;

    /// When texts of the microphone are typed.
    #[zbus(property)]
    fn typing(&self) -> zbus::Result<String>;

    /// The daemon's version.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> zbus::Result<String>;

    /// What `SetStrategy` takes.
    #[zbus(property(emits_changed_signal = "const"))]
    fn strategies(&self) -> zbus::Result<Vec<String>>;

    /// What `SetBackend` takes.
    #[zbus(property)]
    fn backends(&self) -> zbus::Result<Vec<String>>;

    /// How it stands with the server: `backend` (who serves, perhaps in another's place), `state`,
    /// `error` and `message` (what is wrong, if anything), `kept`, `kept_s`.
    #[zbus(property)]
    fn server(&self) -> zbus::Result<HashMap<String, OwnedVariant>>;

    /// The installed models: what `SetModel` takes. Read anew at each call.
    #[zbus(property(emits_changed_signal = "false"))]
    fn models(&self) -> zbus::Result<Vec<String>>;

    /// The microphones that are there now: identifier and name. Asked of the sound server at each
    /// call.
    #[zbus(property(emits_changed_signal = "false"))]
    fn microphones(&self) -> zbus::Result<Vec<(String, String)>>;

    /// The plugins of the configuration and everybody else who has a filter. Keys are in
    /// [`crate::keys`] from `NAME` on: name, state, pid, restarts, and the times of their filters.
    /// A change is told when one of them starts, ends, or adds or removes a filter; the times are
    /// those of the moment of reading.
    #[zbus(property)]
    fn plugins(&self) -> zbus::Result<Vec<HashMap<String, OwnedVariant>>>;

    /// Speech began.
    #[zbus(signal)]
    fn started(
        &self,
        utterance: u64,
        session: u64,
        details: HashMap<&str, Variant<'_>>,
    ) -> zbus::Result<()>;

    /// The words so far. `committed` only grows and the final begins with it; `tentative` may
    /// change and carries its own leading space. Replaces the partial before it.
    #[zbus(signal)]
    fn partial(
        &self,
        utterance: u64,
        committed: &str,
        tentative: &str,
        details: HashMap<&str, Variant<'_>>,
    ) -> zbus::Result<()>;

    /// The end of speech is confirmed, or a long utterance is cut; the final is still to come.
    #[zbus(signal)]
    fn ended(&self, utterance: u64, details: HashMap<&str, Variant<'_>>) -> zbus::Result<()>;

    /// What was said, behind the filters; empty when nothing was. Every utterance ends by this, `Failed` or
    /// `Cancelled`, and no `Partial` follows. A long utterance that is cut becomes several; all but
    /// the last have the detail `continues`.
    #[zbus(signal, name = "Final")]
    fn final_text(
        &self,
        utterance: u64,
        text: &str,
        details: HashMap<&str, Variant<'_>>,
    ) -> zbus::Result<()>;

    /// The utterance could not be transcribed: an error's name and a sentence.
    #[zbus(signal)]
    fn failed(
        &self,
        utterance: u64,
        name: &str,
        message: &str,
        details: HashMap<&str, Variant<'_>>,
    ) -> zbus::Result<()>;

    /// The utterance's final is not wanted any more.
    #[zbus(signal)]
    fn cancelled(&self, utterance: u64) -> zbus::Result<()>;

    /// Every utterance of the session has ended.
    #[zbus(signal)]
    fn session_ended(&self, session: u64, details: HashMap<&str, Variant<'_>>) -> zbus::Result<()>;

    /// The text of an utterance was typed, by this driver; `verified` where it was read back or the
    /// system has confirmed that it arrived.
    #[zbus(signal)]
    fn delivered(
        &self,
        utterance: u64,
        driver: &str,
        characters: u32,
        verified: bool,
    ) -> zbus::Result<()>;

    /// Something that concerns no single utterance: an error's name and a sentence.
    #[zbus(signal)]
    fn trouble(
        &self,
        name: &str,
        message: &str,
        details: HashMap<&str, Variant<'_>>,
    ) -> zbus::Result<()>;

    /// Loudness of the last 30 ms: root mean square, 0..1. Only while somebody watches.
    #[zbus(signal)]
    fn level(&self, rms: f64) -> zbus::Result<()>;
}
