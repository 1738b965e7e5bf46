//! How `wstream-engine` is told whom to serve: arguments and environment in, settings out.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use wstream_engine::decode::BackendChoice;
use wstream_engine::server::tokens::Tokens;
use wstream_engine::server::{self, Limits, Service, Settings, tls};
use wstream_engine::system;

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Serve clients on this address; may be given several times. Without it, on the sockets that
    /// systemd has opened
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with_all = ["stdio", "system_info"])]
    listen: Vec<String>,
    /// Serve the program that started this one, over the Unix stream socket on standard input
    #[arg(long, conflicts_with = "system_info")]
    pub(crate) stdio: bool,
    /// Print versions and what the compiled library uses of the processor
    #[arg(long)]
    pub(crate) system_info: bool,
    /// A model's file, or the name of an installed one [default: $WHISPER_MODEL]
    #[arg(long, value_name = "FILE|NAME")]
    model: Option<String>,
    /// What runs the model [default: $WSTREAM_ENGINE_BACKEND, $WHISPER_BACKEND, or native]
    #[arg(long, value_enum)]
    backend: Option<BackendChoice>,
    /// Threads of each decode [default: what is free]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Milliseconds between partials [default: $PARTIAL_INTERVAL_MS, or 500]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(50..=60_000))]
    partial_interval_ms: Option<u32>,
    /// How much other programs go first when all want the processor, as nice(1) counts it
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=19))]
    pub(crate) nice: u8,
    /// How the log is written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
    #[command(flatten, next_help_heading = "Who may use it")]
    door: Door,
    #[command(flatten, next_help_heading = "What each client may take (0: no limit)")]
    may: May,
}

#[derive(Debug, Args)]
struct Door {
    /// Serve only clients that show one of the tokens in this file, one per line, as
    /// `Authorization: Bearer TOKEN`. Needed to listen beyond this machine
    #[arg(long, value_name = "FILE", conflicts_with = "stdio")]
    token_file: Option<PathBuf>,
    /// Serve everybody who can reach the address, also from other machines
    #[arg(long, conflicts_with_all = ["stdio", "token_file"])]
    insecure_no_auth: bool,
    /// Encrypt with this certificate (PEM; those that signed it behind it)
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "stdio")]
    cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// A proxy in front, whose X-Forwarded-For says where wrong tokens come from; may be given
    /// several times
    #[arg(long, value_name = "ADDRESS", conflicts_with = "stdio")]
    behind_proxy: Vec<IpAddr>,
}

#[derive(Debug, Args)]
struct May {
    /// Sessions at once, of all clients
    #[arg(long, value_name = "N", default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_sessions: u32,
    /// Bytes of a message
    #[arg(long, value_name = "N", default_value_t = wstream_wire::MAX_MESSAGE_BYTES as u32,
        value_parser = clap::value_parser!(u32).range(4096..=wstream_wire::MAX_MESSAGE_BYTES as i64))]
    max_message_bytes: u32,
    /// Seconds that a session may last
    #[arg(long, value_name = "N", default_value_t = 86_400)]
    max_session_s: u32,
    /// Seconds of sound without a final
    #[arg(long, value_name = "N", default_value_t = 3600)]
    max_unanswered_s: u32,
    /// Seconds in which nothing is sent
    #[arg(long, value_name = "N", default_value_t = 1800)]
    idle_timeout_s: u32,
    /// Seconds that finals may take when the server is told to end
    #[arg(long, value_name = "N", default_value_t = server::LAST_FINALS.as_secs() as u32)]
    drain_s: u32,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl Serve {
    /// Whom to serve over the network.
    pub(crate) fn service(&self) -> anyhow::Result<Service> {
        let addresses = self.listen.iter().map(|text| server::parse_address(text));
        let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
        let sockets = server::activated()?;
        if addresses.is_empty() && sockets.is_empty() {
            anyhow::bail!("nothing to do: use --listen ADDRESS:PORT, or see --help");
        }
        let door = &self.door;
        let tokens = door.token_file.as_deref().map(Tokens::read).transpose()?;
        let tls = match (&door.cert, &door.key) {
            (Some(cert), Some(key)) => Some(tls::config(cert, key)?),
            _ => None,
        };
        let seconds = |s: u32| (s > 0).then(|| Duration::from_secs(u64::from(s)));
        let may = &self.may;
        Ok(Service {
            addresses,
            sockets,
            tokens,
            allows_strangers: door.insecure_no_auth,
            tls,
            proxies: door.behind_proxy.clone(),
            sessions: may.max_sessions as usize,
            limits: Limits {
                message_bytes: may.max_message_bytes as usize,
                session: seconds(may.max_session_s),
                unanswered: seconds(may.max_unanswered_s),
                idle: seconds(may.idle_timeout_s),
                asks: true,
            },
            drain: Duration::from_secs(u64::from(may.drain_s)),
        })
    }

    /// With what to serve.
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        let model = match &self.model {
            Some(model) => model.clone(),
            None => variable("WHISPER_MODEL")
                .context("no model: name one with --model, see `wstreamctl model list`")?,
        };
        let interval_ms = match (self.partial_interval_ms, variable("PARTIAL_INTERVAL_MS")) {
            (Some(interval_ms), _) => interval_ms,
            (None, Some(text)) => text
                .parse()
                .ok()
                .filter(|ms| (50..=60_000).contains(ms))
                .context("PARTIAL_INTERVAL_MS is no number from 50 to 60000")?,
            (None, None) => 500,
        };
        Ok(Settings {
            model_path: system::model_path(&model)?,
            backend: self.backend.unwrap_or_else(backend),
            threads: self.threads.map(usize::from),
            partial_interval: Duration::from_millis(u64::from(interval_ms)),
        })
    }
}

/// What the environment asks for: our own variable first, then version 1's, whose servers ran models
/// in other ways.
fn backend() -> BackendChoice {
    let is_ours = variable("WSTREAM_ENGINE_BACKEND").is_some();
    match variable("WHISPER_BACKEND").filter(|_| !is_ours).as_deref() {
        Some("whisper" | "whisper.cpp" | "whisper-cpp" | "whispercpp") => BackendChoice::Whisper,
        Some(name) if name != "native" => {
            tracing::info!(
                name,
                "WHISPER_BACKEND is not one of ours: models run natively"
            );
            BackendChoice::Native
        }
        _ => BackendChoice::from_environment(),
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
