//! The kernel: tasks, signals, exec, system calls, /proc, time.
//!
//! Reading order: `task/run.rs` (the loop of every task) → `syscalls/table.rs`
//! → `syscalls/<theme>.rs` → the crates below. A task is one host thread, which
//! owns its [`task::Task`]; what others may see of it is its
//! [`task::TaskState`]. Lock order: task tree, signals, credentials, then as in
//! `base::lock::rank`. No guard lives across a wait or `Context::switch`.

#![forbid(unsafe_code)]

mod cpus;
pub mod futex;
pub mod kernel;
pub mod loader;
pub mod procfs;
mod seccomp;
pub mod signal;
pub mod syscalls;
pub mod sysfs;
pub mod task;
pub mod time;
pub mod trace;
