//! Any bytes as a JWT, and as the claims of one. What has to hold stands in `src/fuzzing.rs` of the crate.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bigcommerce_b2b_auth::fuzzing::claims(bytes));
