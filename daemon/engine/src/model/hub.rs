//! Fetching a model from the hub (Hugging Face) or a mirror.
//!
//! Enters: an address. Leaves: a `.part` file with the right checksum. A connection that breaks is
//! taken up where it broke, a few times by itself and then whenever the user asks again.

use std::io::Read;
use std::thread;
use std::time::Duration;

use ureq::Agent;
use ureq::http::header::{CONTENT_RANGE, RANGE};
use ureq::http::{Response, StatusCode};

use super::catalog::Entry;
use super::disk::{DiskError, PartFile, ensure_room, megabytes};
use super::progress::{Progress, say};

/// Why a model could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// No connection, or a server between us and the hub that lets nobody through.
    #[error("{hub} cannot be reached")]
    Unreachable {
        /// The hub's address.
        hub: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The hub does not have the file, or does not give it.
    #[error(
        "{url} was answered with {status}: if WSTREAM_MODEL_HUB names a mirror, check that it has the model"
    )]
    Status {
        /// What was asked for.
        url: String,
        /// The answer.
        status: StatusCode,
    },
    /// The connection broke again and again.
    #[error("the connection broke after {}: what has come is kept, run the same command again to go on", megabytes(*kept))]
    Broken {
        /// Bytes that are there.
        kept: u64,
        /// What happened the last time.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// More came than the model can have.
    #[error(
        "{url} is larger than the model can be: it is not the file that was asked for, nothing was kept"
    )]
    TooLong {
        /// What was asked for.
        url: String,
    },
    /// What came is not what was published.
    #[error(
        "the checksum is {found} and not the published {expected}: the file was damaged on its way or is not the right one, nothing was kept; try again"
    )]
    Checksum {
        /// SHA-1 of what came.
        found: String,
        /// SHA-1 that was published.
        expected: String,
    },
    /// It cannot be written down.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Where models come from unless `WSTREAM_MODEL_HUB` says otherwise.
pub const DEFAULT_HUB: &str = "https://huggingface.co";

/// The hub's address, or a mirror's.
pub fn address() -> String {
    let set = std::env::var("WSTREAM_MODEL_HUB").ok();
    set.filter(|hub| !hub.is_empty())
        .unwrap_or_else(|| DEFAULT_HUB.to_owned())
}

/// Connections that may break one after the other without a byte in between.
const RETRIES: u32 = 4;

/// The pause after the first break; it doubles with each that follows at once.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// To connect. The hub answers within a second nearly everywhere; whoever has no way to it should
/// not wait long for the other way.
const CONNECT: Duration = Duration::from_secs(10);

/// Without any byte after which a connection counts as broken.
const STALLED: Duration = Duration::from_secs(30);

/// Bytes written at a time.
const BLOCK: usize = 256 * 1024;

/// Fetches `entry` from `hub` into `part`, going on behind what is there.
pub fn fetch(
    entry: &Entry,
    hub: &str,
    dir: &std::path::Path,
    part: &mut PartFile,
) -> Result<(), HubError> {
    if part.sha1() == entry.sha1 {
        return Ok(());
    }
    let mut fetch = Fetch {
        agent: agent(),
        url: entry.url(hub),
        hub,
        entry,
        dir,
    };
    let mut retries = 0;
    loop {
        let before = part.len();
        let source = match fetch.attempt(part) {
            Ok(()) => break,
            Err(Attempt::Over(error)) => return Err(error),
            Err(Attempt::Broken(source)) => source,
        };
        if part.len() > before {
            retries = 0;
        }
        if retries == RETRIES {
            let kept = part.len();
            return Err(HubError::Broken { kept, source });
        }
        say(&format!(
            "{}: the connection broke after {}, taking it up again",
            entry.name,
            megabytes(part.len())
        ));
        thread::sleep(FIRST_PAUSE * 2_u32.pow(retries));
        retries += 1;
    }
    let found = part.sha1();
    if found != entry.sha1 {
        let expected = entry.sha1.to_owned();
        part.restart()?;
        return Err(HubError::Checksum { found, expected });
    }
    Ok(())
}

fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_resolve(Some(CONNECT))
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(STALLED))
        .timeout_per_read(Some(STALLED))
        .user_agent(concat!("wstream/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

struct Fetch<'a> {
    agent: Agent,
    url: String,
    hub: &'a str,
    entry: &'a Entry,
    dir: &'a std::path::Path,
}

/// How one connection ended without the whole file.
enum Attempt {
    /// Another connection may bring the rest.
    Broken(Box<dyn std::error::Error + Send + Sync>),
    /// Trying again makes no sense.
    Over(HubError),
}

impl From<DiskError> for Attempt {
    fn from(error: DiskError) -> Self {
        Attempt::Over(error.into())
    }
}

impl Fetch<'_> {
    fn attempt(&mut self, part: &mut PartFile) -> Result<(), Attempt> {
        let mut request = self.agent.get(&self.url);
        if !part.is_empty() {
            request = request.header(RANGE, format!("bytes={}-", part.len()));
        }
        let response = match request.call() {
            Ok(response) => response,
            // Whoever got some of it will get the rest; whoever got nothing tries another way.
            Err(error) if !part.is_empty() => return Err(Attempt::Broken(error.into())),
            Err(source) => {
                return Err(Attempt::Over(HubError::Unreachable {
                    hub: self.hub.to_owned(),
                    source: Box::new(source),
                }));
            }
        };
        match response.status() {
            StatusCode::OK => part.restart()?,
            StatusCode::PARTIAL_CONTENT if continues(&response, part.len()) => {}
            // What is there does not fit the file that is offered: begin anew.
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                part.restart()?;
                return Err(Attempt::Broken("the server has another file".into()));
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(Attempt::Broken(format!("the server says {status}").into()));
            }
            status => {
                return Err(Attempt::Over(HubError::Status {
                    url: self.url.clone(),
                    status,
                }));
            }
        }
        self.body(response, part)
    }

    fn body(&self, response: Response<ureq::Body>, part: &mut PartFile) -> Result<(), Attempt> {
        let length = response.body().content_length();
        let total = length.map_or(self.entry.bytes, |length| part.len() + length);
        // Sizes in the catalog are computed: leave room for an error in them, none for nonsense.
        let most = self.entry.bytes.saturating_mul(2);
        let too_long = || HubError::TooLong {
            url: self.url.clone(),
        };
        if total > most {
            part.restart()?;
            return Err(Attempt::Over(too_long()));
        }
        ensure_room(self.dir, total.saturating_sub(part.len()))?;
        let mut progress = Progress::new(self.entry.name, part.len(), total);
        let mut body = response
            .into_body()
            .into_with_config()
            .limit(u64::MAX)
            .reader();
        let mut block = vec![0; BLOCK];
        loop {
            let count = match body.read(&mut block) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => return Err(Attempt::Broken(error.into())),
            };
            part.append(&block[..count], total.saturating_sub(part.len()))?;
            if part.len() > most {
                part.restart()?;
                return Err(Attempt::Over(too_long()));
            }
            progress.set(part.len());
        }
        match length {
            Some(_) if part.len() < total => Err(Attempt::Broken(
                "the server sent less than it announced".into(),
            )),
            _ => Ok(()),
        }
    }
}

/// Whether a partial answer begins at `start`.
fn continues<T>(response: &Response<T>, start: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE);
    let first = range
        .and_then(|range| range.to_str().ok())
        .and_then(|range| range.strip_prefix("bytes "))
        .and_then(|range| range.split('-').next()?.parse::<u64>().ok());
    first == Some(start)
}
