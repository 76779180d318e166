//! The models: what has to hold, whatever the schedule.

mod ending;
mod leaving;
mod sharing;
