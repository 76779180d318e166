//! Any bytes as the body of a GraphQL reply. What has to hold stands in `src/fuzzing.rs` of the crate.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bigcommerce_b2b_auth::fuzzing::graphql(bytes));
