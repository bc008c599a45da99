//! Measurements of the command as a whole: the same programs natively and inside, in the same run.
//!
//! What is timed are the loops of the guests' `measure` program, which times itself, so that a
//! sandbox's start is counted only where it is looked at. Its `bare-...` loops are the floors.
//! Figures of different runs do not compare: the machine's speed changes by the hour.

#![forbid(unsafe_code)]

mod counts;
mod machine;
mod programs;
mod resident;
mod times;

pub use counts::Counts;
pub use machine::{load, machine};
pub use programs::{Nullify, Programs, Side};
pub use resident::{resident, resident_native};
pub use times::{Times, in_turns};

/// What went wrong, for people.
pub type Failure = Box<dyn std::error::Error>;

/// The result of a measurement.
pub type Measured<T> = Result<T, Failure>;
