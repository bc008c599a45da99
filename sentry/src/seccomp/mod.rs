//! seccomp(2) for programs: strict mode, and filters in classic BPF.
//!
//! Owns: filters, who has which, what they say of a call. Leaves what follows to
//! `task/enter.rs`. Filters only ever get more; a thread's list is shared with those who
//! inherited it. Locks: a thread's list is a leaf.

mod bpf;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use arch::abi::prctl::{
    SECCOMP_MODE_FILTER, SECCOMP_MODE_STRICT, SECCOMP_RET_ACTION_FULL, SECCOMP_RET_ALLOW,
    SECCOMP_RET_DATA, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_LOG,
    SECCOMP_RET_TRACE, SECCOMP_RET_TRAP, SECCOMP_RET_USER_NOTIF, SeccompData, SockFilter,
};
use arch::abi::{Errno, num};
use base::lock::{Mutex, rank};

use bpf::Program;

/// Instructions that a call may have to pass: MAX_INSNS_PER_PATH.
const PATH_MAX: usize = (1 << 18) / size_of::<SockFilter>();
/// What each filter counts beyond its length.
const PENALTY: usize = 4;

/// The filters of a thread, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters(Vec<Arc<Program>>);

/// What a thread may do; shown to others with it.
pub(crate) struct Seccomp {
    mode: AtomicU8,
    /// Another thread's TSYNC set no_new_privs, which this one has to take over.
    no_new_privs: AtomicBool,
    filters: Mutex<Filters>,
}

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It is made.
    Allow,
    /// It returns this error; 0: success without having been made.
    Errno(u16),
    /// SIGSYS, with this in `si_errno`.
    Trap(u16),
    /// The thread ends.
    KillThread,
    /// The process ends.
    KillProcess,
}

impl Verdict {
    /// Without a tracer or a supervisor, what asks them is `ENOSYS`.
    fn of(value: u32) -> Self {
        let data = num::low16(u64::from(value & SECCOMP_RET_DATA));
        match value & SECCOMP_RET_ACTION_FULL {
            SECCOMP_RET_ALLOW | SECCOMP_RET_LOG => Self::Allow,
            SECCOMP_RET_ERRNO => Self::Errno(data.min(4095)),
            SECCOMP_RET_TRAP => Self::Trap(data),
            SECCOMP_RET_TRACE | SECCOMP_RET_USER_NOTIF => Self::Errno(Errno::ENOSYS.0),
            SECCOMP_RET_KILL_THREAD => Self::KillThread,
            _ => Self::KillProcess,
        }
    }
}

impl Filters {
    /// These and one more. `ENOMEM` if a call would have to pass too much.
    fn and(&self, program: &Arc<Program>) -> Result<Self, Errno> {
        let total = self.0.iter().fold(program.len(), |sum, one| {
            sum.saturating_add(one.len()).saturating_add(PENALTY)
        });
        if total > PATH_MAX {
            return Err(Errno::ENOMEM);
        }
        let mut all = self.0.clone();
        all.push(Arc::clone(program));
        Ok(Self(all))
    }

    /// Whether `self` is what `other` began with.
    fn leads_to(&self, other: &Self) -> bool {
        self.0.len() <= other.0.len() && self.0.iter().zip(&other.0).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// The strictest answer; of equals the newest filter's.
    fn ask(&self, data: &SeccompData) -> Verdict {
        let action = |value: u32| (value & SECCOMP_RET_ACTION_FULL).cast_signed();
        let mut answer = SECCOMP_RET_ALLOW;
        for program in self.0.iter().rev() {
            let value = program.run(data);
            if action(value) < action(answer) {
                answer = value;
            }
        }
        Verdict::of(answer)
    }
}

impl Default for Seccomp {
    fn default() -> Self {
        Self {
            mode: AtomicU8::new(0),
            no_new_privs: AtomicBool::new(false),
            filters: Mutex::new(rank::LEAF, Filters::default()),
        }
    }
}

/// A checked program.
#[derive(Debug)]
pub(crate) struct NewFilter(Arc<Program>);

impl NewFilter {
    /// `EINVAL` for a program that is not right.
    pub(crate) fn new(raw: &[SockFilter]) -> Result<Self, Errno> {
        Program::new(raw).map(|program| Self(Arc::new(program)))
    }
}

impl Seccomp {
    /// For a child: the same.
    pub(crate) fn inherited(&self) -> Self {
        Self {
            mode: AtomicU8::new(self.mode.load(Ordering::Acquire)),
            no_new_privs: AtomicBool::new(self.must_not_gain()),
            filters: Mutex::new(rank::LEAF, self.filters.lock().clone()),
        }
    }

    /// SECCOMP_MODE_: 0 if everything is allowed.
    pub(crate) fn mode(&self) -> u8 {
        self.mode.load(Ordering::Acquire)
    }

    pub(crate) fn is_strict(&self) -> bool {
        u32::from(self.mode()) == SECCOMP_MODE_STRICT
    }

    /// How many filters there are.
    pub(crate) fn count(&self) -> usize {
        self.filters.lock().0.len()
    }

    /// Whether TSYNC of another thread took the right to gain privileges away.
    pub(crate) fn must_not_gain(&self) -> bool {
        self.no_new_privs.load(Ordering::Acquire)
    }

    /// Enters strict mode. `EINVAL` if there are filters.
    pub(crate) fn set_strict(&self) -> Result<(), Errno> {
        self.enter(SECCOMP_MODE_STRICT)
    }

    fn enter(&self, mode: u32) -> Result<(), Errno> {
        let mode = num::low8(mode.into());
        if self.mode() != 0 && self.mode() != mode {
            return Err(Errno::EINVAL);
        }
        self.mode.store(mode, Ordering::Release);
        Ok(())
    }

    /// Adds a filter. `EINVAL` in strict mode, `ENOMEM` if they become too many.
    pub(crate) fn add(&self, new: &NewFilter) -> Result<(), Errno> {
        if self.is_strict() {
            return Err(Errno::EINVAL);
        }
        let mut filters = self.filters.lock();
        *filters = filters.and(&new.0)?;
        drop(filters);
        self.enter(SECCOMP_MODE_FILTER)
    }

    /// Whether this thread can take over the filters of `leader`: it has none of its own.
    pub(crate) fn can_follow(&self, leader: &Self) -> bool {
        let theirs = leader.filters.lock().clone();
        !self.is_strict() && self.filters.lock().leads_to(&theirs)
    }

    /// Takes over the filters of `leader`, and with `must_not_gain` its no_new_privs.
    pub(crate) fn follow(&self, leader: &Self, gains: Gains) {
        let theirs = leader.filters.lock().clone();
        let old = std::mem::replace(&mut *self.filters.lock(), theirs);
        drop(old);
        if gains == Gains::Never {
            self.no_new_privs.store(true, Ordering::Release);
        }
        let mode = leader.mode();
        self.mode.store(mode, Ordering::Release);
    }

    /// What the filters say of a call.
    pub(crate) fn ask(&self, data: &SeccompData) -> Verdict {
        let filters = self.filters.lock().clone();
        filters.ask(data)
    }
}

/// no_new_privs of a thread that hands its filters to others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Gains {
    /// It may gain privileges.
    Allowed,
    /// It never will.
    Never,
}

/// Whether SECCOMP_GET_ACTION_AVAIL knows the action: all but what needs a supervisor.
pub(crate) fn is_available(action: u32) -> bool {
    use arch::abi::prctl::SECCOMP_RET_KILL_PROCESS;
    [
        SECCOMP_RET_KILL_PROCESS,
        SECCOMP_RET_KILL_THREAD,
        SECCOMP_RET_TRAP,
        SECCOMP_RET_ERRNO,
        SECCOMP_RET_TRACE,
        SECCOMP_RET_LOG,
        SECCOMP_RET_ALLOW,
    ]
    .contains(&action)
}
