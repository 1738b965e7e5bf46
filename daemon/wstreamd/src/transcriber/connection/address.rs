//! A remote's URL taken apart.

use std::net::IpAddr;

use tokio_tungstenite::tungstenite::http::Uri;

use crate::transcriber::protocol::{Entry, Transport};

/// Where a remote is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::transcriber) struct Address {
    /// Whether everything is encrypted.
    pub(in crate::transcriber) tls: bool,
    /// Without the brackets of an IPv6 address.
    pub(in crate::transcriber) host: String,
    /// What the `Host` header says.
    pub(in crate::transcriber) authority: String,
    pub(in crate::transcriber) port: u16,
    /// Without a `/` at its end.
    pub(in crate::transcriber) path: String,
    /// Without the `?`.
    pub(in crate::transcriber) query: String,
}

impl Address {
    /// Where `url` points for a protocol; an error says what is wrong and what is allowed, without
    /// the URL.
    pub(in crate::transcriber) fn parse(url: &str, entry: &Entry) -> Result<Self, String> {
        let (schemes, usual) = match entry.transport {
            Transport::WebSocket => ("ws:// or wss://", "ws://HOST:PORT or wss://HOST:PORT"),
            Transport::Stream => ("tcp://", "tcp://HOST:PORT"),
        };
        let bad = |what: &str| format!("{what}: use {usual}");
        let uri: Uri = url.parse().map_err(|_| bad("cannot be read"))?;
        let (tls, port) = match (entry.transport, uri.scheme_str()) {
            (Transport::WebSocket, Some("ws")) => (false, Some(80)),
            (Transport::WebSocket, Some("wss")) => (true, Some(443)),
            (Transport::Stream, Some("tcp")) => (false, None),
            _ => return Err(bad(&format!("must begin with {schemes}"))),
        };
        let authority = uri.authority().map(|it| it.as_str()).unwrap_or_default();
        if authority.contains('@') {
            let problem = "has a user and a password in it, which do not belong in this file: put \
                           the secret into a file of its own and name it in token_file";
            return Err(problem.to_owned());
        }
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| bad("names no host"))?;
        let port = uri.port_u16().or(entry.port).or(port);
        Ok(Address {
            tls,
            host: host.trim_matches(['[', ']']).to_owned(),
            authority: authority.to_owned(),
            port: port.ok_or_else(|| bad("names no port"))?,
            path: uri.path().trim_end_matches('/').to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
        })
    }

    /// Whether what is sent there does not leave this machine.
    pub(in crate::transcriber) fn is_this_machine(&self) -> bool {
        let address: Option<IpAddr> = self.host.parse().ok();
        self.host == "localhost" || address.is_some_and(|address| address.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcriber::protocol::PROTOCOLS;

    #[test]
    fn urls_are_taken_apart() {
        for (url, tls, host, port, path, query) in [
            ("ws://h:8765", false, "h", 8765, "", ""),
            ("ws://h", false, "h", 80, "", ""),
            ("wss://h", true, "h", 443, "", ""),
            ("ws://h:1/", false, "h", 1, "", ""),
            ("wss://h:1/a/b/?x=1&y", true, "h", 1, "/a/b", "x=1&y"),
            ("ws://[::1]:9", false, "::1", 9, "", ""),
        ] {
            let address = Address::parse(url, &PROTOCOLS[0]).unwrap();
            assert_eq!(
                (address.tls, address.host.as_str(), address.port),
                (tls, host, port)
            );
            assert_eq!(
                (address.path.as_str(), address.query.as_str()),
                (path, query)
            );
        }
        for url in ["", "h", "ws://", "http://h", "tcp://h:1", "ws:///x"] {
            assert!(Address::parse(url, &PROTOCOLS[0]).is_err(), "{url}");
        }
        let problem = Address::parse("wss://me:hush@h", &PROTOCOLS[0]).unwrap_err();
        assert!(
            problem.contains("token_file") && !problem.contains("hush"),
            "{problem}"
        );
    }
}
