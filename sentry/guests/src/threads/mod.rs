//! Threads and futexes.

mod futex;
mod lifecycle;
mod robust;

use crate::runner::Case;

pub const CASES: &[&[Case]] = &[lifecycle::CASES, futex::CASES, robust::CASES];
