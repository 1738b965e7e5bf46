//! The text field that has the focus, as the compositor tells an input method of it. No input or
//! output but the dispatch of events.

use wayland_client::{Connection, Dispatch, QueueHandle, WEnum};
use wayland_protocols::wp::text_input::zv3::client::zwp_text_input_v3::{
    ContentHint, ContentPurpose,
};
use wayland_protocols_misc::zwp_input_method_v2::client::zwp_input_method_manager_v2::{
    self as manager, ZwpInputMethodManagerV2,
};
use wayland_protocols_misc::zwp_input_method_v2::client::zwp_input_method_v2::{
    self as method, ZwpInputMethodV2,
};

use super::compositor::State;
use crate::Purpose;

/// What is known of the field.
#[derive(Clone, Debug, Default)]
pub(super) struct Field {
    now: Told,
    /// Becomes true with the next `done`.
    next: Told,
    /// How many `done` there were.
    serial: u32,
    /// There is another input method.
    taken: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    is_active: bool,
    surrounding: Option<Surrounding>,
    purpose: Purpose,
}

/// Text around the cursor, as much of it as the field tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Surrounding {
    /// Before the cursor, or before what is selected.
    pub(super) before: String,
    /// Behind it.
    pub(super) after: String,
}

impl Surrounding {
    /// From the protocol's bytes.
    fn of(text: &str, cursor: u32, anchor: u32) -> Option<Self> {
        let (from, to) = (cursor.min(anchor) as usize, cursor.max(anchor) as usize);
        Some(Surrounding {
            before: text.get(..from)?.to_owned(),
            after: text.get(to..)?.to_owned(),
        })
    }
}

impl Field {
    pub(super) fn is_active(&self) -> bool {
        self.now.is_active
    }

    pub(super) fn is_taken(&self) -> bool {
        self.taken
    }

    pub(super) fn serial(&self) -> u32 {
        self.serial
    }

    /// What the field is for; a program that tells nothing is not known to be anything.
    pub(super) fn purpose(&self) -> Purpose {
        self.now.purpose
    }

    /// `None`: the field does not tell.
    pub(super) fn surrounding(&self) -> Option<&Surrounding> {
        self.now.surrounding.as_ref()
    }

    fn hear(&mut self, event: method::Event) {
        match event {
            // Another field: nothing of what was told before is true of it.
            method::Event::Activate => {
                self.next = Told {
                    is_active: true,
                    ..Told::default()
                };
            }
            method::Event::Deactivate => self.next.is_active = false,
            method::Event::SurroundingText {
                text,
                cursor,
                anchor,
            } => self.next.surrounding = Surrounding::of(&text, cursor, anchor),
            method::Event::ContentType { hint, purpose } => {
                self.next.purpose = purpose_of(hint, purpose);
            }
            method::Event::Done => {
                self.now = self.next.clone();
                self.serial += 1;
            }
            method::Event::Unavailable => self.taken = true,
            _ => {}
        }
    }
}

fn purpose_of(hint: WEnum<ContentHint>, purpose: WEnum<ContentPurpose>) -> Purpose {
    let secret = ContentHint::HiddenText | ContentHint::SensitiveData;
    match (hint, purpose) {
        (_, WEnum::Value(ContentPurpose::Password | ContentPurpose::Pin)) => Purpose::Password,
        (WEnum::Value(hint), _) if hint.intersects(secret) => Purpose::Password,
        (_, WEnum::Value(ContentPurpose::Terminal)) => Purpose::Terminal,
        _ => Purpose::Text,
    }
}

impl Dispatch<ZwpInputMethodManagerV2, ()> for State {
    fn event(
        _: &mut Self,
        _: &ZwpInputMethodManagerV2,
        _: manager::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}

impl Dispatch<ZwpInputMethodV2, ()> for State {
    fn event(
        state: &mut Self,
        _: &ZwpInputMethodV2,
        event: method::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        state.field.hear(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use method::Event;

    fn told(hint: ContentHint, purpose: ContentPurpose) -> Event {
        Event::ContentType {
            hint: WEnum::Value(hint),
            purpose: WEnum::Value(purpose),
        }
    }

    fn around(text: &str, cursor: u32, anchor: u32) -> Event {
        Event::SurroundingText {
            text: text.to_owned(),
            cursor,
            anchor,
        }
    }

    #[test]
    fn nothing_is_true_before_it_is_done() {
        let mut field = Field::default();
        field.hear(Event::Activate);
        field.hear(around("añb", 3, 3));
        assert!(!field.is_active() && field.surrounding().is_none());
        field.hear(Event::Done);
        assert!(field.is_active());
        let surrounding = field.surrounding().cloned().unwrap_or_default();
        assert_eq!((&*surrounding.before, &*surrounding.after), ("añ", "b"));
        field.hear(Event::Deactivate);
        field.hear(Event::Done);
        assert!(!field.is_active());
        assert_eq!(field.serial(), 2);
    }

    #[test]
    fn another_field_knows_nothing_of_the_one_before() {
        let mut field = Field::default();
        for event in [
            Event::Activate,
            around("secret", 6, 6),
            told(ContentHint::None, ContentPurpose::Terminal),
            Event::Done,
            Event::Activate,
            Event::Done,
        ] {
            field.hear(event);
        }
        assert!(field.is_active() && field.surrounding().is_none());
        assert_eq!(field.purpose(), Purpose::Text);
    }

    #[test]
    fn what_is_selected_is_neither_before_nor_behind() {
        for (text, cursor, anchor, wanted) in [
            ("one two three", 7, 4, Some(("one ", " three"))),
            ("one two three", 4, 7, Some(("one ", " three"))),
            ("", 0, 0, Some(("", ""))),
            // In the middle of a character, and behind the end.
            ("ä", 1, 1, None),
            ("a", 2, 2, None),
        ] {
            let found = Surrounding::of(text, cursor, anchor);
            let found = found.as_ref().map(|it| (&*it.before, &*it.after));
            assert_eq!(found, wanted, "{text} {cursor} {anchor}");
        }
    }

    #[test]
    fn fields_for_secrets_are_told_apart() {
        use ContentHint as Hint;
        for (hint, purpose, wanted) in [
            (Hint::None, ContentPurpose::Password, Purpose::Password),
            (Hint::None, ContentPurpose::Pin, Purpose::Password),
            (Hint::HiddenText, ContentPurpose::Normal, Purpose::Password),
            (
                Hint::SensitiveData | Hint::Latin,
                ContentPurpose::Normal,
                Purpose::Password,
            ),
            (Hint::None, ContentPurpose::Terminal, Purpose::Terminal),
            (Hint::Spellcheck, ContentPurpose::Email, Purpose::Text),
        ] {
            let mut field = Field::default();
            field.hear(Event::Activate);
            field.hear(told(hint, purpose));
            field.hear(Event::Done);
            assert_eq!(field.purpose(), wanted, "{hint:?} {purpose:?}");
        }
    }
}
