//! What only virtual machines have.

mod audit;
