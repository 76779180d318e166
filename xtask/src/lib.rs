//! The pipeline from the vendor's OpenAPI document to the generated client.
//! `import` → `resolve`, `passes` → `overlay` → `passes` → `check` → `generate`; each module is one of these rooms.

pub mod browser;
mod calls;
pub mod canonical;
pub mod check;
pub mod ci;
mod code;
pub mod diff;
pub mod error;
pub mod excluded;
pub mod generate;
pub mod import;
pub mod load;
pub mod long;
mod lower;
pub mod mutants;
pub mod mutate;
pub mod operation_keys;
pub mod operations;
pub mod overlay;
pub mod passes;
pub mod pointer;
pub mod provenance;
pub mod public_api;
mod references;
pub mod resolve;
pub mod revisions;
pub mod select;
mod servers;
pub mod shape;
pub mod simulate;
pub mod snapshot_kills;
pub mod soak;
pub mod unreferenced;
pub mod verify;
pub mod write;
