//! System calls: the table, and one file of handlers for each theme.
//!
//! A handler is an adapter: it finds objects, calls one method of `vfs`, `mem`, `net` or
//! `task`, and shapes the answer. It never logs: `trace.rs` shows every call.

pub mod absent;
pub mod arg;
pub mod clone;
#[cfg(test)]
mod compat;
pub mod credentials;
pub mod exec;
pub mod fd;
pub mod file;
pub mod futex;
pub mod inotify;
pub mod limits;
pub mod memory;
pub mod message;
pub mod path;
pub mod poll;
pub mod prctl;
pub mod process;
pub mod remote;
mod result;
pub mod sched;
pub mod seccomp;
pub mod signal;
pub mod signalfd;
pub mod socket;
pub mod splice;
pub mod stat;
pub mod system;
pub mod table;
pub mod time;
pub mod timer;
pub mod wait;
pub mod xattr;

pub use result::{Outcome, SysErr, SysResult};
