//! Writes a broken document down, and breaks the bytes of a file: cut, flipped, inserted, lines moved.
//! What is inserted is what YAML takes for more than text: tabs, marks, anchors, tags, indicators.

use fastrand::Rng;
use serde_json::Value;

use crate::canonical;

/// What is inserted into a file.
const PIECES: [&[u8]; 42] = [
    b"\t",
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\t",
    b" ",
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"&a ",
    b"*a",
    b"*a ",
    b"&b &a ",
    b"<<: *a\n",
    b"!!binary ",
    b"!!str ",
    b"!!int ",
    b"!x ",
    b"---\n",
    b"\n...\n",
    b"%YAML 1.2\n---\n",
    b": ",
    b"? ",
    b"- ",
    b"#",
    b"@",
    b"`",
    b"{",
    b"}",
    b"[",
    b"]",
    b"'",
    b"\"",
    b"|\n",
    b">-\n",
    b"~",
    b".nan",
    b".inf",
    b"1e999",
    b"0x1F",
    b"2024-08-05T10:00:00Z",
];

/// The text of a document, as JSON or as YAML.
pub(super) fn write(document: &Value, rng: &mut Rng) -> Vec<u8> {
    let json = || document.to_string().into_bytes();
    if rng.u8(..3) > 0 {
        return json();
    }
    // A document that is too deep for the reader cannot be written with the proof that it reads back.
    canonical::to_yaml("", "", document).map_or_else(|_| json(), String::into_bytes)
}

/// `text` with one to a few places broken.
pub(super) fn damage(text: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = text.to_vec();
    let mut more = true;
    while more {
        match rng.u8(..10) {
            0 => cut(&mut bytes, rng),
            1 => {
                let from = rng.usize(..=bytes.len());
                bytes.truncate(from);
            }
            2 | 3 => flip(&mut bytes, rng),
            4 | 5 => insert(&mut bytes, rng),
            6 => anchor(&mut bytes, rng),
            7 => {
                bytes = String::from_utf8_lossy(&bytes)
                    .replace('\n', "\r\n")
                    .into_bytes();
            }
            _ => lines(&mut bytes, rng),
        }
        more = rng.u8(..3) == 0;
    }
    bytes
}

fn cut(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let from = rng.usize(..=bytes.len());
    let to = from.saturating_add(rng.usize(..200)).min(bytes.len());
    bytes.drain(from..to);
}

fn flip(bytes: &mut [u8], rng: &mut Rng) {
    if bytes.is_empty() {
        return;
    }
    let index = rng.usize(..bytes.len());
    let bit = 1 << rng.u8(..8);
    if let Some(byte) = bytes.get_mut(index) {
        *byte ^= bit;
    }
}

fn insert(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let index = rng.usize(..=bytes.len());
    let piece = rng.choice(PIECES).unwrap_or_default();
    bytes.splice(index..index, piece.iter().copied());
}

/// An anchor at one value and aliases at some later ones.
fn anchor(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let places: Vec<usize> = text
        .match_indices(": ")
        .map(|(index, _)| index + 2)
        .collect();
    let Some(first) = rng.choice(&places).copied() else {
        return;
    };
    let mut result = String::new();
    let mut rest = 0;
    for place in places {
        let piece = if place == first {
            "&a "
        } else if place > first && rng.u8(..6) == 0 {
            "*a #"
        } else {
            continue;
        };
        result.push_str(text.get(rest..place).unwrap_or_default());
        result.push_str(piece);
        rest = place;
    }
    result.push_str(text.get(rest..).unwrap_or_default());
    *bytes = result.into_bytes();
}

/// A line gone, twice, elsewhere, or indented otherwise.
fn lines(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let mut lines: Vec<Vec<u8>> = bytes
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    let from = rng.usize(..lines.len().max(1));
    let to = rng.usize(..lines.len().max(1));
    match (rng.u8(..5), lines.get(from).cloned()) {
        (0, Some(_)) => {
            lines.remove(from);
        }
        (1, Some(line)) => lines.insert(to, line),
        (2, Some(_)) => lines.swap(from, to),
        (3, Some(mut line)) => {
            line.splice(0..0, *b"  ");
            lines.splice(from..=from, [line]);
        }
        (_, Some(line)) => {
            let shorter = line.strip_prefix(b"  ").unwrap_or(&line).to_vec();
            lines.splice(from..=from, [shorter]);
        }
        (_, None) => {}
    }
    *bytes = lines.join(&b'\n');
}
