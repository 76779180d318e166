//! A map of what is known per store, whose memory follows use: each call removes some of what is of no use any more.

use std::{
    borrow::Borrow,
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// How many entries that stay a sweep visits. With more than one per new entry, all are visited again and again however
/// many there are, and what is of no use never makes up more than a part of them.
const STAYING: usize = 4;

/// How many entries a sweep visits at most, so that it holds nobody up where much is to be removed at once.
const MOST_VISITED: usize = 100;

/// Smaller maps are not shrunk.
const SMALL: usize = 64;

/// A map that is swept a little with each call, in place of a scan over all entries now and then.
#[derive(Debug)]
pub(crate) struct SweptMap<K, V> {
    entries: HashMap<K, V>,
    /// All keys, those first that were not visited for the longest time.
    turns: VecDeque<K>,
}

impl<K, V> Default for SweptMap<K, V> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            turns: VecDeque::new(),
        }
    }
}

impl<K: Hash + Eq + Clone, V> SweptMap<K, V> {
    pub(crate) fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.entries.get_mut(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.entries.insert(key.clone(), value).is_none() {
            self.turns.push_back(key);
        }
    }

    /// Visits some entries and removes those that do not stay. They are returned, to be dropped after a lock is released.
    pub(crate) fn sweep(&mut self, mut stays: impl FnMut(&mut V) -> bool) -> Vec<V> {
        let mut removed = Vec::new();
        let mut staying = 0;
        for _ in 0..self.turns.len().min(MOST_VISITED) {
            let Some(key) = self.turns.pop_front() else {
                break;
            };
            if self.entries.get_mut(&key).is_some_and(&mut stays) {
                self.turns.push_back(key);
                staying += 1;
                if staying == STAYING {
                    break;
                }
            } else {
                removed.extend(self.entries.remove(&key));
            }
        }
        self.shrink();
        removed
    }

    /// Gives memory back once three quarters of it are not needed.
    fn shrink(&mut self) {
        let needed = self.entries.len().max(SMALL / 2);
        if self.entries.capacity() / 4 > needed {
            self.entries.shrink_to(2 * needed);
        }
        if self.turns.capacity() / 4 > needed {
            self.turns.shrink_to(2 * needed);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many entries there are, and for how many there is room.
    #[cfg(test)]
    pub(crate) fn size(&self) -> (usize, usize) {
        let room = self.entries.capacity().max(self.turns.capacity());
        (self.entries.len(), room)
    }

    #[cfg(test)]
    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.entries.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_found_and_what_does_not_is_returned() {
        let mut map = SweptMap::default();
        for number in 0..10 {
            map.insert(number, number);
        }
        map.insert(3, 30);
        assert_eq!(map.get_mut(&3), Some(&mut 30));
        let mut removed = Vec::new();
        for _ in 0..10 {
            removed.extend(map.sweep(|value| *value % 2 == 0));
        }
        removed.sort_unstable();
        assert_eq!(removed, [1, 5, 7, 9]);
        let mut left: Vec<_> = map.keys().copied().collect();
        left.sort_unstable();
        assert_eq!(left, [0, 2, 3, 4, 6, 8]);
        assert_eq!(map.get_mut(&1), None);
        assert!(!map.is_empty());
        for _ in 0..10 {
            map.sweep(|_| false);
        }
        assert!(map.is_empty());
        assert!(map.sweep(|_| true).is_empty());
    }

    #[test]
    fn a_new_entry_costs_a_constant_number_of_visits_however_many_there_are() {
        let mut map = SweptMap::default();
        let (mut visited, mut most) = (0, 0);
        // 40,000 stores are in use throughout, and each of 400,000 others is used once.
        for number in 0..440_000_u32 {
            let before = visited;
            map.sweep(|value| {
                visited += 1;
                *value < 40_000
            });
            most = most.max(visited - before);
            map.insert(number, number);
        }
        assert!(most <= MOST_VISITED, "{most}");
        assert!(visited <= 440_000 * (STAYING + 1), "{visited}");
        let (entries, room) = map.size();
        assert!(entries <= 51_000, "{entries}");
        assert!(room <= 5 * entries, "{room}");
    }

    #[test]
    fn a_sweep_visits_no_more_than_so_many() {
        let mut map = SweptMap::default();
        for number in 0..1_000 {
            map.insert(number, number);
        }
        assert_eq!(map.sweep(|_| true).len(), 0);
        assert_eq!(map.sweep(|_| false).len(), MOST_VISITED);
        let mut visited = 0;
        map.sweep(|_| {
            visited += 1;
            true
        });
        assert_eq!(visited, STAYING);
        // A small one is visited once in a sweep.
        let mut small = SweptMap::default();
        small.insert(1, 1);
        let mut visited = 0;
        small.sweep(|_| {
            visited += 1;
            true
        });
        assert_eq!(visited, 1);
    }

    #[test]
    fn memory_is_given_back_when_little_is_left() {
        let mut map = SweptMap::default();
        for number in 0..200_000 {
            map.insert(number, number);
        }
        for _ in 0..2_100 {
            map.sweep(|value| *value < 10);
        }
        let (entries, room) = map.size();
        assert_eq!(entries, 10);
        assert!(room <= 4 * SMALL, "{room}");
    }
}
