//! What holds for the reader of snapshots, whatever the bytes are. The other properties are in `fuzz/properties.rs`.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a property that does not hold is to panic: that is what a finding is"
)]

use std::sync::LazyLock;

use super::*;
use crate::{Client, StoreAccess};

/// Length of a chunk's text: short, so that few bytes make several.
const CHUNK: u32 = 256;

/// The cache that reads. Its key is fixed, so that the corpus has files which it opens.
static READER: LazyLock<Option<StorefrontTokens>> = LazyLock::new(|| {
    let mut snapshot = Snapshot::new("never/written", SnapshotKey::from([7; 32]));
    snapshot.chunk = CHUNK;
    // In a corpus, nothing gets too old.
    snapshot.not_older_than = Duration::MAX;
    let client = Client::builder()
        .credentials(StoreAccess::new("abc123", "an access token").ok()?)
        .base_url("http://127.0.0.1:9")
        .build()
        .ok()?;
    Some(
        StorefrontTokens::builder()
            .client(client)
            .snapshot(snapshot)
            .build(),
    )
});

/// A chunk's text, a text in a seal, and a whole file.
pub fn snapshot(bytes: &[u8]) {
    let Some(reader) = &*READER else {
        panic!("the reader cannot be built");
    };
    let Some(keeper) = &reader.shared.snapshot else {
        panic!("the reader has no snapshot");
    };
    records_of(bytes);
    let sealed = seal_up(bytes, &keeper.keys()[0]);
    let contents = open(&sealed, keeper.keys());
    assert_eq!(contents, plainly(bytes), "the seal changes what is read");
    collect(reader, keeper, &sealed);
    spoilt(&sealed, bytes, keeper.keys());
    // As they are, they are a file only where somebody who has the key made one.
    if collect(reader, keeper, bytes) {
        assert!(open(bytes, keeper.keys()).is_some());
        spoilt(bytes, bytes, keeper.keys());
    }
}

/// Each record reads as it is written, and is as long as it says.
fn records_of(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok(Some(record)) = Record::read(&mut rest) {
        let before = bytes.len() - rest.len();
        let mut again = Vec::new();
        assert!(record.append_to(&mut again));
        assert_eq!(again.len(), record.length());
        assert!(
            bytes[..before].ends_with(&again),
            "it is written in another way"
        );
        let shown = format!("{record:?}");
        if let Record::Token(token) = record {
            assert_eq!(shown, "Token(Token { .. })", "{}", token.text.len());
        }
    }
}

/// The text in a seal.
fn seal_up(text: &[u8], keys: &Keys) -> Vec<u8> {
    let mut sealed = Vec::new();
    let done = Sealer::begin(&mut sealed, keys, [3; RANDOM], CHUNK).and_then(|mut sealer| {
        for chunk in text.chunks(CHUNK as usize) {
            if let Some(room) = sealer.room_for(chunk.len())? {
                room.extend_from_slice(chunk);
            }
        }
        sealer.finish()
    });
    assert_eq!(done.ok(), Some(sealed.len() as u64));
    sealed
}

/// The records of a file as they are written, or nothing where any of it is damaged.
fn open(file: &[u8], keys: &[Keys]) -> Option<Vec<u8>> {
    let mut records = Records::begin(file, keys).ok()?;
    let mut contents = Vec::new();
    while let Some(record) = records.next().ok()? {
        record.append_to(&mut contents);
    }
    Some(contents)
}

/// The same without a seal, a chunk after the other.
fn plainly(text: &[u8]) -> Option<Vec<u8>> {
    let mut contents = Vec::new();
    for mut chunk in text.chunks(CHUNK as usize) {
        while let Some(record) = Record::read(&mut chunk).ok()? {
            record.append_to(&mut contents);
        }
    }
    Some(contents)
}

/// What restoring makes of it; whether it was a snapshot.
fn collect(reader: &StorefrontTokens, keeper: &Keeper, file: &[u8]) -> bool {
    let mut report = RestoreReport::default();
    let mut state = State::default();
    let now = reader.shared.clock.reading();
    match reader.shared.collect(file, keeper, &mut state, &mut report) {
        Ok(contents) => {
            for found in &contents.found {
                assert!(found.store < contents.stores.len());
                assert_ne!(found.entry.phase(now), Phase::Over);
            }
            assert!(report.written_at.is_some() || report.expired == 0);
            true
        }
        Err(problem) => {
            assert_eq!((report.expired, report.restored), (0, 0), "{problem}");
            assert_eq!(state.sequence, 0);
            false
        }
    }
}

/// With a bit flipped, cut off or longer, it is nothing. Where, the bytes decide.
fn spoilt(file: &[u8], bytes: &[u8], keys: &[Keys]) {
    let sum = bytes.iter().fold(bytes.len(), |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
    });
    let at = sum % file.len();
    let mut flipped = file.to_vec();
    flipped[at] ^= 1 << (sum / 7 % 8);
    let longer = [file, &[0]].concat();
    for spoilt in [&flipped[..], &file[..at], &longer] {
        assert_eq!(open(spoilt, keys), None, "spoilt at {at}");
    }
}
