//! Whose token it is: the key of the cache. Exact, so that nobody gets somebody else's token, whatever a hash does.

use std::hash::{Hash, Hasher};

use crate::{ChannelId, CustomerId};

/// Store, customer, channel, and a fingerprint of the customer access token. In words of four bytes, since the map keeps a
/// million of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    customer: [u32; 2],
    /// 0 for none: ids begin at 1.
    channel: [u32; 2],
    /// 0 for no customer access token.
    fingerprint: [u32; 2],
    store: [u32; 2],
}

impl Key {
    pub(super) fn new(
        store: u64,
        customer: CustomerId,
        channel: Option<ChannelId>,
        fingerprint: Option<u64>,
    ) -> Self {
        Self {
            customer: halves(customer.get().cast_unsigned()),
            channel: halves(channel.map_or(0, |channel| channel.get().cast_unsigned())),
            fingerprint: halves(fingerprint.map_or(0, |fingerprint| fingerprint.max(1))),
            store: halves(store),
        }
    }

    /// The same for another customer.
    #[inline]
    pub(super) fn of(self, customer: CustomerId) -> Self {
        Self {
            customer: halves(customer.get().cast_unsigned()),
            ..self
        }
    }

    /// The key of the same customer without a channel and without a customer access token.
    pub(super) fn of_customer_alone(self) -> Self {
        Self {
            channel: [0; 2],
            fingerprint: [0; 2],
            ..self
        }
    }

    pub(super) fn store(&self) -> u64 {
        whole(self.store)
    }

    pub(super) fn customer(&self) -> CustomerId {
        CustomerId::of_key(whole(self.customer).cast_signed())
    }

    pub(super) fn channel(&self) -> Option<ChannelId> {
        let channel = whole(self.channel).cast_signed();
        (channel != 0).then(|| ChannelId::of_key(channel))
    }

    pub(super) fn fingerprint(&self) -> Option<u64> {
        let fingerprint = whole(self.fingerprint);
        (fingerprint != 0).then_some(fingerprint)
    }
}

impl Hash for Key {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        // In the largest pieces, which costs the least.
        state.write_u64(whole(self.customer));
        state.write_u64(whole(self.channel).rotate_left(32) ^ whole(self.store));
        state.write_u64(whole(self.fingerprint));
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the two halves are what is wanted"
)]
#[inline]
fn halves(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

#[inline]
fn whole([low, high]: [u32; 2]) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_key_keeps_every_part_and_two_that_differ_in_one_are_not_the_same() {
        let mut seen = HashSet::new();
        for store in [0, 1, 1 << 32, u64::MAX] {
            for customer in [1, 1 << 32, i64::MAX] {
                for channel in [None, Some(1), Some(1 << 32), Some(i64::MAX)] {
                    for fingerprint in [None, Some(1), Some(1 << 32), Some(u64::MAX)] {
                        let customer = CustomerId::new(customer).unwrap();
                        let channel = channel.map(|id: i64| ChannelId::new(id).unwrap());
                        let key = Key::new(store, customer, channel, fingerprint);
                        assert_eq!(key.customer(), customer);
                        assert_eq!((key.channel(), key.fingerprint()), (channel, fingerprint));
                        assert_eq!(key.store(), store);
                        assert!(seen.insert(key), "{key:?}");
                    }
                }
            }
        }
        // A fingerprint of 0 is still one.
        let customer = CustomerId::new(1).unwrap();
        assert_eq!(Key::new(0, customer, None, Some(0)).fingerprint(), Some(1));
        let other = CustomerId::new(i64::MAX).unwrap();
        let channel = Some(ChannelId::DEFAULT);
        assert_eq!(
            Key::new(3, customer, channel, Some(5)).of(other),
            Key::new(3, other, channel, Some(5))
        );
        let key = Key::new(3, customer, channel, Some(5));
        assert_eq!(key.of_customer_alone(), Key::new(3, customer, None, None));
        assert_eq!(size_of::<Key>(), 32);
    }
}
