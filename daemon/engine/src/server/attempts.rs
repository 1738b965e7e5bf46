//! Who has given wrong tokens lately. Pure.
//!
//! Enters: addresses, the time. Leaves: how long one has to wait. Each wrong token costs ten
//! seconds; five may be owed. The table is bounded: full, it forgets whoever owes least.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// What a wrong token costs.
const COST: Duration = Duration::from_secs(10);

/// What may be owed without waiting: five wrong tokens, more than a person mistypes.
const CREDIT: Duration = Duration::from_secs(50);

/// Most addresses that are remembered: 400 kB.
const MOST_ADDRESSES: usize = 4096;

/// The addresses that owe something, with the time at which they owe nothing.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    debts: HashMap<IpAddr, Instant>,
}

impl Attempts {
    /// How long `address` has to wait before its next token is looked at.
    pub(super) fn wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let paid = self.debts.get(&place(address))?;
        let owed = paid.saturating_duration_since(now);
        (owed + COST)
            .checked_sub(CREDIT)
            .filter(|wait| !wait.is_zero())
    }

    /// A token of `address` was wrong.
    pub(super) fn wrong(&mut self, address: IpAddr, now: Instant) {
        self.debts.retain(|_, paid| *paid > now);
        let address = place(address);
        if self.debts.len() >= MOST_ADDRESSES && !self.debts.contains_key(&address) {
            let least = self.debts.iter().min_by_key(|(_, paid)| **paid);
            if let Some(least) = least.map(|(address, _)| *address) {
                self.debts.remove(&least);
            }
        }
        let paid = self.debts.entry(address).or_insert(now);
        *paid += COST;
    }
}

/// Where somebody sits: whoever has one address of IPv6 has 2^64 of them.
pub(super) fn place(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_wrong_tokens_are_free_and_the_next_has_to_wait() {
        let mut attempts = Attempts::default();
        let (mallory, alice) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let start = Instant::now();
        for _ in 0..5 {
            assert_eq!(attempts.wait(mallory, start), None);
            attempts.wrong(mallory, start);
        }
        assert_eq!(attempts.wait(mallory, start), Some(COST));
        assert_eq!(attempts.wait(alice, start), None);
        let later = start + COST;
        assert_eq!(attempts.wait(mallory, later), None);
        attempts.wrong(mallory, later);
        assert_eq!(attempts.wait(mallory, later), Some(COST));
        assert_eq!(attempts.wait(mallory, later + CREDIT), None);
    }

    #[test]
    fn neighbours_in_ipv6_are_one_place() {
        let place_of = |text: &str| place(text.parse().unwrap());
        assert_eq!(place_of("2001:db8:1:2:3::4"), place_of("2001:db8:1:2:5::6"));
        assert_ne!(place_of("2001:db8:1:2::"), place_of("2001:db8:1:3::"));
        assert_eq!(place_of("::ffff:192.0.2.1"), place_of("192.0.2.1"));
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_worst() {
        let mut attempts = Attempts::default();
        let start = Instant::now();
        let worst = IpAddr::from([192, 0, 2, 1]);
        for _ in 0..6 {
            attempts.wrong(worst, start);
        }
        for number in 0..2 * MOST_ADDRESSES as u32 {
            attempts.wrong(IpAddr::from(number.to_be_bytes()), start);
        }
        assert_eq!(attempts.debts.len(), MOST_ADDRESSES);
        assert!(attempts.wait(worst, start).is_some());
        attempts.wrong(worst, start + 10 * CREDIT);
        assert_eq!(attempts.debts.len(), 1);
    }
}
