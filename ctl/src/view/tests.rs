//! The view against a small terminal: what is on the screen after each event, whatever bytes
//! brought it there.

use super::*;
use crate::event::Details;

/// Just enough of a terminal: carriage return, line feed, erasing and moving up, wrapping. Styles
/// are kept out of the text. A sequence that it does not know fails the test.
#[derive(Debug)]
struct Terminal {
    width: usize,
    rows: Vec<String>,
    row: usize,
    column: usize,
}

impl Terminal {
    fn new(width: usize) -> Self {
        Terminal {
            width,
            rows: vec![String::new()],
            row: 0,
            column: 0,
        }
    }

    fn take(&mut self, pieces: &[Piece]) {
        for piece in pieces {
            match piece {
                Piece::Out(text) => self.print(text),
                Piece::Err(text) => self.print(&format!("{text}\n")),
            }
        }
    }

    fn print(&mut self, text: &str) {
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\r' => self.column = 0,
                '\n' => {
                    self.row += 1;
                    self.column = 0;
                    if self.row == self.rows.len() {
                        self.rows.push(String::new());
                    }
                }
                '\x1b' => {
                    assert_eq!(chars.next(), Some('['));
                    let mut sequence = String::new();
                    for c in chars.by_ref() {
                        sequence.push(c);
                        if c.is_ascii_alphabetic() {
                            break;
                        }
                    }
                    self.control(&sequence);
                }
                c => {
                    assert!(!c.is_control(), "{c:?} reached the terminal");
                    let wide = columns(&c.to_string());
                    if self.column + wide > self.width {
                        self.row += 1;
                        self.column = 0;
                        if self.row == self.rows.len() {
                            self.rows.push(String::new());
                        }
                    }
                    self.cut();
                    self.rows[self.row].push(c);
                    self.column += wide;
                }
            }
        }
    }

    fn control(&mut self, sequence: &str) {
        match sequence {
            "K" => self.cut(),
            "J" => {
                self.cut();
                self.rows.truncate(self.row + 1);
            }
            style if style.ends_with('m') => {}
            up => {
                let rows: usize = up.strip_suffix('A').unwrap().parse().unwrap();
                self.row = self.row.checked_sub(rows).expect("not above the screen");
            }
        }
    }

    /// Forgets what stands at and behind the cursor.
    fn cut(&mut self) {
        let row = &mut self.rows[self.row];
        let mut right = 0;
        let keep = row
            .char_indices()
            .find(|(_, c)| {
                let left = right;
                right += columns(&c.to_string());
                left >= self.column && right > left
            })
            .map_or(row.len(), |(index, _)| index);
        row.truncate(keep);
    }

    /// Becomes narrower, as terminals do that wrap what they show anew.
    fn narrow(&mut self, width: usize) {
        let text = std::mem::take(&mut self.rows);
        *self = Terminal::new(width);
        let last = text.len() - 1;
        for (index, row) in text.into_iter().enumerate() {
            self.print(&row);
            if index < last {
                self.print("\n");
            }
        }
    }

    fn screen(&self) -> Vec<&str> {
        self.rows.iter().map(String::as_str).collect()
    }
}

fn terminal_view(columns: u16) -> View {
    let screen = Screen::Terminal {
        columns,
        styled: true,
    };
    let shows = Shows {
        latency: true,
        ..Shows::default()
    };
    View::new(screen, shows)
}

fn started(utterance: u64) -> Event {
    Event::Started {
        utterance,
        session: 1,
        details: Details::default(),
    }
}

fn partial(utterance: u64, committed: &str, tentative: &str) -> Event {
    Event::Partial {
        utterance,
        committed: committed.to_owned(),
        tentative: tentative.to_owned(),
        details: Details::default(),
    }
}

fn final_of(utterance: u64, text: &str) -> Event {
    let latency = [("latency_ms", zbus::Variant::from(312.4))];
    Event::Final {
        utterance,
        text: text.to_owned(),
        details: Details::of(&latency.into_iter().collect()),
    }
}

fn failed(utterance: u64) -> Event {
    Event::Failed {
        utterance,
        name: "org.wstream.Dictation1.Error.EngineFailed".to_owned(),
        message: "the engine died".to_owned(),
        details: Details::default(),
    }
}

#[test]
fn a_dictation_as_it_is_seen() {
    let mut view = terminal_view(40);
    let mut terminal = Terminal::new(40);
    terminal.take(&view.rest("listening"));
    assert_eq!(terminal.screen(), ["listening"]);
    for (event, screen) in [
        (started(1), vec!["…"]),
        (partial(1, "", " And so"), vec!["And so"]),
        (partial(1, "And so", " my fellow"), vec!["And so my fellow"]),
        // The next one begins before the first one's final is there.
        (started(2), vec!["And so my fellow …"]),
        (partial(2, "", "ask"), vec!["And so my fellow ask"]),
        (
            final_of(1, "And so, my fellow Americans."),
            vec!["And so, my fellow Americans.  312 ms", "ask"],
        ),
        (
            failed(2),
            vec![
                "And so, my fellow Americans.  312 ms",
                "wstreamctl: utterance 2 failed: the engi",
                "ne died",
                "listening",
            ],
        ),
    ] {
        terminal.take(&view.event(&event));
        assert_eq!(terminal.screen(), screen, "after {event:?}");
    }
    terminal.take(&view.leave());
    assert_eq!(terminal.screen().last(), Some(&""));
}

#[test]
fn tones_are_bright_and_dim_and_end_before_the_line_does() {
    let mut view = terminal_view(40);
    assert_eq!(
        view.event(&partial(1, "And so", " my")),
        [Piece::Out(
            "\x1b[1mAnd so\x1b[0m\x1b[2m my\x1b[0m".to_owned()
        )]
    );
    assert_eq!(
        view.event(&final_of(1, "And so my.")),
        [Piece::Out(
            "\r\x1b[KAnd so my.\x1b[2m  312 ms\x1b[0m\n".to_owned()
        )]
    );
}

#[test]
fn without_styles_only_the_cursor_moves() {
    let screen = Screen::Terminal {
        columns: 40,
        styled: false,
    };
    let mut view = View::new(screen, Shows::default());
    view.event(&partial(1, "And so", " my"));
    assert_eq!(
        view.event(&partial(1, "And so my", " fellow")),
        [Piece::Out("\r\x1b[KAnd so my fellow".to_owned())]
    );
}

#[test]
fn a_long_partial_shows_its_end_on_one_row() {
    for (width, committed, tentative, shown) in [
        (
            22,
            "ask not what your country",
            " can do",
            "…our country can do",
        ),
        (
            22,
            "ask not",
            " what your country can do",
            "…our country can do",
        ),
        (22, "0123456789012345678", "", "0123456789012345678"),
        (22, "01234567890123456789", "", "…234567890123456789"),
        // Wide characters: a column may stay empty, never one too many.
        (14, "日本語日本語", "日本", "…日本語日本"),
        (10, "", "語語語語語", "…語語語"),
        (11, "", "語語語語語", "…語語語"),
        // Too narrow for a line in place.
        (9, "ask not", "", ""),
        (0, "ask not", "", ""),
    ] {
        let mut view = terminal_view(width);
        let mut terminal = Terminal::new(usize::from(width).max(1));
        terminal.take(&view.event(&partial(1, committed, tentative)));
        assert_eq!(terminal.screen(), [shown], "in {width}");
        // Drawn anew, it is still one row, whatever key was echoed there.
        terminal.print(if shown.is_empty() { "" } else { "^C" });
        terminal.take(&view.event(&partial(1, committed, tentative)));
        assert_eq!(terminal.screen(), [shown], "again in {width}");
    }
}

#[test]
fn a_terminal_that_becomes_narrow_shows_no_rest_of_the_wider_line() {
    for narrow in [10, 15, 19, 30, 39, 40, 60] {
        let mut view = terminal_view(40);
        let mut terminal = Terminal::new(40);
        terminal.take(&view.event(&final_of(1, "One.")));
        terminal.take(&view.event(&partial(2, "ask not what your", " country can do for")));
        terminal.narrow(narrow);
        terminal.take(&view.resize(narrow as u16));
        let screen = terminal.screen();
        assert!(screen.last().unwrap().ends_with("do for"), "{screen:?}");
        let finals = if narrow == 10 { 2 } else { 1 };
        assert_eq!(screen.len(), finals + 1, "{screen:?}");
    }
}

#[test]
fn nothing_in_text_moves_the_cursor() {
    let mut view = terminal_view(60);
    view.shows.label = true;
    let mut terminal = Terminal::new(60);
    let evil = "a\x1b[2Jb\rc\nd\u{9b}e";
    view.label(Some(evil.to_owned()));
    terminal.take(&view.event(&partial(1, evil, evil)));
    terminal.take(&view.event(&final_of(1, evil)));
    terminal.take(&view.complain(evil));
    let clean = "a\u{fffd}[2Jb c d\u{fffd}e";
    assert_eq!(
        terminal.screen(),
        [
            format!("{clean}: {clean}  312 ms"),
            format!("wstreamctl: {clean}: {clean}"),
            String::new(),
        ]
    );
}

#[test]
fn into_a_pipe_go_finals_alone() {
    let events = [
        started(1),
        partial(1, "And", " so"),
        final_of(1, "And so."),
        started(2),
        // Nothing was said: nothing is written.
        final_of(2, ""),
        Event::Cancelled { utterance: 3 },
    ];
    let written = |shows: Shows, label: Option<&str>| -> Vec<Piece> {
        let mut view = View::new(Screen::Plain, shows);
        view.label(label.map(str::to_owned));
        let mut pieces = view.rest("listening");
        pieces.extend(events.iter().flat_map(|event| view.event(event)));
        pieces.extend(view.resize(10));
        pieces.extend(view.leave());
        pieces
    };
    let out = |text: &str| Piece::Out(text.to_owned());
    let latency = Shows {
        latency: true,
        ..Shows::default()
    };
    assert_eq!(written(latency, None), [out("And so.\n")]);
    let partials = Shows {
        partial_lines: true,
        ..Shows::default()
    };
    assert_eq!(
        written(partials, Some("a.wav")),
        [out("~ And so\n"), out("And so.\n")]
    );
    let labels = Shows {
        label: true,
        ..partials
    };
    assert_eq!(
        written(labels, Some("a.wav")),
        [out("a.wav: ~ And so\n"), out("a.wav: And so.\n")]
    );
}

#[test]
fn complaints_name_the_file_and_go_to_standard_error() {
    let mut view = View::new(Screen::Plain, Shows::default());
    assert_eq!(
        view.event(&failed(4)),
        [Piece::Err(
            "wstreamctl: utterance 4 failed: the engine died".to_owned()
        )]
    );
    view.label(Some("a.wav".to_owned()));
    assert_eq!(
        view.complain("not sound"),
        [Piece::Err("wstreamctl: a.wav: not sound".to_owned())]
    );
}
