//! The program `wstream-engine`: arguments in, the right part of the library called.

mod serve;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;
use wstream_engine::decode::BackendChoice;
use wstream_engine::model::{self, ModelCommand};
use wstream_engine::{offline, server, stats, system};

use serve::{LogFormat, Serve};

/// The transcription server of wstream, around Whisper.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
    /// Write the man pages into this folder and end
    #[arg(long, value_name = "DIR", hide = true)]
    man: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Decode whole files, as the measure for streaming
    Offline(Offline),
    /// Fetch, convert, list and remove models
    #[command(subcommand)]
    Model(ModelCommand),
}

#[derive(Debug, Args)]
struct Offline {
    /// A model's file, or the name of an installed one
    #[arg(long, value_name = "FILE|NAME")]
    model: String,
    /// Beams to search with; 1 is greedy
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=8))]
    beam: u16,
    /// The language that is spoken: a two-letter code, or auto
    #[arg(long)]
    language: Option<String>,
    /// What runs the model as the server does [default: $WSTREAM_ENGINE_BACKEND, or native]
    #[arg(long, value_enum, requires = "as_utterance")]
    backend: Option<BackendChoice>,
    /// Threads to compute with [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Print one JSON object per file
    #[arg(long)]
    json: bool,
    /// Decode each file as the server decodes the final of an utterance
    #[arg(long, conflicts_with = "beam")]
    as_utterance: bool,
    /// WAV or FLAC files of 16000 samples per second
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let wanted = std::env::var("WSTREAM_LOG").unwrap_or_default();
    let filter = EnvFilter::try_new(&wanted)
        .ok()
        .filter(|_| !wanted.is_empty());
    let mut filter = filter.unwrap_or_else(|| EnvFilter::new("info"));
    // whisper.cpp calls it an error that the encoder is started apart: its log is for who asks.
    if !wanted.contains("whisper_rs") {
        filter = filter.add_directive("whisper_rs=off".parse().expect("a valid directive"));
    }
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match cli.serve.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).with_ansi(false).init(),
    }
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    if let Some(dir) = cli.man {
        let command = <Cli as clap::CommandFactory>::command();
        clap_mangen::generate_to(command, &dir)
            .with_context(|| format!("{}: cannot write the man pages", dir.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    match cli.command {
        Some(Command::Offline(arguments)) => return decode_files(arguments),
        Some(Command::Model(command)) => return model::run(command),
        None => {}
    }
    let arguments = cli.serve;
    if arguments.system_info {
        system::print_info(&mut std::io::stdout()).context("cannot write")?;
        return Ok(ExitCode::SUCCESS);
    }
    let service = if arguments.stdio {
        None
    } else {
        Some(arguments.service()?)
    };
    if arguments.nice > 0 {
        // Before there are other threads: it counts for those that are started behind it.
        rustix::process::nice(arguments.nice.into())
            .context("cannot let other programs go first")?;
    }
    let settings = arguments.settings()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // Messages are small; decoding has its own threads.
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let (to_server, stop) = watch::channel(false);
        let mut terminate = signal(SignalKind::terminate()).context("cannot watch SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch SIGINT")?;
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            // The server may have ended by itself.
            let _ = to_server.send(true);
        });
        match service {
            Some(service) => {
                server::listen(service, settings, stop, |address| {
                    tracing::info!(%address, "listening");
                })
                .await?;
            }
            None => server::stdio(settings, stop).await?,
        }
        stats::write();
        Ok(ExitCode::SUCCESS)
    })
}

fn decode_files(arguments: Offline) -> anyhow::Result<ExitCode> {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let settings = offline::Settings {
        model_path: system::model_path(&arguments.model)?,
        backend: arguments
            .backend
            .unwrap_or_else(BackendChoice::from_environment),
        beam: usize::from(arguments.beam),
        language: arguments.language,
        threads: arguments.threads.map_or_else(cores, usize::from),
        json: arguments.json,
        as_utterance: arguments.as_utterance,
    };
    let all_read = offline::run(&settings, &arguments.files, &mut std::io::stdout())?;
    Ok(if all_read {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
