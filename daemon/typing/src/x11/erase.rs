//! Taking a typed text away again.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};
use rustix::termios::{LocalModes, tcgetattr};
use unicode_segmentation::UnicodeSegmentation as _;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{AtomEnum, ConnectionExt as _};

use super::layout::SHIFT;
use super::readers::{SLOW, pid};
use super::removal::{Stretch, depends_on_editor, in_terminal, right_to_left, stretches};
use super::server::gone;
use super::{Ground, X11};
use crate::{Purpose, Unable};

/// A program that has handled the keys answers at once.
const SELECTION: Duration = Duration::from_secs(2);

impl X11 {
    /// Removes `text` before the cursor, and counts what is gone.
    pub(super) fn erase_chars(&mut self, text: &str, done: &mut usize) -> Result<(), Unable> {
        let mut ground = self.begin()?;
        if ground.focus.target().purpose == Purpose::Terminal {
            let edits = !depends_on_editor(text) || self.kernel_edits(&ground)?;
            self.backspace(&mut ground, in_terminal(text, edits))?;
            *done += text.chars().count();
            return Ok(());
        }
        for stretch in stretches(text) {
            match stretch {
                Stretch::Plain(part) => {
                    self.backspace(&mut ground, part.chars().count() as u32)?;
                    *done += part.chars().count();
                }
                Stretch::Disputed(part) => {
                    self.remove_disputed(&mut ground, part)?;
                    *done += part.chars().count();
                }
            }
        }
        Ok(())
    }

    fn backspace(&mut self, ground: &mut Ground, times: u32) -> Result<(), Unable> {
        let mut done = 0;
        while done < times as usize {
            self.tap(ground, xkeysym::key::BackSpace, 0, &mut done)?;
        }
        Ok(())
    }

    /// Selects what stands before the cursor until it is `part`, as the program itself says, and
    /// removes that. A program that does not say so is Qt, or one that removes code points as well.
    fn remove_disputed(&mut self, ground: &mut Ground, part: &str) -> Result<(), Unable> {
        let (mut back, mut forth) = (xkeysym::key::Left, xkeysym::key::Right);
        if right_to_left(part) {
            std::mem::swap(&mut back, &mut forth);
        }
        let owner = self.primary_owner()?;
        let stamp = self.primary(owner)?;
        let most = part.chars().count() + part.graphemes(true).count();
        let mut selected = None;
        for step in 0..most {
            self.tap(ground, back, SHIFT, &mut 0)?;
            // Nothing is known of the selection as long as fewer keys were pressed than it has
            // characters at least.
            self.readers.add(ground.focus.top);
            self.readers.wait(&mut self.server, SLOW)?;
            let owner = self.primary_owner()?;
            let ours = owner & !self.id_mask() == ground.focus.top & !self.id_mask();
            let now = if ours { self.primary(owner)? } else { None };
            if step == 0 && (now.is_none() || (now == stamp && now.as_deref() != Some(part))) {
                // It does not tell what it has selected. To the end of the selection, and code
                // point by code point.
                self.tap(ground, xkeysym::key::Right, 0, &mut 0)?;
                return self.backspace(ground, part.chars().count() as u32);
            }
            match now {
                Some(now) if now == part => {
                    selected = Some(());
                    break;
                }
                Some(now) if part.ends_with(now.as_str()) => {}
                _ => break,
            }
        }
        if selected.is_none() {
            // Leaves the text as it is.
            self.tap(ground, forth, 0, &mut 0)?;
            let why =
                "what stands before the cursor is not what was typed: nothing more is removed";
            return Err(Unable::Unsafe(why.into()));
        }
        self.backspace(ground, 1)
    }

    fn primary_owner(&self) -> Result<u32, Unable> {
        let connection = &self.server.connection;
        let asked = connection.get_selection_owner(AtomEnum::PRIMARY.into());
        Ok(asked.map_err(gone)?.reply().map_err(gone)?.owner)
    }

    /// What is selected, as the program that owns the selection says.
    fn primary(&mut self, owner: u32) -> Result<Option<String>, Unable> {
        if owner == 0 {
            return Ok(None);
        }
        let kind = self.server.atoms.UTF8_STRING;
        let server = &mut self.server;
        let primary = AtomEnum::PRIMARY.into();
        server
            .connection
            .convert_selection(server.window, primary, kind, kind, 0u32)
            .map_err(gone)?;
        let until = Instant::now() + SELECTION;
        let heard = server.event(until, |event| match event {
            Event::SelectionNotify(notice) if notice.selection == primary => Some(notice.property),
            _ => None,
        })?;
        if heard.unwrap_or(0) == 0 {
            return Ok(None);
        }
        let asked = server
            .connection
            .get_property(true, server.window, kind, 0u32, 0, u32::MAX / 4)
            .map_err(gone)?;
        let text = asked.reply().map_err(gone)?.value;
        Ok(String::from_utf8(text).ok())
    }

    /// Whether the kernel edits the line in the terminal that has the focus, and not a program.
    fn kernel_edits(&self, ground: &Ground) -> Result<bool, Unable> {
        let unknown = || {
            let why = "whether the terminal's line is edited by the shell cannot be told: nothing is removed";
            Unable::Unsafe(why.into())
        };
        let pid = pid(&self.server, ground.focus.top)?.ok_or_else(unknown)?;
        let mut edits: Vec<bool> = terminals_of(pid).iter().filter_map(canonical).collect();
        edits.dedup();
        match edits[..] {
            [edits] => Ok(edits),
            _ => Err(unknown()),
        }
    }
}

/// The terminals on which children of a process run.
fn terminals_of(parent: u32) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(stat) = fs::read_to_string(path.join("stat")) else {
            continue;
        };
        // Its name stands in brackets and may hold anything; then state and parent.
        let behind = stat.rsplit_once(") ").map(|(_, behind)| behind);
        let of = behind.and_then(|behind| behind.split(' ').nth(1));
        if of.is_none_or(|of| of != parent.to_string()) {
            continue;
        }
        let terminal = fs::read_link(path.join("fd/0")).unwrap_or_default();
        if terminal.starts_with("/dev/pts") && !found.contains(&terminal) {
            found.push(terminal);
        }
    }
    found
}

/// Whether a terminal hands over whole lines.
fn canonical(terminal: &PathBuf) -> Option<bool> {
    let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let terminal = open(terminal, flags, Mode::empty()).ok()?;
    let settings = tcgetattr(&terminal).ok()?;
    Some(settings.local_modes.contains(LocalModes::ICANON))
}
