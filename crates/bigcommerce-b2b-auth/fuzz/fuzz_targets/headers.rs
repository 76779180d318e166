//! Any lines of `name: value` as the headers of a reply. What has to hold stands in `fuzz/properties.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bigcommerce_b2b_auth::fuzzing::headers(bytes));
