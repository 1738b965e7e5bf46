//! `wstreamctl man`, for the installer and for packages.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory as _, ValueHint};
use clap_mangen::Man as Page;
use clap_mangen::roff::{Roff, roman};

use crate::cli::Cli;
use crate::failure::{EXIT_CODES, Failure};

/// Write the manual pages into a folder: wstreamctl.1 and one for each command
#[derive(Debug, Args)]
#[command(
    hide = true,
    after_help = "\
Example:
    wstreamctl man ~/.local/share/man/man1"
)]
pub(crate) struct Man {
    /// The folder; made where it does not exist
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: PathBuf,
}

impl Man {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut command = Cli::command();
        command.build();
        fs::create_dir_all(&self.dir)
            .and_then(|()| write_pages(&command, &self.dir))
            .map_err(|cause| Failure::Write {
                path: self.dir,
                cause,
            })
    }
}

/// Writes the page of `command` and those of its subcommands.
fn write_pages(command: &Command, dir: &Path) -> io::Result<()> {
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        write_pages(sub, dir)?;
    }
    let name = command.get_display_name().unwrap_or(command.get_name());
    let mut page = Vec::new();
    render(command, name, &mut page)?;
    fs::write(dir.join(format!("{name}.1")), page)
}

fn render(command: &Command, name: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let man = Page::new(command.clone())
        .title(name)
        .source(concat!("wstream ", env!("CARGO_PKG_VERSION")))
        .manual("wstream");
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    if command.get_subcommands().any(|sub| !sub.is_hide_set()) {
        man.render_subcommands_section(page)?;
    }
    // Not the library's section for such text: it would fill the lines of examples and tables.
    let after = command.get_after_help().map(ToString::to_string);
    let mut after = after.unwrap_or_default();
    let is_root = name == command.get_name();
    if !is_root {
        after = after.replace("Example:", "Examples:") + "\n\n" + EXIT_CODES;
    }
    for block in after.split("\n\n").filter(|block| !block.is_empty()) {
        as_it_stands(block, page)?;
    }
    if !is_root {
        let mut roff = Roff::default();
        roff.control("SH", ["SEE ALSO"]);
        roff.control("BR", ["wstreamctl", "(1)"]);
        roff.to_writer(page)?;
    }
    Ok(())
}

/// A section with the first line of `block` as its heading, and the rest line by line.
fn as_it_stands(block: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let mut lines = block.lines();
    let heading = lines.next().unwrap_or_default();
    let heading = heading.trim_end_matches(':').to_uppercase();
    let mut roff = Roff::default();
    roff.control("SH", [heading.as_str()]);
    roff.control("nf", []);
    for line in lines {
        roff.text([roman(line.strip_prefix("    ").unwrap_or(line))]);
    }
    roff.control("fi", []);
    roff.to_writer(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page_with_examples_and_exit_status() {
        let dir = tempfile::tempdir().unwrap();
        let man = Man {
            dir: dir.path().join("man1"),
        };
        man.run().unwrap();
        let page = |name: &str| fs::read_to_string(dir.path().join("man1").join(name)).unwrap();
        for name in [
            "wstreamctl.1",
            "wstreamctl-listen.1",
            "wstreamctl-model-pull.1",
        ] {
            let page = page(name);
            for part in ["NAME", "SYNOPSIS", "EXAMPLES", "\"EXIT STATUS\""] {
                let part = format!(".SH {part}\n");
                assert!(page.contains(&part), "{name} has no {part}:\n{page}");
            }
            assert!(page.contains("7   busy: another session takes sound"));
        }
        assert!(!dir.path().join("man1/wstreamctl-man.1").exists());
    }
}
