//! The contract of platforms: small pieces of guest code, run on every platform that
//! this host offers, in every way it can run them.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests fail by panicking, also in their helpers"
)]

extern crate ringfence_platform as platform;

mod contract {
    mod attacks;
    mod basics;
    #[cfg_attr(target_arch = "aarch64", path = "code_aarch64.rs")]
    #[cfg_attr(target_arch = "x86_64", path = "code_x86_64.rs")]
    mod code;
    mod confined;
    mod deaths;
    mod faults;
    mod files;
    mod harness;
    mod hostile;
    mod interrupts;
    mod kvm;
    #[cfg_attr(target_arch = "aarch64", path = "machine_aarch64.rs")]
    #[cfg_attr(target_arch = "x86_64", path = "machine_x86_64.rs")]
    mod machine;
    mod mappings;
    mod pieces;
    #[cfg(target_arch = "x86_64")]
    mod sites;
    mod spaces;
    mod state;
    mod stubs;
}
