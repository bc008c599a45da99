//! What only virtual machines have.

mod audit;
#[cfg(debug_assertions)]
mod broken;
mod crowds;
mod hostile;
mod instructions;
mod stale;
mod victim;
