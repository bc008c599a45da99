//! The words and tools that every part of the sentry shares.
//!
//! Owns: ids, readiness, wait queues, ranked locks, time values. No state of
//! its own and no host calls beyond what std's locks and thread parking make.
//! Invariant: a wait queue calls its subscribers with no lock held.

#![forbid(unsafe_code)]

pub mod ids;
pub mod lock;
pub mod time;
pub mod timer;
pub mod wait;

pub use arch::abi::{Addr, Errno, PAGE_SIZE, num};
pub use ids::{Gid, Pid, Uid};
pub use wait::{Pollable, Ready, Subscription, WaitQueue, Waiter, Wake};
