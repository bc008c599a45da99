//! Processes: how they start, execute, end and are waited for.

mod exec;
mod fork;
mod groups;
mod pidfd;
mod proc_self;
mod wait;

use crate::runner::Case;

pub const CASES: &[&[Case]] = &[
    fork::CASES,
    exec::CASES,
    wait::CASES,
    groups::CASES,
    pidfd::CASES,
    proc_self::CASES,
];
