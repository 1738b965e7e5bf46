//! Who is let in.
//!
//! Enters: where a client comes from and what it shows. Leaves: whether it gets a session, or what
//! it is told instead.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use super::answer::Answer;
use super::attempts::Attempts;
use super::request::Upgrade;
use super::tokens::Tokens;

/// Knows the tokens, and remembers who gave wrong ones.
#[derive(Debug)]
pub(super) struct Gate {
    /// `None`: everybody may.
    tokens: Option<Tokens>,
    /// Who may say for whom it speaks.
    proxies: Vec<IpAddr>,
    /// Held only to look something up.
    attempts: Mutex<Attempts>,
}

impl Gate {
    pub(super) fn new(tokens: Option<Tokens>, proxies: Vec<IpAddr>) -> Gate {
        Gate {
            tokens,
            proxies: proxies.iter().map(IpAddr::to_canonical).collect(),
            attempts: Mutex::default(),
        }
    }

    /// Whether a client at `peer` may have what it asks for; else what it is told.
    pub(super) fn admit(&self, peer: IpAddr, asked: &Upgrade, now: Instant) -> Result<(), Answer> {
        let Some(tokens) = &self.tokens else {
            return Ok(());
        };
        let Some(token) = &asked.token else {
            return Err(Answer::NO_TOKEN);
        };
        let from = self.origin(peer, asked);
        if let Some(wait) = self.attempts().wait(from, now) {
            return Err(Answer::too_many(wait));
        }
        if tokens.admit(token.bytes()) {
            return Ok(());
        }
        tracing::warn!(%from, "a wrong token");
        self.attempts().wrong(from, now);
        Err(Answer::NO_TOKEN)
    }

    /// Where the client sits: behind a proxy that we know, where that says.
    fn origin(&self, peer: IpAddr, asked: &Upgrade) -> IpAddr {
        let peer = peer.to_canonical();
        match asked.forwarded_for {
            Some(address) if self.proxies.contains(&peer) => address.to_canonical(),
            _ => peer,
        }
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts
            .lock()
            .expect("nothing that holds this lock can panic")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::request::{Asked, parse};

    fn asked(more: &str) -> Upgrade {
        let text = format!(
            "GET /ws/transcribe/prompt HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
        );
        match parse(text.as_bytes()) {
            Some((_, Asked::Session(upgrade))) => upgrade,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_right_token_is_needed_and_wrong_ones_have_to_wait() {
        let tokens = Tokens::parse("0123456789abcdef").unwrap();
        let gate = Gate::new(Some(tokens), Vec::new());
        let (now, peer) = (Instant::now(), IpAddr::from([192, 0, 2, 1]));
        let right = asked("Authorization: Bearer 0123456789abcdef\r\n");
        let wrong = asked("Authorization: Bearer 0123456789abcdeF\r\n");
        assert_eq!(gate.admit(peer, &right, now), Ok(()));
        // Whoever has none does not guess.
        for _ in 0..20 {
            assert_eq!(gate.admit(peer, &asked(""), now), Err(Answer::NO_TOKEN));
        }
        for _ in 0..5 {
            assert_eq!(gate.admit(peer, &wrong, now), Err(Answer::NO_TOKEN));
        }
        for asked in [&wrong, &right] {
            assert_eq!(gate.admit(peer, asked, now).unwrap_err().status, 429);
        }
        let other = IpAddr::from([192, 0, 2, 2]);
        assert_eq!(gate.admit(other, &right, now), Ok(()));
        assert_eq!(Gate::new(None, Vec::new()).admit(peer, &wrong, now), Ok(()));
    }

    #[test]
    fn only_a_known_proxy_speaks_for_others() {
        let proxy = IpAddr::from([10, 0, 0, 1]);
        let tokens = Tokens::parse("0123456789abcdef").unwrap();
        let gate = Gate::new(Some(tokens), vec![proxy]);
        let now = Instant::now();
        let wrong = |from: &str| {
            asked(&format!(
                "Authorization: Bearer nonsense\r\nX-Forwarded-For: {from}\r\n"
            ))
        };
        let status = |peer, asked: &Upgrade| gate.admit(peer, asked, now).unwrap_err().status;
        for _ in 0..5 {
            assert_eq!(status(proxy, &wrong("198.51.100.1")), 401);
        }
        assert_eq!(status(proxy, &wrong("198.51.100.1")), 429);
        assert_eq!(status(proxy, &wrong("198.51.100.2")), 401);
        // A stranger who says so is who he is.
        let stranger = IpAddr::from([192, 0, 2, 1]);
        for number in 0..5 {
            assert_eq!(
                status(stranger, &wrong(&format!("203.0.113.{number}"))),
                401
            );
        }
        assert_eq!(status(stranger, &wrong("203.0.113.9")), 429);
    }
}
