//! The text inside of the seal: records, one behind the other, none across the end of a chunk.
//!
//! | record | what is in it |
//! |---|---|
//! | 0 | nothing: the rest of the chunk is filled up with zeros |
//! | 1, the first | sequence number (8), when it was written in milliseconds since 1970 (8), the service's address |
//! | 2 | the hash of a store; stores are numbered in the order of their records |
//! | 3 | number of the store (4), customer (8), channel or 0 (8), end of its life in seconds since 1970 (4), length of its life (4) and when it is due (4) in hundredths of a second, the token |
//!
//! Numbers are little-endian; a text stands behind its length (2). It is foreign input all the same: whoever has the key may
//! have another program.

use std::{io::Read, time::Duration};

use super::{
    super::cached_token::Kept,
    key::Keys,
    seal::{Flaw, Opener, take},
};
use crate::{ChannelId, CustomerId, StoreHash};

/// One thing that a snapshot says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record<'t> {
    Head(Head<'t>),
    Store(&'t str),
    Token(Token<'t>),
}

/// What holds for the whole of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head<'t> {
    pub(super) sequence: u64,
    /// Since 1970, in whole milliseconds.
    pub(super) written_at: Duration,
    pub(super) service: &'t str,
}

/// A token, and whose it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub(super) store: u32,
    pub(super) customer: CustomerId,
    pub(super) channel: Option<ChannelId>,
    pub(super) kept: Kept,
    pub(super) text: &'t str,
}

impl std::fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}

/// Bytes that are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

impl<'t> Record<'t> {
    /// How many bytes it takes.
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Head(head) => 1 + 8 + 8 + 2 + head.service.len(),
            Self::Store(hash) => 1 + 2 + hash.len(),
            Self::Token(token) => 1 + 4 + 8 + 8 + 4 + 4 + 4 + 2 + token.text.len(),
        }
    }

    /// Appends it. `false`, and nothing is appended, when a text is too long to state its length.
    pub(super) fn append_to(&self, text: &mut Vec<u8>) -> bool {
        let (Self::Head(Head { service: last, .. })
        | Self::Store(last)
        | Self::Token(Token { text: last, .. })) = self;
        let Ok(length) = u16::try_from(last.len()) else {
            return false;
        };
        match self {
            Self::Head(head) => {
                let millis = u64::try_from(head.written_at.as_millis()).unwrap_or(u64::MAX);
                text.push(1);
                text.extend(head.sequence.to_le_bytes());
                text.extend(millis.to_le_bytes());
            }
            Self::Store(_) => text.push(2),
            Self::Token(token) => {
                text.push(3);
                text.extend(token.store.to_le_bytes());
                text.extend(token.customer.get().to_le_bytes());
                text.extend(token.channel.map_or(0, ChannelId::get).to_le_bytes());
                text.extend(token.kept.expires_at.to_le_bytes());
                text.extend(token.kept.life.to_le_bytes());
                text.extend(token.kept.due.to_le_bytes());
            }
        }
        text.extend(length.to_le_bytes());
        text.extend_from_slice(last.as_bytes());
        true
    }

    /// The next record; `None` at the end of the chunk.
    pub(super) fn read(bytes: &mut &'t [u8]) -> Result<Option<Self>, Malformed> {
        let Some([kind]) = take(bytes) else {
            return Ok(None);
        };
        if kind == 0 {
            let filled_up = bytes.iter().all(|byte| *byte == 0);
            *bytes = &[];
            return if filled_up { Ok(None) } else { Err(Malformed) };
        }
        Self::of_kind(kind, bytes).map(Some).ok_or(Malformed)
    }

    fn of_kind(kind: u8, bytes: &mut &'t [u8]) -> Option<Self> {
        match kind {
            1 => Some(Self::Head(Head {
                sequence: u64::from_le_bytes(take(bytes)?),
                written_at: Duration::from_millis(u64::from_le_bytes(take(bytes)?)),
                service: text(bytes)?,
            })),
            2 => Some(Self::Store(
                text(bytes).filter(|hash| StoreHash::new(*hash).is_ok())?,
            )),
            3 => Some(Self::Token(Token {
                store: u32::from_le_bytes(take(bytes)?),
                customer: CustomerId::new(i64::from_le_bytes(take(bytes)?)).ok()?,
                channel: match i64::from_le_bytes(take(bytes)?) {
                    0 => None,
                    channel => Some(ChannelId::new(channel).ok()?),
                },
                kept: Kept {
                    expires_at: u32::from_le_bytes(take(bytes)?),
                    life: u32::from_le_bytes(take(bytes)?),
                    due: u32::from_le_bytes(take(bytes)?),
                },
                text: text(bytes)?,
            })),
            _ => None,
        }
    }
}

fn text<'t>(bytes: &mut &'t [u8]) -> Option<&'t str> {
    let length = usize::from(u16::from_le_bytes(take(bytes)?));
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

/// The records of a sealed file, one after the other.
pub(super) struct Records<R> {
    opener: Opener<R>,
    /// How much of the chunk was read.
    read: usize,
}

impl<R: Read> Records<R> {
    pub(super) fn begin(from: R, keys: &[Keys]) -> Result<Self, Flaw> {
        Ok(Self {
            opener: Opener::begin(from, keys)?,
            read: 0,
        })
    }

    /// The next of them; `None` when all were read, and none is missing.
    pub(super) fn next(&mut self) -> Result<Option<Record<'_>>, Flaw> {
        // What is at the end of a chunk is nothing, or what it was filled up with.
        while matches!(self.rest().first(), None | Some(0)) {
            if Record::read(&mut self.rest()).is_err() {
                return Err(self.malformed());
            }
            if !self.opener.advance()? {
                return Ok(None);
            }
            self.read = 0;
        }
        let mut rest = self.opener.text().get(self.read..).unwrap_or_default();
        let before = rest.len();
        let record = Record::read(&mut rest).map_err(|_| Flaw::Damaged(self.opener.began()))?;
        self.read += before - rest.len();
        Ok(record)
    }

    /// What was not read yet of the chunk.
    fn rest(&self) -> &[u8] {
        self.opener.text().get(self.read..).unwrap_or_default()
    }

    /// What is sealed and makes no sense.
    pub(super) fn malformed(&self) -> Flaw {
        Flaw::Damaged(self.opener.began())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            key::SnapshotKey,
            seal::{HEADER, RANDOM, Sealer},
        },
        *,
    };

    fn token(text: &str, channel: Option<i64>) -> Record<'_> {
        Record::Token(Token {
            store: 0x0403_0201,
            customer: CustomerId::new(i64::MAX).unwrap(),
            channel: channel.map(|id| ChannelId::new(id).unwrap()),
            kept: Kept {
                expires_at: 1_800_086_400,
                life: 8_640_000,
                due: 6_912_000,
            },
            text,
        })
    }

    fn head(service: &str) -> Record<'_> {
        Record::Head(Head {
            sequence: 0x0807_0605_0403_0201,
            written_at: Duration::from_millis(1_800_000_000_123),
            service,
        })
    }

    fn bytes_of(records: &[Record<'_>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for record in records {
            let before = bytes.len();
            assert!(record.append_to(&mut bytes));
            assert_eq!(bytes.len() - before, record.length(), "{record:?}");
        }
        bytes
    }

    #[test]
    fn every_record_reads_as_it_was_written() {
        let records = [
            head("https://example.com/api/io"),
            Record::Store("abc123"),
            token("a.b.c", None),
            token("", Some(1)),
            token("x", Some(i64::MAX)),
        ];
        let bytes = bytes_of(&records);
        for padding in [0, 1, 50] {
            let padded = [&bytes[..], &vec![0; padding]].concat();
            let mut rest = &padded[..];
            for record in records {
                assert_eq!(Record::read(&mut rest), Ok(Some(record)));
            }
            assert_eq!(Record::read(&mut rest), Ok(None));
            assert_eq!((rest.len(), Record::read(&mut rest)), (0, Ok(None)));
        }
        assert_eq!(format!("{:?}", records[2]), "Token(Token { .. })");
    }

    #[test]
    fn the_bytes_are_those_of_the_table() {
        let bytes = bytes_of(&[head("s"), Record::Store("ab"), token("t", Some(2))]);
        let expected: &[&[u8]] = &[
            &[1, 1, 2, 3, 4, 5, 6, 7, 8],
            &1_800_000_000_123_u64.to_le_bytes(),
            &[1, 0, b's'],
            &[2, 2, 0, b'a', b'b'],
            &[3, 1, 2, 3, 4],
            &[255, 255, 255, 255, 255, 255, 255, 127],
            &[2, 0, 0, 0, 0, 0, 0, 0],
            &1_800_086_400_u32.to_le_bytes(),
            &8_640_000_u32.to_le_bytes(),
            &6_912_000_u32.to_le_bytes(),
            &[1, 0, b't'],
        ];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn what_is_no_record_is_told() {
        let mut bad = vec![
            vec![4],
            vec![255, 0],
            vec![0, 0, 1],
            // A store's hash that no header could carry, and one that is no text.
            vec![2, 0, 0],
            vec![2, 1, 0, b' '],
            vec![2, 1, 0, 200],
        ];
        // Every record, cut off anywhere.
        for record in [
            head("https://example.com"),
            Record::Store("ab"),
            token("t", None),
        ] {
            let bytes = bytes_of(&[record]);
            bad.extend((1..bytes.len()).map(|length| bytes[..length].to_vec()));
        }
        // Ids that are none.
        let good = bytes_of(&[token("t", None)]);
        for (at, id) in [(5, 0), (5, -1), (13, -1), (13, i64::MIN)] {
            let mut bytes = good.clone();
            bytes[at..at + 8].copy_from_slice(&i64::to_le_bytes(id));
            bad.push(bytes);
        }
        for bytes in bad {
            assert_eq!(Record::read(&mut &bytes[..]), Err(Malformed), "{bytes:?}");
        }
    }

    #[test]
    fn a_text_that_is_too_long_is_not_appended() {
        let long = "x".repeat(65_536);
        for record in [head(&long), Record::Store(&long), token(&long, None)] {
            let mut bytes = vec![7];
            assert!(!record.append_to(&mut bytes));
            assert_eq!(bytes, [7]);
        }
        assert!(token(&long[1..], None).append_to(&mut Vec::new()));
    }

    fn sealed(texts: &[&[u8]], keys: &Keys) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut sealer = Sealer::begin(&mut bytes, keys, [3; RANDOM], 64).unwrap();
        for text in texts {
            sealer
                .room_for(text.len())
                .unwrap()
                .unwrap()
                .extend_from_slice(text);
        }
        sealer.finish().unwrap();
        bytes
    }

    #[test]
    fn records_are_read_across_chunks() {
        let keys = [Keys::from(&SnapshotKey::from([1; 32]))];
        let texts: Vec<_> = (0..20).map(|at| "y".repeat(at)).collect();
        let records: Vec<_> = texts.iter().map(|text| token(text, None)).collect();
        let parts: Vec<_> = records.iter().map(|record| bytes_of(&[*record])).collect();
        let parts: Vec<_> = parts.iter().map(|part| &part[..]).collect();
        let bytes = sealed(&parts, &keys[0]);
        assert!(bytes.len() > HEADER + 10 * 80);
        let mut read = Records::begin(&bytes[..], &keys).unwrap();
        for record in records {
            assert_eq!(read.next().unwrap(), Some(record));
        }
        assert!(read.next().unwrap().is_none() && read.next().unwrap().is_none());
    }

    #[test]
    fn what_is_sealed_and_no_record_is_damage_at_its_chunk() {
        let keys = [Keys::from(&SnapshotKey::from([1; 32]))];
        let full = bytes_of(&[token(&"z".repeat(64 - 35), None)]);
        for (bad, chunk) in [
            (vec![9], 1),
            (vec![0, 9], 1),
            (vec![1; 20], 1),
            (vec![0; 64], 2),
        ] {
            let after = bytes_of(&[Record::Store("a")]);
            let bytes = sealed(&[&full, &bad, &[&after[..], &[9; 50]].concat()], &keys[0]);
            let mut read = Records::begin(&bytes[..], &keys).unwrap();
            assert!(read.next().unwrap().is_some());
            let flaw = loop {
                match read.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("nothing was found out"),
                    Err(flaw) => break flaw,
                }
            };
            assert!(
                matches!(flaw, Flaw::Damaged(at) if at == 41 + chunk * 80),
                "{flaw:?}"
            );
        }
    }
}
