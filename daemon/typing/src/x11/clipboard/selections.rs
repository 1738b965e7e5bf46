//! The clipboards of an X server: what is on them is asked for and given away here.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use x11rb::connection::Connection as _;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    Atom, AtomEnum, ConnectionExt as _, CreateWindowAux, EventMask, PropMode, Property, Timestamp,
    Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

use super::content::{Content, Form};
use super::giving::Gift;
use crate::x11::connect::connect;
use crate::x11::server::{gone, no_id, there};
use crate::{Session, Unable};

x11rb::atom_manager! {
    /// Names that the server knows by numbers.
    pub(super) Atoms:
    AtomsCookie {
        ATOM_PAIR,
        CLIPBOARD,
        CLIPBOARD_MANAGER,
        DELETE,
        INCR,
        INSERT_PROPERTY,
        INSERT_SELECTION,
        MULTIPLE,
        SAVE_TARGETS,
        TARGETS,
        TEXT,
        TIMESTAMP,
        UTF8_STRING,
        IMAGE_PNG: b"image/png",
        TEXT_PLAIN: b"text/plain",
        TEXT_UTF8: b"text/plain;charset=utf-8",
        PASSWORD_HINT: b"x-kde-passwordManagerHint",
        _WSTREAM_CLIPBOARD,
    }
}

/// How long the owner of a clipboard may take for one form of what is on it.
const SLOW_OWNER: Duration = Duration::from_secs(5);
/// How long an owner may take for other forms of a picture that is there as PNG, which loses
/// nothing: programs make each of them on demand, which for a large one takes seconds.
const PICTURES: Duration = Duration::from_secs(2);
/// More than this is not kept, so that a clipboard cannot fill the memory.
const MOST_BYTES: usize = 512 << 20;

/// What happened to what we offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// A program has got the text.
    Gave { requestor: Window },
    /// Somebody else has copied something.
    Lost { selection: Atom },
}

/// What is offered on one clipboard.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) content: Content,
    pub(super) since: Timestamp,
}

/// A connection that asks for and offers what is on the clipboards.
#[derive(Debug)]
pub(super) struct Selections {
    pub(super) connection: RustConnection,
    pub(super) window: Window,
    pub(super) atoms: Atoms,
    pub(super) held: HashMap<Atom, Held>,
    /// Large data that is on its way to programs.
    pub(super) gifts: Vec<Gift>,
    /// Not looked at yet by who uses this.
    pub(super) told: Vec<Told>,
}

impl Selections {
    pub(super) fn open(session: &Session) -> Result<Self, Unable> {
        let (connection, screen) = connect(session)?;
        let atoms = Atoms::new(&connection).map_err(gone)?;
        let atoms = atoms.reply().map_err(gone)?;
        let window = connection.generate_id().map_err(no_id)?;
        let hears = CreateWindowAux::new().event_mask(EventMask::PROPERTY_CHANGE);
        let class = WindowClass::INPUT_ONLY;
        connection
            .create_window(0, window, screen.root, -1, -1, 1, 1, 0, class, 0, &hears)
            .map_err(gone)?;
        Ok(Selections {
            connection,
            window,
            atoms,
            held: HashMap::new(),
            gifts: Vec::new(),
            told: Vec::new(),
        })
    }

    /// Who offers something on a clipboard; 0: nobody.
    pub(super) fn owner(&self, selection: Atom) -> Result<Window, Unable> {
        let asked = self
            .connection
            .get_selection_owner(selection)
            .map_err(gone)?;
        Ok(asked.reply().map_err(gone)?.owner)
    }

    /// Offers `content` from now on.
    pub(super) fn offer(&mut self, selection: Atom, content: Content) -> Result<(), Unable> {
        let since = self.now()?;
        self.connection
            .set_selection_owner(self.window, selection, since)
            .map_err(gone)?;
        if self.owner(selection)? != self.window {
            let why = "another program keeps the clipboard for itself";
            return Err(Unable::Absent(why.into()));
        }
        self.held.insert(selection, Held { content, since });
        Ok(())
    }

    /// Offers nothing any more.
    pub(super) fn leave(&mut self, selection: Atom) -> Result<(), Unable> {
        if let Some(held) = self.held.remove(&selection) {
            self.connection
                .set_selection_owner(x11rb::NONE, selection, held.since)
                .map_err(gone)?;
            self.connection.sync().map_err(gone)?;
        }
        Ok(())
    }

    /// The server's time, which tells who came first.
    fn now(&mut self) -> Result<Timestamp, Unable> {
        let property = self.atoms._WSTREAM_CLIPBOARD;
        self.connection
            .change_property8(
                PropMode::APPEND,
                self.window,
                property,
                AtomEnum::STRING,
                &[],
            )
            .map_err(gone)?;
        let window = self.window;
        let until = Instant::now() + SLOW_OWNER;
        let time = self.until(until, |event| match event {
            Event::PropertyNotify(notice) if notice.window == window => Some(notice.time),
            _ => None,
        })?;
        time.ok_or_else(|| Unable::Gone("the X server does not answer in time".into()))
    }

    /// Everything that is on a clipboard, in all its forms.
    pub(super) fn fetch(&mut self, selection: Atom) -> Result<Option<Content>, Unable> {
        if self.owner(selection)? == x11rb::NONE {
            return Ok(None);
        }
        if let Some(held) = self.held.get(&selection) {
            return Ok(Some(held.content.clone()));
        }
        let atoms = self.atoms;
        let Some(targets) = self.form(selection, atoms.TARGETS, Instant::now() + SLOW_OWNER)?
        else {
            return Ok(None);
        };
        let targets = targets.data.chunks_exact(4);
        let targets = targets.map(|atom| Atom::from_ne_bytes([atom[0], atom[1], atom[2], atom[3]]));
        // Not forms of what was copied, but things that an owner does.
        let deeds = [
            atoms.TARGETS,
            atoms.MULTIPLE,
            atoms.TIMESTAMP,
            atoms.SAVE_TARGETS,
            atoms.DELETE,
            atoms.INSERT_PROPERTY,
            atoms.INSERT_SELECTION,
            x11rb::NONE,
        ];
        let targets: Vec<Atom> = targets.filter(|target| !deeds.contains(target)).collect();
        let mut content = Content::default();
        let mut bytes = 0;
        let (first, pictures) = self.pictures_last(targets)?;
        let has_png = first.contains(&self.atoms.IMAGE_PNG);
        let mut late = Instant::now() + SLOW_OWNER;
        let count = first.len();
        for (at, target) in first.into_iter().chain(pictures).enumerate() {
            let in_time = Instant::now() < late;
            if at == count && has_png {
                late = Instant::now() + PICTURES;
            } else if at < count || !has_png {
                late = Instant::now() + SLOW_OWNER;
            } else if !in_time {
                break;
            }
            match self.form(selection, target, late) {
                Ok(None) => continue,
                Ok(Some(form)) => {
                    bytes += form.data.len();
                    content.forms.push(form);
                }
                Err(Unable::Absent(_)) if at >= count && has_png => break,
                Err(error) => return Err(error),
            }
            if bytes > MOST_BYTES {
                let why = "what is on the clipboard is too large to be kept meanwhile: use another driver";
                return Err(Unable::Absent(why.into()));
            }
        }
        Ok(Some(content))
    }

    /// Sets forms of a picture apart that another one stands in for.
    fn pictures_last(&self, targets: Vec<Atom>) -> Result<(Vec<Atom>, Vec<Atom>), Unable> {
        let (mut first, mut pictures) = (Vec::new(), Vec::new());
        for target in targets {
            let asked = self.connection.get_atom_name(target).map_err(gone)?;
            let name = there(asked.reply())?.map(|reply| reply.name);
            let is_picture = name.is_some_and(|name| name.starts_with(b"image/"));
            if is_picture && target != self.atoms.IMAGE_PNG {
                pictures.push(target);
            } else {
                first.push(target);
            }
        }
        Ok((first, pictures))
    }

    /// One form of what is on a clipboard; `None` where its owner does not have that.
    fn form(
        &mut self,
        selection: Atom,
        target: Atom,
        late: Instant,
    ) -> Result<Option<Form>, Unable> {
        // One that comes too late does not get in the way of another.
        let (window, property) = (self.window, target);
        self.connection
            .convert_selection(window, selection, target, property, x11rb::CURRENT_TIME)
            .map_err(gone)?;
        let too_late = || {
            let why = "the program that owns the clipboard does not answer, so that what is on it could not be kept";
            Unable::Absent(why.into())
        };
        let answered = self.until(late, |event| match event {
            Event::SelectionNotify(notice)
                if (notice.selection, notice.target) == (selection, target) =>
            {
                Some(notice.property)
            }
            _ => None,
        })?;
        if answered.ok_or_else(too_late)? == x11rb::NONE {
            return Ok(None);
        }
        let first = self.take(property)?;
        let mut form = Form {
            target,
            kind: first.kind,
            format: first.format,
            data: first.data,
        };
        if form.kind != self.atoms.INCR {
            return Ok(Some(form));
        }
        // It comes in parts, each when the one before has been taken, and the last is empty.
        form.data.clear();
        loop {
            let part = self.until(Instant::now() + SLOW_OWNER, |event| match event {
                Event::PropertyNotify(notice)
                    if (notice.window, notice.atom) == (window, property)
                        && notice.state == Property::NEW_VALUE =>
                {
                    Some(())
                }
                _ => None,
            })?;
            part.ok_or_else(too_late)?;
            let part = self.take(property)?;
            if part.data.is_empty() {
                return Ok(Some(form));
            }
            (form.kind, form.format) = (part.kind, part.format);
            form.data.extend(part.data);
            if form.data.len() > MOST_BYTES {
                return Err(too_late());
            }
        }
    }

    /// Reads a property of our window, and removes it.
    fn take(&self, property: Atom) -> Result<Form, Unable> {
        let asked = self
            .connection
            .get_property(true, self.window, property, AtomEnum::ANY, 0, u32::MAX / 4)
            .map_err(gone)?;
        let reply = asked.reply().map_err(gone)?;
        Ok(Form {
            target: property,
            kind: reply.type_,
            format: reply.format,
            data: reply.value,
        })
    }

    /// Waits for an event until `until`, and serves other programs meanwhile.
    pub(super) fn until<T>(
        &mut self,
        until: Instant,
        mut wanted: impl FnMut(&Event) -> Option<T>,
    ) -> Result<Option<T>, Unable> {
        loop {
            while let Some(event) = self.connection.poll_for_event().map_err(gone)? {
                if let Some(found) = wanted(&event) {
                    return Ok(Some(found));
                }
                self.serve(&event)?;
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            let left = until.saturating_duration_since(Instant::now());
            self.sleep(Some(left), None::<std::os::fd::BorrowedFd<'_>>)?;
        }
    }

    /// Sleeps until the server says something, or something comes from `other`.
    pub(super) fn sleep(
        &self,
        limit: Option<Duration>,
        other: Option<impl AsFd>,
    ) -> Result<(), Unable> {
        self.connection.flush().map_err(gone)?;
        let mut fds = vec![PollFd::new(self.connection.stream(), PollFlags::IN)];
        fds.extend(other.iter().map(|other| PollFd::new(other, PollFlags::IN)));
        let limit = limit.map(|limit| Timespec::try_from(limit).unwrap_or_default());
        match poll(&mut fds, limit.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(Unable::Gone(format!("waiting for the X server: {error}"))),
        }
    }
}
