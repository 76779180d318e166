//! Every way that an echo is known to be written in, alone and one after the other, and what must stay readable.

use std::{error::Error as StdError, fmt};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};

use super::*;

fn message(text: &str, secrets: &[&str]) -> String {
    let secrets: Vec<Secret> = secrets.iter().map(|secret| (*secret).into()).collect();
    Redactor::new(&secrets).message(text)
}

#[test]
fn what_was_sent_and_what_looks_like_a_token_is_replaced() {
    let secrets = ["hunter2", ""];
    assert_eq!(
        message(
            "password 'hunter2' and token \"eyJhbGciOiJIUzI1NiJ9.e30.c2ln\" are bad",
            &secrets
        ),
        "password '[REDACTED]' and token [REDACTED] are bad"
    );
    assert_eq!(message("a bad day", &secrets), "a bad day");
}

#[test]
fn a_secret_within_another_leaves_no_rest() {
    assert_eq!(
        message("bad hunter-and-more", &["hunter", "hunter-and-more"]),
        "bad [REDACTED]"
    );
}

#[test]
fn a_secret_that_a_line_break_divides_is_found() {
    assert_eq!(
        message("bad: correct\r\n horse", &["correct horse"]),
        "bad: [REDACTED]"
    );
    assert_eq!(message("a\n b", &["correct horse"]), "a b");
}

#[test]
fn a_short_secret_takes_the_whole_text_with_it() {
    for text in [
        "wrong password: s3cre",
        "wrong password: S3CRE",
        "wrong password: s3\ncre",
        "wrong password: s3%63re",
        "wrong password: czNjcmU=",
        "wrong password: 7333637265",
    ] {
        assert_eq!(message(text, &["s3cre"]), "[REDACTED]", "{text}");
    }
    assert_eq!(message("no such customer", &["s3cre"]), "no such customer");
    assert_eq!(message("error 401", &["401"]), "[REDACTED]");
}

/// How an echo is written.
#[derive(Clone, Copy)]
struct Encoder {
    name: &'static str,
    encode: fn(&str, &mut fastrand::Rng) -> String,
    /// Whether what it gives can be written in another case and still be read.
    ignores_case: bool,
}

const fn encoder(
    name: &'static str,
    ignores_case: bool,
    encode: fn(&str, &mut fastrand::Rng) -> String,
) -> Encoder {
    Encoder {
        name,
        encode,
        ignores_case,
    }
}

/// How often each of them is tried.
const EACH: usize = 12;

const ENCODERS: &[Encoder] = &[
    encoder("as it is", true, |text, _| text.to_owned()),
    encoder("JSON", false, |text, _| json(text)),
    encoder("JSON in JSON", false, |text, random| {
        (0..random.usize(2..6)).fold(text.to_owned(), |text, _| json(&text))
    }),
    encoder("JSON by code units", false, |text, _| {
        code_units(text, false)
    }),
    encoder("JSON by code units in JSON", false, |text, random| {
        let text = code_units(text, true);
        (0..random.usize(1..4)).fold(text, |text, _| json(&text))
    }),
    encoder("Python repr", false, |text, _| {
        let text = text.replace('\\', "\\\\").replace('\'', "\\'");
        format!("'{}'", text.replace('\n', "\\n").replace('\r', "\\r"))
    }),
    encoder("Python repr of bytes", false, |text, _| {
        text.bytes().map(|byte| format!("\\x{byte:02x}")).collect()
    }),
    encoder("Rust escapes", false, |text, _| {
        text.chars()
            .map(|c| c.escape_unicode().to_string())
            .collect()
    }),
    encoder("HTML names", false, |text, _| html(text)),
    encoder("HTML names, twice", false, |text, _| html(&html(text))),
    encoder("HTML decimal", true, |text, _| {
        text.chars()
            .map(|c| format!("&#{};", u32::from(c)))
            .collect()
    }),
    encoder("HTML hexadecimal", true, |text, _| {
        text.chars()
            .map(|c| format!("&#x{:x};", u32::from(c)))
            .collect()
    }),
    encoder("percent", true, |text, _| percent(text, false)),
    encoder("percent, every byte", true, |text, _| percent(text, true)),
    encoder("percent, twice", true, |text, _| {
        percent(&percent(text, true), false)
    }),
    encoder("form", true, |text, _| {
        percent(text, false).replace("%20", "+")
    }),
    encoder("base64", false, |text, random| {
        let before = random.usize(0..4);
        let behind = random.usize(0..4);
        let text = format!("{}{text}{}", &"{\"k"[..before], &"\"}\n"[..behind]);
        match random.usize(0..4) {
            0 => STANDARD.encode(text),
            1 => STANDARD_NO_PAD.encode(text),
            2 => URL_SAFE.encode(text),
            _ => URL_SAFE_NO_PAD.encode(text),
        }
    }),
    encoder("Basic", false, |text, _| {
        format!("Basic {}", STANDARD.encode(format!("user:{text}")))
    }),
    encoder("base64 in lines", false, |text, random| {
        let encoded = STANDARD.encode(format!("some words before it: {text}"));
        let width = random.usize(10..40);
        let lines: Vec<_> = encoded.as_bytes().chunks(width).collect();
        String::from_utf8(lines.join(&b"\r\n"[..])).unwrap()
    }),
    encoder("hexadecimal", true, |text, _| {
        text.bytes().map(|byte| format!("{byte:02x}")).collect()
    }),
    encoder("hexadecimal with colons", true, |text, _| {
        let bytes: Vec<_> = text.bytes().map(|byte| format!("{byte:02X}")).collect();
        bytes.join(":")
    }),
    encoder("hexadecimal bytes", true, |text, _| {
        let bytes: Vec<_> = text.bytes().map(|byte| format!("0x{byte:02x}")).collect();
        format!("[{}]", bytes.join(", "))
    }),
    encoder("upper case", true, |text, _| text.to_ascii_uppercase()),
    encoder("lower case", true, |text, _| text.to_ascii_lowercase()),
    encoder("a line break", true, |text, random| {
        divided(text, "\n", random)
    }),
    encoder("an indented line", true, |text, random| {
        divided(text, "\r\n    ", random)
    }),
    encoder("a zero-width space", true, |text, random| {
        divided(text, "\u{200b}", random)
    }),
    encoder("a word joiner", true, |text, random| {
        divided(text, "\u{2060}", random)
    }),
    encoder("a byte order mark", true, |text, random| {
        divided(text, "\u{feff}", random)
    }),
    encoder("a soft hyphen", true, |text, random| {
        divided(text, "\u{ad}", random)
    }),
    encoder("a mark of direction", true, |text, random| {
        divided(text, "\u{202e}", random)
    }),
    encoder("a line break of HTML", true, |text, random| {
        divided(text, "<br/>", random)
    }),
    encoder("a list of JSON", true, |text, random| {
        format!("[\"{}\"]", divided(text, "\", \"", random))
    }),
    encoder("a list of Python", true, |text, random| {
        format!("['{}']", divided(text, "', '", random))
    }),
    encoder("the list of a message", true, |text, random| {
        divided(text, "; ", random)
    }),
];

fn json(text: &str) -> String {
    let json = serde_json::to_string(text).unwrap();
    json[1..json.len() - 1].to_owned()
}

fn code_units(text: &str, upper: bool) -> String {
    text.encode_utf16()
        .map(|unit| {
            if upper {
                format!("\\u{unit:04X}")
            } else {
                format!("\\u{unit:04x}")
            }
        })
        .collect()
}

fn html(text: &str) -> String {
    [
        ("&", "&amp;"),
        ("<", "&lt;"),
        (">", "&gt;"),
        ("\"", "&quot;"),
        ("'", "&#39;"),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (c, name)| text.replace(c, name))
}

fn percent(text: &str, every: bool) -> String {
    text.bytes()
        .map(|byte| {
            let is_kept = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
            match (is_kept && !every, byte % 2) {
                (true, _) => char::from(byte).to_string(),
                (false, 0) => format!("%{byte:02x}"),
                (false, _) => format!("%{byte:02X}"),
            }
        })
        .collect()
}

/// Divided at one place or at several.
fn divided(text: &str, between: &str, random: &mut fastrand::Rng) -> String {
    let mut divided = String::new();
    let every = random.usize(2..12);
    for (count, c) in text.chars().enumerate() {
        if count > 0 && count % every == 0 {
            divided.push_str(between);
        }
        divided.push(c);
    }
    divided
}

fn pick<T: Copy>(from: &[T], random: &mut fastrand::Rng) -> T {
    from[random.usize(0..from.len())]
}

fn characters(from: &str, length: usize, random: &mut fastrand::Rng) -> String {
    let from: Vec<char> = from.chars().collect();
    (0..length).map(|_| pick(&from, random)).collect()
}

const ALPHANUMERIC: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A secret of one of the kinds that a call sends.
fn secret(random: &mut fastrand::Rng) -> String {
    match random.usize(0..8) {
        // The access token of a store.
        0 => characters("abcdefghijklmnopqrstuvwxyz0123456789", 31, random),
        // A customer access token.
        1 => {
            let hex = characters("0123456789abcdef", 64, random);
            format!("{hex}_1800000000")
        }
        // A session JWT.
        2 => {
            let claims = format!(
                r#"{{"customer":{{"id":{},"email":"{}@example.com"}},"exp":1800000000}}"#,
                random.u32(..),
                characters(ALPHANUMERIC, 6, random)
            );
            format!(
                "{}.{}.{}",
                URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#),
                URL_SAFE_NO_PAD.encode(claims),
                characters(ALPHANUMERIC, 43, random)
            )
        }
        // Passwords: letters and digits, words, anything, symbols, another alphabet.
        3 => {
            let length = random.usize(6..20);
            characters(ALPHANUMERIC, length, random)
        }
        4 => format!(
            "{} {}  {}",
            characters("abcdefghij", 7, random),
            characters("klmnopqrst", 5, random),
            random.u16(..)
        ),
        5 => {
            let printable: String = (b'!'..=b'~').map(char::from).collect();
            let length = random.usize(10..24);
            characters(&printable, length, random)
        }
        6 => {
            let length = random.usize(14..24);
            characters("!#$(){}*-./:?@^_|~=", length, random)
        }
        _ => {
            let length = random.usize(8..16);
            characters("парольсекретñáéí", length, random)
        }
    }
}

/// A text that a service may write, with an echo in it.
fn surrounded(echo: &str, random: &mut fastrand::Rng) -> String {
    const BEFORE: &[&str] = &[
        "",
        "bad: ",
        "no such thing as ",
        "(",
        "{\"password\": \"",
        "password=",
        "Authorization: Bearer ",
        "a, b; c\n",
        "50% of & all <b>things</b> \\ / ",
        "at https://example.com/?jwtToken=",
        "Ungültig: ",
        "400 ",
        "x",
    ];
    const BEHIND: &[&str] = &[
        "",
        " is bad",
        ", try again",
        ")",
        "\"}",
        "&a=b",
        " (request 7f3a)",
        "\n  at line 5",
        ".",
        " 100%",
        "</b>",
        "\\",
    ];
    format!("{}{echo}{}", pick(BEFORE, random), pick(BEHIND, random))
}

/// What is left of a text for somebody who looks for a secret and does not care what is between its characters.
fn essence(text: &str) -> String {
    let essence: String = text
        .chars()
        .filter(|c| {
            !c.is_whitespace()
                && !c.is_control()
                && !"\u{200b}\u{2060}\u{feff}\u{ad}\u{202e}\"',;[]\\+".contains(*c)
        })
        .collect();
    essence.to_lowercase()
}

/// All that a person can decode of a text in so many steps. Written for this test alone, and as simply as can be.
fn decodings(text: &str, steps: usize) -> Vec<String> {
    let mut all = vec![text.to_owned()];
    if steps == 0 {
        return all;
    }
    let squeezed: String = text
        .chars()
        .filter(|c| {
            !c.is_whitespace() && !"\u{200b}\u{2060}\u{feff}\u{ad}\u{202e}\"',".contains(*c)
        })
        .collect();
    for text in [text.to_owned(), squeezed, text.replace("<br/>", "")] {
        // Percent and form.
        let pairs: String = url::form_urlencoded::parse(text.replace(['&', '='], " ").as_bytes())
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        all.push(pairs);
        // JSON, as often as it was done.
        let mut rest = text.clone();
        for _ in 0..6 {
            match serde_json::from_str::<String>(&format!("\"{}\"", rest.replace('"', "\\\""))) {
                Ok(once) => rest = once,
                Err(_) => break,
            }
            all.push(rest.clone());
        }
        all.push(numbers(&text, &["\\x"], "", 16));
        all.push(numbers(&text, &["\\u{"], "}", 16));
        all.push(numbers(&text, &["&#x", "&#X"], ";", 16));
        all.push(numbers(&text, &["&#"], ";", 10));
        // HTML names.
        let names = [
            ("&lt;", "<"),
            ("&gt;", ">"),
            ("&quot;", "\""),
            ("&#39;", "'"),
            ("&amp;", "&"),
        ];
        let html = names
            .into_iter()
            .fold(text.clone(), |text, (name, c)| text.replace(name, c));
        all.push(html);
        // Base64 and hexadecimal of each run, from each of its first characters.
        for run in text.split(|c: char| !c.is_ascii_alphanumeric() && !"+/-_".contains(c)) {
            let run = run.replace('-', "+").replace('_', "/");
            for start in 0..run.len().min(4) {
                let symbols = &run[start..];
                for end in (symbols.len() - symbols.len() % 4..=symbols.len()).rev() {
                    if let Ok(bytes) = STANDARD_NO_PAD.decode(&symbols[..end]) {
                        all.push(String::from_utf8_lossy(&bytes).into_owned());
                        break;
                    }
                }
            }
        }
        for text in [text.replace(':', ""), text.replace("0x", "")] {
            for run in text.split(|c: char| !c.is_ascii_hexdigit()) {
                for start in 0..run.len().min(2) {
                    let bytes: Vec<u8> = run.as_bytes()[start..]
                        .chunks_exact(2)
                        .filter_map(|pair| {
                            u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()
                        })
                        .collect();
                    all.push(String::from_utf8_lossy(&bytes).into_owned());
                }
            }
        }
    }
    all.sort();
    all.dedup();
    all.retain(|decoded| decoded.len() >= 6);
    let deeper: Vec<_> = all
        .iter()
        .filter(|decoded| *decoded != text)
        .flat_map(|decoded| decodings(decoded, steps - 1))
        .collect();
    all.extend(deeper);
    all
}

/// A text with its numbered characters, of which the start and the end are given.
fn numbers(text: &str, starts: &[&str], end: &str, radix: u32) -> String {
    let mut bytes = Vec::new();
    let mut rest = text;
    'all: while let Some(c) = rest.chars().next() {
        for start in starts {
            if let Some(digits) = rest.strip_prefix(start) {
                let length = if end.is_empty() {
                    Some(2)
                } else {
                    digits.find(end)
                };
                let number = length
                    .and_then(|length| u32::from_str_radix(digits.get(..length)?, radix).ok());
                if let (Some(number), Some(length)) = (number, length) {
                    match u8::try_from(number) {
                        Ok(byte) if end.is_empty() => bytes.push(byte),
                        _ => {
                            bytes.extend(char::from_u32(number).unwrap_or('?').to_string().bytes())
                        }
                    }
                    rest = &digits[length + end.len()..];
                    continue 'all;
                }
            }
        }
        bytes.extend(c.to_string().bytes());
        rest = &rest[c.len_utf8()..];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn holds(text: &str, secret: &str, steps: usize) -> Option<String> {
    let secret = essence(secret);
    decodings(text, steps)
        .into_iter()
        .find(|decoded| essence(decoded).contains(&secret))
}

/// Each encoder alone, for each kind of secret; the check itself is checked as well: before redaction it finds them.
#[test]
fn a_secret_is_found_in_every_form_that_it_is_repeated_in() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut found = 0;
    let mut missed_by_the_check = Vec::new();
    for encoder in ENCODERS {
        for _ in 0..EACH {
            let secret = secret(&mut random);
            let echo = (encoder.encode)(&secret, &mut random);
            let text = surrounded(&echo, &mut random);
            if holds(&text, &secret, 2).is_none() {
                missed_by_the_check.push((encoder.name, secret.clone(), text.clone()));
            }
            let shown = message(&text, &[&secret]);
            assert!(
                shown.contains(REDACTED),
                "{}: {text:?} {secret:?}",
                encoder.name
            );
            assert_eq!(
                holds(&shown, &secret, 2),
                None,
                "{}: {text:?}",
                encoder.name
            );
            found += 1;
        }
    }
    assert_eq!(found, ENCODERS.len() * EACH);
    assert!(
        missed_by_the_check.len() * 50 < found,
        "{}: {:#?}",
        missed_by_the_check.len(),
        missed_by_the_check.iter().take(20).collect::<Vec<_>>()
    );
}

/// Two encoders one after the other, around them anything.
#[test]
fn a_secret_is_found_however_two_encodings_were_put_together() {
    let mut random = fastrand::Rng::with_seed(2);
    for round in 0..400 {
        let secret = secret(&mut random);
        let (first, second) = loop {
            let pair = (pick(ENCODERS, &mut random), pick(ENCODERS, &mut random));
            // In another case, some encodings cannot be read any more.
            if pair.0.ignores_case || !pair.1.name.ends_with("case") {
                break pair;
            }
        };
        let echo = (first.encode)(&secret, &mut random);
        let echo = (second.encode)(&echo, &mut random);
        let text = surrounded(&echo, &mut random);
        let shown = message(&text, &[&secret]);
        let place = format!(
            "{round}: {}, then {}: {text:?} {secret:?}",
            first.name, second.name
        );
        assert!(shown.contains(REDACTED), "{place}");
        assert!(!shown.contains(&echo), "{place}");
        assert_eq!(holds(&shown, &secret, 2), None, "{place}");
    }
}

/// A JWT that the call did not send, in the same ways.
#[test]
fn an_unknown_jwt_is_found_in_every_form() {
    let mut random = fastrand::Rng::with_seed(3);
    let jwt = || {
        format!(
            "{}.{}.{}",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#),
            URL_SAFE_NO_PAD.encode(r#"{"email":"ada@example.com","exp":1800000000}"#),
            "d6OcBH4lAlAxpr9qYHIPhVKWtDxm5SUrvRE9kY0_cqk"
        )
    };
    for encoder in ENCODERS
        .iter()
        .filter(|encoder| !encoder.name.ends_with("case"))
    {
        for _ in 0..EACH {
            let echo = (encoder.encode)(&jwt(), &mut random);
            let text = surrounded(&echo, &mut random);
            let shown = message(&text, &[]);
            assert!(shown.contains(REDACTED), "{}: {text:?}", encoder.name);
            for part in jwt().split('.') {
                assert_eq!(
                    holds(&shown, part, 1),
                    None,
                    "{}: {text:?} {shown:?}",
                    encoder.name
                );
            }
        }
    }
}

#[test]
fn a_part_of_a_secret_is_replaced_with_its_word() {
    let secret = "k3j4h5g6f7d8s9a0q1w2e3r4t5y6u7i8";
    assert_eq!(
        message("the token k3j4h5g6f7d8s9... is bad", &[secret]),
        "the token [REDACTED] is bad"
    );
    assert_eq!(
        message("it ends in w2e3r4t5y6u7i8, which is bad", &[secret]),
        "it ends in [REDACTED] which is bad"
    );
}

#[test]
fn ordinary_messages_stay_as_they_are() {
    let secrets = [
        "k3j4h5g6f7d8s9a0q1w2e3r4t5y6u7i8",
        "correct horse battery",
        "hunter2!",
        "!#$(){}*-./",
    ];
    let secrets = [&secrets[..], &["demo-access-token", "an access token"]].concat();
    for text in [
        "Customer auth failed",
        "Invalid access token",
        "The email or password you have entered is incorrect. Please try again.",
        "Invalid token header. No credentials provided.",
        "customer_id: \"abc\" is not a valid integer (50% of 100% & more)",
        "store abc123, request 7f3a9c00-1b2c-4d5e-8f90-a1b2c3d4e5f6, trace 0af7651916cd43dd8448eb211c80319c",
        "path C:\\new\\table and https://example.com/a%20b?c=d",
        "Ungültiger Schlüssel für 'bestellung'; erwartet: Ziffern",
        "eyJ is how it starts",
    ] {
        assert_eq!(message(text, &secrets), text);
    }
}

#[test]
fn invisible_characters_and_marks_of_direction_are_removed() {
    let text: String = ('\u{200b}'..='\u{200f}')
        .chain('\u{202a}'..='\u{202e}')
        .chain('\u{2066}'..='\u{2069}')
        .chain([
            '\u{61c}',
            '\u{ad}',
            '\u{feff}',
            '\u{2060}',
            '\u{e0041}',
            '\u{fe0f}',
        ])
        .flat_map(|c| ['a', c])
        .collect();
    let shown = message(&text, &[]);
    assert!(
        !shown.is_empty() && shown.chars().all(|c| c == 'a'),
        "{shown:?}"
    );
    assert!(is_blank("\u{200b} \u{202e}\n"));
}

#[test]
fn a_text_is_cut_to_its_bound_and_shows_nothing_that_was_cut_within() {
    let secret = "k3j4h5g6f7d8s9a0q1w2e3r4t5y6u7i8";
    assert_eq!(message(&"x".repeat(500), &[secret]).chars().count(), 500);
    let shown = message(&"x".repeat(501), &[secret]);
    assert_eq!((shown.chars().count(), shown.ends_with('…')), (500, true));
    // What is hidden makes room for what is behind it, up to where a text is no longer read.
    let jwt = format!("eyJ{}", "a".repeat(LONGEST_READ - 100));
    let behind = "y".repeat(400);
    for padding in 0..150 {
        let text = format!("{jwt} {} {secret} {behind}", "x".repeat(padding));
        let shown = message(&text, &[secret]);
        assert!(!shown.contains("k3j4"), "{padding}: {shown}");
        assert_eq!(shown, format!("{REDACTED}…"));
    }
    // A secret that is cut off at the end of what is read is within the part that is not shown.
    let jwt = format!("eyJ{}", "a".repeat(LONGEST_READ - UNSURE_END - 50));
    let shown = message(&format!("{jwt} the rest {behind}"), &[secret]);
    assert_eq!(
        shown.trim_end_matches(['y', '…']),
        format!("{REDACTED} the rest ")
    );
}

#[test]
fn an_identifier_is_of_visible_ascii_characters_and_holds_no_secret() {
    let secrets = ["hunter2".into()];
    let redactor = Redactor::new(&secrets);
    for (text, expected) in [
        ("7f3a9c00-1b2c-4d5e", Some("7f3a9c00-1b2c-4d5e")),
        ("a b\u{7f}\u{fc}", Some("ab")),
        (" ", None),
        ("", None),
        ("req-hunter2", Some("req-[REDACTED]")),
        ("req-HUNTER2", Some("[REDACTED]")),
        ("req-aHVudGVyMg", Some("[REDACTED]")),
    ] {
        assert_eq!(redactor.identifier(text).as_deref(), expected, "{text:?}");
    }
    let long = redactor.identifier(&"a".repeat(9000));
    assert_eq!(long.map(|id| id.len()), Some(LONGEST_IDENTIFIER));
}

/// Texts of hexadecimal digits alone are not searched for base64, and for everything else.
#[test]
fn a_secret_is_found_in_a_hexadecimal_identifier() {
    let secrets = ["hunter2".into(), "0a1b2c3d4e5f60718293".into()];
    let redactor = Redactor::new(&secrets);
    let encoded: String = "hunter2"
        .bytes()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let twice: String = encoded.bytes().map(|byte| format!("{byte:02x}")).collect();
    let base64_in_hex: String = "aHVudGVyMg"
        .bytes()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    for hidden in [
        format!("00000000-{encoded}"),
        format!("00000000-{twice}"),
        format!("00000000-{base64_in_hex}"),
        "00000000-0a1b2c3d4e5f60718293".to_owned(),
        "00000000-0a1b-2c3d-4e5f-6071-8293".to_owned(),
        "00000000-0a1b2c3d4e5f".to_owned(),
    ] {
        let shown = redactor.identifier(&hidden).unwrap();
        assert!(shown.contains(REDACTED), "{hidden} {shown}");
    }
    for plain in [
        "20f07f8631d61621add2520daa0703c8",
        "5b1c8a9e-0000-4000-8000-00000000abcd",
    ] {
        assert_eq!(redactor.identifier(plain).as_deref(), Some(plain));
    }
}

/// However much is hidden in it, a text costs a bounded effort, and what is not searched is not shown.
#[test]
fn a_text_that_hides_more_than_is_searched_is_not_shown() {
    let mut random = fastrand::Rng::with_seed(4);
    // With so short a secret, every byte that base64 stands for is worth a look, at each depth.
    let text = (0..4).fold("only text ".repeat(128), |text, _| STANDARD.encode(text));
    assert!(text.len() <= LONGEST_READ);
    assert_eq!(message(&text, &["\u{1f600}"]), REDACTED);
    let long = "k3j4h5g6f7d8s9a0q1w2e3r4t5y6u7i8";
    assert_ne!(message(&text, &[long]), REDACTED);
    for _ in 0..200 {
        let length = random.usize(0..3 * LONGEST_READ);
        let escapes = "\\u0041%2 &#;<>eyJ.AZaz+/=-_\"',[]\u{200b}\u{e9}";
        let text = characters(escapes, length, &mut random);
        let shown = message(&text, &[long, "a%41%", "\u{e9}"]);
        assert!(shown.chars().count() <= LONGEST_MESSAGE);
    }
}

#[derive(Debug)]
struct Foreign(String, Option<Box<Foreign>>);

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Foreign {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.1.as_ref().map(|source| &**source as _)
    }
}

#[test]
fn a_foreign_error_stays_itself_unless_its_texts_cannot_be_shown() {
    let secrets = ["hunter2".into()];
    let redactor = Redactor::new(&secrets);
    let foreign = |outer: &str, inner: &str| {
        let inner = Foreign(inner.to_owned(), None);
        Box::new(Foreign(outer.to_owned(), Some(Box::new(inner))))
    };
    let same = redactor.source(foreign("the connection broke", "end of file"));
    assert!(same.is::<Foreign>());
    for (outer, inner) in [
        ("it said hunter2", "end of file"),
        ("the connection broke", "it said %68unter2"),
        ("the connection broke", "\u{202e}eltit"),
        ("the connection broke", &"x".repeat(501)),
    ] {
        let other = redactor.source(foreign(outer, inner));
        assert!(!other.is::<Foreign>());
        let source = other.source().unwrap();
        let shown = format!("{other} {other:?} {source} {source:?}");
        assert!(
            shown.contains("connection") || shown.contains("end of file"),
            "{shown}"
        );
        assert_eq!(holds(&shown, "hunter2", 1), None);
        assert!(!shown.contains('\u{202e}') && shown.len() < 1100, "{shown}");
    }
}

#[test]
fn a_redactor_shows_none_of_its_secrets() {
    let secrets = ["hunter2".into()];
    assert_eq!(format!("{:?}", Redactor::new(&secrets)), "Redactor");
}
