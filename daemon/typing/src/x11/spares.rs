//! Keys that give nothing, and are lent to characters that the layout does not have.
//!
//! A client looks a key up when it reads the event, in the map that is current then. So what a key
//! was given stays, and is taken away only from what was used longest ago, and only when whoever
//! reads the keys has read them all, to which the caller sees.

use std::collections::{BTreeMap, BTreeSet};

use super::layout::{KeySyms, Layout, NONE, Stroke, symbol};

/// The spare keys of a layout, and what they were given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spares {
    /// The number of the type that they get, and the modifiers for each of its levels.
    a_type: u8,
    levels: Vec<u8>,
    places: Vec<Place>,
    /// Counts uses.
    now: u64,
}

/// One level of a spare key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    keycode: u8,
    level: usize,
    char: Option<char>,
    used: u64,
}

/// What must change on the keyboard so that some characters can be typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Keys, and all of what they give from now on.
    pub(crate) keys: BTreeMap<u8, KeySyms>,
    /// Something that was given before is taken away.
    pub(crate) takes_away: bool,
}

impl Spares {
    /// Finds the spare keys of `layout`: those that give nothing, and those that give exactly what
    /// they were `given` earlier, by this process or one before it.
    pub(crate) fn of(layout: &Layout, given: &BTreeMap<u8, KeySyms>) -> Self {
        let Some((a_type, levels)) = layout.spare_type() else {
            return Spares::default();
        };
        let levels = layout.level_modifiers(levels);
        let mut places = Vec::new();
        for (keycode, key) in layout.keycodes() {
            let ours = given.get(&keycode).is_some_and(|given| given == key);
            if layout.modifiers.contains_key(&keycode) || !(ours || key.is_empty()) {
                continue;
            }
            for level in 0..levels.len() {
                let sym = key.syms.get(level).copied().filter(|_| ours);
                let char = sym.and_then(|sym| xkeysym::Keysym::new(sym).key_char());
                places.push(Place {
                    keycode,
                    level,
                    char,
                    used: 0,
                });
            }
        }
        Spares {
            a_type,
            levels,
            places,
            now: 0,
        }
    }

    /// Carries over when each place was used last.
    pub(crate) fn remember(&mut self, before: &Spares) {
        self.now = before.now;
        for place in &mut self.places {
            let same = |old: &&Place| (old.keycode, old.level) == (place.keycode, place.level);
            if let Some(old) = before.places.iter().find(same) {
                place.used = old.used;
            }
        }
    }

    /// Whether a key is one of these.
    pub(crate) fn has(&self, keycode: u8) -> bool {
        self.places.iter().any(|place| place.keycode == keycode)
    }

    /// How many different characters there is room for, on keys that are not `taken`.
    pub(crate) fn room(&self, taken: impl Fn(u8) -> bool) -> usize {
        let free = |place: &&Place| !taken(place.keycode);
        self.places.iter().filter(free).count()
    }

    /// Finds places for all of `wanted`, which must not be more than there is [`Self::room`] for,
    /// and says what has to change on the keyboard before they count.
    pub(crate) fn give(&mut self, wanted: &BTreeSet<char>, taken: impl Fn(u8) -> bool) -> Changes {
        self.now += 1;
        let mut missing = wanted.clone();
        for place in self.places.iter_mut().filter(|place| !taken(place.keycode)) {
            if place.char.is_some_and(|char| missing.remove(&char)) {
                place.used = self.now;
            }
        }
        let mut changes = Changes::default();
        let mut touched = BTreeSet::new();
        for char in missing {
            let free = self
                .places
                .iter_mut()
                .filter(|place| !taken(place.keycode) && place.used < self.now)
                // Keys that have something already come first: fewer keys change.
                .min_by_key(|place| (place.char.is_some(), place.used, place.keycode));
            let Some(place) = free else { break };
            changes.takes_away |= place.char.is_some();
            place.char = Some(char);
            place.used = self.now;
            touched.insert(place.keycode);
        }
        changes.keys = touched
            .into_iter()
            .map(|keycode| (keycode, self.syms(keycode)))
            .collect();
        changes
    }

    /// How a character is typed that has a place.
    pub(crate) fn stroke(&self, char: char, taken: impl Fn(u8) -> bool) -> Option<Stroke> {
        let place = self
            .places
            .iter()
            .find(|place| place.char == Some(char) && !taken(place.keycode))?;
        Some(Stroke {
            keycode: place.keycode,
            modifiers: self.levels[place.level],
        })
    }

    /// What every spare key gives that gives anything.
    pub(crate) fn given(&self) -> BTreeMap<u8, KeySyms> {
        let used = self.places.iter().filter(|place| place.char.is_some());
        used.map(|place| (place.keycode, self.syms(place.keycode)))
            .collect()
    }

    fn syms(&self, keycode: u8) -> KeySyms {
        let mut syms = vec![NONE; self.levels.len()];
        for place in self.places.iter().filter(|place| place.keycode == keycode) {
            syms[place.level] = place.char.map_or(NONE, symbol);
        }
        KeySyms {
            types: [self.a_type, 0, 0, 0],
            group_info: 1,
            width: self.levels.len() as u8,
            syms,
        }
    }
}
