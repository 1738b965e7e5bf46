//! Text taken apart into words with the punctuation around them, such that nothing is lost: the
//! tokens, written one after the other, are the text again.

/// Marks that Whisper puts around a spoken command because somebody paused there.
const MARKS: [char; 7] = [',', '.', ';', ':', '!', '?', '…'];

/// Marks that end a sentence.
const ENDS: [char; 4] = ['.', '!', '?', '…'];

/// A word with what stands around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// White space before it.
    pub(crate) space: &'a str,
    /// Punctuation in front of the word: quotes, brackets, `¿`.
    pub(crate) open: &'a str,
    /// From the first to the last letter or digit; empty where punctuation stands alone, as a dash.
    pub(crate) word: &'a str,
    /// Punctuation behind the word; with the space in front of it where the language writes one.
    pub(crate) close: &'a str,
}

/// Takes `text` apart; what is left at the end is white space.
pub(crate) fn tokens(text: &str) -> (Vec<Token<'_>>, &str) {
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let chunk_at = rest.find(|c: char| !c.is_whitespace());
        let Some(chunk_at) = chunk_at else {
            return (tokens, rest);
        };
        let (space, chunk) = rest.split_at(chunk_at);
        let end = chunk.find(char::is_whitespace).unwrap_or(chunk.len());
        let chunk = &chunk[..end];
        let start = at;
        at += space.len() + chunk.len();
        match tokens.last_mut() {
            // French: `vrai ?`
            Some(before) if closes(chunk) && !before.word.is_empty() => {
                let close_at = start - before.close.len();
                before.close = &text[close_at..at];
            }
            _ => tokens.push(token(space, chunk)),
        }
    }
}

/// Whether `chunk`, which stands alone, belongs to the word before it.
fn closes(chunk: &str) -> bool {
    chunk
        .chars()
        .all(|c| MARKS.contains(&c) || matches!(c, '»' | '”' | ')' | ']'))
}

fn token<'a>(space: &'a str, chunk: &'a str) -> Token<'a> {
    let Some(from) = chunk.find(char::is_alphanumeric) else {
        return Token {
            space,
            open: "",
            word: "",
            close: chunk,
        };
    };
    let (open, rest) = chunk.split_at(from);
    let last = rest.char_indices().rfind(|(_, c)| c.is_alphanumeric());
    let end = last.map_or(rest.len(), |(at, c)| at + c.len_utf8());
    let (word, close) = rest.split_at(end);
    Token {
        space,
        open,
        word,
        close,
    }
}

impl Token<'_> {
    /// Whether a pause was heard behind it: any mark or dash.
    pub(crate) fn pauses(&self) -> bool {
        self.close
            .chars()
            .any(|c| is_mark(c) || matches!(c, '-' | '–' | '—'))
    }

    /// Whether a sentence ends behind it.
    pub(crate) fn ends(&self) -> bool {
        self.close.contains(ENDS)
    }
}

/// One of the marks that a pause is written as.
pub(crate) fn is_mark(c: char) -> bool {
    MARKS.contains(&c)
}

/// Whether a sentence ends with `text`, closing quotes and brackets apart.
pub(crate) fn ends_sentence(text: &str) -> bool {
    text.trim_end_matches(|c: char| !c.is_alphanumeric() && !is_mark(c))
        .ends_with(ENDS)
}

/// `text` without the characters that `unwanted` names, and without white space that stood before
/// one of them.
pub(crate) fn without(text: &str, unwanted: impl Fn(char) -> bool) -> String {
    let mut kept = String::with_capacity(text.len());
    for c in text.chars() {
        if unwanted(c) {
            kept.truncate(kept.trim_end().len());
        } else {
            kept.push(c);
        }
    }
    kept
}

/// The words of `text` as they are compared: lower case, the plain apostrophe, hyphens as gaps.
pub(crate) fn normal(text: &str) -> Vec<String> {
    text.split(|c: char| c.is_whitespace() || matches!(c, '-' | '‐' | '‑'))
        .filter(|part| !part.is_empty())
        .map(|part| part.to_lowercase().replace('’', "'"))
        .collect()
}

/// `word` with its first letter as a capital.
pub(crate) fn capitalised(word: &str) -> String {
    with_first(word, |c| c.to_uppercase().collect())
}

/// `word` with its first letter small.
pub(crate) fn uncapitalised(word: &str) -> String {
    with_first(word, |c| c.to_lowercase().collect())
}

fn with_first(word: &str, change: impl Fn(char) -> String) -> String {
    let mut rest = word.chars();
    match rest.next() {
        Some(first) => change(first) + rest.as_str(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let (tokens, tail) = tokens(text);
        let mut out: String = tokens
            .iter()
            .flat_map(|t| [t.space, t.open, t.word, t.close])
            .collect();
        out.push_str(tail);
        out
    }

    #[test]
    fn nothing_is_lost() {
        for text in [
            "",
            " ",
            "Hello, world.",
            "  two  spaces\n\nand lines \t",
            "C'est vrai ? Oui !",
            "« Oui », dit-il…",
            "¿Qué? — Nada.",
            "$5.00 (about) C++ 日本語。",
            "? . !",
        ] {
            assert_eq!(written(text), text);
        }
    }

    #[test]
    fn punctuation_is_told_from_words() {
        let (all, tail) = tokens("« Oui », vrai ? It’s \"so.\" ");
        let parts: Vec<_> = all.iter().map(|t| (t.open, t.word, t.close)).collect();
        assert_eq!(
            parts,
            [
                ("", "", "«"),
                ("", "Oui", " »,"),
                ("", "vrai", " ?"),
                ("", "It’s", ""),
                ("\"", "so", ".\"")
            ]
        );
        assert_eq!(tail, " ");
        assert_eq!(normal("It’s New-Line"), ["it's", "new", "line"]);
    }

    #[test]
    fn marks_go_with_the_space_before_them() {
        assert_eq!(without(" ?", is_mark), "");
        assert_eq!(without(".\"", is_mark), "\"");
        assert!(ends_sentence("so.\""));
        assert!(!ends_sentence("so,"));
    }
}
