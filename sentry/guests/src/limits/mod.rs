//! What happens when something is used up: the right error, and all goes on afterwards.

mod kernel;
mod user;

use crate::runner::Case;
use crate::support::*;

pub const CASES: &[&[Case]] = &[kernel::CASES, user::CASES];

/// Lowers the soft limit of `resource` to `value`, for this process.
#[track_caller]
fn lower(resource: __rlimit_resource_t, value: u64) {
    unsafe {
        let mut limit: rlimit = std::mem::zeroed();
        ok(getrlimit(resource, &raw mut limit));
        limit.rlim_cur = value;
        ok(setrlimit(resource, &raw const limit));
    }
}

/// Leaves the case out for root, whom the limit does not hold.
#[track_caller]
fn not_for_root() {
    if is_root() {
        skip("root is free of this limit");
    }
}
