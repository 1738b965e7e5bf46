//! The published XML and the Rust proxy say the same: every member, every argument's name and
//! type, and every property's way of announcing changes.
//!
//! Both are read as text here, without a bus; that the daemon says the same on the bus, and that
//! each member works, is tested where the daemon is.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::{BTreeMap, HashMap};

use zbus::message::Message;
use zbus::{DBusError as _, Type, Variant};

/// A member by kind and name, with its arguments.
type Members = BTreeMap<String, String>;

/// The members in the XML, which has one element a line.
fn xml_members() -> Members {
    let mut members = Members::new();
    let mut current = String::new();
    for line in wstream_api::XML.lines().map(str::trim) {
        let value = |name: &str| attribute(line, name);
        if line.starts_with("<method") || line.starts_with("<signal") {
            let kind = &line[1..7];
            current = format!("{kind} {}", value("name").unwrap());
            members.insert(current.clone(), String::new());
        } else if line.starts_with("<property") {
            current = format!("property {}", value("name").unwrap());
            assert_eq!(value("access").as_deref(), Some("read"), "{current}");
            members.insert(current.clone(), value("type").unwrap());
        } else if line.starts_with("<arg") {
            let (name, of_type) = (value("name").unwrap(), value("type").unwrap());
            let member = members.get_mut(&current).unwrap();
            match value("direction").as_deref() {
                // Rust does not name what a method answers.
                Some("out") => member.push_str(&format!("→{of_type}")),
                _ => member.push_str(&format!("{name} {of_type};")),
            }
        } else if line.contains("EmitsChangedSignal") {
            let member = members.get_mut(&current).unwrap();
            member.push_str(&format!(" {}", value("value").unwrap()));
        }
    }
    members
}

fn attribute(line: &str, name: &str) -> Option<String> {
    let (_, rest) = line.split_once(&format!(" {name}=\""))?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// The members of the proxy trait, from its source.
fn proxy_members() -> Members {
    let source = include_str!("../src/proxy.rs");
    let (_, body) = source.split_once("pub trait Dictation {").unwrap();
    let code: String = body
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//"))
        .collect::<Vec<_>>()
        .join(" ");
    let mut members = Members::new();
    for declaration in code.split(';').filter(|text| text.contains("fn ")) {
        let (attributes, function) = declaration.split_once("fn ").unwrap();
        let (name, rest) = function.split_once('(').unwrap();
        let (arguments, answer) = rest.rsplit_once("->").unwrap();
        let (arguments, _) = arguments.rsplit_once(')').unwrap();
        let name = match attributes.split_once("name = \"") {
            Some((_, rest)) => rest.split_once('"').unwrap().0.to_owned(),
            None => pascal_case(name),
        };
        let kind = match attributes {
            text if text.contains("zbus(property") => "property",
            text if text.contains("zbus(signal") => "signal",
            _ => "method",
        };
        let mut shape = String::new();
        for argument in split_at_top(arguments).filter(|text| text.contains(':')) {
            let (name, of_type) = argument.split_once(':').unwrap();
            shape.push_str(&format!("{} {};", name.trim(), signature(of_type)));
        }
        let answer = signature(answer);
        match kind {
            "property" => shape = answer,
            "method" if !answer.is_empty() => shape.push_str(&format!("→{answer}")),
            _ => {}
        }
        if let Some((_, rest)) = attributes.split_once("emits_changed_signal = \"") {
            shape.push_str(&format!(" {}", rest.split_once('"').unwrap().0));
        }
        members.insert(format!("{kind} {name}"), shape);
    }
    members
}

/// Splits at commas that are not within brackets.
fn split_at_top(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    text.split(move |c| {
        match c {
            '<' | '(' => depth += 1,
            '>' | ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
}

fn pascal_case(name: &str) -> String {
    name.split('_')
        .map(|word| word[..1].to_uppercase() + &word[1..])
        .collect()
}

/// The D-Bus signature of a type as the proxy's source writes it.
fn signature(rust: &str) -> String {
    let rust = rust.trim();
    for wrapper in ["Result<", "zbus::Result<"] {
        if let Some(inner) = rust.strip_prefix(wrapper) {
            let inner = inner.strip_suffix('>').unwrap();
            return signature(split_at_top(inner).next().unwrap());
        }
    }
    match rust {
        "()" => String::new(),
        "u64" => u64::SIGNATURE.to_string(),
        "u32" => u32::SIGNATURE.to_string(),
        "i32" => i32::SIGNATURE.to_string(),
        "ObjectPath<'_>" => zbus::ObjectPath::<'_>::SIGNATURE.to_string(),
        "f64" => f64::SIGNATURE.to_string(),
        "bool" => bool::SIGNATURE.to_string(),
        "&str" | "String" => String::SIGNATURE.to_string(),
        "Fd<'_>" => zbus::Fd::<'_>::SIGNATURE.to_string(),
        "Vec<String>" => Vec::<String>::SIGNATURE.to_string(),
        "Vec<(String, String)>" => Vec::<(String, String)>::SIGNATURE.to_string(),
        "Vec<RecentFinal>" => Vec::<wstream_api::RecentFinal>::SIGNATURE.to_string(),
        "Vec<HashMap<String, OwnedVariant>>" => {
            Vec::<HashMap<String, zbus::OwnedVariant>>::SIGNATURE.to_string()
        }
        "HashMap<String, OwnedVariant>" => {
            HashMap::<String, zbus::OwnedVariant>::SIGNATURE.to_string()
        }
        "HashMap<&str, Variant<'_>>" => HashMap::<&str, Variant<'_>>::SIGNATURE.to_string(),
        other => panic!("what is {other} on the bus?"),
    }
}

#[test]
fn the_proxy_has_the_members_of_the_xml() {
    let (xml, proxy) = (xml_members(), proxy_members());
    assert_eq!(xml, proxy);
    // The readers see something.
    assert_eq!(xml["method Feed"], "sound h;options a{sv};→t");
    assert_eq!(xml["signal Level"], "rms d;");
    assert_eq!(xml["property Models"], "as false");
    assert!(xml.len() >= 32, "{}", xml.len());
}

#[test]
fn signals_are_read_by_the_published_types() {
    let details = || HashMap::from([("latency_ms", Variant::from(12.5))]);
    let signal = Message::signal(wstream_api::PATH, wstream_api::NAME, "Final")
        .build(&(7u64, "Hello.", details()))
        .unwrap();
    assert!(wstream_api::Partial::from_message(signal.clone()).is_none());
    let signal = wstream_api::Final::from_message(signal).unwrap();
    let said = signal.args().unwrap();
    assert_eq!((said.utterance, said.text), (7, "Hello."));
    assert_eq!(said.details, details());
}

#[test]
fn an_error_keeps_its_name_and_sentence() {
    for name in [
        "NoMicrophone",
        "MicrophoneBusy",
        "UnknownMicrophone",
        "MicrophoneLost",
        "MicrophoneSilent",
        "MicrophoneTooLoud",
        "BadSound",
        "SoundLost",
        "ModelMissing",
        "ModelInvalid",
        "CpuUnsupported",
        "EngineFailed",
        "RemoteRefused",
        "RemoteLost",
        "UnknownBackend",
        "Busy",
        "Locked",
        "BadOption",
        "BadConfig",
        "FilterFailed",
        "PluginFailed",
        "NotTyped",
        "Failed",
    ] {
        let full = format!("org.wstream.Dictation1.Error.{name}");
        for given in [name, &full] {
            let error = wstream_api::Error::from_name(given, "do this".to_owned());
            assert_eq!(error.name().as_str(), full);
            assert_eq!(error.message(), "do this");
        }
    }
    let other = wstream_api::Error::from_name("FromTheFuture", "do that".to_owned());
    assert!(matches!(other, wstream_api::Error::Failed(_)));
}
