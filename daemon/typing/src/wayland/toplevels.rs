//! The windows of programs, and which of them has the focus, where the compositor tells.

use std::collections::HashMap;

use wayland_client::backend::ObjectId;
use wayland_client::{Connection, Dispatch, Proxy as _, QueueHandle, event_created_child};
use wayland_protocols_wlr::foreign_toplevel::v1::client::zwlr_foreign_toplevel_handle_v1::{
    self as handle, ZwlrForeignToplevelHandleV1,
};
use wayland_protocols_wlr::foreign_toplevel::v1::client::zwlr_foreign_toplevel_manager_v1::{
    self as manager, ZwlrForeignToplevelManagerV1,
};

use super::compositor::{Compositor, State};
use crate::terminals::is_terminal;
use crate::{Purpose, Target, Unable};

/// All windows.
#[derive(Debug, Default)]
pub(super) struct Toplevels {
    /// The compositor tells of them.
    told: bool,
    windows: HashMap<ObjectId, Toplevel>,
    /// Counts windows, and how often one was given the focus.
    count: u64,
}

#[derive(Debug)]
struct Toplevel {
    /// Numbers of objects are used again, ours are not.
    number: u64,
    app: String,
    /// When it was given the focus, counted; `None`: it does not have it.
    active: Option<u64>,
}

impl Toplevels {
    /// Has the compositor tell of its windows from now on, where it does that.
    pub(super) fn watch(compositor: &mut Compositor) -> Result<(), Unable> {
        let manager: Result<ZwlrForeignToplevelManagerV1, _> = compositor.bind(3);
        compositor.state.toplevels.told = manager.is_ok();
        // The second time it has told of their states.
        compositor.sync()?;
        compositor.sync()
    }

    /// The window that has the focus.
    ///
    /// Where windows are told of and none has it, keys go to something else: a lock screen, a menu
    /// or nowhere.
    pub(super) fn target(&self) -> Result<Target, Unable> {
        if !self.told {
            return Ok(Target::default());
        }
        let active = self.windows.values().filter(|it| it.active.is_some());
        let newest = active.max_by_key(|it| it.active);
        let newest = newest.ok_or_else(|| {
            let why = "no window has the focus: click into the one that should get the text";
            Unable::NoTarget(why.into())
        })?;
        let purpose = if is_terminal(&newest.app) {
            Purpose::Terminal
        } else {
            Purpose::Text
        };
        Ok(Target {
            id: format!("window {}", newest.number),
            app: newest.app.clone(),
            purpose,
        })
    }

    fn set_active(&mut self, id: &ObjectId, is_active: bool) {
        self.count += 1;
        let count = self.count;
        if let Some(window) = self.windows.get_mut(id) {
            window.active = is_active.then(|| window.active.unwrap_or(count));
        }
    }
}

impl Dispatch<ZwlrForeignToplevelManagerV1, ()> for State {
    fn event(
        state: &mut Self,
        _: &ZwlrForeignToplevelManagerV1,
        event: manager::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let windows = &mut state.toplevels;
        match event {
            manager::Event::Toplevel { toplevel } => {
                windows.count += 1;
                let new = Toplevel {
                    number: windows.count,
                    app: String::new(),
                    active: None,
                };
                windows.windows.insert(toplevel.id(), new);
            }
            manager::Event::Finished => windows.told = false,
            _ => {}
        }
    }

    event_created_child!(State, ZwlrForeignToplevelManagerV1, [
        manager::EVT_TOPLEVEL_OPCODE => (ZwlrForeignToplevelHandleV1, ()),
    ]);
}

impl Dispatch<ZwlrForeignToplevelHandleV1, ()> for State {
    fn event(
        state: &mut Self,
        proxy: &ZwlrForeignToplevelHandleV1,
        event: handle::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let windows = &mut state.toplevels;
        match event {
            handle::Event::AppId { app_id } => {
                if let Some(window) = windows.windows.get_mut(&proxy.id()) {
                    window.app = app_id;
                }
            }
            handle::Event::State { state: states } => {
                let activated = (handle::State::Activated as u32).to_ne_bytes();
                let is_active = states.chunks_exact(4).any(|it| it == activated);
                windows.set_active(&proxy.id(), is_active);
            }
            handle::Event::Closed => {
                windows.windows.remove(&proxy.id());
                proxy.destroy();
            }
            _ => {}
        }
    }
}
