//! The search for secrets in all that is shown: each secret of the run holds one of two texts that nothing else holds.

use std::{io, sync::Arc};

use bigcommerce_b2b_auth::Error;
use fastrand::Rng;
use tracing_subscriber::{
    Layer as _,
    filter::LevelFilter,
    fmt::MakeWriter,
    layer::SubscriberExt as _,
    util::{SubscriberInitExt as _, TryInitError},
};

use crate::invariants::{Findings, Invariant};

/// A part of every secret.
pub(crate) const NEEDLE: &str = "kanarie7";
/// The same in hexadecimal digits, for customer access tokens.
pub(crate) const HEX_NEEDLE: &str = "ca11ab1eca11ab1e";

/// A secret of the length of a signature.
pub(crate) fn secret(random: &mut Rng) -> String {
    let rest: String = (0..35).map(|_| random.alphanumeric()).collect();
    format!("{NEEDLE}{rest}")
}

/// A customer access token that is valid until then.
pub(crate) fn access_token(expires_at: u64, random: &mut Rng) -> String {
    let rest: String = (0..48).map(|_| random.digit(16)).collect();
    format!("{HEX_NEEDLE}{rest}_{expires_at}")
}

/// Whether a text holds a secret.
pub(crate) fn holds_secret(text: &str) -> bool {
    text.contains(NEEDLE) || text.contains(HEX_NEEDLE)
}

/// A text without the secrets in it.
fn without_secrets(text: &str) -> String {
    let short: String = text.chars().take(400).collect();
    short
        .replace(NEEDLE, "<SECRET>")
        .replace(HEX_NEEDLE, "<SECRET>")
}

/// Searches everything that an error shows. Its short text is returned.
pub(crate) fn search_error(error: &Error, findings: &Findings) -> String {
    let mut shown = vec![
        error.to_string(),
        format!("{error:?}"),
        format!("{error:#?}"),
    ];
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        shown.push(error.to_string());
        shown.push(format!("{error:?}"));
        source = error.source();
    }
    findings.checked(Invariant::NoSecretShown);
    for text in &shown {
        if holds_secret(text) {
            findings.violated(Invariant::NoSecretShown, || {
                format!("in an error: {}", without_secrets(text))
            });
        }
    }
    without_secrets(&error.to_string())
}

/// Receives all log lines.
#[derive(Clone)]
struct Lines(Arc<Findings>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.checked(Invariant::NoSecretShown);
        let line = String::from_utf8_lossy(bytes);
        if holds_secret(&line) {
            self.0.violated(Invariant::NoSecretShown, || {
                format!("in the log: {}", without_secrets(&line))
            });
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Searches every log line of the process from now on, of the level DEBUG and above.
///
/// # Errors
/// When something else receives the log already.
pub(crate) fn search_log(findings: &Arc<Findings>) -> Result<(), TryInitError> {
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(Lines(Arc::clone(findings)))
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::CLOSE)
        .with_filter(LevelFilter::DEBUG);
    tracing_subscriber::registry().with(lines).try_init()
}
