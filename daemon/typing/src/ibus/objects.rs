//! IBus's objects as it sends them: a structure with its name, attachments, and its fields. No
//! input or output.

use std::collections::HashMap;

use zbus::{Structure, Variant};

/// The name of our engine, and of its component.
pub(super) const ENGINE: &str = "wstream-dictation";
const COMPONENT: &str = "org.wstream.IBus.Dictation";

/// `IBUS_ATTR_TYPE_UNDERLINE`, and `IBUS_ATTR_UNDERLINE_SINGLE`.
const UNDERLINE: (u32, u32) = (1, 1);

/// A text, underlined or not.
pub(super) fn text(text: &str, underlined: bool) -> Variant<'static> {
    let length = text.chars().count() as u32;
    let (kind, value) = UNDERLINE;
    let line = object(
        "IBusAttribute",
        vec![kind.into(), value.into(), 0u32.into(), length.into()],
    );
    let lines = if underlined { vec![line] } else { Vec::new() };
    let list = object("IBusAttrList", vec![Variant::from(lines)]);
    object("IBusText", vec![owned(text), nested(list)])
}

/// What describes our engine to IBus.
pub(super) fn component() -> Variant<'static> {
    let mut fields: Vec<Variant<'static>> = [
        ENGINE,
        "Dictation",
        "Text from wstream",
        "other",
        "MIT OR Apache-2.0",
        "wstream",
        "audio-input-microphone",
        // The layout stays as it is.
        "default",
    ]
    .into_iter()
    .map(owned)
    .collect();
    // Its rank, below all that a user chooses.
    fields.push(0u32.into());
    // Keys, symbol, set-up, variant and option of the layout, version, domain, property.
    fields.extend((0..8).map(|_| owned("")));
    let engine = object("IBusEngineDesc", fields);
    let mut fields: Vec<Variant<'static>> = [
        COMPONENT,
        "Dictation",
        env!("CARGO_PKG_VERSION"),
        "MIT OR Apache-2.0",
        "wstream",
        env!("CARGO_PKG_REPOSITORY"),
        // It runs already.
        "",
        "wstream",
    ]
    .into_iter()
    .map(owned)
    .collect();
    fields.push(Variant::from(Vec::<Variant<'static>>::new()));
    fields.push(Variant::from(vec![engine]));
    object("IBusComponent", fields)
}

/// The first field of an object: a text's text, an engine's name.
pub(super) fn first_field(object: &Variant<'_>) -> Option<String> {
    match object {
        Variant::Variant(inner) => first_field(inner),
        Variant::Structure(object) => match object.fields().get(2)? {
            Variant::Str(text) => Some(text.to_string()),
            _ => None,
        },
        _ => None,
    }
}

fn object(name: &'static str, fields: Vec<Variant<'static>>) -> Variant<'static> {
    let attachments: HashMap<String, Variant<'static>> = HashMap::new();
    let mut object = Structure::builder()
        .append_field(owned(name))
        .append_field(Variant::from(attachments));
    for field in fields {
        object = object.append_field(field);
    }
    let object = object.build();
    Variant::from(object.expect("an object has a name"))
}

fn owned(text: &str) -> Variant<'static> {
    Variant::from(text.to_owned())
}

fn nested(object: Variant<'static>) -> Variant<'static> {
    Variant::Variant(Box::new(object))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_have_the_signatures_that_ibus_reads() {
        let signature = |object: &Variant<'_>| object.value_signature().to_string();
        assert_eq!(signature(&text("wörd", true)), "(sa{sv}sv)");
        assert_eq!(signature(&component()), "(sa{sv}ssssssssavav)");
        assert_eq!(first_field(&text("wörd", false)).as_deref(), Some("wörd"));
        assert_eq!(first_field(&nested(text("", false))).as_deref(), Some(""));
    }
}
