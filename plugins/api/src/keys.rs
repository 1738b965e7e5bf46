//! Keys of the `a{sv}` dictionaries, with the type of each value.
//!
//! Unknown keys in options are refused with `Error.BadOption`; receivers of details ignore keys
//! that they do not know.

/// Option, `s`: `prompt`, `context` or `hybrid`, for this session.
pub const STRATEGY: &str = "strategy";
/// Option, `s`: `local` or a configured remote's name, for this session.
/// Also a detail of `Final`: which one answered; and in `Server`: which one serves.
pub const BACKEND: &str = "backend";
/// Option, `s`: an ISO 639-1 code or `auto`, for this session. Also a detail of `Final`.
pub const LANGUAGE: &str = "language";
/// Option, `as`: the languages that `auto` may find, as ISO 639-1 codes, for this session; empty:
/// any.
pub const LANGUAGES: &str = "languages";
/// Option, `as`: words to expect, such as names, for this session; at most 100 of at most 64
/// characters each.
pub const VOCABULARY: &str = "vocabulary";

/// Option, `s`: `off`, `final` or `live`: when texts are typed, for this session. Of `Feed`, `off`
/// unless given.
pub const TYPING: &str = "typing";
/// Option, `a{ss}`: variables that say where the caller's desktop is, such as `DISPLAY`; they count
/// from then on, also for other sessions. Those that are not known are not looked at.
pub const DESKTOP: &str = "desktop";
/// Option, `b`: whether `Recent` gives back the session's texts; true unless given.
pub const RECENT: &str = "recent";

/// `Feed` option, `s`: `auto` (WAV or FLAC, told by its first bytes; the default), `s16le` or
/// `f32le`.
pub const FORMAT: &str = "format";
/// `Feed` option, `u`: samples per second of raw sound; required with `s16le` and `f32le`.
pub const RATE: &str = "rate";
/// `Feed` option, `u`: interleaved channels of raw sound; 1 unless given.
pub const CHANNELS: &str = "channels";
/// `Feed` option, `b`: take the sound at the speed at which it would be spoken instead of as fast
/// as the engine takes it.
pub const REALTIME: &str = "realtime";

/// `Started` detail, `s`: `microphone`, `feed`, or `retry` for what had failed and was kept.
pub const SOURCE: &str = "source";
/// `Started` and `Ended` detail, `d`: seconds from the session's beginning, in sound.
pub const AT_S: &str = "at_s";
/// `Partial` detail, `d`: seconds of the utterance that this text covers.
pub const HEARD_S: &str = "heard_s";
/// Detail of `Partial` and `Final`, `d`: milliseconds that decoding took, as the server says.
pub const PROCESSING_TIME_MS: &str = "processing_time_ms";
/// `Ended` and `Final` detail, `d`: seconds of sound in the utterance.
pub const DURATION_S: &str = "duration_s";
/// `Final` detail, `a(dds)`: start and end in seconds from the utterance's start, and text.
pub const SEGMENTS: &str = "segments";
/// `Final` detail, `d`: milliseconds from `Ended` to here.
pub const LATENCY_MS: &str = "latency_ms";
/// `Final` detail, `d`: mean probability of the text's tokens, 0..1; absent where the server does
/// not tell.
pub const CONFIDENCE: &str = "confidence";
/// `Final` detail, `b`: present and true where a long utterance was cut in the middle of what was
/// said; the utterance that starts next goes on where this one ends.
pub const CONTINUES: &str = "continues";
/// `Final` detail, `s`: the text before filters.
pub const RAW: &str = "raw";
/// `Final` detail, `as`: keys that filters want pressed behind the text (`Return`, `Tab`,
/// `BackSpace`), in this order; absent where there are none. Also the one detail of a filter's
/// answer.
pub const KEYS: &str = "keys";
/// Detail of all signals of an utterance, `t`: the session's number.
pub const SESSION: &str = "session";
/// `SessionEnded` detail, `t`: how many utterances it had.
pub const UTTERANCES: &str = "utterances";
/// `SessionEnded` detail, `s`: the error's name, when the sound ended by a fault. Also in the
/// property `Server`: the error's name, while something is wrong.
pub const ERROR: &str = "error";
/// `SessionEnded` detail and in `Server`, `s`: a sentence about that fault.
pub const MESSAGE: &str = "message";

/// Of an entry of `Plugins`, `s`: the name in the configuration, or that of the process.
pub const NAME: &str = "name";
/// Of an entry of `Plugins`, `s`: `running`; `waiting` for its next start after it has ended;
/// `missing`: no such program is installed; `other`: started by somebody else. In `Server`, `s`:
/// `idle`, `connecting`, `connected`, `away` or `refused`.
pub const STATE: &str = "state";
/// Of an entry of `Plugins`, `u`: the process; absent where there is none.
pub const PID: &str = "pid";
/// Of an entry of `Plugins` from the configuration, `u`: how often it was started again after it
/// had ended by itself.
pub const RESTARTS: &str = "restarts";
/// Of an entry of `Plugins` with filters, `u`: how many there are.
pub const FILTERS: &str = "filters";
/// Of an entry of `Plugins` with filters, `t`: how often they were asked.
pub const CALLS: &str = "calls";
/// Of an entry of `Plugins` with filters, `t`: how often they were passed over because they were
/// late, failed or answered something else.
pub const SKIPPED: &str = "skipped";
/// Of an entry of `Plugins` with filters, `d`: mean milliseconds to an answer.
pub const MEAN_MS: &str = "mean_ms";
/// Of an entry of `Plugins` with filters, `d`: most milliseconds to an answer.
pub const MAX_MS: &str = "max_ms";
/// In `Server`, `u`: utterances that failed for want of a server and are kept for `Retry`.
pub const KEPT: &str = "kept";
/// In `Server`, `d`: seconds of sound in those.
pub const KEPT_S: &str = "kept_s";
