//! What came of each cell, told as it comes in, and kept in a file where one is wanted.
//!
//! WSTREAM_TABLE names the file; what stands there from runs of the same commit is not made again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::cells::{Came, Cell};
use crate::desk::corpus;

const HEAD: &str =
    "# window\tlayout\tgroup\truns\ttexts\texact\tcharacters/s\ttyping s\treading s\temptying s";

/// What came of each cell, by window, layout and group; and what was wrong.
type Rows = (Vec<(String, Came)>, Vec<String>);

#[derive(Debug)]
pub(crate) struct Table {
    /// Where it is kept.
    file: Option<PathBuf>,
    /// The machine and the commit.
    made: String,
    /// Characters of the corpus.
    characters: usize,
    rows: Mutex<Rows>,
}

impl Table {
    /// One that is told and forgotten.
    pub(crate) fn told() -> Result<Self> {
        Ok(Table {
            file: None,
            made: String::new(),
            characters: corpus()?.iter().map(|(_, text)| text.chars().count()).sum(),
            rows: Mutex::default(),
        })
    }

    /// One in the file that is wanted, with what stands there.
    pub(crate) fn kept() -> Result<Self> {
        let mut table = Self::told()?;
        let Some(file) = std::env::var_os("WSTREAM_TABLE").map(PathBuf::from) else {
            return Ok(table);
        };
        table.made = made()?;
        if let Ok(text) = fs::read_to_string(&file) {
            ensure!(
                text.lines().next() == Some(&table.made),
                "{} is of another machine or commit: name another file, or remove it",
                file.display()
            );
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            let rows: Result<_> = lines
                .map(|line| row(line).context(line.to_owned()))
                .collect();
            table.rows = Mutex::new((rows?, Vec::new()));
        }
        table.file = Some(file);
        Ok(table)
    }

    /// How many runs there are of a cell.
    pub(crate) fn runs(&self, cell: &Cell) -> usize {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let row = rows.0.iter().find(|(key, _)| *key == key_of(cell));
        row.map_or(0, |(_, came)| came.runs)
    }

    /// Takes in what came of runs in a cell.
    #[allow(
        clippy::print_stdout,
        reason = "the speed is for whoever runs it by hand"
    )]
    pub(crate) fn add(&self, cell: &Cell, came: &Came, wrong: Vec<String>) -> Result<()> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key_of(cell);
        println!("{}", self.line(&key, came));
        let wrong = wrong.into_iter().map(|it| format!("{key}: {it}"));
        for wrong in wrong {
            println!("{wrong}");
            rows.1.push(wrong);
        }
        match rows.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, all)) => all.add(came),
            None => rows.0.push((key, *came)),
        }
        let Some(file) = &self.file else {
            return Ok(());
        };
        rows.0.sort_by(|(a, _), (b, _)| a.cmp(b));
        let lines = rows.0.iter().map(|(key, came)| self.line(key, came));
        let text: String = [self.made.clone(), HEAD.to_owned()]
            .into_iter()
            .chain(lines)
            .map(|line| line + "\n")
            .collect();
        write(file, &text)
    }

    /// What was wrong.
    pub(crate) fn finish(self) -> Vec<String> {
        let rows = self.rows.into_inner();
        rows.unwrap_or_else(PoisonError::into_inner).1
    }

    fn line(&self, key: &str, came: &Came) -> String {
        let [typing, reading, emptying] =
            [came.typing, came.reading, came.emptying].map(|spent| spent.as_secs_f64());
        // What a user waits for: until the text stands there.
        let speed = (self.characters * came.runs) as f64 / (typing + reading);
        let Came {
            runs, texts, exact, ..
        } = came;
        format!(
            "{key}\t{runs}\t{texts}\t{exact}\t{speed:.0}\t{typing:.1}\t{reading:.1}\t{emptying:.1}"
        )
    }
}

fn key_of(cell: &Cell) -> String {
    format!("{}\t{}\t{}", cell.kind.name(), cell.layout, cell.group)
}

/// A line of the file.
fn row(line: &str) -> Result<(String, Came)> {
    let fields: Vec<&str> = line.split('\t').collect();
    ensure!(fields.len() == 10, "a line of the table has ten fields");
    let seconds = |text: &str| anyhow::Ok(Duration::try_from_secs_f64(text.parse()?)?);
    let came = Came {
        runs: fields[3].parse()?,
        texts: fields[4].parse()?,
        exact: fields[5].parse()?,
        typing: seconds(fields[7])?,
        reading: seconds(fields[8])?,
        emptying: seconds(fields[9])?,
    };
    Ok((fields[..3].join("\t"), came))
}

/// The machine and the commit that a table is of.
fn made() -> Result<String> {
    let info = fs::read_to_string("/proc/cpuinfo")?;
    let name = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let name = name.map_or("", |name| name.trim_start_matches([':', '\t', ' ']));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        let said = git.args(["-C", env!("CARGO_MANIFEST_DIR")]).args(arguments);
        anyhow::Ok(String::from_utf8(said.output()?.stdout)?.trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    // The driver is what the figures are of.
    let changed = match git(&["status", "--porcelain", "src"])?.is_empty() {
        true => "",
        false => ", changed",
    };
    Ok(format!("# {cores} cores, {name}; commit {commit}{changed}"))
}

/// A reader sees the whole text or the one before.
fn write(file: &Path, text: &str) -> Result<()> {
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, text)?;
    Ok(fs::rename(&new, file)?)
}
