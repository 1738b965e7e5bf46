//! What lies on a clipboard.

use x11rb::protocol::xproto::{Atom, AtomEnum};

use super::selections::Atoms;

/// One form of what was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// What a program asks for.
    pub(super) target: Atom,
    /// The type that it gets, which mostly is the same.
    pub(super) kind: Atom,
    /// Bits of a unit.
    pub(super) format: u8,
    pub(super) data: Vec<u8>,
}

/// Everything that was copied at once: the same in several forms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) forms: Vec<Form>,
}

impl Content {
    /// A text, for whatever asks for text; programs that keep a history are asked to leave it out.
    pub(super) fn text(atoms: &Atoms, text: &str) -> Self {
        let utf8 = [
            atoms.UTF8_STRING,
            atoms.TEXT_UTF8,
            atoms.TEXT_PLAIN,
            atoms.TEXT,
        ];
        let form = |target: Atom, kind: Atom, data: Vec<u8>| Form {
            target,
            kind,
            format: 8,
            data,
        };
        let mut forms: Vec<Form> = utf8
            .into_iter()
            .map(|target| {
                // Who asks for any text is told which it got.
                let any = target == atoms.TEXT;
                let kind = if any { atoms.UTF8_STRING } else { target };
                form(target, kind, text.as_bytes().to_vec())
            })
            .collect();
        let latin: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
        if let Some(latin) = latin {
            let string = AtomEnum::STRING.into();
            forms.push(form(string, string, latin));
        }
        let hint = atoms.PASSWORD_HINT;
        forms.push(form(hint, hint, b"secret".to_vec()));
        Content { forms }
    }

    pub(super) fn form(&self, target: Atom) -> Option<&Form> {
        self.forms.iter().find(|form| form.target == target)
    }

    pub(super) fn targets(&self) -> impl Iterator<Item = Atom> {
        self.forms.iter().map(|form| form.target)
    }
}
