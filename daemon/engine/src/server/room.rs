//! Connections that have no session yet: no token, no request, perhaps not even a byte.
//!
//! Enters: connections. Leaves: the one to give up when there are too many: the oldest of the place
//! that has most of them, so that whoever opens them by the hundred loses their own. Pure.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::attempts::place;

/// The waiting connections, each with what ends it.
#[derive(Debug)]
pub(super) struct Room<T> {
    most: usize,
    /// In the order of arrival.
    waiting: BTreeMap<u64, (IpAddr, T)>,
}

impl<T> Room<T> {
    pub(super) fn new(most: usize) -> Room<T> {
        Room {
            most,
            waiting: BTreeMap::new(),
        }
    }

    /// A connection has come; numbers rise. Returns the one that has to go for it.
    pub(super) fn enter(&mut self, number: u64, address: IpAddr, end: T) -> Option<T> {
        let victim = if self.waiting.len() >= self.most {
            self.victim()
        } else {
            None
        };
        let given_up = victim.and_then(|number| self.leave(number));
        self.waiting.insert(number, (place(address), end));
        given_up
    }

    /// A connection has ended or has got its session.
    pub(super) fn leave(&mut self, number: u64) -> Option<T> {
        self.waiting.remove(&number).map(|(_, end)| end)
    }

    fn victim(&self) -> Option<u64> {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for (place, _) in self.waiting.values() {
            *counts.entry(*place).or_default() += 1;
        }
        let most = counts.values().max()?;
        self.waiting
            .iter()
            .find(|(_, (place, _))| counts.get(place) == Some(most))
            .map(|(number, _)| *number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_most_loses_the_oldest() {
        let mut room = Room::new(4);
        let place = |last: u8| IpAddr::from([192, 0, 2, last]);
        assert_eq!(room.enter(1, place(1), "alice"), None);
        for (number, name) in [(2, "first"), (3, "second"), (4, "third")] {
            assert_eq!(room.enter(number, place(9), name), None);
        }
        assert_eq!(room.enter(5, place(2), "bob"), Some("first"));
        assert_eq!(room.enter(6, place(9), "fourth"), Some("second"));
        assert_eq!(room.leave(1), Some("alice"));
        assert_eq!(room.leave(1), None);
        assert_eq!(room.enter(7, place(3), "carol"), None);
    }
}
