//! The sandbox from outside: each operation, rule and assumption through the public API alone.
//! One binary, since each further one would be linked anew.

#![cfg(test)]

mod assumptions;
mod bad_input;
mod faults;
mod faults_on_a_socket;
mod header_rules;
mod misconfigurations;
mod rate_limit;
mod recording;
mod server_tokens;
mod socket;
mod storefront_tokens;
mod support;
#[cfg(feature = "tls")]
mod tls;
