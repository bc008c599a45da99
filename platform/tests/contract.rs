//! The contract of platforms: small pieces of guest code, run on every platform that
//! this host offers, in every way it can run them.

extern crate ringfence_platform as platform;

mod contract {
    pub(crate) mod basics;
    #[cfg_attr(target_arch = "aarch64", path = "code_aarch64.rs")]
    #[cfg_attr(target_arch = "x86_64", path = "code_x86_64.rs")]
    pub(crate) mod code;
    pub(crate) mod harness;
}
