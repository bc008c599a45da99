//! ringfence: runs untrusted Linux programs on a kernel of its own.
//!
//! Owns the command line, the sandbox's start and confinement, and the exit
//! status. Only `main` ends the process.

#![forbid(unsafe_code)]

mod cli;
mod container;
mod log;
mod sandbox;
mod spec;

use std::process::ExitCode;

#[global_allocator]
static HEAP: platform::host::Heap = platform::host::Heap;

fn main() -> ExitCode {
    cli::main()
}
