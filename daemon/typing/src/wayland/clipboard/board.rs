//! The clipboard, as the compositor tells of it, and data on its way through pipes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use wayland_client::backend::ObjectId;
use wayland_client::{Connection, Dispatch, Proxy as _, QueueHandle, event_created_child};
use wayland_protocols_wlr::data_control::v1::client::zwlr_data_control_device_v1::{
    self as device, ZwlrDataControlDeviceV1,
};
use wayland_protocols_wlr::data_control::v1::client::zwlr_data_control_manager_v1::{
    self as manager, ZwlrDataControlManagerV1,
};
use wayland_protocols_wlr::data_control::v1::client::zwlr_data_control_offer_v1::{
    self as offer, ZwlrDataControlOfferV1,
};
use wayland_protocols_wlr::data_control::v1::client::zwlr_data_control_source_v1::{
    self as source, ZwlrDataControlSourceV1,
};

use crate::Unable;
use crate::wayland::compositor::{Compositor, State};

/// How long the owner of the clipboard may take for one form of what is on it.
const SLOW_OWNER: Duration = Duration::from_secs(5);
/// How long it may take for all forms of a picture beside PNG, which loses nothing: programs make
/// each of them on demand.
const PICTURES: Duration = Duration::from_secs(2);
/// More than this is not kept, so that a clipboard cannot fill the memory.
const MOST_BYTES: usize = 512 << 20;
const PNG: &str = "image/png";

/// What was copied, in all its forms: MIME types and data.
pub(super) type Content = Vec<(String, Vec<u8>)>;

/// What the compositor has told.
#[derive(Debug, Default)]
pub(in crate::wayland) struct Board {
    /// What could be on the clipboard: its forms.
    offers: HashMap<ObjectId, Vec<String>>,
    /// What is on it, ours as well.
    selection: Option<ZwlrDataControlOfferV1>,
    /// Programs that want a form of what we offer.
    pub(super) asked: Vec<(ObjectId, String, OwnedFd)>,
    /// What of ours is not on the clipboard any more.
    pub(super) lost: Vec<ObjectId>,
}

/// A connection that may look at the clipboard at any time, and put something there.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) compositor: Compositor,
    manager: ZwlrDataControlManagerV1,
    device: ZwlrDataControlDeviceV1,
}

impl Control {
    pub(super) fn open(mut compositor: Compositor) -> Result<Self, Unable> {
        let manager: ZwlrDataControlManagerV1 = compositor.bind(1)?;
        let seat = compositor.seat()?;
        let device = manager.get_data_device(&seat, &compositor.handle(), ());
        compositor.sync()?;
        Ok(Control {
            compositor,
            manager,
            device,
        })
    }

    /// Offers these forms from now on.
    pub(super) fn offer<'a>(
        &self,
        forms: impl Iterator<Item = &'a str>,
    ) -> ZwlrDataControlSourceV1 {
        let handle = self.compositor.handle();
        let source = self.manager.create_data_source(&handle, ());
        for form in forms {
            source.offer(form.to_owned());
        }
        self.device.set_selection(Some(&source));
        source
    }

    /// Empties the clipboard.
    pub(super) fn clear(&self) {
        self.device.set_selection(None);
    }

    /// Everything that another program has copied, in all its forms.
    pub(super) fn fetch(&mut self) -> Result<Option<Content>, Unable> {
        let board = &self.compositor.state.board;
        let Some(selection) = board.selection.clone() else {
            return Ok(None);
        };
        let forms = board.offers.get(&selection.id()).cloned();
        // Not forms of what was copied, but things that an owner on X11 does.
        let deeds = ["TARGETS", "MULTIPLE", "TIMESTAMP", "SAVE_TARGETS", "DELETE"];
        let mut forms = forms.unwrap_or_default();
        forms.retain(|form| !deeds.contains(&form.as_str()));
        let has_png = forms.iter().any(|form| form == PNG);
        let spared = |form: &str| has_png && form.starts_with("image/") && form != PNG;
        forms.sort_by_key(|form| spared(form));
        let mut content = Content::new();
        let mut pictures_end = None;
        for form in forms {
            let is_spared = spared(&form);
            let end = match is_spared {
                true => *pictures_end.get_or_insert_with(|| Instant::now() + PICTURES),
                false => Instant::now() + SLOW_OWNER,
            };
            match self.form(&selection, &form, end) {
                Ok(data) => content.push((form, data)),
                Err(Unable::Absent(_)) if is_spared => break,
                Err(error) => return Err(error),
            }
            let bytes: usize = content.iter().map(|(_, data)| data.len()).sum();
            if bytes > MOST_BYTES {
                let why = "what is on the clipboard is too large to be kept meanwhile: use another driver";
                return Err(Unable::Absent(why.into()));
            }
        }
        Ok(Some(content))
    }

    fn form(
        &self,
        offer: &ZwlrDataControlOfferV1,
        form: &str,
        end: Instant,
    ) -> Result<Vec<u8>, Unable> {
        let ask = |writer: BorrowedFd<'_>| offer.receive(form.to_owned(), writer);
        received(&self.compositor, ask, end)
    }
}

/// What a program writes into a pipe that it is asked with, up to the end of it.
pub(in crate::wayland) fn received(
    compositor: &Compositor,
    ask: impl FnOnce(BorrowedFd<'_>),
    end: Instant,
) -> Result<Vec<u8>, Unable> {
    let no_pipe = |error: std::io::Error| Unable::Absent(format!("no pipe: {error}"));
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| no_pipe(error.into()))?;
    ask(writer.as_fd());
    compositor.flush()?;
    drop(writer);
    let mut reader = File::from(reader);
    let mut data = Vec::new();
    let mut part = vec![0; 1 << 16];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let limit = Timespec::try_from(left).unwrap_or_default();
        let ready = poll(&mut [PollFd::new(&reader, PollFlags::IN)], Some(&limit));
        match ready {
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(no_pipe(error.into())),
            Ok(0) => {
                let why = "the program that owns the clipboard does not answer, so that what is on it could not be kept";
                return Err(Unable::Absent(why.into()));
            }
            Ok(_) => {}
        }
        match reader.read(&mut part).map_err(no_pipe)? {
            0 => return Ok(data),
            length if data.len() + length <= MOST_BYTES => {
                data.extend_from_slice(&part[..length]);
            }
            _ => {
                let why = "what is on the clipboard is too large to be kept meanwhile: use another driver";
                return Err(Unable::Absent(why.into()));
            }
        }
    }
}

/// Gives data to a program, which may take its time, on a thread; `then` when it has taken all.
pub(super) fn give(to: OwnedFd, data: Vec<u8>, then: impl FnOnce() + Send + 'static) {
    let giving = move || {
        let mut to = File::from(to);
        // A program that has seen enough closes its end.
        let given = to.write_all(&data);
        drop(to);
        if given.is_ok() {
            then();
        }
    };
    let thread = std::thread::Builder::new().name("clipboard-gift".into());
    if let Err(error) = thread.spawn(giving) {
        tracing::warn!(%error, "a program gets nothing from the clipboard");
    }
}

impl Dispatch<ZwlrDataControlManagerV1, ()> for State {
    fn event(
        _: &mut Self,
        _: &ZwlrDataControlManagerV1,
        _: manager::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}

impl Dispatch<ZwlrDataControlDeviceV1, ()> for State {
    fn event(
        state: &mut Self,
        _: &ZwlrDataControlDeviceV1,
        event: device::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let board = &mut state.board;
        match event {
            device::Event::DataOffer { id } => {
                board.offers.insert(id.id(), Vec::new());
            }
            device::Event::Selection { id } => {
                if let Some(before) = std::mem::replace(&mut board.selection, id) {
                    board.offers.remove(&before.id());
                    before.destroy();
                }
            }
            device::Event::PrimarySelection { id: Some(offer) } => {
                board.offers.remove(&offer.id());
                offer.destroy();
            }
            _ => {}
        }
    }

    event_created_child!(State, ZwlrDataControlDeviceV1, [
        device::EVT_DATA_OFFER_OPCODE => (ZwlrDataControlOfferV1, ()),
    ]);
}

impl Dispatch<ZwlrDataControlOfferV1, ()> for State {
    fn event(
        state: &mut Self,
        proxy: &ZwlrDataControlOfferV1,
        event: offer::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let offer::Event::Offer { mime_type } = event
            && let Some(forms) = state.board.offers.get_mut(&proxy.id())
        {
            forms.push(mime_type);
        }
    }
}

impl Dispatch<ZwlrDataControlSourceV1, ()> for State {
    fn event(
        state: &mut Self,
        proxy: &ZwlrDataControlSourceV1,
        event: source::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let board = &mut state.board;
        match event {
            source::Event::Send { mime_type, fd } => board.asked.push((proxy.id(), mime_type, fd)),
            source::Event::Cancelled => {
                board.lost.push(proxy.id());
                proxy.destroy();
            }
            _ => {}
        }
    }
}
