//! The kernel: tasks, signals, exec, system calls, /proc, time.
//!
//! Not in the build yet: the files of `task/`, `signal/` and `syscalls/` lie here as they
//! were written against the crates below, and no module is declared until `kernel`, `time`,
//! `loader` and the missing handlers are there for them to compile against.

#![forbid(unsafe_code)]
