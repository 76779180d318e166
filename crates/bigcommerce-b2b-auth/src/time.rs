//! Time: the clock that can be replaced, what is known of the service's clock, and deadlines.

mod clock;
pub(crate) mod deadline;
pub(crate) mod service_clock;

pub(crate) use self::clock::SystemClock;
pub use self::clock::{Clock, ClockReading, Sleep};
