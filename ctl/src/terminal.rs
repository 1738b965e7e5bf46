//! What standard output is connected to, how wide it is, and when that changes.

use std::io::{self, IsTerminal as _};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::tcgetwinsize;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;
use crate::output;
use crate::view::{Piece, Screen};

/// Assumed where a terminal does not tell its width, as some serial ones do not.
const USUAL_COLUMNS: u16 = 80;

/// What standard output is: a screen to draw on, or a place for lines.
pub(crate) fn screen() -> Screen {
    let cannot_move = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
    if !io::stdout().is_terminal() || cannot_move {
        return Screen::Plain;
    }
    // https://no-color.org: present and not empty.
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    Screen::Terminal {
        columns: columns(),
        styled: !unwanted,
    }
}

/// The terminal's width now.
pub(crate) fn columns() -> u16 {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 => size.ws_col,
        _ => USUAL_COLUMNS,
    }
}

/// Writes what a view made. Fails also with nothing to write when the reader of a pipe has left:
/// otherwise a microphone would stay open until the next text tells.
pub(crate) fn write(pieces: Vec<Piece>) -> Result<(), Failure> {
    if pieces.is_empty() && reader_is_gone() {
        return Err(Failure::ReaderGone);
    }
    for piece in pieces {
        match piece {
            Piece::Out(text) => output::raw(&text)?,
            Piece::Err(text) => output::styled_note(&text),
        }
    }
    Ok(())
}

fn reader_is_gone() -> bool {
    let stdout = io::stdout();
    // No flags asked: a pipe without a reader is told in any case.
    let mut pipe = [PollFd::new(&stdout, PollFlags::empty())];
    let polled = poll(&mut pipe, Some(&Timespec::default()));
    polled.is_ok() && pipe[0].revents().contains(PollFlags::ERR)
}

/// Changes of the terminal's size.
#[derive(Debug)]
pub(crate) struct Resizes(Signal);

impl Resizes {
    pub(crate) fn new() -> Result<Self, Failure> {
        let changed = signal(SignalKind::window_change()).map_err(Failure::Signals)?;
        Ok(Resizes(changed))
    }

    /// Waits for the next change; answers with the new width.
    pub(crate) async fn next(&mut self) -> u16 {
        self.0.recv().await;
        columns()
    }
}
