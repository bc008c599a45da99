//! Scheduling parameters. The host schedules; a program sees what it set.

use arch::abi::process::SCHED_NORMAL;
use platform::host::CpuSet;

/// Scheduling parameters of one task.
#[derive(Clone, Copy, Debug)]
pub struct Sched {
    /// `SCHED_` policy.
    pub policy: u32,
    /// SCHED_RESET_ON_FORK.
    pub reset_on_fork: bool,
    /// Real-time priority, 0 for ordinary policies.
    pub priority: i32,
    /// Nice value, -20 to 19.
    pub nice: i32,
    /// CPUs it may run on, as it asked.
    pub affinity: CpuSet,
    /// ioprio_set(2)'s value.
    pub io_priority: u32,
}

impl Sched {
    /// Linux's defaults on these CPUs.
    #[must_use]
    pub fn new(affinity: CpuSet) -> Self {
        Self {
            policy: SCHED_NORMAL,
            reset_on_fork: false,
            priority: 0,
            nice: 0,
            affinity,
            io_priority: 0,
        }
    }

    /// For a child: SCHED_RESET_ON_FORK takes effect.
    #[must_use]
    pub fn for_child(self) -> Self {
        if !self.reset_on_fork {
            return self;
        }
        Self {
            policy: SCHED_NORMAL,
            reset_on_fork: false,
            priority: 0,
            nice: self.nice.max(0),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arch::abi::process::SCHED_FIFO;

    #[test]
    fn reset_on_fork_gives_the_child_the_default() {
        let parent = Sched {
            policy: SCHED_FIFO,
            priority: 10,
            nice: -5,
            reset_on_fork: true,
            ..Sched::new(CpuSet::EMPTY)
        };
        let child = parent.for_child();
        assert_eq!(child.policy, SCHED_NORMAL);
        assert_eq!((child.priority, child.nice), (0, 0));
        assert!(!child.reset_on_fork);
    }
}
