//! What the flights are synchronised by. The crate `interleavings`, which compiles `single_flight.rs` as well, puts shuttle's in
//! their place.

pub(super) use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};
