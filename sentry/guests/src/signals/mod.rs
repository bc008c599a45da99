//! Signals: how they are sent, queued, delivered, waited for and returned from.

mod delivery;
mod faults;
mod queue;
mod restart;
mod stack;

use crate::runner::Case;

pub const CASES: &[&[Case]] = &[
    delivery::CASES,
    faults::CASES,
    queue::CASES,
    restart::CASES,
    stack::CASES,
];
