//! Waiting until programs have worked through the keys that were sent to them.
//!
//! Clients of toolkits answer a ping, behind all the events before it. One that does not, such as
//! xterm, has read everything when its process sleeps: a process with events to read is awake or
//! waits for the processor, which the kernel shows as running.

use std::fs;
use std::time::{Duration, Instant};

use x11rb::protocol::res::{self, ConnectionExt as _};
use x11rb::protocol::xproto::{ClientMessageEvent, ConnectionExt as _, EventMask, Window};

use super::server::{News, Server, gone, there};
use crate::Unable;

/// How long a program may take for its keys before it is given up.
pub(super) const SLOW: Duration = Duration::from_secs(20);
/// A process sleeps through this: the keys that the server has sent have long been delivered.
const ASLEEP: Duration = Duration::from_millis(15);
/// Where neither a ping nor a process tells.
const BLIND: Duration = Duration::from_secs(1);
/// How often a process is looked at.
const AGAIN: Duration = Duration::from_millis(3);

/// Windows whose programs may not have read all their keys yet.
#[derive(Debug, Default)]
pub(super) struct Readers {
    windows: Vec<Window>,
    /// Numbers the pings, so that a late answer is not taken for a new one.
    pings: u32,
}

impl Readers {
    /// Keys go to `window` now.
    pub(super) fn add(&mut self, window: Window) {
        if !self.windows.contains(&window) {
            self.windows.push(window);
        }
    }

    /// Waits until all have read their keys, `limit` for each at most; says whether they have.
    pub(super) fn wait(&mut self, server: &mut Server, limit: Duration) -> Result<bool, Unable> {
        let mut late = Vec::new();
        for window in std::mem::take(&mut self.windows) {
            if !self.wait_for(server, window, Instant::now() + limit)? {
                late.push(window);
            }
        }
        self.windows = late;
        Ok(self.windows.is_empty())
    }

    fn wait_for(
        &mut self,
        server: &mut Server,
        window: Window,
        until: Instant,
    ) -> Result<bool, Unable> {
        let protocols = server.numbers(window, server.atoms.WM_PROTOCOLS)?;
        if protocols.contains(&server.atoms._NET_WM_PING) {
            return self.ping(server, window, until);
        }
        let Some(pid) = pid(server, window)? else {
            server.pause(BLIND.min(until.saturating_duration_since(Instant::now())))?;
            return Ok(true);
        };
        // The server answers us before it sends on what it has for others, and may be kept from the
        // processor in between; before a second answer it has sent all of it.
        server.sync()?;
        server.sync()?;
        let mut since: Option<(Instant, Ran)> = None;
        loop {
            let Some(ran) = Ran::of(pid) else {
                return Ok(true);
            };
            match &since {
                Some((start, before)) if ran.asleep && *before == ran => {
                    if start.elapsed() >= ASLEEP {
                        // It may have been asleep for an answer that the server owed it, with keys
                        // that it has not come to yet: then it has run since.
                        server.sync()?;
                        server.sync()?;
                        if Ran::of(pid).is_none_or(|now| now == ran) {
                            return Ok(true);
                        }
                    }
                }
                _ => since = ran.asleep.then(|| (Instant::now(), ran)),
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            server.pause(AGAIN)?;
        }
    }

    fn ping(
        &mut self,
        server: &mut Server,
        window: Window,
        until: Instant,
    ) -> Result<bool, Unable> {
        self.pings = self.pings.wrapping_add(1).max(1);
        let atoms = &server.atoms;
        let data = [atoms._NET_WM_PING, self.pings, window, 0, 0];
        let ping = ClientMessageEvent::new(32, window, atoms.WM_PROTOCOLS, data);
        let sent = server
            .connection
            .send_event(false, window, EventMask::NO_EVENT, ping)
            .map_err(gone)?;
        if there(sent.check())?.is_none() {
            return Ok(true);
        }
        let mut heard = Vec::new();
        let answered = loop {
            let news = server.wait(until)?;
            let done = news.contains(&News::Pong(self.pings));
            let late = news.is_empty();
            heard.extend(news);
            if done || late {
                break done;
            }
        };
        heard.retain(|news| !matches!(news, News::Pong(_)));
        server.keep(heard);
        Ok(answered)
    }
}

/// How much a process has run, and whether it sleeps now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ran {
    asleep: bool,
    /// Nanoseconds on a processor, and how often.
    spent: [u64; 2],
}

impl Ran {
    /// `None`: it has ended, or cannot be seen.
    fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Its name stands in brackets and may hold anything.
        let state = stat.rsplit_once(") ")?.1.chars().next()?;
        let spent = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
        let mut spent = spent.split_ascii_whitespace().map(str::parse);
        let (on, _waited, times) = (spent.next()?, spent.next()?, spent.next()?);
        Some(Ran {
            asleep: state == 'S',
            spent: [on.ok()?, times.ok()?],
        })
    }
}

/// The process whose window it is, as the server knows it, or else as the window says.
pub(super) fn pid(server: &Server, window: Window) -> Result<Option<u32>, Unable> {
    use x11rb::connection::RequestConnection as _;
    let known = server
        .connection
        .extension_information(res::X11_EXTENSION_NAME);
    if known.map_err(gone)?.is_some() {
        let wanted = res::ClientIdSpec {
            client: window,
            mask: res::ClientIdMask::LOCAL_CLIENT_PID,
        };
        let asked = server.connection.res_query_client_ids(&[wanted]);
        let reply = there(asked.map_err(gone)?.reply())?;
        let pid = reply.and_then(|reply| reply.ids.first()?.value.first().copied());
        if pid.is_some_and(|pid| pid != 0) {
            return Ok(pid);
        }
    }
    Ok(server
        .numbers(window, server.atoms._NET_WM_PID)?
        .first()
        .copied())
}
