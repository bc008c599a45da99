//! Ids, process groups, sessions.
use super::{Outcome, SysResult};
use crate::task::Task;

/// getpid(2).
pub fn getpid(task: &mut Task) -> SysResult {
    Ok(Outcome::Return(
        u64::try_from(task.state.tgid().0).unwrap_or(0),
    ))
}
