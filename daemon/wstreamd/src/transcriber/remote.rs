//! What is known of a server of somebody else's before it is connected: its place, what it is
//! spoken to in, its credential, its times. No input or output.

use std::path::PathBuf;
use std::time::Duration;

use super::connection::Address;
use super::credential::TokenFrom;
use super::protocol::{self, Entry, PROTOCOLS, Transport};

/// The protocol of a remote that names none.
pub const DEFAULT_PROTOCOL: &str = PROTOCOLS[0].name;

/// A server of somebody else's, as configured. Holds where its secret is, never the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// As the configuration and the bus call it.
    pub name: String,
    /// `ws://`, `wss://` or `tcp://`, a host and a port, perhaps a path and a query.
    pub url: String,
    /// A name from the table of protocols.
    pub protocol: String,
    /// The model that is asked for; `None`: the server's own choice.
    pub model: Option<String>,
    /// Instead of the daemon's language; a session's own comes before it.
    pub language: Option<String>,
    /// Where its secret is.
    pub token: Option<TokenFrom>,
    /// The header that the bare secret goes into; `None`: where the protocol has it.
    pub token_header: Option<String>,
    /// Certificates to trust beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// How long it may take to accept a connection.
    pub connect_timeout: Duration,
    /// How long it may be silent while it owes something; a final may take ten times as long.
    pub answer_timeout: Duration,
    /// Who takes over when it is away.
    pub fallback: Option<Fallback>,
    /// Whether it is connected as soon as dictation starts; otherwise when somebody speaks.
    pub early: bool,
    /// How long a connection with nothing to do is kept; `None`: for good.
    pub idle_disconnect: Option<Duration>,
    /// Whether the server finds the ends of speech itself.
    pub server_vad: bool,
}

/// Who takes over, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// `local`, or another remote's name.
    pub to: String,
    /// How long the remote may be in trouble before that.
    pub after: Duration,
    /// How long it must have been well before utterances go to it again.
    pub well_for: Duration,
}

impl Default for Remote {
    fn default() -> Self {
        Remote {
            name: String::new(),
            url: String::new(),
            protocol: DEFAULT_PROTOCOL.to_owned(),
            model: None,
            language: None,
            token: None,
            token_header: None,
            ca_file: None,
            // Three retransmissions of a lost SYN, and a busy server's TLS.
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(30),
            fallback: None,
            early: true,
            idle_disconnect: Some(Duration::from_secs(300)),
            server_vad: false,
        }
    }
}

/// A key of a remote that does not fit the others.
#[derive(Debug, PartialEq, Eq)]
pub struct BadRemote {
    /// Which.
    pub key: &'static str,
    /// What is wrong with it and what is allowed.
    pub problem: String,
}

/// Headers that belong to HTTP and WebSocket themselves.
const TAKEN_HEADERS: [&str; 4] = ["host", "connection", "upgrade", "sec-websocket-"];

impl Remote {
    /// Whether the keys fit each other, the protocol and the URL.
    pub fn check(&self) -> Result<(), BadRemote> {
        let bad = |key, problem| Err(BadRemote { key, problem });
        let Some(entry) = protocol::named(&self.protocol) else {
            let names: Vec<String> = (PROTOCOLS.iter())
                .map(|entry| format!("{:?}", entry.name))
                .collect();
            return bad("protocol", format!("not known: use {}", names.join(", ")));
        };
        let address = match Address::parse(&self.url, entry) {
            Ok(address) => address,
            Err(problem) => return bad("url", problem),
        };
        if self.token.is_some() && entry.credential.is_none() {
            let problem = format!("{} has no credentials: leave it out", entry.name);
            return bad("token_file", problem);
        }
        if let Some(header) = &self.token_header {
            let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            let name = header.to_ascii_lowercase();
            let is_taken = TAKEN_HEADERS.iter().any(|taken| name.starts_with(taken));
            if !header.bytes().all(is_token) || is_taken {
                let problem = "not a header for a secret: use a name such as \"X-API-Key\"";
                return bad("token_header", problem.to_owned());
            }
            if self.token.is_none() {
                let problem = "there is no secret to put in it: add token_file";
                return bad("token_header", problem.to_owned());
            }
        }
        if self.ca_file.is_some() && !address.tls {
            let problem = "only wss:// has certificates: leave it out, or use wss:// in url";
            return bad("ca_file", problem.to_owned());
        }
        if self.server_vad && !entry.server_vad {
            let problem = format!("{} has no such thing: leave it out", entry.name);
            return bad("server_vad", problem);
        }
        Ok(())
    }

    /// What works but should be looked at, each a sentence that begins with the key.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let Some(token) = &self.token else {
            return warnings;
        };
        let name = &self.name;
        if let Some(path) = token.file_open_to_others() {
            let path = path.display();
            warnings.push(format!(
                "remote.{name}: others can read the secret in {path}: say `chmod 600 {path}`"
            ));
        }
        let address = protocol::named(&self.protocol)
            .and_then(|entry: &Entry| Address::parse(&self.url, entry).ok());
        if address.is_some_and(|address| !address.tls && !address.is_this_machine()) {
            warnings.push(format!(
                "remote.{name}: its secret and what is said go over the network for everybody to \
                 read: use wss:// in url"
            ));
        }
        warnings
    }

    /// Its line in the table of protocols, and where it is; an error is a sentence.
    pub(super) fn place(&self) -> Result<(&'static Entry, Address), String> {
        self.check().map_err(|bad| {
            let BadRemote { key, problem } = bad;
            format!("remote.{}.{key}: {problem}", self.name)
        })?;
        let entry = protocol::named(&self.protocol).unwrap_or(&PROTOCOLS[0]);
        let address = Address::parse(&self.url, entry)?;
        debug_assert!(!address.tls || entry.transport == Transport::WebSocket);
        Ok((entry, address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_do_not_fit_are_named() {
        let good = Remote {
            name: "r".to_owned(),
            url: "wss://h:1/path".to_owned(),
            token: Some(TokenFrom::Env("TOKEN".to_owned())),
            token_header: Some("X-API-Key".to_owned()),
            ca_file: Some("/ca.pem".into()),
            ..Remote::default()
        };
        assert_eq!(good.check(), Ok(()));
        type Change = fn(&mut Remote);
        let cases: [(Change, &str); 8] = [
            (|r| r.protocol = "klingon".to_owned(), "protocol"),
            (|r| r.url = "http://h".to_owned(), "url"),
            (|r| r.url = "wss://me:secret@h".to_owned(), "url"),
            (|r| r.url = "ws://h".to_owned(), "ca_file"),
            (|r| r.token_header = Some("Host".to_owned()), "token_header"),
            (|r| r.token_header = Some("a b".to_owned()), "token_header"),
            (|r| r.token = None, "token_header"),
            (|r| r.server_vad = true, "server_vad"),
        ];
        for (change, key) in cases {
            let mut remote = good.clone();
            change(&mut remote);
            let bad = remote.check().unwrap_err();
            assert_eq!(bad.key, key, "{bad:?}");
            assert!(!bad.problem.contains("secret@"), "{bad:?}");
        }
    }

    #[test]
    fn a_secret_in_the_clear_is_warned_of() {
        let mut remote = Remote {
            name: "r".to_owned(),
            url: "ws://192.168.1.20:8765".to_owned(),
            token: Some(TokenFrom::Env("TOKEN".to_owned())),
            ..Remote::default()
        };
        assert_eq!(remote.warnings().len(), 1);
        for url in [
            "wss://192.168.1.20:8765",
            "ws://localhost:1",
            "ws://[::1]:1",
        ] {
            remote.url = url.to_owned();
            assert!(remote.warnings().is_empty(), "{url}");
        }
    }
}
