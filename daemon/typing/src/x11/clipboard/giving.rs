//! Answering programs that ask for what we offer.

use x11rb::connection::{Connection as _, RequestConnection as _};
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    Atom, AtomEnum, ChangeWindowAttributesAux, ConnectionExt as _, EventMask, PropMode, Property,
    PropertyNotifyEvent, SELECTION_NOTIFY_EVENT, SelectionNotifyEvent, SelectionRequestEvent,
    Window,
};
use x11rb::wrapper::ConnectionExt as _;

use super::content::Form;
use super::selections::{Selections, Told};
use crate::Unable;
use crate::x11::server::{gone, there};

/// Data that goes to a program in parts, since it is too large for one request.
#[derive(Debug)]
pub(super) struct Gift {
    requestor: Window,
    property: Atom,
    form: Form,
    sent: usize,
}

impl Selections {
    /// Handles an event that concerns what we offer.
    pub(super) fn serve(&mut self, event: &Event) -> Result<(), Unable> {
        match event {
            Event::SelectionRequest(request) => self.answer(request),
            Event::SelectionClear(clear) if clear.owner == self.window => {
                let selection = clear.selection;
                if self.held.remove(&selection).is_some() {
                    self.told.push(Told::Lost { selection });
                }
                Ok(())
            }
            Event::PropertyNotify(notice) if notice.state == Property::DELETE => self.go_on(notice),
            _ => Ok(()),
        }
    }

    fn answer(&mut self, request: &SelectionRequestEvent) -> Result<(), Unable> {
        // Programs of old leave the property to the owner.
        let property = match request.property {
            x11rb::NONE => request.target,
            property => property,
        };
        let given = if request.target == self.atoms.MULTIPLE {
            self.give_several(request, property)?
        } else {
            self.give(
                request.requestor,
                request.selection,
                request.target,
                property,
            )?
        };
        let notice = SelectionNotifyEvent {
            response_type: SELECTION_NOTIFY_EVENT,
            sequence: 0,
            time: request.time,
            requestor: request.requestor,
            selection: request.selection,
            target: request.target,
            property: if given { property } else { x11rb::NONE },
        };
        // Who asked may have gone, which is none of our business.
        let sent = self
            .connection
            .send_event(false, request.requestor, EventMask::NO_EVENT, notice)
            .map_err(gone)?;
        there(sent.check()).map(|_| ())
    }

    /// Several forms at once: pairs of what is wanted and where to.
    fn give_several(
        &mut self,
        request: &SelectionRequestEvent,
        property: Atom,
    ) -> Result<bool, Unable> {
        let asked = self
            .connection
            .get_property(false, request.requestor, property, AtomEnum::ANY, 0, 1024)
            .map_err(gone)?;
        let Some(reply) = there(asked.reply())? else {
            return Ok(false);
        };
        let mut pairs: Vec<Atom> = reply.value32().map(Iterator::collect).unwrap_or_default();
        for pair in pairs.chunks_exact_mut(2) {
            if !self.give(request.requestor, request.selection, pair[0], pair[1])? {
                pair[1] = x11rb::NONE;
            }
        }
        let kind = self.atoms.ATOM_PAIR;
        let sent = self
            .connection
            .change_property32(PropMode::REPLACE, request.requestor, property, kind, &pairs)
            .map_err(gone)?;
        Ok(there(sent.check())?.is_some())
    }

    fn give(
        &mut self,
        requestor: Window,
        selection: Atom,
        target: Atom,
        property: Atom,
    ) -> Result<bool, Unable> {
        let Some(held) = self.held.get(&selection) else {
            return Ok(false);
        };
        let atoms = &self.atoms;
        let words = |kind: Atom, words: &[u32]| Form {
            target,
            kind,
            format: 32,
            data: words.iter().flat_map(|word| word.to_ne_bytes()).collect(),
        };
        let form = if target == atoms.TARGETS {
            let own = [atoms.TARGETS, atoms.TIMESTAMP, atoms.MULTIPLE];
            let all: Vec<Atom> = own.into_iter().chain(held.content.targets()).collect();
            words(AtomEnum::ATOM.into(), &all)
        } else if target == atoms.TIMESTAMP {
            words(AtomEnum::INTEGER.into(), &[held.since])
        } else if let Some(form) = held.content.form(target) {
            form.clone()
        } else {
            return Ok(false);
        };
        let is_text = [
            atoms.UTF8_STRING,
            atoms.TEXT_UTF8,
            atoms.TEXT_PLAIN,
            atoms.TEXT,
            AtomEnum::STRING.into(),
        ]
        .contains(&target);
        // A quarter of what fits into a request leaves room for others in between.
        let most = self.connection.maximum_request_bytes() / 4;
        if form.data.len() > most {
            return self.begin_gift(requestor, property, form);
        }
        let sent = self.put(requestor, property, &form, 0, form.data.len())?;
        if sent && is_text {
            self.told.push(Told::Gave { requestor });
        }
        Ok(sent)
    }

    /// Announces data in parts.
    fn begin_gift(
        &mut self,
        requestor: Window,
        property: Atom,
        form: Form,
    ) -> Result<bool, Unable> {
        let hears = ChangeWindowAttributesAux::new().event_mask(EventMask::PROPERTY_CHANGE);
        let asked = self
            .connection
            .change_window_attributes(requestor, &hears)
            .map_err(gone)?;
        if there(asked.check())?.is_none() {
            return Ok(false);
        }
        let size = u32::try_from(form.data.len()).unwrap_or(u32::MAX);
        let kind = self.atoms.INCR;
        let sent = self
            .connection
            .change_property32(PropMode::REPLACE, requestor, property, kind, &[size])
            .map_err(gone)?;
        if there(sent.check())?.is_none() {
            return Ok(false);
        }
        self.gifts.push(Gift {
            requestor,
            property,
            form,
            sent: 0,
        });
        Ok(true)
    }

    /// A program has taken a part: here is the next, and in the end an empty one.
    fn go_on(&mut self, notice: &PropertyNotifyEvent) -> Result<(), Unable> {
        let this = |gift: &Gift| (gift.requestor, gift.property) == (notice.window, notice.atom);
        let Some(at) = self.gifts.iter().position(this) else {
            return Ok(());
        };
        let mut gift = self.gifts.swap_remove(at);
        let most = (self.connection.maximum_request_bytes() / 4) & !3;
        let end = gift.form.data.len().min(gift.sent + most);
        let sent = self.put(gift.requestor, gift.property, &gift.form, gift.sent, end)?;
        if sent && gift.sent < end {
            gift.sent = end;
            self.gifts.push(gift);
        } else if sent {
            let requestor = gift.requestor;
            self.told.push(Told::Gave { requestor });
        }
        Ok(())
    }

    /// Puts part of a form where a program looks for it; `false` where it has gone.
    fn put(
        &self,
        requestor: Window,
        property: Atom,
        form: &Form,
        start: usize,
        end: usize,
    ) -> Result<bool, Unable> {
        let format = form.format.max(8);
        let data = &form.data[start..end];
        let units = data.len() / usize::from(format / 8);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let sent = self
            .connection
            .change_property(
                PropMode::REPLACE,
                requestor,
                property,
                form.kind,
                format,
                units,
                data,
            )
            .map_err(gone)?;
        let sent = there(sent.check())?.is_some();
        self.connection.flush().map_err(gone)?;
        Ok(sent)
    }
}
