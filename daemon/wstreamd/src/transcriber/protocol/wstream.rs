//! Our own protocol: version 2 where the server chooses it, else version 1.

use wstream_wire::{path, v2 as wire};

use super::{Asked, Credential, Entry, Protocol, Request, Transport, v1, v2};

/// See [`super::PROTOCOLS`].
pub(super) const ENTRY: Entry = Entry {
    name: "wstream",
    transport: Transport::WebSocket,
    port: None,
    credential: Some(Credential::BEARER),
    server_vad: false,
    request,
    new,
};

/// The strategy's place is behind whatever path a proxy needs; one that is there already is
/// replaced.
fn request(asked: &Asked) -> Request {
    let front = asked.path.split(path::PREFIX).next().unwrap_or_default();
    let front = front.trim_end_matches('/');
    let mut target = format!("{front}{}", path::of(asked.manner.strategy));
    if !asked.query.is_empty() {
        target = format!("{target}?{}", asked.query);
    }
    Request {
        target,
        headers: Vec::new(),
        subprotocols: &[wire::SUBPROTOCOL],
    }
}

fn new(asked: &Asked, subprotocol: Option<&str>) -> Option<Box<dyn Protocol>> {
    match subprotocol {
        None => Some(Box::new(v1::V1::new(asked.manner.strategy))),
        Some(wire::SUBPROTOCOL) => Some(Box::new(v2::V2::default())),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strategy_is_put_behind_whatever_path_there_is() {
        for (path, query, target) in [
            ("", "", "/ws/transcribe/prompt"),
            ("/a/b", "", "/a/b/ws/transcribe/prompt"),
            ("/ws/transcribe/hybrid", "", "/ws/transcribe/prompt"),
            ("/a", "x=1", "/a/ws/transcribe/prompt?x=1"),
        ] {
            let asked = Asked {
                path: path.to_owned(),
                query: query.to_owned(),
                ..Asked::default()
            };
            assert_eq!(request(&asked).target, target);
        }
    }
}
