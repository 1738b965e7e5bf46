//! A connection to the X server of a session, with the session's own credentials.

use std::path::Path;

use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::Screen;
use x11rb::reexports::x11rb_protocol::parse_display::{ParsedDisplay, parse_display};
use x11rb::reexports::x11rb_protocol::xauth::{Family, get_auth};
use x11rb::rust_connection::{DefaultStream, RustConnection};

use crate::{Session, Unable};

const COOKIE: &[u8] = b"MIT-MAGIC-COOKIE-1";

/// Connects, and says which screen `DISPLAY` means.
pub(super) fn connect(session: &Session) -> Result<(RustConnection, Screen), Unable> {
    let display = session.text("DISPLAY").ok_or_else(|| {
        Unable::Absent("there is no X server in this session: DISPLAY is not set".into())
    })?;
    let absent = |error: &dyn std::fmt::Display| {
        Unable::Absent(format!("no connection to the X server {display}: {error}"))
    };
    let parsed = parse_display(Some(display)).map_err(|error| absent(&error))?;
    let mut last = "nothing listens there".to_owned();
    for address in parsed.connect_instruction() {
        let connected = DefaultStream::connect(&address);
        let (stream, (family, peer)) = match connected {
            Ok(connected) => connected,
            Err(error) => {
                last = error.to_string();
                continue;
            }
        };
        let (name, cookie) = credentials(session, &parsed, family, &peer).unwrap_or_default();
        let screen = usize::from(parsed.screen);
        match RustConnection::connect_to_stream_with_auth_info(stream, screen, name, cookie) {
            Ok(connection) => {
                let roots = &connection.setup().roots;
                let screen = roots.get(screen).cloned();
                let screen = screen.ok_or_else(|| absent(&"it has no such screen"))?;
                return Ok((connection, screen));
            }
            Err(error) => last = error.to_string(),
        }
    }
    Err(absent(&last))
}

/// The name of the method and the secret for a server, from the session's file if it names one.
fn credentials(
    session: &Session,
    display: &ParsedDisplay,
    family: Family,
    peer: &[u8],
) -> Option<(Vec<u8>, Vec<u8>)> {
    let Some(file) = session.get("XAUTHORITY") else {
        return get_auth(family, peer, display.display).ok().flatten();
    };
    let file = std::fs::read(Path::new(file)).ok()?;
    secret(&file, family, peer, display.display)
}

/// Finds a cookie in the content of an authority file: records of a family, and of an address, a
/// display's number, a method's name and a secret, each with its length before it.
fn secret(file: &[u8], family: Family, peer: &[u8], display: u16) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut rest = file;
    loop {
        let record = Family::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?]));
        rest = &rest[2..];
        let mut part = || -> Option<&[u8]> {
            let length = usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?]));
            let part = rest.get(2..2 + length)?;
            rest = &rest[2 + length..];
            Some(part)
        };
        let (address, number, name, secret) = (part()?, part()?, part()?, part()?);
        let there = record == Family::WILD || (record == family && address == peer);
        let number_fits = number.is_empty() || number == display.to_string().as_bytes();
        if there && number_fits && name == COOKIE {
            return Some((name.to_vec(), secret.to_vec()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(family: u16, parts: [&[u8]; 4]) -> Vec<u8> {
        let mut record = family.to_be_bytes().to_vec();
        for part in parts {
            record.extend((part.len() as u16).to_be_bytes());
            record.extend(part);
        }
        record
    }

    #[test]
    fn finds_the_cookie_of_this_host_and_display() {
        let mut file = record(256, [b"other", b"0", COOKIE, b"no"]);
        file.extend(record(256, [b"here", b"1", COOKIE, b"no"]));
        file.extend(record(256, [b"here", b"0", b"XDM-AUTHORIZATION-1", b"no"]));
        file.extend(record(256, [b"here", b"0", COOKIE, b"yes"]));
        let found = |peer: &[u8], display| Some(secret(&file, Family::LOCAL, peer, display)?.1);
        assert_eq!(found(b"here", 0).as_deref(), Some(&b"yes"[..]));
        assert_eq!(found(b"here", 2), None);
        assert_eq!(found(b"elsewhere", 0), None);
        let wild = record(0xffff, [b"", b"", COOKIE, b"wild"]);
        assert_eq!(
            secret(&wild, Family::LOCAL, b"any", 7)
                .map(|found| found.1)
                .as_deref(),
            Some(&b"wild"[..])
        );
        assert_eq!(secret(&file[..9], Family::LOCAL, b"here", 0), None);
    }
}
