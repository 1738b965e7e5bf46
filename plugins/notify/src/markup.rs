//! A notification's texts for what a server can show. No input or output.

use crate::view::{Kind, Note};

/// What a server says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// It shows a text below the title.
    pub(crate) body: bool,
    /// That text may have markup.
    pub(crate) dim: Dim,
}

/// How words that may change are told from those that stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Dim {
    /// Not at all: the text is taken as it is.
    #[default]
    No,
    /// By what the specification has: italics.
    Italic,
    /// By Pango's markup, which goes beyond it.
    Alpha,
}

/// Servers that hand a body to Pango, by their names as they tell them.
const PANGO: [&str; 2] = ["dunst", "mako"];

impl Abilities {
    /// From `GetCapabilities` and the name in `GetServerInformation`.
    pub(crate) fn new(capabilities: &[String], server: &str) -> Self {
        let has = |name: &str| capabilities.iter().any(|capability| capability == name);
        Abilities {
            body: has("body"),
            dim: match has("body-markup") {
                false => Dim::No,
                true if PANGO.contains(&server.to_lowercase().as_str()) => Dim::Alpha,
                true => Dim::Italic,
            },
        }
    }
}

/// Title and body, as they are sent.
pub(crate) fn texts(note: &Note, abilities: Abilities, characters: usize) -> (String, String) {
    let title = match note.kind {
        Kind::Listening => "Listening",
        Kind::Speaking => "Dictating",
        Kind::Said => "Dictated",
        Kind::Error => "Dictation failed",
    };
    let (committed, tentative) = end_of(note, characters);
    if !abilities.body {
        let words = format!("{committed}{tentative}").replace('\n', " ");
        let title = if words.trim().is_empty() {
            title.to_owned()
        } else {
            words
        };
        return (title, String::new());
    }
    let body = match abilities.dim {
        Dim::No => format!("{committed}{tentative}"),
        dim => {
            let (kept, rest) = (escaped(&committed), escaped(&tentative));
            match dim {
                _ if rest.trim().is_empty() => kept,
                Dim::Alpha => format!("{kept}<span alpha=\"55%\">{rest}</span>"),
                _ => format!("{kept}<i>{rest}</i>"),
            }
        }
    };
    (title.to_owned(), body)
}

/// The last of its words, such that both parts have no more than `most` characters.
fn end_of(note: &Note, most: usize) -> (String, String) {
    let (committed, tentative) = (plain(&note.committed), plain(&note.tentative));
    let count = committed.chars().count() + tentative.chars().count();
    if count <= most {
        return (committed, tentative);
    }
    let mut left = count - most;
    let mut cut = |text: String| {
        let skipped = left.min(text.chars().count());
        left -= skipped;
        let at = text
            .char_indices()
            .nth(skipped)
            .map_or(text.len(), |(at, _)| at);
        let rest = &text[at..];
        // From a whole word on, where there is one.
        let word = if skipped == 0 {
            0
        } else {
            rest.find(' ').unwrap_or(0)
        };
        (skipped > 0, rest[word..].trim_start().to_owned(), text)
    };
    let (was_cut, start, _) = cut(committed);
    let (rest_was_cut, rest, whole) = cut(tentative);
    match (start.is_empty(), rest_was_cut) {
        (true, true) => (String::new(), format!("…{rest}")),
        (true, false) => (String::from(if was_cut { "…" } else { "" }), whole),
        _ => (format!("…{start}"), whole),
    }
}

/// Without control characters; lines stay lines.
fn plain(text: &str) -> String {
    let keep = |c: char| if c.is_control() && c != '\n' { ' ' } else { c };
    text.chars().map(keep).collect()
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(committed: &str, tentative: &str) -> Note {
        Note {
            kind: Kind::Speaking,
            committed: committed.to_owned(),
            tentative: tentative.to_owned(),
            lasts: None,
        }
    }

    fn abilities(capabilities: &[&str], server: &str) -> Abilities {
        let capabilities: Vec<String> = capabilities.iter().map(|&c| c.to_owned()).collect();
        Abilities::new(&capabilities, server)
    }

    #[test]
    fn each_server_gets_what_it_understands() {
        let said = note("a <b> & \"c'", " d\u{7}<i>");
        let mut bodies = Vec::new();
        for (capabilities, server) in [
            (&["body", "body-markup"][..], "mako"),
            (&["body", "body-markup"][..], "gnome-shell"),
            (&["body"][..], "plain"),
            (&[][..], "tiny"),
        ] {
            bodies.push(texts(&said, abilities(capabilities, server), 300));
        }
        let title = "Dictating".to_owned();
        assert_eq!(
            bodies,
            [
                (
                    title.clone(),
                    "a &lt;b&gt; &amp; &quot;c&#39;<span alpha=\"55%\"> d &lt;i&gt;</span>"
                        .to_owned()
                ),
                (
                    title.clone(),
                    "a &lt;b&gt; &amp; &quot;c&#39;<i> d &lt;i&gt;</i>".to_owned()
                ),
                (title, "a <b> & \"c' d <i>".to_owned()),
                ("a <b> & \"c' d <i>".to_owned(), String::new()),
            ]
        );
    }

    #[test]
    fn a_title_is_there_without_words() {
        let listening = Note {
            kind: Kind::Listening,
            ..note("", "")
        };
        let (title, body) = texts(&listening, abilities(&[], "tiny"), 300);
        assert_eq!((title.as_str(), body.as_str()), ("Listening", ""));
    }

    #[test]
    fn of_a_long_text_the_end_is_shown() {
        let plain = abilities(&["body"], "plain");
        let body =
            |committed: &str, tentative: &str| texts(&note(committed, tentative), plain, 10).1;
        assert_eq!(body("one two", ""), "one two");
        assert_eq!(body("one two three", ""), "…two three");
        assert_eq!(body("one two three", " four"), "…three four");
        assert_eq!(body("one two t", " four"), "…t four");
        assert_eq!(body("one", " two three four"), "…four");
        // No place to cut: in the middle of the word.
        assert_eq!(body("äöüäöüäöüäöüäöü", ""), "…üäöüäöüäöü");
        let long = "word ".repeat(1000);
        assert!(texts(&note(&long, &long), plain, 300).1.chars().count() <= 301);
    }
}
