//! What only virtual machines have.

mod audit;
#[cfg(all(debug_assertions, target_arch = "x86_64"))]
mod broken;
mod crowds;
#[cfg_attr(target_arch = "aarch64", path = "hostile_aarch64.rs")]
#[cfg_attr(target_arch = "x86_64", path = "hostile_x86_64.rs")]
mod hostile;
#[cfg_attr(target_arch = "aarch64", path = "instructions_aarch64.rs")]
#[cfg_attr(target_arch = "x86_64", path = "instructions_x86_64.rs")]
mod instructions;
mod stale;
mod victim;
