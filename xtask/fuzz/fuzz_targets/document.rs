//! Any bytes through load, passes, check and generate, and compared with a small document.
//! A panic, one that the net behind the generator catches as well, and an error without a place are findings.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use xtask::mutate::{Setting, trial};
use xtask::overlay::Overlay;

static OVERLAY: LazyLock<Overlay> = LazyLock::new(Overlay::none);
static UNBROKEN: LazyLock<Option<serde_json::Value>> = LazyLock::new(|| {
    let text = include_str!("../corpus/document/small.yaml");
    let source = xtask::load::source("small.yaml".to_owned(), text.into());
    source.and_then(|source| xtask::load::parse(&source)).ok()
});

fuzz_target!(|bytes: &[u8]| {
    let setting = Setting {
        overlay: &OVERLAY,
        unbroken: UNBROKEN.as_ref(),
    };
    if let Err(failure) = trial(bytes.to_vec(), &setting) {
        panic!("{failure}");
    }
});
