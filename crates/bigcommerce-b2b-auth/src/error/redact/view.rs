//! Views of a text: the text as it is or decoded, with the place in the original text that each byte came from.

use std::ops::Range;

use zeroize::Zeroizing;

use super::is_invisible;

/// A text and where its bytes came from. The places are in order.
#[derive(Debug, Default)]
pub(super) struct View {
    bytes: Zeroizing<Vec<u8>>,
    from: Vec<Range<u32>>,
}

/// What is put between two runs of text that are not next to each other. No text in UTF-8 has it.
const BREAK: u8 = 0xff;

/// Shorter than this, nothing is a JWT: its header alone is longer.
const SHORTEST_JWT: usize = 20;

/// A JWT that has two dots, and so many characters after them, has its whole signature.
const SHORTEST_SIGNATURE: usize = 42;

/// What an escape stands for.
#[derive(Debug, Clone, Copy)]
enum Meaning {
    Byte(u8),
    Char(char),
    Nothing,
}

impl View {
    /// Room for so many bytes: memory that is left behind when there is too little is not wiped.
    fn with_room(bytes: usize) -> Self {
        Self {
            bytes: Zeroizing::new(Vec::with_capacity(bytes)),
            from: Vec::with_capacity(bytes),
        }
    }

    /// The text as it is.
    pub(super) fn of(text: &str) -> Self {
        let mut view = Self::with_room(text.len());
        for (byte, at) in text.bytes().zip(0_u32..u32::MAX) {
            view.push(byte, at..at + 1);
        }
        view
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many characters there are.
    pub(super) fn characters(&self) -> usize {
        self.chars().count()
    }

    /// Where in the original text a range of this view came from.
    pub(super) fn origin(&self, range: Range<usize>) -> Option<Range<usize>> {
        let places = self.from.get(range)?;
        let start = places.first()?.start;
        let end = places.last()?.end;
        Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    }

    fn push(&mut self, byte: u8, from: Range<u32>) {
        self.bytes.push(byte);
        self.from.push(from);
    }

    fn push_char(&mut self, c: char, from: &Range<u32>) {
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            self.push(byte, from.clone());
        }
    }

    /// The letters and digits of ASCII alone, in lower case. What is between them, whatever it is encoded as, does not
    /// keep them from being found.
    pub(super) fn letters(&self) -> Self {
        let mut view = Self::with_room(self.len());
        for (byte, from) in self.bytes.iter().zip(&self.from) {
            if byte.is_ascii_alphanumeric() {
                view.push(byte.to_ascii_lowercase(), from.clone());
            }
        }
        view
    }

    /// All visible characters in lower case, without those that encodings and lists put between or in place of others.
    pub(super) fn visible(&self) -> Self {
        let mut view = Self::with_room(self.len());
        for (_, c, from) in self.chars() {
            match c {
                None => view.push(BREAK, from),
                Some(c) if is_skipped(c) => {}
                Some(c) => {
                    for c in c.to_lowercase() {
                        view.push_char(c, &from);
                    }
                }
            }
        }
        view
    }

    /// The characters, each with its place in this view and in the original text; `None` for bytes that are none.
    fn chars(&self) -> impl Iterator<Item = (usize, Option<char>, Range<u32>)> {
        let chars = self.bytes.utf8_chunks().flat_map(|chunk| {
            let valid = chunk.valid().chars().map(|c| (c.len_utf8(), Some(c)));
            let invalid = (!chunk.invalid().is_empty()).then(|| (chunk.invalid().len(), None));
            valid.chain(invalid)
        });
        let mut next = 0;
        chars.map(move |(length, c)| {
            let at = next;
            next += length;
            let place = |at| self.from.get(at).cloned().unwrap_or_default();
            (at, c, place(at).start..place(next - 1).end)
        })
    }

    /// Without the escapes of JSON, Python, C, URLs, forms, HTML and XML, all at once. `None` when there are none.
    ///
    /// An escape of an escape counts as one, however often it was repeated: backslashes of JSON in JSON, `%2541`,
    /// `&amp;amp;#65;`.
    pub(super) fn unescaped(&self) -> Option<Self> {
        let mut view = Self::with_room(self.len());
        let mut has_escapes = false;
        let mut at = 0;
        while let Some(rest) = self.bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let escape = escape(rest);
            let length = escape.map_or(1, |(length, _)| length).max(1);
            let places = self.from.get(at..at + length)?;
            let from = places.first()?.start..places.last()?.end;
            match escape {
                None => view.push(*rest.first()?, from),
                Some((_, Meaning::Byte(byte))) => view.push(byte, from),
                Some((_, Meaning::Char(c))) => view.push_char(c, &from),
                Some((_, Meaning::Nothing)) => {}
            }
            has_escapes |= escape.is_some();
            at += length;
        }
        has_escapes.then_some(view)
    }

    /// Without everything that may divide an escape: whitespace, invisible characters, tags, and what is between the items
    /// of a list. `None` when there is no escape that could be divided.
    ///
    /// A semicolon at the end of a word may divide a list, or end an entity of HTML: both are to be tried.
    pub(super) fn squeezed(&self, semicolons_divide: bool) -> Option<Self> {
        let starts_escape = |byte: &u8| matches!(byte, b'\\' | b'%' | b'&' | b'<');
        if !self.bytes.iter().any(starts_escape) {
            return None;
        }
        let mut view = Self::with_room(self.len());
        let mut end_of_tag = 0;
        for (at, c, from) in self.chars() {
            let rest = self.bytes.get(at..).unwrap_or_default();
            match c {
                _ if at < end_of_tag => {}
                None => view.push(BREAK, from),
                Some('"' | '\'' | ',' | '[' | ']') => {}
                Some(';')
                    if semicolons_divide && rest.get(1).is_some_and(u8::is_ascii_whitespace) => {}
                Some(c) if c.is_whitespace() || c.is_control() || is_invisible(c) => {}
                Some(c) => match tag(rest) {
                    Some((length, _)) => end_of_tag = at + length,
                    None => view.push_char(c, &from),
                },
            }
        }
        (view.len() < self.len()).then_some(view)
    }

    /// Decoded from base64 and from hexadecimal, at every place where either may begin.
    pub(super) fn decoded(&self) -> impl Iterator<Item = Self> {
        let base64 = (0..4).map(|offset| self.as_base64(offset));
        base64.chain(self.decoded_from_hexadecimal())
    }

    /// The text as hexadecimal alone.
    pub(super) fn decoded_from_hexadecimal(&self) -> impl Iterator<Item = Self> {
        (0..2).map(|offset| self.as_hex(offset))
    }

    /// The whole text as if it were base64 of either alphabet. Other characters are skipped: lines are broken, lists are
    /// divided. Where base64 begins in the text does not matter, apart from its place in a group of four.
    fn as_base64(&self, offset: usize) -> Self {
        let mut symbols = self
            .bytes
            .iter()
            .zip(&self.from)
            .filter_map(|(byte, from)| Some((base64_value(*byte)?, from)))
            .skip(offset);
        let mut view = Self::default();
        let Some((mut value, mut start)) = symbols.next() else {
            return view;
        };
        let mut kept = 6;
        for (next, from) in symbols {
            value = value << 6 | next;
            kept += 6;
            if kept >= 8 {
                kept -= 8;
                view.push((value >> kept & 0xff) as u8, start.start..from.end);
                value &= (1 << kept) - 1;
            }
            start = from;
        }
        view
    }

    /// The whole text as if it were pairs of hexadecimal digits, with or without something between them. Only letters that
    /// are no digits divide it.
    fn as_hex(&self, offset: usize) -> Self {
        let mut view = Self::default();
        let mut skipped = 0;
        let mut high: Option<(u32, &Range<u32>)> = None;
        let mut letters = self
            .bytes
            .iter()
            .zip(&self.from)
            .filter(|(byte, _)| byte.is_ascii_alphanumeric())
            .peekable();
        while let Some((byte, from)) = letters.next() {
            // The zero of `0x41` is no digit of it.
            if *byte == b'0'
                && letters
                    .next_if(|(byte, _)| matches!(byte, b'x' | b'X'))
                    .is_some()
            {
                high = None;
                continue;
            }
            let Some(digit) = char::from(*byte).to_digit(16) else {
                view.push(BREAK, from.clone());
                skipped = 0;
                high = None;
                continue;
            };
            if skipped < offset {
                skipped += 1;
                continue;
            }
            high = match high {
                None => Some((digit, from)),
                Some((high, start)) => {
                    view.push((high << 4 | digit) as u8, start.start..from.end);
                    None
                }
            };
        }
        view
    }

    /// The runs of text in decoded bytes, most of which are none. `None` when no run has so many bytes.
    pub(super) fn text_in(&self, shortest_run: usize) -> Option<Self> {
        let mut view = Self::default();
        let mut run = Self::default();
        let end_run = |run: &mut Self, view: &mut Self| {
            if run.len() >= shortest_run {
                view.bytes.append(&mut run.bytes);
                view.from.append(&mut run.from);
                view.push(BREAK, view.from.last().cloned().unwrap_or_default());
            }
            *run = Self::default();
        };
        for (_, c, from) in self.chars() {
            match c {
                Some(c) if !c.is_control() || matches!(c, '\t' | '\n' | '\r') => {
                    run.push_char(c, &from);
                }
                _ => end_run(&mut run, &mut view),
            }
        }
        end_run(&mut run, &mut view);
        (!view.bytes.is_empty()).then_some(view)
    }

    /// Calls `found` with the places of what looks like a JWT, or like a part of one: it starts with `{"` in base64url,
    /// which is `eyJ`. It may be broken over lines, by invisible characters, or over the items of a list.
    pub(super) fn find_jwts(&self, mut found: impl FnMut(Range<usize>)) {
        if !self.bytes.contains(&b'e') {
            return;
        }
        let mut word = Self::default();
        let mut between = Between::default();
        let mut end_word = |word: &mut Self| {
            if let Some(start) = word.start_of_jwt()
                && let Some(range) = word.origin(start..word.len())
            {
                found(range);
            }
            *word = Self::default();
        };
        for (_, c, from) in self.chars() {
            match c {
                Some(c) if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') => {
                    if between.ends(&word) {
                        end_word(&mut word);
                    }
                    between = Between::default();
                    word.push_char(c, &from);
                }
                Some(c) if between.notes(c) => {}
                _ => {
                    end_word(&mut word);
                    between = Between::default();
                }
            }
        }
        end_word(&mut word);
    }

    fn start_of_jwt(&self) -> Option<usize> {
        let start = self.bytes.windows(3).position(|start| start == b"eyJ")?;
        (self.len() - start > SHORTEST_JWT).then_some(start)
    }

    fn is_whole_jwt(&self) -> bool {
        self.start_of_jwt()
            .and_then(|start| self.bytes.get(start..))
            .is_some_and(|jwt| {
                let mut parts = jwt.rsplit(|byte| *byte == b'.');
                let signature = parts.next().unwrap_or_default();
                signature.len() >= SHORTEST_SIGNATURE && parts.count() >= 2
            })
    }
}

/// What stands between two runs of characters of a JWT.
#[derive(Debug, Default)]
struct Between {
    breaks: bool,
    divides: bool,
    spaces: bool,
}

impl Between {
    /// Takes a character in, if it can be between two parts of one JWT.
    fn notes(&mut self, c: char) -> bool {
        match c {
            ',' | ';' => self.divides = true,
            '"' | '\'' | '`' | '\\' | '[' | ']' => {}
            _ if is_invisible(c) || c.is_control() => self.breaks = true,
            '\u{2028}' | '\u{2029}' => self.breaks = true,
            _ if c.is_whitespace() => self.spaces = true,
            _ => return false,
        }
        true
    }

    fn ends(&self, word: &View) -> bool {
        !self.breaks && (self.spaces || self.divides) && (!self.divides || word.is_whole_jwt())
    }
}

/// What a visible form of a text does without.
fn is_skipped(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || is_invisible(c)
        || matches!(c, '+' | '\\' | '"' | '\'' | ',' | ';' | '[' | ']')
}

fn base64_value(byte: u8) -> Option<u32> {
    Some(match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}

/// The escape that bytes start with: its length and its meaning.
fn escape(bytes: &[u8]) -> Option<(usize, Meaning)> {
    match bytes.first()? {
        b'\\' => after_backslash(bytes),
        b'%' => after_percent(bytes),
        b'&' => entity(bytes),
        b'<' => tag(bytes),
        _ => None,
    }
}

/// `\u0041`, `\u{41}`, `\U00000041`, `\x41`, `\101`, `\n`, after any number of backslashes. Other escapes stand for the
/// punctuation in them, and no search needs a backslash.
fn after_backslash(bytes: &[u8]) -> Option<(usize, Meaning)> {
    let slashes = bytes.iter().take_while(|byte| **byte == b'\\').count();
    let rest = bytes.get(slashes + 1..)?;
    let (length, meaning) = match bytes.get(slashes)? {
        b'u' => utf16(rest).or_else(|| in_braces(rest))?,
        b'U' => (8, Meaning::Char(character(number(rest, 8, 16)?))),
        b'x' => (2, Meaning::Byte(byte(rest)?)),
        b'n' | b'r' | b't' | b'f' | b'v' | b'\n' => (0, Meaning::Byte(b'\n')),
        b'0'..=b'3' => {
            let digits = bytes.get(slashes..)?;
            match number(digits, 3, 8) {
                Some(number) => (2, Meaning::Byte(u8::try_from(number).ok()?)),
                None => (0, Meaning::Byte(b'\n')),
            }
        }
        b'a' | b'b' | b'e' => (0, Meaning::Byte(b'\n')),
        _ => return None,
    };
    Some((slashes + 1 + length, meaning))
}

/// Four hexadecimal digits, and the second half of the character where these are the first.
fn utf16(bytes: &[u8]) -> Option<(usize, Meaning)> {
    let first = number(bytes, 4, 16)?;
    let second = || {
        let rest = bytes.get(4..)?;
        let slashes = rest.iter().take_while(|byte| **byte == b'\\').count();
        let digits = rest.get(slashes..)?.strip_prefix(b"u")?;
        Some((4 + slashes + 5, number(digits, 4, 16)?))
    };
    if let 0xd800..=0xdbff = first
        && let Some((length, second @ 0xdc00..=0xdfff)) = second()
    {
        let code = 0x10000 + ((first & 0x3ff) << 10) + (second & 0x3ff);
        return Some((length, Meaning::Char(character(code))));
    }
    Some((4, Meaning::Char(character(first))))
}

fn in_braces(bytes: &[u8]) -> Option<(usize, Meaning)> {
    let digits = bytes.strip_prefix(b"{")?;
    let length = digits.iter().position(|byte| *byte == b'}')?;
    let code = number(digits, Some(length).filter(|length| *length <= 6)?, 16)?;
    Some((length + 2, Meaning::Char(character(code))))
}

/// `%41`, `%2541` and so on, `%u0041`.
fn after_percent(bytes: &[u8]) -> Option<(usize, Meaning)> {
    let mut at = 1;
    while bytes.get(at..at + 2) == Some(&b"25"[..]) && bytes.get(at + 2..).and_then(byte).is_some()
    {
        at += 2;
    }
    let rest = bytes.get(at..)?;
    if let Some(byte) = byte(rest) {
        return Some((at + 2, Meaning::Byte(byte)));
    }
    let code = number(rest.strip_prefix(b"u")?, 4, 16)?;
    Some((at + 5, Meaning::Char(character(code))))
}

/// `&#65;`, `&#x41;`, `&quot;`, and the same where `&` itself was escaped, any number of times.
fn entity(bytes: &[u8]) -> Option<(usize, Meaning)> {
    let mut at = 1;
    while bytes
        .get(at..)
        .is_some_and(|rest| rest.starts_with(b"amp;"))
    {
        at += 4;
    }
    let is_escaped = at > 1;
    let rest = bytes.get(at..)?;
    let (length, c) = match numbered(rest).or_else(|| named(rest)) {
        Some(entity) => entity,
        None if is_escaped => (0, '&'),
        None => return None,
    };
    Some((at + length, Meaning::Char(c)))
}

fn numbered(bytes: &[u8]) -> Option<(usize, char)> {
    let digits = bytes.strip_prefix(b"#")?;
    let (prefix, digits, radix) = match digits.first()? {
        b'x' | b'X' => (2, digits.get(1..)?, 16),
        _ => (1, digits, 10),
    };
    let length = digits
        .iter()
        .take(9)
        .take_while(|byte| char::from(**byte).is_digit(radix))
        .count();
    let code = number(digits, length, radix)?;
    let end = usize::from(digits.get(length) == Some(&b';'));
    Some((prefix + length + end, character(code)))
}

fn named(bytes: &[u8]) -> Option<(usize, char)> {
    const LONGEST_NAME: usize = 32;

    let length = bytes
        .iter()
        .take(LONGEST_NAME + 1)
        .position(|byte| *byte == b';')?;
    let name = bytes.get(..length)?;
    if name.is_empty() || !name.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    let c = match name {
        b"quot" | b"QUOT" => '"',
        b"apos" => '\'',
        b"lt" | b"LT" => '<',
        b"gt" | b"GT" => '>',
        b"nbsp" => ' ',
        b"shy" => '\u{ad}',
        b"Tab" => '\t',
        b"NewLine" => '\n',
        b"excl" => '!',
        b"num" => '#',
        b"dollar" => '$',
        b"percnt" => '%',
        b"lpar" => '(',
        b"rpar" => ')',
        b"ast" | b"midast" => '*',
        b"plus" => '+',
        b"comma" => ',',
        b"period" => '.',
        b"sol" => '/',
        b"colon" => ':',
        b"semi" => ';',
        b"equals" => '=',
        b"quest" => '?',
        b"commat" => '@',
        b"lsqb" | b"lbrack" => '[',
        b"bsol" => '\\',
        b"rsqb" | b"rbrack" => ']',
        b"Hat" => '^',
        b"lowbar" | b"UnderBar" => '_',
        b"grave" | b"DiacriticalGrave" => '`',
        b"lcub" | b"lbrace" => '{',
        b"verbar" | b"vert" | b"VerticalLine" => '|',
        b"rcub" | b"rbrace" => '}',
        // All others are outside of ASCII.
        _ => char::REPLACEMENT_CHARACTER,
    };
    Some((length + 1, c))
}

/// `<br>`, `</b>` and other tags, which divide a text without being seen.
fn tag(bytes: &[u8]) -> Option<(usize, Meaning)> {
    const LONGEST_TAG: usize = 64;

    let first = bytes.strip_prefix(b"<")?.first()?;
    if !first.is_ascii_alphabetic() && !matches!(first, b'/' | b'!') {
        return None;
    }
    let end = bytes
        .iter()
        .take(LONGEST_TAG)
        .skip(1)
        .position(|byte| matches!(byte, b'<' | b'>'))?;
    let length = end + 2;
    (bytes.get(length - 1) == Some(&b'>')).then_some((length, Meaning::Nothing))
}

fn byte(digits: &[u8]) -> Option<u8> {
    u8::try_from(number(digits, 2, 16)?).ok()
}

/// The number that so many digits at the start are.
fn number(digits: &[u8], length: usize, radix: u32) -> Option<u32> {
    let digits = std::str::from_utf8(digits.get(..length)?).ok()?;
    if digits.starts_with('+') {
        return None;
    }
    u32::from_str_radix(digits, radix).ok()
}

fn character(code: u32) -> char {
    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
}
