//! What unit tests build on.

use std::sync::Arc;

use base::time::Time;

use super::{GroupParts, Limits, Pids, ThreadGroup};
use crate::signal::Actions;

/// A thread group with this number and no threads.
pub(crate) fn group(pid: i32) -> Arc<ThreadGroup> {
    ThreadGroup::new(GroupParts {
        hold: Pids::new(1).take(pid).unwrap(),
        actions: Arc::new(Actions::default()),
        limits: Limits::default(),
        accounts: Arc::default(),
        exe: None,
        personality: 0,
        dumpable: 1,
        started: Time(0),
    })
}
