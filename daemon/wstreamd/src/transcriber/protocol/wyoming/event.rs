//! The framing of Wyoming: a line of JSON, then perhaps more JSON, then perhaps bytes. No input or
//! output.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use wstream_wire::MAX_MESSAGE_BYTES;

use crate::transcriber::protocol::NotUnderstood;

/// An event without its payload: servers of speech send none that matters to us.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    /// What it is.
    pub(super) kind: String,
    data: Map<String, Value>,
}

impl Event {
    /// What it says.
    pub(super) fn data<T: DeserializeOwned>(self) -> Result<T, NotUnderstood> {
        let Event { kind, data } = self;
        let what = |_| NotUnderstood::Other(format!("an event {kind:?} of another shape"));
        T::deserialize(Value::Object(data)).map_err(what)
    }
}

/// The first line of an event.
#[derive(Debug, Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    data: Option<Map<String, Value>>,
    #[serde(default)]
    data_length: Option<usize>,
    #[serde(default)]
    payload_length: Option<usize>,
}

/// Takes bytes, cut anywhere, and gives events.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// What is not read yet; never longer than one event and what came with its end.
    bytes: Vec<u8>,
    /// How much of `bytes` is known to hold no line's end.
    searched: usize,
    /// The event whose rest is still to come, with where its line ends.
    begun: Option<(Head, usize)>,
}

impl Reader {
    /// The next bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next event, once it is there as a whole.
    pub(super) fn next(&mut self) -> Result<Option<Event>, NotUnderstood> {
        let begun = match self.begun.take() {
            None => self.head()?,
            begun => begun,
        };
        let Some((head, line_end)) = begun else {
            return Ok(None);
        };
        let data_end = line_end.saturating_add(head.data_length.unwrap_or(0));
        let end = data_end.saturating_add(head.payload_length.unwrap_or(0));
        check_length(end)?;
        if self.bytes.len() < end {
            self.begun = Some((head, line_end));
            return Ok(None);
        }
        let mut data = head.data.unwrap_or_default();
        if data_end > line_end {
            let more: Map<String, Value> = parse(&self.bytes[line_end..data_end])?;
            data.extend(more);
        }
        self.bytes.drain(..end);
        self.searched = 0;
        let kind = head.kind;
        Ok(Some(Event { kind, data }))
    }

    /// The next line, with where it ends.
    fn head(&mut self) -> Result<Option<(Head, usize)>, NotUnderstood> {
        let unsearched = &self.bytes[self.searched..];
        let Some(end) = unsearched.iter().position(|&byte| byte == b'\n') else {
            self.searched = self.bytes.len();
            return check_length(self.searched).map(|()| None);
        };
        let line_end = self.searched + end + 1;
        Ok(Some((parse(&self.bytes[..line_end])?, line_end)))
    }
}

/// The bytes of an event.
pub(super) fn encode(kind: &str, data: &Value, payload: &[u8]) -> Vec<u8> {
    let mut head = serde_json::json!({"type": kind, "data": data});
    if !payload.is_empty() {
        head["payload_length"] = payload.len().into();
    }
    let mut bytes = head.to_string().into_bytes();
    bytes.push(b'\n');
    bytes.extend_from_slice(payload);
    bytes
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, NotUnderstood> {
    let malformed = |_| NotUnderstood::Other("an event that is no JSON object".to_owned());
    serde_json::from_slice(bytes).map_err(malformed)
}

fn check_length(bytes: usize) -> Result<(), NotUnderstood> {
    if bytes <= MAX_MESSAGE_BYTES {
        return Ok(());
    }
    let what = format!("an event of more than {MAX_MESSAGE_BYTES} bytes");
    Err(NotUnderstood::Other(what))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(reader: &mut Reader) -> Vec<Event> {
        std::iter::from_fn(|| reader.next().unwrap()).collect()
    }

    /// However a stream is cut, the same events come.
    #[test]
    fn events_come_whole() {
        let stream = b"{\"type\":\"a\"}\n\
            {\"type\":\"b\",\"data\":{\"x\":1,\"y\":1},\"data_length\":7}\n{\"y\":2}\
            {\"type\":\"c\",\"data\":null,\"data_length\":null,\"payload_length\":3}\n\n\n\n\
            {\"type\":\"d\",\"data_length\":0}\n";
        let mut whole = Reader::default();
        whole.push(stream);
        let events = read(&mut whole);
        let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(kinds, ["a", "b", "c", "d"]);
        assert_eq!(events[1].data["x"], 1);
        assert_eq!(events[1].data["y"], 2);
        for size in 1..stream.len() {
            let mut reader = Reader::default();
            let mut cut = Vec::new();
            for piece in stream.chunks(size) {
                reader.push(piece);
                cut.extend(read(&mut reader));
            }
            assert_eq!(cut, events, "in pieces of {size}");
            assert!(reader.bytes.is_empty());
        }
    }

    #[test]
    fn what_it_encodes_it_reads() {
        let data = serde_json::json!({"rate": 16000});
        let mut reader = Reader::default();
        reader.push(&encode("audio-chunk", &data, b"\n\n\0{"));
        reader.push(&encode("audio-stop", &serde_json::json!({}), &[]));
        let events = read(&mut reader);
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].kind, "audio-chunk");
        assert_eq!(events[0].data["rate"], 16000);
        assert!(events[1].data.is_empty());
    }

    #[test]
    fn a_stream_that_is_none_is_refused() {
        let long = vec![b'x'; MAX_MESSAGE_BYTES + 1];
        let cases: [&[u8]; 8] = [
            b"\n",
            b"[]\n",
            b"{}\n",
            b"{\"type\":1}\n",
            b"{\"type\":\"a\",\"data_length\":-1}\n",
            b"{\"type\":\"a\",\"payload_length\":18446744073709551615}\n",
            b"{\"type\":\"a\",\"data_length\":1}\nx",
            &long,
        ];
        for bytes in cases {
            let mut reader = Reader::default();
            reader.push(bytes);
            assert!(reader.next().is_err());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_at_all_break_it(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
        ) {
            let mut reader = Reader::default();
            for piece in pieces {
                reader.push(&piece);
                while let Ok(Some(_)) = reader.next() {}
            }
        }
    }
}
