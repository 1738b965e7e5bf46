//! Input methods that make something else of keys, as those for Chinese and Korean do.
//!
//! Of IBus, fields take a text as a whole from the driver `ibus`, so there is no target for keys.
//! fcitx5 has nobody else say what a field is to take; it is put aside while keys are pressed.
//! Blocks for some milliseconds; who does not answer is taken to compose nothing.

use std::time::Duration;

use tokio::runtime::Runtime;
use zbus::Connection;

use crate::Session;
use crate::bus::{Bus, is_there};
use crate::ibus::{address, bus::composes};

/// What is asked has to answer within this; a text waits for it.
const LIMIT: Duration = Duration::from_millis(300);

/// How long fcitx5 may take for a key.
const FOLLOWED: Duration = Duration::from_secs(2);

/// How long a program may take to hand its last key on to fcitx5: it answers that it has read a key
/// before it does so, and nobody tells when it has.
const HANDED_ON: Duration = Duration::from_millis(300);

const FCITX: &str = "org.fcitx.Fcitx5";
const CONTROLLER: (&str, &str) = ("/controller", "org.fcitx.Fcitx.Controller1");
/// What `State` answers where keys are composed.
const ACTIVE: i32 = 2;

/// Asks the input methods of a desktop.
#[derive(Debug)]
pub(super) struct Composing {
    session: Session,
    /// Runs only while something is asked.
    runtime: Option<Runtime>,
    /// Where IBus was last.
    ibus: Option<(String, Bus)>,
    /// The session's, where there is one.
    bus: Option<Bus>,
    is_aside: bool,
    /// fcitx5 is there: it has keys from the programs that have read them.
    relays: bool,
}

impl Composing {
    pub(super) fn of(session: &Session) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let address = session.text("DBUS_SESSION_BUS_ADDRESS");
        Composing {
            session: session.clone(),
            runtime: runtime.ok(),
            ibus: None,
            bus: address.map(|address| Bus::at(Some(address.to_owned()))),
            is_aside: false,
            relays: false,
        }
    }

    /// The engine with which IBus would compose keys where they would go now.
    pub(super) fn by_ibus(&mut self) -> Option<String> {
        let now = address::find(&self.session).ok()?;
        if self.ibus.as_ref().is_none_or(|(before, _)| *before != now) {
            self.ibus = Some((now.clone(), Bus::at(Some(now))));
        }
        let ((_, ibus), runtime) = self.ibus.as_mut().zip(self.runtime.as_ref())?;
        runtime.block_on(ibus.ask(LIMIT, composes))
    }

    /// Has fcitx5 let keys through, where it would not.
    pub(super) fn put_aside(&mut self) {
        let composes = self.ask_fcitx(LIMIT, async |bus| {
            if !is_there(bus, FCITX).await? {
                return Ok(None);
            }
            let state: i32 = control(bus, "State").await?.body().deserialize()?;
            if state == ACTIVE {
                control(bus, "Deactivate").await?;
            }
            Ok(Some(state == ACTIVE))
        });
        self.relays = composes.is_some();
        self.is_aside = composes.unwrap_or_default();
    }

    /// Whether keys go by way of it.
    pub(super) fn relays(&self) -> bool {
        self.relays
    }

    /// Waits until it has answered what programs have asked it before.
    pub(super) fn follow(&mut self) {
        // One that hangs holds its programs up as well.
        let _ = self.ask_fcitx(FOLLOWED, async |bus| control(bus, "State").await.map(Some));
    }

    /// Has it compose keys again where it was put aside, once those that were pressed have gone by.
    pub(super) fn take_back(&mut self) {
        if !std::mem::take(&mut self.is_aside) {
            return;
        }
        std::thread::sleep(HANDED_ON);
        let back = self.ask_fcitx(LIMIT, async |bus| control(bus, "Activate").await.map(Some));
        if back.is_none() {
            tracing::warn!("fcitx5 does not take its input method back");
        }
    }

    fn ask_fcitx<T>(
        &mut self,
        limit: Duration,
        question: impl AsyncFn(&Connection) -> zbus::Result<Option<T>>,
    ) -> Option<T> {
        let (bus, runtime) = self.bus.as_mut().zip(self.runtime.as_ref())?;
        runtime.block_on(bus.ask(limit, question))
    }
}

impl Drop for Composing {
    /// Only where the thread unwinds is it still put aside.
    fn drop(&mut self) {
        self.take_back();
    }
}

async fn control(bus: &Connection, method: &str) -> zbus::Result<zbus::Message> {
    let (path, interface) = CONTROLLER;
    bus.call_method(Some(FCITX), path, Some(interface), method, &())
        .await
}
