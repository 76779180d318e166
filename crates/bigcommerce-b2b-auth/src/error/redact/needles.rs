//! Search for many short byte strings at once, in one pass over the text for each of their lengths.

use std::ops::Range;

use zeroize::Zeroizing;

use super::view::View;

/// A part of a secret with so many bytes is a secret, too: an echo may be cut off, or a text ends within it. Shorter parts
/// may be words: the message "Invalid access token" holds eleven letters of a secret called `demo-access-token`.
const LONGEST_NEEDLE: usize = 12;

/// From this length on, a secret without its first or its last byte is as good as the whole. Either may be damaged by what
/// is next to it.
const LONG_ENOUGH_TO_LOSE_ONE: usize = 8;

/// What is searched for: short secrets as a whole, and each part of longer ones that says too much.
#[derive(Default)]
pub(super) struct Needles(Vec<(usize, Zeroizing<Vec<u128>>)>);

impl Needles {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, secret: &[u8]) {
        let length = match secret.len() {
            0 => return,
            length @ ..LONG_ENOUGH_TO_LOSE_ONE => length,
            length => LONGEST_NEEDLE.min(length - 1),
        };
        let mut parts = Zeroizing::new(Vec::with_capacity(secret.len()));
        parts.extend(secret.windows(length).map(packed));
        match self.0.iter_mut().find(|(other, _)| *other == length) {
            Some((_, all)) => {
                let mut joined = Zeroizing::new(Vec::with_capacity(all.len() + parts.len()));
                joined.extend(all.iter().chain(parts.iter()));
                joined.sort_unstable();
                *all = joined;
            }
            None => {
                parts.sort_unstable();
                self.0.push((length, parts));
            }
        }
    }

    pub(super) fn is_in(&self, text: &[u8]) -> bool {
        let mut found = false;
        self.search(text, |_| found = true);
        found
    }

    /// Calls `found` with the ranges of the original text in which one of them is.
    pub(super) fn find_in(&self, view: &View, mut found: impl FnMut(Range<usize>)) {
        self.search(view.bytes(), |range| {
            if let Some(range) = view.origin(range) {
                found(range);
            }
        });
    }

    fn search(&self, text: &[u8], mut found: impl FnMut(Range<usize>)) {
        for (length, needles) in &self.0 {
            let mask = packed(&[0xff; LONGEST_NEEDLE]) >> (8 * (LONGEST_NEEDLE - length));
            let mut window = 0;
            for (last, byte) in text.iter().enumerate() {
                window = (window << 8 | u128::from(*byte)) & mask;
                let end = last + 1;
                if end >= *length && needles.binary_search(&window).is_ok() {
                    found(end - length..end);
                }
            }
        }
    }
}

/// At most [`LONGEST_NEEDLE`] bytes as a number.
fn packed(bytes: &[u8]) -> u128 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u128::from(*byte))
}
