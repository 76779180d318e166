//! The interleavings of the managed tokens' flights, tried by shuttle.
//!
//! `single_flight.rs` is compiled as it stands, on top of shuttle's locks, atomics, `watch` and `Notify` in place of those of the
//! standard library and tokio. Shuttle decides at every one of their operations which task goes on. The models say
//! what has to hold however it decides.
//!
//! What lives where: `sync.rs` what stands in for the standard library and tokio, `explore.rs` which schedules are tried,
//! `site.rs` what the SDK is around the flights, made small, `models/` the models.

// `single_flight.rs` says `tokio::sync`, which is this crate's `sync` then.
#[cfg(test)]
extern crate self as tokio;

#[cfg(test)]
mod explore;
#[cfg(test)]
#[path = "../../src/token_cache/single_flight.rs"]
mod flight;
#[cfg(test)]
mod models;
#[cfg(test)]
mod site;
#[cfg(test)]
mod sync;
