//! The seal around a snapshot: a header that anybody can read, and chunks that nobody can read or change without the key.
//!
//! | bytes | header |
//! |---|---|
//! | 8 | `b2b-snap` |
//! | 2 | version of the format, 1 |
//! | 8 | name of the key |
//! | 19 | the random part of every nonce |
//! | 4 | length of a chunk's text |
//!
//! Numbers are little-endian. Each chunk is sealed by XChaCha20-Poly1305 in the STREAM construction: its nonce is the random
//! part, its number, and whether it is the last; the header is associated data of each. So a chunk out of order, one that is
//! missing at the end, one of another file and bytes behind the end are all found out. All chunks but the last are full.

use std::io::{self, Read, Write};

use aead_stream::{DecryptorBE32, EncryptorBE32};
use chacha20poly1305::XChaCha20Poly1305;
use zeroize::Zeroizing;

use super::key::{KeyName, Keys};

const MAGIC: [u8; 8] = *b"b2b-snap";

/// The version that is written, and the newest that is read.
pub(super) const VERSION: u16 = 1;

pub(super) const HEADER: usize = 8 + 2 + 8 + RANDOM + 4;

/// The random part of a nonce.
pub(super) const RANDOM: usize = 19;

/// By how much a sealed chunk is longer than its text.
pub(super) const TAG: usize = 16;

/// Lengths of a chunk that are read: what a reader makes room for.
const CHUNKS: std::ops::RangeInclusive<usize> = 64..=1024 * 1024;

/// Why a file cannot be read.
#[derive(Debug)]
pub(super) enum Flaw {
    /// It was damaged, at or after this byte.
    Damaged(u64),
    /// Its key is none of ours.
    OtherKey,
    /// It is of a version that is not known yet.
    NewerVersion(u16),
    /// The file cannot be read.
    Io(io::Error),
}

impl From<io::Error> for Flaw {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn header(name: KeyName, random: [u8; RANDOM], chunk: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let parts = [
        &MAGIC[..],
        &VERSION.to_le_bytes(),
        &name,
        &random,
        &chunk.to_le_bytes(),
    ];
    for (to, from) in header.iter_mut().zip(parts.into_iter().flatten()) {
        *to = *from;
    }
    header
}

/// Seals a text as it comes, a chunk at a time.
pub(super) struct Sealer<W> {
    to: W,
    header: [u8; HEADER],
    stream: EncryptorBE32<XChaCha20Poly1305>,
    chunk: usize,
    /// What is not sealed yet. It is as large as it gets from the start, so that no copy is left behind.
    text: Zeroizing<Vec<u8>>,
    written: u64,
}

impl<W: Write> Sealer<W> {
    pub(super) fn begin(
        mut to: W,
        keys: &Keys,
        random: [u8; RANDOM],
        chunk: u32,
    ) -> io::Result<Self> {
        let header = header(keys.name, random, chunk);
        to.write_all(&header)?;
        let chunk = usize::try_from(chunk).map_err(io::Error::other)?;
        Ok(Self {
            to,
            header,
            stream: EncryptorBE32::from_aead(keys.snapshot.clone(), &random.into()),
            chunk,
            text: Zeroizing::new(Vec::with_capacity(chunk + TAG)),
            written: HEADER as u64,
        })
    }

    /// Where a piece of this length is appended, all of it in one chunk; `None` when no chunk is that long.
    pub(super) fn room_for(&mut self, length: usize) -> io::Result<Option<&mut Vec<u8>>> {
        if length > self.chunk {
            return Ok(None);
        }
        if self.text.len() + length > self.chunk {
            self.text.resize(self.chunk, 0);
            self.stream
                .encrypt_next_in_place(&self.header, &mut *self.text)
                .map_err(|_| too_long())?;
            self.write()?;
        }
        Ok(Some(&mut *self.text))
    }

    fn write(&mut self) -> io::Result<()> {
        self.to.write_all(&self.text)?;
        self.written += self.text.len() as u64;
        // What was sealed lies where the text was.
        self.text.clear();
        Ok(())
    }

    /// Seals the last chunk. The whole length is returned.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        self.stream
            .encrypt_last_in_place(&self.header, &mut *self.text)
            .map_err(|_| too_long())?;
        self.to.write_all(&self.text)?;
        self.written += self.text.len() as u64;
        Ok(self.written)
    }
}

fn too_long() -> io::Error {
    io::Error::other("the snapshot has more chunks than can be numbered")
}

/// Opens a sealed text, a chunk at a time.
pub(super) struct Opener<R> {
    from: R,
    header: [u8; HEADER],
    /// `None` after the last chunk.
    stream: Option<DecryptorBE32<XChaCha20Poly1305>>,
    chunk: usize,
    text: Zeroizing<Vec<u8>>,
    /// The first byte of the next chunk: that there is one tells that this one is not the last.
    ahead: Option<u8>,
    /// Where the chunk began that is in `text`.
    began: u64,
    /// Where the next one begins.
    next: u64,
}

impl<R: Read> Opener<R> {
    /// Reads the header. The first of the keys that it names is taken.
    pub(super) fn begin(mut from: R, keys: &[Keys]) -> Result<Self, Flaw> {
        let mut bytes = Vec::with_capacity(HEADER);
        from.by_ref().take(HEADER as u64).read_to_end(&mut bytes)?;
        // What is shorter is no snapshot, not even one of a version that is not known.
        let header: [u8; HEADER] = bytes.try_into().map_err(|_| Flaw::Damaged(0))?;
        let mut rest = &header[..];
        let (magic, version, name, random, chunk) = (|| {
            Some((
                take::<8>(&mut rest)?,
                u16::from_le_bytes(take(&mut rest)?),
                take::<8>(&mut rest)?,
                take::<RANDOM>(&mut rest)?,
                u32::from_le_bytes(take(&mut rest)?),
            ))
        })()
        .ok_or(Flaw::Damaged(0))?;
        if magic != MAGIC || version == 0 {
            return Err(Flaw::Damaged(0));
        }
        if version > VERSION {
            return Err(Flaw::NewerVersion(version));
        }
        let keys = keys
            .iter()
            .find(|keys| keys.name == name)
            .ok_or(Flaw::OtherKey)?;
        let chunk = usize::try_from(chunk)
            .ok()
            .filter(|chunk| CHUNKS.contains(chunk))
            .ok_or(Flaw::Damaged(0))?;
        Ok(Self {
            from,
            header,
            stream: Some(DecryptorBE32::from_aead(
                keys.snapshot.clone(),
                &random.into(),
            )),
            chunk,
            text: Zeroizing::new(Vec::with_capacity(chunk + TAG + 1)),
            ahead: None,
            began: 0,
            next: HEADER as u64,
        })
    }

    /// Goes to the next chunk; `false` when there is none, and all of the text was there.
    pub(super) fn advance(&mut self) -> Result<bool, Flaw> {
        let Some(mut stream) = self.stream.take() else {
            self.text.clear();
            return Ok(false);
        };
        let sealed = self.chunk + TAG;
        self.text.clear();
        self.text.extend(self.ahead.take());
        // One byte more than there can be in this chunk.
        let wanted = sealed + 1 - self.text.len();
        self.from
            .by_ref()
            .take(wanted as u64)
            .read_to_end(&mut self.text)?;
        self.began = self.next;
        let damaged = Flaw::Damaged(self.began);
        if self.text.len() > sealed {
            self.ahead = self.text.pop();
            self.next += sealed as u64;
            stream
                .decrypt_next_in_place(&self.header, &mut *self.text)
                .map_err(|_| damaged)?;
            self.stream = Some(stream);
        } else {
            stream
                .decrypt_last_in_place(&self.header, &mut *self.text)
                .map_err(|_| damaged)?;
        }
        Ok(true)
    }

    /// The text of the chunk.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Where the chunk begins in the file.
    pub(super) fn began(&self) -> u64 {
        self.began
    }
}

/// The next bytes, if there are as many.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::{super::key::SnapshotKey, *};

    fn keys(byte: u8) -> Keys {
        Keys::from(&SnapshotKey::from([byte; 32]))
    }

    /// Pieces of ten bytes, sealed in chunks of 64: six in each, and four bytes that are left over.
    pub(super) fn sealed(pieces: u8, random: u8, keys: &Keys) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut sealer = Sealer::begin(&mut bytes, keys, [random; RANDOM], 64).unwrap();
        for piece in 0..pieces {
            sealer
                .room_for(10)
                .unwrap()
                .unwrap()
                .extend([piece + 1; 10]);
        }
        assert_eq!(sealer.finish().unwrap(), bytes.len() as u64);
        bytes
    }

    fn opened(bytes: &[u8], keys: &[Keys]) -> Result<Vec<u8>, Flaw> {
        let mut opener = Opener::begin(bytes, keys)?;
        let mut text = Vec::new();
        while opener.advance()? {
            text.extend_from_slice(opener.text());
        }
        assert!(!opener.advance()? && opener.text().is_empty());
        Ok(text)
    }

    #[test]
    fn what_was_sealed_is_opened_whatever_its_length() {
        let keys = keys(1);
        for pieces in 0..40 {
            let bytes = sealed(pieces, 3, &keys);
            let full = usize::from(pieces.saturating_sub(1) / 6);
            let last = usize::from(pieces) - full * 6;
            assert_eq!(bytes.len(), HEADER + full * 80 + last * 10 + 16, "{pieces}");
            let text = opened(&bytes, std::slice::from_ref(&keys)).unwrap();
            let pieces_of = text.chunks(64).flat_map(|chunk| chunk.chunks_exact(10));
            let read: Vec<_> = pieces_of.map(|piece| piece[0]).collect();
            assert_eq!(read, (1..=pieces).collect::<Vec<_>>());
            assert!(
                text.chunks(64)
                    .all(|chunk| chunk.iter().skip(60).all(|byte| *byte == 0))
            );
        }
    }

    #[test]
    fn a_piece_fills_a_chunk_to_its_end_and_no_piece_is_longer() {
        let keys = keys(1);
        let mut bytes = Vec::new();
        let mut sealer = Sealer::begin(&mut bytes, &keys, [0; RANDOM], 64).unwrap();
        assert!(sealer.room_for(65).unwrap().is_none());
        for _ in 0..2 {
            sealer.room_for(64).unwrap().unwrap().extend([9; 64]);
        }
        sealer.finish().unwrap();
        assert_eq!(bytes.len(), HEADER + 2 * 80);
        assert_eq!(opened(&bytes, &[keys]).unwrap(), [9; 128]);
    }

    #[test]
    fn a_flipped_bit_anywhere_is_found_out() {
        let keys = keys(1);
        let whole = sealed(14, 3, &keys);
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            let flaw = opened(&bytes, std::slice::from_ref(&keys)).unwrap_err();
            let expected = match at {
                0..8 | 37..41 => matches!(flaw, Flaw::Damaged(0) | Flaw::Damaged(41)),
                // 1 ^ 1 is a version that never was.
                8 => matches!(flaw, Flaw::Damaged(0)),
                9 => matches!(flaw, Flaw::NewerVersion(257)),
                10..18 => matches!(flaw, Flaw::OtherKey),
                18..37 => matches!(flaw, Flaw::Damaged(41)),
                _ => {
                    matches!(flaw, Flaw::Damaged(began) if began == 41 + (at as u64 - 41) / 80 * 80)
                }
            };
            assert!(expected, "{at}: {flaw:?}");
        }
    }

    #[test]
    fn a_cut_anywhere_and_bytes_behind_the_end_are_found_out() {
        let keys = keys(1);
        let whole = sealed(14, 3, &keys);
        for length in 0..whole.len() {
            let flaw = opened(&whole[..length], std::slice::from_ref(&keys)).unwrap_err();
            assert!(matches!(flaw, Flaw::Damaged(_)), "{length}: {flaw:?}");
        }
        for more in [1, 16, 79, 80, 81, 200] {
            let mut bytes = whole.clone();
            bytes.extend(vec![0; more]);
            assert!(matches!(
                opened(&bytes, std::slice::from_ref(&keys)),
                Err(Flaw::Damaged(_))
            ));
        }
    }

    #[test]
    fn chunks_in_another_order_or_of_another_file_are_found_out() {
        let keys = keys(1);
        let (one, other) = (sealed(20, 3, &keys), sealed(20, 4, &keys));
        let chunk = |at: usize| HEADER + at * 80..HEADER + (at + 1) * 80;
        let mut swapped = one.clone();
        swapped[chunk(0)].copy_from_slice(&one[chunk(1)]);
        swapped[chunk(1)].copy_from_slice(&one[chunk(0)]);
        let mut mixed = one.clone();
        mixed[chunk(1)].copy_from_slice(&other[chunk(1)]);
        let mut beheaded = one.clone();
        beheaded[..HEADER].copy_from_slice(&other[..HEADER]);
        let mut doubled = one[..HEADER + 80].to_vec();
        doubled.extend_from_slice(&one[HEADER..]);
        let mut lacking = one[..HEADER + 80].to_vec();
        lacking.extend_from_slice(&one[HEADER + 160..]);
        for (bytes, at) in [
            (swapped, 41),
            (mixed, 121),
            (beheaded, 41),
            (doubled, 121),
            (lacking, 121),
        ] {
            match opened(&bytes, std::slice::from_ref(&keys)) {
                Err(Flaw::Damaged(began)) => assert_eq!(began, at),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_file_names_its_key_and_any_of_ours_opens_it() {
        let bytes = sealed(3, 3, &keys(1));
        assert!(matches!(opened(&bytes, &[keys(2)]), Err(Flaw::OtherKey)));
        assert!(matches!(opened(&bytes, &[]), Err(Flaw::OtherKey)));
        assert!(opened(&bytes, &[keys(2), keys(1)]).is_ok());
        // One that only pretends to have the name is no use.
        let pretender = Keys {
            name: keys(1).name,
            ..keys(2)
        };
        assert!(matches!(
            opened(&bytes, &[pretender]),
            Err(Flaw::Damaged(41))
        ));
    }

    #[test]
    fn only_lengths_of_chunks_that_there_is_room_for_are_taken() {
        for (chunk, taken) in [
            (0, false),
            (63, false),
            (64, true),
            (1024 * 1024, true),
            (1024 * 1024 + 1, false),
            (u32::MAX, false),
        ] {
            let header = header(keys(1).name, [0; RANDOM], chunk);
            let opener = Opener::begin(&header[..], &[keys(1)]);
            assert_eq!(opener.is_ok(), taken, "{chunk}");
        }
    }

    #[test]
    fn what_cannot_be_read_or_written_says_so() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::TimedOut.into())
            }
        }
        let timed_out =
            |flaw| matches!(flaw, Flaw::Io(error) if error.kind() == io::ErrorKind::TimedOut);
        assert!(Opener::begin(Broken, &[keys(1)]).is_err_and(timed_out));
        let begun = sealed(14, 3, &keys(1));
        let mut opener = Opener::begin(begun[..HEADER + 20].chain(Broken), &[keys(1)]).unwrap();
        assert!(opener.advance().is_err_and(timed_out));
        assert!(Sealer::begin(&mut [0; 40][..], &keys(1), [0; RANDOM], 64).is_err());
        let mut small = [0; HEADER + 79];
        let mut sealer = Sealer::begin(&mut small[..], &keys(1), [0; RANDOM], 64).unwrap();
        sealer.room_for(64).unwrap().unwrap().extend([1; 64]);
        assert!(sealer.room_for(1).is_err());
        let mut small = [0; HEADER + 15];
        let sealer = Sealer::begin(&mut small[..], &keys(1), [0; RANDOM], 64).unwrap();
        assert!(sealer.finish().is_err());
    }
}
