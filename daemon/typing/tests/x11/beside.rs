//! The same texts in the same windows by our driver, by xdotool, and by enigo.
//!
//! A run types one text of the corpus into an empty window. WSTREAM_ENIGO names the program that
//! `tests/typing/enigo` builds; without it enigo is left out.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use wstream_typing::Driver as _;
use wstream_typing::x11::X11;

use crate::desk::{Desk, Kind, Window, corpus};

/// Who types.
enum Typist {
    Ours(Box<X11>),
    Xdotool,
    Enigo(Program),
}

/// A program that types each line that it is given.
struct Program {
    child: Child,
    lines: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Program {
    fn start(desk: &Desk, path: &str) -> Result<Self> {
        let mut command = desk.command(path);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| path.to_owned())?;
        let (lines, said) = (child.stdin.take(), child.stdout.take());
        Ok(Program {
            lines: lines.context("it has no input")?,
            said: BufReader::new(said.context("it has no output")?),
            child,
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Typist {
    /// One by its name; `None` where it is left out.
    fn open(desk: &Desk, name: &str) -> Result<Option<Typist>> {
        Ok(match name {
            "x11" => Some(Typist::Ours(Box::new(X11::open(&desk.session())?))),
            "xdotool" => Some(Typist::Xdotool),
            _ => match std::env::var("WSTREAM_ENIGO") {
                Ok(enigo) => Some(Typist::Enigo(Program::start(desk, &enigo)?)),
                Err(_) => None,
            },
        })
    }

    fn type_text(&mut self, desk: &Desk, text: &str) -> Result<()> {
        match self {
            Typist::Ours(driver) => {
                driver.type_text(text)?;
            }
            Typist::Xdotool => {
                desk.run("xdotool", &["type", "--", text])?;
            }
            Typist::Enigo(program) => {
                writeln!(program.lines, "{text}")?;
                let mut said = String::new();
                program.said.read_line(&mut said)?;
            }
        }
        Ok(())
    }
}

/// What came of a typist's runs in a cell.
#[derive(Clone, Copy, Debug, Default)]
struct Came {
    exact: usize,
    runs: usize,
    /// Of the exact ones, until the text was read back.
    characters: usize,
    took: Duration,
}

impl Came {
    fn per_second(&self) -> f64 {
        self.characters as f64 / self.took.as_secs_f64().max(f64::EPSILON)
    }
}

fn cell(desk: &Desk, window: &mut Window, typist: &mut Typist, rounds: usize) -> Result<Came> {
    let mut came = Came::default();
    for _ in 0..rounds {
        for (_, text) in corpus()? {
            let start = Instant::now();
            typist.type_text(desk, &text)?;
            let exact = window.arrives(&text)?;
            came.runs += 1;
            if exact {
                came.exact += 1;
                came.characters += text.chars().count();
                came.took += start.elapsed();
            }
            window.clear(desk)?;
        }
    }
    Ok(came)
}

/// The windows, the layouts, and how often the corpus is typed.
fn size() -> (&'static [Kind], &'static [(&'static str, u8)], usize) {
    match std::env::var_os("RUN_SLOW_TESTS") {
        Some(_) => (&Kind::ALL, &crate::cells::LAYOUTS, 1),
        None => (&[Kind::Gtk3], &crate::cells::LAYOUTS[1..2], 1),
    }
}

#[test]
#[allow(
    clippy::print_stdout,
    reason = "the table is for whoever runs it by hand"
)]
fn ours_is_exact_where_others_are_stood_beside_it() -> Result<()> {
    let Some(desk) = Desk::raise(false)? else {
        return Ok(());
    };
    let (kinds, layouts, rounds) = size();
    let mut lost = Vec::new();
    for &kind in kinds {
        let mut window = Window::open(&desk, kind)?;
        for &(layout, group) in layouts {
            for name in ["x11", "xdotool", "enigo"] {
                // None finds what another has made of the keyboard map.
                desk.layout("us")?;
                desk.layout(layout)?;
                desk.group(group)?;
                let Some(mut typist) = Typist::open(&desk, name)? else {
                    continue;
                };
                let came = cell(&desk, &mut window, &mut typist, rounds)?;
                println!(
                    "| {} | {layout} {group} | {name} | {}/{} | {:.0} |",
                    kind.name(),
                    came.exact,
                    came.runs,
                    came.per_second()
                );
                if name == "x11" && came.exact != came.runs {
                    lost.push(format!("{} {layout} {group}: {came:?}", kind.name()));
                }
            }
        }
    }
    ensure!(lost.is_empty(), "{}", lost.join("\n"));
    Ok(())
}
