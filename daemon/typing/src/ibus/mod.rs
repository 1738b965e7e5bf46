//! The driver `ibus`: text that a field takes as a whole, and shows underlined while it may still
//! change, through an engine of ours that IBus has for as long as it is needed.
//!
//! The connection has a thread of its own, `ibus`, since keys of the user come by our engine for
//! that long, and must not wait.

pub(crate) mod address;
pub(crate) mod bus;
mod engine;
mod objects;

use std::time::Duration;

use bus::Bus;
use engine::Told;
use objects::text as ibus_text;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::terminals::is_terminal;
use crate::{Driver, Key, Purpose, Session, Stopped, Target, Typed, Unable};

/// How long a field may take to tell of a change. Later nothing is wrong; only nothing is known.
const TOLD: Duration = Duration::from_secs(1);
/// IBus may have ended as well when the driver does.
const LAST: Duration = Duration::from_secs(1);
/// `IBUS_RELEASE_MASK`.
const RELEASED: u32 = 1 << 30;
/// `IBUS_ENGINE_PREEDIT_CLEAR`: what is shown is forgotten when the focus goes.
const CLEAR: u32 = 0;

/// Opens the driver `ibus`.
pub fn open(session: &Session) -> Result<Box<dyn Driver>, Unable> {
    Ok(Box::new(IBus::open(session)?))
}

/// Text through IBus.
#[derive(Debug)]
pub struct IBus {
    address: String,
    bus: Bus,
    runtime: Handle,
    /// Dropped, it ends the thread.
    _ends: oneshot::Sender<()>,
    /// A text that may still change is shown.
    shows: bool,
}

impl IBus {
    /// Connects to the IBus of a session.
    pub fn open(session: &Session) -> Result<Self, Unable> {
        let address = address::find(session)?;
        let no_thread = |error: std::io::Error| Unable::Absent(format!("no thread: {error}"));
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(no_thread)?;
        let handle = runtime.handle().clone();
        let (ends, ended) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("ibus".into())
            .spawn(move || runtime.block_on(ended))
            .map_err(no_thread)?;
        let bus = handle.block_on(Bus::connect(&address))?;
        Ok(IBus {
            address,
            bus,
            runtime: handle,
            _ends: ends,
            shows: false,
        })
    }

    fn field(&mut self) -> Result<(Told, String), Unable> {
        self.runtime.block_on(self.bus.field())
    }

    fn say<B>(&self, told: &Told, signal: &str, body: &B) -> Result<(), Unable>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        self.runtime.block_on(self.bus.say(told, signal, body))
    }

    /// Waits until what stands around the cursor fits; `false`: it does not say so.
    fn told(&mut self, wanted: impl Fn(&str, &str) -> bool) -> bool {
        let fits = |told: &Told| {
            told.around()
                .is_some_and(|(before, after)| wanted(&before, &after))
        };
        self.runtime.block_on(self.bus.until(TOLD, fits)).is_some()
    }

    fn show(&mut self, told: &Told, text: &str) -> Result<(), Unable> {
        self.shows = !text.is_empty();
        let end = text.chars().count() as u32;
        let body = (ibus_text(text, true), end, self.shows, CLEAR);
        self.say(told, "UpdatePreeditText", &body)
    }

    fn hide(&mut self, told: &Told) -> Result<(), Unable> {
        if self.shows {
            self.show(told, "")?;
        }
        Ok(())
    }

    fn commit(&mut self, text: &str) -> Result<Typed, Unable> {
        let (told, _) = self.field()?;
        self.hide(&told)?;
        self.say(&told, "CommitText", &(ibus_text(text, false),))?;
        let verified = match told.around() {
            Some((old, _)) => self.told(|before, _| before != old && before.ends_with(text)),
            None => false,
        };
        Ok(Typed {
            characters: text.chars().count(),
            verified,
        })
    }

    fn tap(&self, told: &Told, key: Key) -> Result<(), Unable> {
        // The symbol, and the kernel's code.
        let (symbol, code) = match key {
            Key::Return => (xkeysym::key::Return, 28u32),
            Key::Tab => (xkeysym::key::Tab, 15),
            Key::BackSpace => (xkeysym::key::BackSpace, 14),
        };
        self.say(told, "ForwardKeyEvent", &(symbol, code, 0u32))?;
        self.say(told, "ForwardKeyEvent", &(symbol, code, RELEASED))
    }

    fn delete(&mut self, text: &str) -> Result<(), Unable> {
        let (told, _) = self.field()?;
        self.hide(&told)?;
        let unsure = |why: &str| Err(Unable::Unsafe(why.to_owned()));
        let Some((before, after)) = told.around() else {
            return unsure("the text field does not tell what stands in it: nothing is removed");
        };
        let Some(rest) = before.strip_suffix(text) else {
            return unsure(
                "what stands before the cursor is not what was typed: nothing is removed",
            );
        };
        let count = text.chars().count();
        let body = (-(count as i32), count as u32);
        self.say(&told, "DeleteSurroundingText", &body)?;
        if !self.told(|now, behind| now == rest && behind == after) {
            return unsure("the text field does not say that the text is gone");
        }
        Ok(())
    }
}

impl Driver for IBus {
    fn name(&self) -> &'static str {
        "ibus"
    }

    fn target(&mut self) -> Result<Target, Unable> {
        let (told, context) = self.field()?;
        let purpose = match told.purpose {
            Purpose::Text if is_terminal(&told.app) => Purpose::Terminal,
            purpose => purpose,
        };
        Ok(Target {
            id: context,
            app: told.app,
            purpose,
        })
    }

    fn type_text(&mut self, text: &str) -> Result<Typed, Stopped> {
        self.commit(text)
            .map_err(|why| Stopped { characters: 0, why })
    }

    fn press(&mut self, key: Key, times: u32) -> Result<(), Stopped> {
        for done in 0..times as usize {
            let pressed = self.field().and_then(|(told, _)| {
                self.hide(&told)?;
                self.tap(&told, key)
            });
            pressed.map_err(|why| Stopped {
                characters: done,
                why,
            })?;
        }
        Ok(())
    }

    fn erase(&mut self, text: &str) -> Result<(), Stopped> {
        self.delete(text)
            .map_err(|why| Stopped { characters: 0, why })
    }

    fn preedit(&mut self, text: &str) -> Result<bool, Unable> {
        if text.is_empty() && !self.shows {
            return Ok(true);
        }
        let (told, _) = self.field()?;
        self.show(&told, text)?;
        Ok(true)
    }

    fn surrounding(&mut self) -> Option<(String, String)> {
        self.bus.told.borrow().around()
    }
}

impl Drop for IBus {
    fn drop(&mut self) {
        let leaving = self.bus.leave(&self.address);
        let _ = self
            .runtime
            .block_on(async { tokio::time::timeout(LAST, leaving).await });
    }
}
