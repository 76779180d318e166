//! Any bytes as the records of a snapshot, in its seal, and as a whole file. What has to hold stands in
//! `fuzz/properties/snapshot.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bigcommerce_b2b_auth::fuzzing::snapshot(bytes));
