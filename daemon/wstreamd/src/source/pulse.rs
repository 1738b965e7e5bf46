//! A connection of our own to PulseAudio, or to PipeWire in its place, for what cpal does not ask, or
//! not often enough.

use std::ffi::CString;
use std::io::{self, BufReader};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use pulseaudio::protocol::{
    self, AuthParams, AuthReply, Command, CommandReply, MAX_VERSION, Prop, Props, ProtocolError,
    ServerInfo, SetClientNameReply,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long the server may take for each answer; it takes milliseconds.
const ANSWER: Duration = Duration::from_secs(2);

/// A connection behind its handshake.
#[derive(Debug)]
pub(super) struct Line<'a> {
    reader: BufReader<&'a UnixStream>,
    version: u16,
    /// The next command's.
    number: u32,
}

/// A socket to the server that the environment names.
pub(super) fn connect() -> io::Result<UnixStream> {
    let path = pulseaudio::socket_path_from_env()
        .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    UnixStream::connect(path)
}

/// What the server calls its default source. Blocks for some seconds at most.
///
/// A connection that has lasted may be told another than a new one: in one of some twenty rounds
/// PipeWire 0.3.65 went on naming to cpal's what it had fallen back to while there was no microphone.
pub(super) fn default_source() -> Result<Option<String>, ProtocolError> {
    let socket = connect()?;
    Line::greet(&socket)?.default_source()
}

impl<'a> Line<'a> {
    /// Says who we are.
    pub(super) fn greet(socket: &'a UnixStream) -> Result<Self, ProtocolError> {
        socket.set_read_timeout(Some(ANSWER))?;
        socket.set_write_timeout(Some(ANSWER))?;
        let cookie = pulseaudio::cookie_path_from_env().and_then(|path| std::fs::read(path).ok());
        let auth = AuthParams {
            version: MAX_VERSION,
            supports_shm: false,
            supports_memfd: false,
            cookie: cookie.unwrap_or_default(),
        };
        let mut line = Line {
            reader: BufReader::new(socket),
            version: MAX_VERSION,
            number: 0,
        };
        let reply: AuthReply = line.ask(&Command::Auth(auth))?;
        line.version = reply.version.min(MAX_VERSION);
        let mut properties = Props::new();
        properties.set(Prop::ApplicationName, CString::from(c"wstreamd"));
        line.ask::<SetClientNameReply>(&Command::SetClientName(properties))?;
        Ok(line)
    }

    /// Sends a command and waits for what it asks for.
    pub(super) fn ask<T: CommandReply>(&mut self, command: &Command) -> Result<T, ProtocolError> {
        self.send(command)?;
        let (_, reply) = protocol::read_reply_message(&mut self.reader, self.version)?;
        Ok(reply)
    }

    /// Sends a command and waits until the server has taken it.
    pub(super) fn order(&mut self, command: &Command) -> Result<(), ProtocolError> {
        self.send(command)?;
        protocol::read_ack_message(&mut self.reader).map(|_| ())
    }

    fn default_source(&mut self) -> Result<Option<String>, ProtocolError> {
        let info: ServerInfo = self.ask(&Command::GetServerInfo)?;
        let name = info.default_source_name;
        Ok(name.map(|name| name.to_string_lossy().into_owned()))
    }

    /// Waits for the next that the server says by itself.
    pub(super) fn hear(&mut self) -> Result<Command, ProtocolError> {
        let (_, command) = protocol::read_command_message(&mut self.reader, self.version)?;
        Ok(command)
    }

    /// Whether something more comes within `limit`.
    pub(super) fn says_more(&self, limit: Duration) -> io::Result<bool> {
        if !self.reader.buffer().is_empty() {
            return Ok(true);
        }
        let mut socket = [PollFd::new(*self.reader.get_ref(), PollFlags::IN)];
        let limit = Timespec::try_from(limit).ok();
        Ok(poll(&mut socket, limit.as_ref())? > 0)
    }

    fn send(&mut self, command: &Command) -> Result<(), ProtocolError> {
        let number = self.number;
        self.number += 1;
        protocol::write_command_message(self.reader.get_mut(), number, command, self.version)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use pulseaudio::protocol::{
        SubscriptionEvent, SubscriptionEventFacility, SubscriptionEventType,
    };

    use super::*;

    /// A server's end of the connection, behind the handshake.
    pub(in super::super) struct Server(BufReader<UnixStream>);

    impl Server {
        /// Answers whoever connects.
        pub(in super::super) fn greet(socket: UnixStream) -> Self {
            let mut server = Server(BufReader::new(socket));
            let (number, command) = server.hear();
            assert!(matches!(command, Command::Auth(_)));
            let reply = AuthReply {
                version: MAX_VERSION,
                use_memfd: false,
                use_shm: false,
            };
            server.answer(number, &reply);
            let (number, command) = server.hear();
            assert!(matches!(command, Command::SetClientName(_)));
            server.answer(number, &SetClientNameReply { client_id: 7 });
            server
        }

        pub(in super::super) fn hear(&mut self) -> (u32, Command) {
            protocol::read_command_message(&mut self.0, MAX_VERSION).expect("a command")
        }

        pub(in super::super) fn answer(&mut self, number: u32, reply: &impl CommandReply) {
            let to = self.0.get_mut();
            protocol::write_reply_message(to, number, reply, MAX_VERSION).expect("sent");
        }

        pub(in super::super) fn agree(&mut self, number: u32) {
            protocol::write_ack_message(self.0.get_mut(), number).expect("sent");
        }

        pub(in super::super) fn say(
            &mut self,
            facility: SubscriptionEventFacility,
            kind: SubscriptionEventType,
        ) {
            let event = Command::SubscribeEvent(SubscriptionEvent {
                event_facility: facility,
                event_type: kind,
                index: Some(3),
            });
            let to = self.0.get_mut();
            protocol::write_command_message(to, u32::MAX, &event, MAX_VERSION).expect("sent");
        }
    }

    #[test]
    fn the_default_is_asked_for() {
        for name in [Some(c"alsa_input.usb-blue"), None] {
            let (ours, theirs) = UnixStream::pair().expect("a pair");
            let server = std::thread::spawn(move || {
                let mut server = Server::greet(theirs);
                let (number, command) = server.hear();
                assert!(matches!(command, Command::GetServerInfo));
                let info = ServerInfo {
                    default_source_name: name.map(CString::from),
                    ..ServerInfo::default()
                };
                server.answer(number, &info);
            });
            let mut line = Line::greet(&ours).expect("a server");
            let default = line.default_source().expect("an answer");
            assert_eq!(default.as_deref(), name.and_then(|it| it.to_str().ok()));
            server.join().expect("it has answered");
        }
    }
}
