use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::{File, Settings, config_dir};

/// As the daemon's, for the same mistakes.
const EXIT_CONFIG: u8 = 9;

/// The options that every plugin of ours has.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The configuration file, instead of the one in ~/.config/wstream
    #[arg(long, value_name = "FILE", global = true)]
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

impl Options {
    /// Does what is asked for instead of running, or gives the settings and their file.
    /// `also_check` looks at further files for `--check-config`.
    pub fn start<T: Settings>(
        self,
        command: clap::Command,
        also_check: impl FnOnce(T, File<T>) -> Result<(), String>,
    ) -> ControlFlow<ExitCode, (T, File<T>)> {
        if self.print_default_config {
            return ControlFlow::Break(print(T::DEFAULT_TEXT));
        }
        if let Some(dir) = self.man {
            return ControlFlow::Break(match clap_mangen::generate_to(command, &dir) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail::<T>(&format!("{}: {error}", dir.display()), 1),
            });
        }
        let own = || Some(config_dir()?.join(format!("{}.toml", T::NAME)));
        let named = self.config.is_some();
        let Some(path) = self.config.or_else(own) else {
            let problem = "you have no home folder: set HOME or XDG_CONFIG_HOME";
            return ControlFlow::Break(fail::<T>(problem, EXIT_CONFIG));
        };
        if named && !path.exists() {
            let problem = format!(
                "{}: no such file: leave --config out to use the defaults",
                path.display()
            );
            return ControlFlow::Break(fail::<T>(&problem, EXIT_CONFIG));
        }
        let mut file = File::<T>::at(path);
        let settings = match file.load() {
            Ok(settings) => settings,
            Err(error) => return ControlFlow::Break(fail::<T>(&error.to_string(), EXIT_CONFIG)),
        };
        if self.check_config {
            return ControlFlow::Break(match also_check(settings, file) {
                Ok(()) => print("the configuration is right\n"),
                Err(problem) => fail::<T>(&problem, EXIT_CONFIG),
            });
        }
        ControlFlow::Continue((settings, file))
    }
}

/// A reader that has gone away is no failure of ours.
fn print(text: &str) -> ExitCode {
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn fail<T: Settings>(problem: &str, code: u8) -> ExitCode {
    complain::<T>(problem);
    code.into()
}

/// Says what is wrong on standard error, which the daemon takes into its log.
pub fn complain<T: Settings>(problem: &str) {
    // Where that fails, there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "wstream-{}: {problem}", T::NAME);
}
