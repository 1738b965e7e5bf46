//! Entries as text, JSON or Markdown. No input or output.

use crate::entry::Entry;

/// The forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// The texts alone, each followed by an empty line
    Text,
    /// An array of objects
    Json,
    /// Days as headings, times in front of the texts
    Markdown,
}

/// `entries` in the form of `format`.
pub(crate) fn export(entries: &[Entry], format: Format) -> String {
    match format {
        Format::Text => entries
            .iter()
            .map(|entry| format!("{}\n\n", entry.text.trim()))
            .collect(),
        // Strings and numbers always have a form.
        Format::Json => serde_json::to_string_pretty(entries).unwrap_or_default() + "\n",
        Format::Markdown => markdown(entries),
    }
}

/// One line for a terminal.
pub(crate) fn line(entry: &Entry) -> String {
    let text: String = entry
        .text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    format!("{:>6}  {}  {text}", entry.id, entry.local_time)
}

fn markdown(entries: &[Entry]) -> String {
    let mut out = String::from("# Dictated\n");
    let mut day = "";
    for entry in entries {
        let (date, time) = entry
            .local_time
            .split_once(' ')
            .unwrap_or((&entry.local_time, ""));
        if date != day {
            day = date;
            out.push_str(&format!("\n## {date}\n\n"));
        }
        // Lines of a text stay within its item.
        let text = literally(entry.text.trim()).replace('\n', "  \n  ");
        out.push_str(&format!("- **{time}** {text}\n"));
    }
    out
}

/// Markdown that shows `text` as it is.
fn literally(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(
            c,
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '&' | '~' | '|'
        ) {
            safe.push('\\');
        }
        safe.push(c);
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: i64, local_time: &str, text: &str) -> Entry {
        Entry {
            id,
            time: "2026-11-26T14:30:00.000Z".to_owned(),
            local_time: local_time.to_owned(),
            text: text.to_owned(),
            raw: None,
            language: Some("en".to_owned()),
            duration_s: Some(1.5),
            backend: None,
        }
    }

    #[test]
    fn the_three_forms() {
        let entries = [
            entry(1, "2026-11-25 23:59", "One *two*.\nThree."),
            entry(2, "2026-11-26 00:01", "Four."),
        ];
        assert_eq!(
            export(&entries, Format::Text),
            "One *two*.\nThree.\n\nFour.\n\n"
        );
        assert_eq!(
            export(&entries, Format::Markdown),
            "# Dictated\n\n## 2026-11-25\n\n- **23:59** One \\*two\\*.  \n  Three.\n\n\
             ## 2026-11-26\n\n- **00:01** Four.\n"
        );
        let json: serde_json::Value =
            serde_json::from_str(&export(&entries, Format::Json)).unwrap();
        assert_eq!(json[0]["text"], "One *two*.\nThree.");
        assert_eq!(json[1]["duration_s"], 1.5);
        assert!(json[0].get("raw").is_none());
        assert_eq!(export(&[], Format::Json), "[]\n");
    }

    #[test]
    fn a_line_is_one_line() {
        let line = line(&entry(7, "2026-11-26 00:01", "a\nb\u{1b}[31m"));
        assert_eq!(line, "     7  2026-11-26 00:01  a b [31m");
    }
}
