//! Another program's clipboard: something that was copied, in several forms, and what is there.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use anyhow::{Context as _, Result};
use rustix::pipe::{PipeFlags, pipe_with};
use wayland_client::globals::{GlobalListContents, registry_queue_init};
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_client::{
    Connection, Dispatch, EventQueue, QueueHandle, delegate_noop, event_created_child,
};
use wayland_protocols_wlr::data_control::v1::client::zwlr_data_control_device_v1::{
    self as device, ZwlrDataControlDeviceV1,
};
use wayland_protocols_wlr::data_control::v1::client::zwlr_data_control_manager_v1::ZwlrDataControlManagerV1;
use wayland_protocols_wlr::data_control::v1::client::zwlr_data_control_offer_v1::{
    self as offer, ZwlrDataControlOfferV1,
};
use wayland_protocols_wlr::data_control::v1::client::zwlr_data_control_source_v1::{
    self as source, ZwlrDataControlSourceV1,
};

use super::Sway;

/// Forms, and what there is in each.
pub(crate) type Forms = BTreeMap<String, Vec<u8>>;

/// Something that lies on the clipboard as long as another program copies nothing.
pub(crate) fn own(sway: &Sway, forms: &Forms) -> Result<()> {
    let (mut queue, mut client) = Client::connect(sway)?;
    let handle = queue.handle();
    let manager = client.manager.clone().context("a clipboard")?;
    let source = manager.create_data_source(&handle, ());
    for form in forms.keys() {
        source.offer(form.clone());
    }
    client.owned = forms.clone();
    client.device(&handle)?.set_selection(Some(&source));
    queue.roundtrip(&mut client)?;
    std::thread::spawn(
        move || {
            while !client.is_lost && queue.blocking_dispatch(&mut client).is_ok() {}
        },
    );
    Ok(())
}

/// The forms of what is on the clipboard.
pub(crate) fn list(sway: &Sway) -> Result<Vec<String>> {
    Ok(look(sway)?.1.forms)
}

fn look(sway: &Sway) -> Result<(EventQueue<Client>, Client)> {
    let (mut queue, mut client) = Client::connect(sway)?;
    client.device(&queue.handle())?;
    queue.roundtrip(&mut client)?;
    Ok((queue, client))
}

/// Everything that is on the clipboard.
pub(crate) fn read(sway: &Sway) -> Result<Forms> {
    let (queue, mut client) = look(sway)?;
    let mut found = Forms::new();
    let Some(offer) = client.selection.take() else {
        return Ok(found);
    };
    for form in std::mem::take(&mut client.forms) {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        offer.receive(form.clone(), writer.as_fd());
        queue.flush()?;
        drop(writer);
        let mut data = Vec::new();
        File::from(reader).read_to_end(&mut data)?;
        found.insert(form, data);
    }
    Ok(found)
}

#[derive(Debug, Default)]
struct Client {
    manager: Option<ZwlrDataControlManagerV1>,
    seat: Option<WlSeat>,
    owned: Forms,
    is_lost: bool,
    /// Of the newest offer, which is what was copied.
    forms: Vec<String>,
    selection: Option<ZwlrDataControlOfferV1>,
}

impl Client {
    fn connect(sway: &Sway) -> Result<(EventQueue<Self>, Self)> {
        let connection = Connection::from_socket(UnixStream::connect(sway.socket())?)?;
        let (globals, queue) = registry_queue_init::<Self>(&connection)?;
        let handle = queue.handle();
        let client = Client {
            manager: Some(globals.bind(&handle, 1..=1, ())?),
            seat: Some(globals.bind(&handle, 1..=1, ())?),
            ..Client::default()
        };
        Ok((queue, client))
    }

    fn device(&self, handle: &QueueHandle<Self>) -> Result<ZwlrDataControlDeviceV1> {
        let manager = self.manager.as_ref().context("a clipboard")?;
        let seat = self.seat.as_ref().context("a seat")?;
        Ok(manager.get_data_device(seat, handle, ()))
    }
}

delegate_noop!(Client: ignore ZwlrDataControlManagerV1);
delegate_noop!(Client: ignore WlSeat);

impl Dispatch<WlRegistry, GlobalListContents> for Client {
    fn event(
        _: &mut Self,
        _: &WlRegistry,
        _: wl_registry::Event,
        _: &GlobalListContents,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}

impl Dispatch<ZwlrDataControlSourceV1, ()> for Client {
    fn event(
        client: &mut Self,
        _: &ZwlrDataControlSourceV1,
        event: source::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            source::Event::Send { mime_type, fd } => {
                let data = client.owned.get(&mime_type).cloned().unwrap_or_default();
                let _ = File::from(fd).write_all(&data);
            }
            source::Event::Cancelled => client.is_lost = true,
            _ => {}
        }
    }
}

impl Dispatch<ZwlrDataControlDeviceV1, ()> for Client {
    fn event(
        client: &mut Self,
        _: &ZwlrDataControlDeviceV1,
        event: device::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            device::Event::DataOffer { .. } => client.forms.clear(),
            device::Event::Selection { id } => client.selection = id,
            _ => {}
        }
    }

    event_created_child!(Client, ZwlrDataControlDeviceV1, [
        device::EVT_DATA_OFFER_OPCODE => (ZwlrDataControlOfferV1, ()),
    ]);
}

impl Dispatch<ZwlrDataControlOfferV1, ()> for Client {
    fn event(
        client: &mut Self,
        _: &ZwlrDataControlOfferV1,
        event: offer::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let offer::Event::Offer { mime_type } = event {
            client.forms.push(mime_type);
        }
    }
}
