//! A thread that keeps what is on the clipboard: ours while a program pastes it, and afterwards
//! what was there before, until somebody copies something else.
//!
//! Orders come in by a channel, with a byte on a socket to wake the thread; each is answered. It
//! ends when nobody gives orders any more and nothing is left to be offered.

use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use wayland_client::Proxy as _;
use wayland_client::backend::ObjectId;

use super::board::{Content, Control, give};
use crate::Unable;

/// Who fetches what is on a clipboard is not told: it may be a program that keeps a history of it.
/// So ours stays for so long after somebody has fetched it, and what was there before comes late.
const AFTER: Duration = Duration::from_millis(700);
/// Who fetches again and again does not put that off for ever.
const AFTER_FIRST: Duration = Duration::from_secs(3);
/// One that reads later than this would get what was on the clipboard before.
const MOST: Duration = Duration::from_secs(30);

type Answer = SyncSender<Result<(), Unable>>;

/// The handle to the thread.
#[derive(Debug)]
pub(super) struct Keeper {
    orders: Sender<(String, Answer)>,
    waker: UnixStream,
    /// Programs that have got all of the text.
    given: Receiver<()>,
}

impl Keeper {
    pub(super) fn start(control: Control) -> Result<Self, Unable> {
        let no_socket = |error: std::io::Error| Unable::Absent(format!("no socket: {error}"));
        let (waker, woken) = UnixStream::pair().map_err(no_socket)?;
        woken.set_nonblocking(true).map_err(no_socket)?;
        let (orders, from_driver) = channel();
        let (to_driver, given) = channel();
        let thread = Thread {
            control,
            from_driver,
            woken,
            to_driver,
            held: None,
            before: None,
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

    /// Keeps what is on the clipboard, and offers `text` instead, for a while.
    pub(super) fn offer(&self, text: &str) -> Result<(), Unable> {
        let ended = || Unable::Gone("the compositor has gone, and the clipboard with it".into());
        let (answer, answered) = sync_channel(1);
        let order = (text.to_owned(), answer);
        self.orders.send(order).map_err(|_| ended())?;
        (&self.waker).write_all(&[0]).map_err(|_| ended())?;
        answered.recv().map_err(|_| ended())??;
        // Whoever has fetched it by now does so at each change.
        while self.given.try_recv().is_ok() {}
        Ok(())
    }

    /// Whether a program gets the text within `limit`.
    pub(super) fn is_given(&self, limit: Duration) -> bool {
        self.given.recv_timeout(limit).is_ok()
    }
}

#[derive(Debug)]
struct Thread {
    control: Control,
    from_driver: Receiver<(String, Answer)>,
    woken: UnixStream,
    to_driver: Sender<()>,
    /// What we offer.
    held: Option<Held>,
    /// What was there before our text; `None`: ours is not there.
    before: Option<Before>,
}

#[derive(Debug)]
struct Held {
    source: ObjectId,
    content: Content,
}

#[derive(Debug)]
struct Before {
    content: Option<Content>,
    /// When it is offered again.
    due: Instant,
    /// When our text was fetched first.
    fetched: Option<Instant>,
}

impl Thread {
    fn run(mut self) {
        let mut driven = true;
        while driven || self.held.is_some() {
            if let Err(error) = self.step(&mut driven) {
                // The owner hears of it when the next order finds nobody.
                tracing::debug!(%error, "the clipboard's connection has ended");
                return;
            }
        }
    }

    fn step(&mut self, driven: &mut bool) -> Result<(), Unable> {
        self.control.compositor.dispatch()?;
        self.serve();
        if self
            .before
            .as_ref()
            .is_some_and(|it| it.due <= Instant::now())
        {
            self.restore()?;
        }
        match (&self.woken).read(&mut [0; 16]) {
            Ok(0) => *driven = false,
            Ok(_) => {
                while let Ok((text, answer)) = self.from_driver.try_recv() {
                    // Whoever gave the order may have gone meanwhile.
                    let _ = answer.send(self.offer(&text));
                }
                return Ok(());
            }
            Err(_) => {}
        }
        let due = self.before.as_ref().map(|it| it.due);
        let limit = due.map(|due| due.saturating_duration_since(Instant::now()));
        let other = driven.then(|| self.woken.as_fd());
        self.control.compositor.sleep(limit, other)
    }

    /// Does what programs and the compositor have asked for.
    fn serve(&mut self) {
        let board = &mut self.control.compositor.state.board;
        for (source, form, to) in std::mem::take(&mut board.asked) {
            let Some(held) = self.held.as_ref().filter(|held| held.source == source) else {
                continue;
            };
            let Some((_, data)) = held.content.iter().find(|(name, _)| *name == form) else {
                continue;
            };
            let is_ours = self.before.is_some() && form != HINT.0;
            if let Some(before) = self.before.as_mut().filter(|_| is_ours) {
                let now = Instant::now();
                let first = *before.fetched.get_or_insert(now);
                before.due = (now + AFTER).min(first + AFTER_FIRST);
            }
            let to_driver = self.to_driver.clone();
            give(to, data.clone(), move || {
                if is_ours {
                    // Nobody listens once the driver has gone.
                    let _ = to_driver.send(());
                }
            });
        }
        for source in std::mem::take(&mut board.lost) {
            if self.held.as_ref().is_some_and(|held| held.source == source) {
                // What was there before is out of date.
                (self.held, self.before) = (None, None);
            }
        }
    }

    fn offer(&mut self, text: &str) -> Result<(), Unable> {
        self.control.compositor.sync()?;
        self.serve();
        // A text of ours is not what was there before it.
        let before = match (self.before.take(), self.held.take()) {
            (Some(before), _) => before.content,
            (None, Some(held)) => Some(held.content),
            (None, None) => self.control.fetch()?,
        };
        self.hold(secret(text))?;
        self.before = Some(Before {
            content: before,
            due: Instant::now() + MOST,
            fetched: None,
        });
        Ok(())
    }

    fn restore(&mut self) -> Result<(), Unable> {
        // Takes in who has copied something meanwhile.
        self.control.compositor.sync()?;
        self.serve();
        let Some(before) = self.before.take() else {
            return Ok(());
        };
        match before.content {
            Some(content) => self.hold(content),
            None => {
                self.held = None;
                self.control.clear();
                self.control.compositor.sync()
            }
        }
    }

    fn hold(&mut self, content: Content) -> Result<(), Unable> {
        let source = self
            .control
            .offer(content.iter().map(|(form, _)| form.as_str()));
        self.held = Some(Held {
            source: source.id(),
            content,
        });
        self.control.compositor.sync()
    }
}

/// Programs that keep a history are asked to leave it out.
const HINT: (&str, &str) = ("x-kde-passwordManagerHint", "secret");

/// A text, in the forms that programs ask for.
pub(super) fn text(text: &str) -> Content {
    let forms = [
        "text/plain;charset=utf-8",
        "text/plain",
        "UTF8_STRING",
        "TEXT",
    ];
    let forms = forms.into_iter();
    forms
        .map(|form| (form.to_owned(), text.as_bytes().to_vec()))
        .collect()
}

fn secret(typed: &str) -> Content {
    let mut content = text(typed);
    content.push((HINT.0.to_owned(), HINT.1.into()));
    content
}
