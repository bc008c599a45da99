//! System calls: the table, and one file of handlers for each theme.
//!
//! A handler is an adapter: it finds objects, calls one method of `vfs`, `mem`, `net` or
//! `task`, and shapes the answer. It never logs: `trace.rs` shows every call.

pub mod arg;
pub mod process;
mod result;
pub mod table;

pub use result::{Outcome, SysErr, SysResult};
