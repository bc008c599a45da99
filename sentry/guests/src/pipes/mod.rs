//! Pipes, and waiting for readiness.

mod epoll;
mod pipe;
mod poll;
mod splice;

use crate::runner::Case;

pub const CASES: &[&[Case]] = &[pipe::CASES, poll::CASES, epoll::CASES, splice::CASES];
