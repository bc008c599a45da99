//! What only virtual machines have.

mod audit;
mod crowds;
mod stale;
