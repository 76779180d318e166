//! Redaction: removes secrets from every text that comes from outside and can be shown, such as an error message of the
//! service or a request id, and cuts the text to a bound.
//!
//! A service may repeat what was sent to it, and not only as it was: escaped, encoded, in another case or over several
//! lines. The text is therefore searched in several *views*: as it is, without its escapes, and decoded from base64 and
//! hexadecimal. Each view knows where in the text each of its bytes came from, so that what is found there can be hidden in
//! the text. Where it is unclear how much has to be hidden, more is hidden: the whole word, or the whole text.

mod needles;
mod view;

#[cfg(test)]
mod tests;

use std::{borrow::Cow, error::Error as StdError, fmt, ops::Range};

use self::{needles::Needles, view::View};
use crate::Secret;

/// What is shown in the place of a secret.
const REDACTED: &str = "[REDACTED]";

/// The longest text of the service that is shown, in characters.
pub(crate) const LONGEST_MESSAGE: usize = 500;

/// The longest identifier that is shown, in characters.
pub(crate) const LONGEST_IDENTIFIER: usize = 128;

/// How much of a text is read, in bytes. It is far more than what is shown of it.
pub(crate) const LONGEST_READ: usize = 4096;

/// What is not shown of a text that is longer than [`LONGEST_READ`], in bytes from the end of what is read: a secret may
/// have been cut off there.
const UNSURE_END: usize = 256;

/// A secret with fewer characters than this occurs in ordinary words, and in the replacement itself: it takes the whole
/// text with it.
pub(crate) const SHORTEST_SECRET: usize = 6;

/// From this length on, a text of lower-case hexadecimal digits and hyphens is taken for no base64.
const SHORTEST_HEXADECIMAL: usize = 16;

/// How many decoders are applied one after the other, such as base64 of a percent-encoded text in a JSON string.
const DEEPEST_VIEW: usize = 4;

/// How many bytes of all views of one text are searched. A text that hides more views than that is not shown.
const MOST_WORK: usize = 16 * LONGEST_READ;

/// The shortest run of text that is worth a look in what base64 or hexadecimal decode to, where no secret is shorter.
const SHORTEST_RUN: usize = 6;

/// Replaces the secrets of a call, and everything that looks like a JWT, in texts that can be shown.
pub(crate) struct Redactor<'s> {
    secrets: Vec<&'s str>,
    /// By letters and digits alone, in lower case: what is between them does not matter.
    letters: Needles,
    /// By all visible characters, for secrets with few letters and digits.
    visible: Needles,
    /// The same, for secrets that are so short that they take the whole text with them.
    short: Needles,
    shortest_run: usize,
}

impl<'s> Redactor<'s> {
    /// Redacts these secrets.
    pub(crate) fn new(secrets: impl IntoIterator<Item = &'s Secret>) -> Self {
        let mut redactor = Self {
            secrets: secrets
                .into_iter()
                .map(Secret::expose_secret)
                .filter(|secret| !secret.is_empty())
                .collect(),
            letters: Needles::default(),
            visible: Needles::default(),
            short: Needles::default(),
            shortest_run: SHORTEST_RUN,
        };
        for secret in redactor.secrets.clone() {
            // A secret may hold what looks like an escape. Where the text around it is decoded, it is decoded as well.
            let mut view = Some(View::of(secret));
            for _ in 0..DEEPEST_VIEW {
                let Some(form) = view.take() else { break };
                redactor.look_for(&form);
                view = form.unescaped();
            }
        }
        redactor
    }

    fn look_for(&mut self, form: &View) {
        let letters = form.letters();
        let visible = form.visible();
        let length = visible.characters();
        if letters.len() >= SHORTEST_SECRET {
            self.letters.add(letters.bytes());
        } else if length >= SHORTEST_SECRET {
            self.visible.add(visible.bytes());
        } else if length > 0 {
            self.short.add(visible.bytes());
            self.shortest_run = self.shortest_run.min(length);
        }
    }

    /// A text of the service, fit for a line of a log: in one line, without secrets, of at most [`LONGEST_MESSAGE`]
    /// characters.
    pub(crate) fn message(&self, text: &str) -> String {
        self.shown(text, LONGEST_MESSAGE)
    }

    /// An identifier that the service gave, cut to what an identifier looks like: visible ASCII characters, of which there
    /// are at most [`LONGEST_IDENTIFIER`]. `None` when nothing is left.
    pub(crate) fn identifier(&self, text: &str) -> Option<String> {
        let mut id = self.shown(text, usize::MAX);
        id.retain(|c| c.is_ascii_graphic());
        id.truncate(LONGEST_IDENTIFIER);
        (!id.is_empty()).then_some(id)
    }

    /// A text from outside in one line, without secrets and without invisible characters, of at most `longest` characters.
    pub(crate) fn shown(&self, text: &str, longest: usize) -> String {
        let read = start_of(text, LONGEST_READ);
        let is_whole = read.len() == text.len();
        let sure = if is_whole {
            read
        } else {
            start_of(read, LONGEST_READ - UNSURE_END)
        };
        let line = match self.hidden_in(read) {
            Hidden::Nothing => in_one_line(sure),
            Hidden::Everything => REDACTED.to_owned(),
            Hidden::Parts(hidden) => in_one_line(&without(sure, &hidden)),
        };
        if is_whole {
            cut(line, longest)
        } else {
            cut(format!("{line}…"), longest)
        }
    }

    /// The error of foreign code. It stays as it is where its texts can be shown, and only its texts are kept, redacted,
    /// where they hold a secret, invisible characters or too much.
    pub(crate) fn source(
        &self,
        source: Box<dyn StdError + Send + Sync>,
    ) -> Box<dyn StdError + Send + Sync> {
        const MOST_CAUSES: usize = 16;

        let mut causes = Vec::new();
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&*source);
        while let Some(error) = cause.filter(|_| causes.len() < MOST_CAUSES) {
            causes.push(error);
            cause = error.source();
        }
        // An error that is its own cause would be shown for ever.
        let ends = cause.is_none();
        if ends && causes.iter().all(|error| self.can_be_shown(*error)) {
            return source;
        }
        let mut shown = None;
        for error in causes.into_iter().rev() {
            let text = self.message(&error.to_string());
            shown = Some(Box::new(Redacted {
                text,
                source: shown,
            }));
        }
        match shown {
            Some(shown) => shown,
            None => source,
        }
    }

    fn can_be_shown(&self, error: &(dyn StdError + 'static)) -> bool {
        let is_clean = |text: &str| {
            text.len() <= LONGEST_READ
                && !text.contains(is_invisible)
                && matches!(self.hidden_in(text), Hidden::Nothing)
        };
        let text = error.to_string();
        text.chars().nth(LONGEST_MESSAGE).is_none()
            && is_clean(&text)
            && is_clean(&format!("{error:?}"))
    }

    fn hidden_in(&self, text: &str) -> Hidden {
        let mut hidden = Mask::new(text);
        for secret in &self.secrets {
            for (start, found) in text.match_indices(secret) {
                hidden.exactly(start..start + found.len());
            }
        }
        // What an ID usually is. Base64 of a secret does not come out as these characters alone, so its many views are spared.
        let is_hexadecimal = text.len() >= SHORTEST_HEXADECIMAL
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
        let mut views = vec![(0, View::of(text))];
        let mut work = 0;
        while let Some((depth, view)) = views.pop() {
            work += view.len();
            if work > MOST_WORK {
                return Hidden::Everything;
            }
            if !self.short.is_empty() && self.short.is_in(view.visible().bytes()) {
                return Hidden::Everything;
            }
            self.letters
                .find_in(&view.letters(), |found| hidden.words_of(found));
            if !self.visible.is_empty() {
                self.visible
                    .find_in(&view.visible(), |found| hidden.words_of(found));
            }
            if depth == 0 && is_hexadecimal {
                let decoded = view.decoded_from_hexadecimal();
                let texts = decoded.filter_map(|decoded| decoded.text_in(self.shortest_run));
                views.extend(texts.map(|child| (1, child)));
                continue;
            }
            view.find_jwts(|found| hidden.words_of(found));
            if depth < DEEPEST_VIEW {
                let unescaped = [
                    view.unescaped(),
                    view.squeezed(false),
                    view.bytes()
                        .contains(&b';')
                        .then(|| view.squeezed(true))
                        .flatten(),
                ];
                let decoded = view
                    .decoded()
                    .filter_map(|decoded| decoded.text_in(self.shortest_run));
                let children = unescaped.into_iter().flatten().chain(decoded);
                views.extend(children.map(|child| (depth + 1, child)));
            }
        }
        hidden.finish()
    }
}

impl fmt::Debug for Redactor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor")
    }
}

/// The texts of an error that could not be shown as it was.
struct Redacted {
    text: String,
    source: Option<Box<Redacted>>,
}

impl fmt::Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl StdError for Redacted {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

/// What must not be shown of a text.
enum Hidden {
    Nothing,
    /// For each byte, whether it is hidden.
    Parts(Vec<bool>),
    Everything,
}

/// The parts of a text that are hidden so far.
struct Mask {
    hidden: Vec<bool>,
    /// Where the words of the text are, in order.
    words: Vec<Range<usize>>,
}

impl Mask {
    fn new(text: &str) -> Self {
        let mut words: Vec<Range<usize>> = Vec::new();
        let mut in_word = false;
        for (start, c) in text.char_indices() {
            let end = start + c.len_utf8();
            if c.is_whitespace() || c.is_control() {
                in_word = false;
            } else if let (true, Some(word)) = (in_word, words.last_mut()) {
                word.end = end;
            } else {
                in_word = true;
                words.push(start..end);
            }
        }
        Self {
            hidden: vec![false; text.len()],
            words,
        }
    }

    fn exactly(&mut self, range: Range<usize>) {
        if let Some(bytes) = self.hidden.get_mut(range) {
            bytes.fill(true);
        }
    }

    /// Hides a range and what there is of the words that it begins and ends in, unless it is hidden already.
    fn words_of(&mut self, range: Range<usize>) {
        let is_hidden = |bytes: &[bool]| bytes.iter().all(|byte| *byte);
        if self.hidden.get(range.clone()).is_some_and(is_hidden) {
            return;
        }
        let first = self.words.partition_point(|word| word.end <= range.start);
        let behind = self.words.partition_point(|word| word.start < range.end);
        let start = self.words.get(first).map_or(range.start, |word| word.start);
        let last = behind.checked_sub(1).and_then(|last| self.words.get(last));
        let end = last.map_or(range.end, |word| word.end);
        self.exactly(start.min(range.start)..end.max(range.end));
    }

    fn finish(self) -> Hidden {
        if self.hidden.contains(&true) {
            Hidden::Parts(self.hidden)
        } else {
            Hidden::Nothing
        }
    }
}

/// The text with its hidden parts replaced.
fn without(text: &str, hidden: &[bool]) -> String {
    let mut shown = String::new();
    let mut was_hidden = false;
    for (c, is_hidden) in text
        .char_indices()
        .map(|(at, c)| (c, hidden.get(at).copied().unwrap_or_default()))
    {
        match (was_hidden, is_hidden) {
            (_, false) => shown.push(c),
            (false, true) => shown.push_str(REDACTED),
            (true, true) => {}
        }
        was_hidden = is_hidden;
    }
    shown
}

/// The text without line breaks, control characters and invisible characters: each run of whitespace is one space.
pub(crate) fn in_one_line(text: &str) -> String {
    let visible: Cow<'_, str> = if text.contains(is_invisible) {
        text.chars().filter(|c| !is_invisible(*c)).collect()
    } else {
        text.into()
    };
    let mut line = String::new();
    for word in visible.split(|c: char| c.is_whitespace() || c.is_control()) {
        if !word.is_empty() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    line
}

/// Whether nothing of the text can be seen.
pub(crate) fn is_blank(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_whitespace() || c.is_control() || is_invisible(c))
}

/// At most so many characters of a line, the last of which says that something is left out.
fn cut(line: String, longest: usize) -> String {
    if line.chars().nth(longest).is_none() {
        return line;
    }
    let kept = line.chars().take(longest.saturating_sub(1));
    kept.chain(['…']).collect()
}

/// At most so many bytes from the start of a text.
fn start_of(text: &str, longest: usize) -> &str {
    let mut end = longest.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Characters that show nothing by themselves and can divide or reorder what is around them: joiners, the byte order
/// mark, the soft hyphen, marks of direction, variation selectors and tags.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}
