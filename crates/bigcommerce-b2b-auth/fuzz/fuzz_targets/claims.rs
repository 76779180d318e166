//! Any bytes as a JWT, and as the claims of one. What has to hold stands in `fuzz/properties.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bigcommerce_b2b_auth::fuzzing::claims(bytes));
