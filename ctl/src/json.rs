//! Events as lines of JSON: an object that keeps its order, and the bus's values in it. No input or
//! output.

use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};
use serde_json::{Value, json};
use wstream_api::keys;
use zbus::Variant;

use crate::event::Details;

/// A JSON object that keeps the order in which it was filled, so that a line reads from its type
/// on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object(Vec<(String, Value)>);

impl Object {
    /// An object with `"type": name`.
    pub(crate) fn new(name: &str) -> Self {
        Object(vec![("type".to_owned(), Value::from(name))])
    }

    /// An object without a type.
    pub(crate) fn plain() -> Self {
        Object(Vec::new())
    }

    /// Adds `key`, unless it is there already: arguments win over details of the same name.
    pub(crate) fn with(mut self, key: &str, value: impl Serialize) -> Self {
        if !self.0.iter().any(|(name, _)| name == key) {
            self.0.push((key.to_owned(), json!(value)));
        }
        self
    }

    /// Puts `key` behind the first member.
    pub(crate) fn with_second(mut self, key: &str, value: &str) -> Self {
        self.0
            .insert(self.0.len().min(1), (key.to_owned(), Value::from(value)));
        self
    }

    /// Adds each detail under its own name.
    pub(crate) fn with_details(self, details: &Details) -> Self {
        details.iter().fold(self, |object, (key, value)| {
            object.with(key, detail_to_json(key, value))
        })
    }

    /// The text called `key`.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.members().find(|(name, _)| *name == key)?.1.as_str()
    }

    /// The number called `key`.
    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.members().find(|(name, _)| *name == key)?.1.as_u64()
    }

    /// The members in their order.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// One line of JSON. Control characters that JSON allows, but terminals act on, are escaped.
    pub(crate) fn to_line(&self) -> String {
        let json = serde_json::to_string(self).expect("keys are strings and values are plain");
        if !json.chars().any(char::is_control) {
            return json;
        }
        // They can only stand within strings, where an escape means the same.
        let mut line = String::with_capacity(json.len());
        for c in json.chars() {
            if c.is_control() {
                line.push_str(&format!("\\u{:04x}", u32::from(c)));
            } else {
                line.push(c);
            }
        }
        line
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

fn detail_to_json(key: &str, value: &Variant<'_>) -> Value {
    if key == keys::SEGMENTS
        && let Variant::Array(segments) = value
    {
        return segments.iter().map(segment_to_json).collect();
    }
    to_json(value)
}

/// A segment `(dds)` as an object, because nobody remembers what stands first.
fn segment_to_json(segment: &Variant<'_>) -> Value {
    let Variant::Structure(segment) = segment else {
        return to_json(segment);
    };
    match segment.fields() {
        [start, end, text] => json!({
            "start": to_json(start),
            "end": to_json(end),
            "text": to_json(text),
        }),
        other => other.iter().map(to_json).collect(),
    }
}

/// Any value of the bus as JSON; what JSON has no name for becomes null.
fn to_json(value: &Variant<'_>) -> Value {
    match value {
        Variant::U8(number) => json!(number),
        Variant::Bool(truth) => json!(truth),
        Variant::I16(number) => json!(number),
        Variant::U16(number) => json!(number),
        Variant::I32(number) => json!(number),
        Variant::U32(number) => json!(number),
        Variant::I64(number) => json!(number),
        Variant::U64(number) => json!(number),
        Variant::F64(number) => json!(number),
        Variant::Str(text) => json!(text.as_str()),
        Variant::ObjectPath(path) => json!(path.as_str()),
        Variant::Signature(signature) => json!(signature.to_string()),
        Variant::Variant(inner) => to_json(inner),
        Variant::Array(items) => items.iter().map(to_json).collect(),
        Variant::Structure(structure) => structure.fields().iter().map(to_json).collect(),
        Variant::Dict(dict) => {
            let mut object = serde_json::Map::new();
            for (key, value) in dict.iter() {
                let key = match to_json(key) {
                    Value::String(key) => key,
                    other => other.to_string(),
                };
                object.insert(key, to_json(value));
            }
            Value::Object(object)
        }
        _ => Value::Null,
    }
}
