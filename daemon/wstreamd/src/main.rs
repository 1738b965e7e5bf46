//! `wstreamd`: reads arguments and configuration, then runs the daemon.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use wstreamd::bus::BusError;
use wstreamd::config;
use wstreamd::run::{RunError, run};

/// The dictation daemon: listens when told to, and says on the session bus what was said.
///
/// It runs in the foreground; `wstreamctl` or the bus starts it when needed. Logs go to the
/// journal under systemd, else to stderr; `WSTREAM_LOG=debug` says more.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
struct Args {
    /// The configuration file [default: $XDG_CONFIG_HOME/wstream/config.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the configuration, say what is wrong with it, and end
    #[arg(long)]
    check_config: bool,
    /// Print the commented default configuration and end
    #[arg(long)]
    print_default_config: bool,
    /// Write the man page into this folder and end
    #[arg(long, value_name = "DIR", hide = true)]
    man: Option<PathBuf>,
}

const EXIT_CODES: &str = "Exit codes: 0 ended as asked, 1 failed, 2 wrong arguments, \
    3 no session bus or the bus was lost, 7 another wstreamd is running, 9 wrong configuration.";

const EXIT_BUS: u8 = 3;
const EXIT_BUSY: u8 = 7;
const EXIT_CONFIG: u8 = 9;

fn main() -> ExitCode {
    let args = Args::parse();
    if args.print_default_config {
        return print(config::DEFAULT_TEXT);
    }
    if let Some(dir) = args.man {
        return man(&dir);
    }
    let named = args.config.is_some();
    let path = args.config.or_else(config::default_path);
    if let Some(path) = path.as_deref().filter(|path| named && !path.exists()) {
        complain(&format!(
            "{}: no such file: leave --config out to use the defaults",
            path.display()
        ));
        return EXIT_CONFIG.into();
    }
    let config = match path.as_deref().map(config::load).transpose() {
        Ok(config) => config.unwrap_or_default(),
        Err(error) => {
            complain(&error.to_string());
            return EXIT_CONFIG.into();
        }
    };
    if args.check_config {
        for warning in config::warnings(&config.remote) {
            complain(&warning);
        }
        return print("the configuration is right\n");
    }
    wstreamd::log::init();
    wstreamd::defect::log_panics();
    if let Some(cookie) = wstreamd::source::missing_pulse_cookie() {
        // SAFETY: no other thread runs yet that could read the environment meanwhile.
        unsafe { std::env::set_var("PULSE_COOKIE", cookie) };
    }
    // One thread is enough: sound and decoding have threads and processes of their own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(run(config, path));
            // A sound library may hang in a blocking call; it must not hold up the end.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(RunError::Signals(error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(" ({cause})"));
            complain(&format!("{error}{}", cause.unwrap_or_default()));
            match error {
                RunError::Bus(BusError::AlreadyRunning) => EXIT_BUSY.into(),
                RunError::Bus(_) | RunError::BusGone => EXIT_BUS.into(),
                RunError::Defect | RunError::Signals(_) | RunError::Typist(_) => ExitCode::FAILURE,
            }
        }
    }
}

fn man(dir: &std::path::Path) -> ExitCode {
    let command = <Args as clap::CommandFactory>::command();
    match clap_mangen::generate_to(command, dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{}: {error}", dir.display()));
            ExitCode::FAILURE
        }
    }
}

/// A reader that has gone away is no failure of ours.
fn print(text: &str) -> ExitCode {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

#[allow(clippy::print_stderr, reason = "the user's terminal, or the journal")]
fn complain(problem: &str) {
    eprintln!("wstreamd: {problem}");
}
