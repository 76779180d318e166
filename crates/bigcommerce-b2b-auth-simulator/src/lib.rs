//! A simulated day of a storefront: shoppers who come and go, a service that fails now and then and is out at the worst
//! moment, a deploy, others who spend from the same budget. It shows what the SDK's managed tokens make of that, beside what
//! people write in their place. `cargo xtask simulate --help` lists what can be changed.
//!
//! Nothing of the service or of the SDK is imitated: the SDK runs as it is, before the sandbox, in-process, on a clock that
//! jumps from one event to the next. What is made up is the shoppers, the times that mints take, and what befalls the service.
//!
//! The day before the measured ones is simulated too: the cache is empty only once in its life.

mod arrivals;
mod chance;
mod contender;
mod error;
mod figures;
mod output;
mod plot;
mod run;
mod scenario;
mod sizing;
mod table;
mod world;

pub use contender::{Contender, Deploy};
pub use error::Error;
pub use figures::{Curves, Day, Failed, Figures, MINUTES_IN_A_POINT, Run};
pub use output::write;
pub use plot::{Plot, plots};
pub use run::simulate;
pub use scenario::{Changes, OutageKind, Scenario, TimeOfDay, Window};
pub use sizing::advice;
pub use table::table;
