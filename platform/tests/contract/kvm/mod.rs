//! What only virtual machines have.

mod audit;
mod crowds;
mod hostile;
mod instructions;
mod stale;
mod victim;
