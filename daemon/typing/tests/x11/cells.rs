//! The cells of the table: each window on each layout, on several desktops at once.
//!
//! A run types the whole corpus, text by text, and reads each back. Most of that time is spent
//! waiting for other processes, so several desktops side by side are done sooner, and are busier
//! than one. Runs come in rounds over all cells, so that one which is cut off has some of each.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use wstream_typing::Driver;
use wstream_typing::x11::X11;

use crate::desk::common::runs;
use crate::desk::{Desk, Kind, Window, corpus};
use crate::table::Table;

/// Layouts, and which of their groups is active.
pub(crate) const LAYOUTS: [(&str, u8); 8] = [
    ("us", 0),
    ("de", 0),
    ("fr", 0),
    ("ru", 0),
    ("gr", 0),
    ("us:dvorak", 0),
    ("us,ru", 0),
    ("us,ru", 1),
];

/// How often the corpus is typed in a cell before the next one has its turn.
const ROUND: usize = 20;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) kind: Kind,
    pub(crate) layout: &'static str,
    pub(crate) group: u8,
}

/// What came of runs in a cell.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Came {
    pub(crate) runs: usize,
    pub(crate) texts: usize,
    pub(crate) exact: usize,
    /// What was spent on typing, on reading back, and on emptying the window.
    pub(crate) typing: Duration,
    pub(crate) reading: Duration,
    pub(crate) emptying: Duration,
}

impl Came {
    pub(crate) fn add(&mut self, other: &Came) {
        self.runs += other.runs;
        self.texts += other.texts;
        self.exact += other.exact;
        self.typing += other.typing;
        self.reading += other.reading;
        self.emptying += other.emptying;
    }
}

/// Turns that are still to be had: a cell, and how often the corpus is typed there.
type Turns = Mutex<VecDeque<(Cell, usize)>>;

/// Types the corpus into the window, and returns what did not arrive exactly.
fn run(
    driver: &mut dyn Driver,
    window: &mut Window,
    desk: &Desk,
    came: &mut Came,
) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (name, text) in corpus()? {
        let start = Instant::now();
        let typed = driver.type_text(&text);
        let typing = start.elapsed();
        let held = window.holds(&text)?;
        let reading = start.elapsed();
        let said = typed.as_ref().map(|typed| typed.characters);
        let exact = said == Ok(text.chars().count()) && held.is_ok();
        if !exact {
            wrong.push(format!("{name}: {typed:?} {held:?}"));
        }
        window.clear(desk)?;
        came.add(&Came {
            runs: 0,
            texts: 1,
            exact: usize::from(exact),
            typing,
            reading: reading - typing,
            emptying: start.elapsed() - reading,
        });
    }
    came.runs += 1;
    Ok(wrong)
}

/// Takes turns on a desktop of its own until none is left.
fn work(managed: bool, turns: &Turns, table: &Table) -> Result<()> {
    let Some(desk) = Desk::raise(managed)? else {
        return Ok(());
    };
    let mut window: Option<Window> = None;
    loop {
        let turn = turns
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        let Some((cell, runs)) = turn else {
            return Ok(());
        };
        // The same window for all layouts.
        let mut own = match window.take() {
            Some(window) if window.kind == cell.kind => window,
            other => {
                drop(other);
                Window::open(&desk, cell.kind)?
            }
        };
        desk.layout(cell.layout)?;
        desk.group(cell.group)?;
        let mut driver = X11::open(&desk.session())?;
        let (mut came, mut wrong) = (Came::default(), Vec::new());
        for _ in 0..runs {
            wrong.extend(run(&mut driver, &mut own, &desk, &mut came)?);
        }
        table.add(&cell, &came, wrong)?;
        window = Some(own);
    }
}

/// Every window on every layout, on `desks` desktops at once; `kinds` says which windows.
pub(crate) fn matrix(
    managed: bool,
    kinds: &[Kind],
    layouts: &[(&'static str, u8)],
    desks: usize,
    table: Table,
) -> Result<()> {
    let cells = kinds.iter().flat_map(|&kind| {
        layouts.iter().map(move |&(layout, group)| Cell {
            kind,
            layout,
            group,
        })
    });
    let mut left: Vec<(Cell, usize)> = cells
        .map(|cell| (cell, runs().saturating_sub(table.runs(&cell))))
        .collect();
    let mut turns = VecDeque::new();
    while left.iter().any(|(_, runs)| *runs > 0) {
        for (cell, runs) in &mut left {
            let now = (*runs).min(ROUND);
            *runs -= now;
            if now > 0 {
                turns.push_back((*cell, now));
            }
        }
    }
    let turns = Mutex::new(turns);
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..desks)
            .map(|_| scope.spawn(|| work(managed, &turns, &table)))
            .collect();
        all.into_iter()
            .try_for_each(|desk| desk.join().expect("a desktop's thread does not panic"))
    })?;
    let wrong = table.finish();
    ensure!(
        wrong.is_empty(),
        "{} texts are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    Ok(())
}

/// How many desktops at once: WSTREAM_DESKS, or two for each core, since each mostly waits.
pub(crate) fn desks() -> usize {
    let told = std::env::var("WSTREAM_DESKS").ok();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    told.and_then(|told| told.parse().ok()).unwrap_or(2 * cores)
}
