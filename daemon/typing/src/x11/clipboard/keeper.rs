//! A thread that keeps what is on the clipboards: ours for as long as a program pastes it, and
//! afterwards what was there before, until somebody copies something else.
//!
//! Orders come in by a channel, with a byte on a socket to wake the thread; each is answered. It
//! ends when nobody gives orders any more and nothing is left to be offered.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use x11rb::protocol::xproto::{Atom, AtomEnum, Window};

use super::content::Content;
use super::selections::{Selections, Told};
use crate::x11::server::gone;
use crate::{Session, Unable};

/// What the thread is told to do.
#[derive(Debug)]
enum Order {
    /// Keep what is on the clipboards, and offer a text; on the primary selection too, if wanted.
    Offer {
        text: String,
        primary_too: bool,
        answer: SyncSender<Result<(), Unable>>,
    },
    /// Offer again what was there before, where nobody else has copied anything.
    Restore {
        answer: SyncSender<Result<(), Unable>>,
    },
}

/// The handle to the thread.
#[derive(Debug)]
pub(super) struct Keeper {
    orders: Sender<Order>,
    waker: UnixStream,
    /// Programs that have got the text, by the windows that asked.
    given: Receiver<Window>,
}

impl Keeper {
    pub(super) fn start(session: &Session) -> Result<Self, Unable> {
        let selections = Selections::open(session)?;
        let no_socket = |error: std::io::Error| Unable::Absent(format!("no socket: {error}"));
        let (waker, woken) = UnixStream::pair().map_err(no_socket)?;
        woken.set_nonblocking(true).map_err(no_socket)?;
        let (orders, from_driver) = channel();
        let (to_driver, given) = channel();
        let thread = Thread {
            selections,
            from_driver,
            woken,
            to_driver,
            before: HashMap::new(),
        };
        std::thread::Builder::new()
            .name("clipboard".into())
            .spawn(move || thread.run())
            .map_err(|error| Unable::Absent(format!("no thread: {error}")))?;
        Ok(Keeper {
            orders,
            waker,
            given,
        })
    }

    /// Keeps what is on the clipboards, and offers `text` instead.
    pub(super) fn offer(&self, text: &str, primary_too: bool) -> Result<(), Unable> {
        while self.given.try_recv().is_ok() {}
        let text = text.to_owned();
        self.order(|answer| Order::Offer {
            text,
            primary_too,
            answer,
        })
    }

    /// The next window that has got the text, within `limit`.
    pub(super) fn given(&self, limit: Duration) -> Option<Window> {
        self.given.recv_timeout(limit).ok()
    }

    /// Offers again what was there before.
    pub(super) fn restore(&self) -> Result<(), Unable> {
        self.order(|answer| Order::Restore { answer })
    }

    fn order(
        &self,
        order: impl FnOnce(SyncSender<Result<(), Unable>>) -> Order,
    ) -> Result<(), Unable> {
        let ended = || Unable::Gone("the X server has gone, and the clipboard with it".into());
        let (answer, answered) = sync_channel(1);
        self.orders.send(order(answer)).map_err(|_| ended())?;
        (&self.waker).write_all(&[0]).map_err(|_| ended())?;
        answered.recv().map_err(|_| ended())?
    }
}

#[derive(Debug)]
struct Thread {
    selections: Selections,
    from_driver: Receiver<Order>,
    woken: UnixStream,
    to_driver: Sender<Window>,
    /// What was there before our text.
    before: HashMap<Atom, Option<Content>>,
}

impl Thread {
    fn run(mut self) {
        let mut driven = true;
        while driven || !self.selections.held.is_empty() {
            if let Err(error) = self.step(&mut driven) {
                // The owner hears of it when the next order finds nobody.
                tracing::debug!(%error, "the clipboard's connection has ended");
                return;
            }
        }
    }

    fn step(&mut self, driven: &mut bool) -> Result<(), Unable> {
        while let Some(event) = poll(&self.selections)? {
            self.selections.serve(&event)?;
        }
        for told in std::mem::take(&mut self.selections.told) {
            match told {
                // Nobody listens once the driver has gone.
                Told::Gave { requestor } => drop(self.to_driver.send(requestor)),
                // What was there before is out of date.
                Told::Lost { selection } => drop(self.before.remove(&selection)),
            }
        }
        let mut bytes = [0; 16];
        match (&self.woken).read(&mut bytes) {
            Ok(0) => *driven = false,
            Ok(_) => {
                while let Ok(order) = self.from_driver.try_recv() {
                    self.obey(order)?;
                }
                return Ok(());
            }
            Err(_) => {}
        }
        let other = driven.then_some(&self.woken);
        self.selections.sleep(None, other)
    }

    fn obey(&mut self, order: Order) -> Result<(), Unable> {
        let (result, answer) = match order {
            Order::Offer {
                text,
                primary_too,
                answer,
            } => (self.offer(&text, primary_too), answer),
            Order::Restore { answer } => (self.restore(), answer),
        };
        let fatal = match &result {
            Err(gone @ Unable::Gone(_)) => Err(gone.clone()),
            _ => Ok(()),
        };
        // Whoever gave the order may have gone meanwhile.
        let _ = answer.send(result);
        fatal
    }

    fn offer(&mut self, text: &str, primary_too: bool) -> Result<(), Unable> {
        let selections = &mut self.selections;
        let primary = primary_too.then(|| Atom::from(AtomEnum::PRIMARY));
        let wanted: Vec<Atom> = [selections.atoms.CLIPBOARD]
            .into_iter()
            .chain(primary)
            .collect();
        for &selection in &wanted {
            // A text of ours that was never fetched is not what was there before.
            if let Entry::Vacant(unknown) = self.before.entry(selection) {
                unknown.insert(selections.fetch(selection)?);
            }
        }
        let content = Content::text(&selections.atoms, text);
        for selection in wanted {
            selections.offer(selection, content.clone())?;
        }
        Ok(())
    }

    fn restore(&mut self) -> Result<(), Unable> {
        let selections = &mut self.selections;
        // Takes in who has copied something meanwhile.
        x11rb::wrapper::ConnectionExt::sync(&selections.connection).map_err(gone)?;
        while let Some(event) = poll(selections)? {
            selections.serve(&event)?;
        }
        for (selection, content) in std::mem::take(&mut self.before) {
            if !selections.held.contains_key(&selection) {
                continue;
            }
            match content {
                Some(content) => selections.offer(selection, content)?,
                None => selections.leave(selection)?,
            }
        }
        Ok(())
    }
}

fn poll(selections: &Selections) -> Result<Option<x11rb::protocol::Event>, Unable> {
    let connection = &selections.connection;
    x11rb::connection::Connection::poll_for_event(connection).map_err(gone)
}
