//! Restartable sequences: rseq(2).
//!
//! A registered thread's area is renewed before guest code runs on after it may have
//! lost the CPU; a critical section that was interrupted goes to its abort handler.
//! Source: Linux, kernel/rseq.c.

use arch::abi::futex::{Rseq, RseqCs};
use arch::abi::{Errno, SigInfo, Signal};
use base::{Addr, num};
use mem::UserPtr;
use platform::host;

use super::Task;

/// A thread's registration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RseqArea {
    /// The `struct rseq`.
    pub(crate) at: Addr,
    /// Its length, as registered.
    pub(crate) len: u32,
    /// What must stand before every abort handler.
    pub(crate) signature: u32,
}

impl Task {
    /// Renews the area if the thread may have moved; a bad area is SIGSEGV.
    pub(crate) fn renew_rseq(&mut self) {
        if !std::mem::take(&mut self.rseq_dirty) || self.rseq.is_none() {
            return;
        }
        if self.abort_rseq().and_then(|()| self.write_cpu()).is_err() {
            self.force(SigInfo::kernel(Signal::SIGSEGV));
        }
    }

    /// Stores the present CPU.
    pub(crate) fn write_cpu(&self) -> Result<(), Errno> {
        let Some(area) = self.rseq else {
            return Ok(());
        };
        let cpu = u32::try_from(host::current_cpu()).unwrap_or(0);
        let place: UserPtr<[u32; 2]> = UserPtr::new(area.at);
        place.write(self.user(), &[cpu, cpu])
    }

    /// Leaves a critical section that the thread was interrupted in.
    pub(crate) fn abort_rseq(&mut self) -> Result<(), Errno> {
        let Some(area) = self.rseq else {
            return Ok(());
        };
        let field = |offset: usize| {
            area.at
                .checked_add(num::u64_of(offset))
                .ok_or(Errno::EFAULT)
        };
        let pointer: UserPtr<u64> = UserPtr::new(field(std::mem::offset_of!(Rseq, rseq_cs))?);
        let at = pointer.read(self.user())?;
        if at == 0 {
            return Ok(());
        }
        let section: RseqCs = UserPtr::new(Addr(at)).read(self.user())?;
        let limit = self.memory.layout().max.0;
        let bad = section.start_ip >= limit
            || section.post_commit_offset > limit.saturating_sub(section.start_ip)
            || section.abort_ip >= limit
            || section.version != 0
            || section.abort_ip.wrapping_sub(section.start_ip) < section.post_commit_offset;
        if bad {
            return Err(Errno::EINVAL);
        }
        let before = Addr(section.abort_ip.checked_sub(4).ok_or(Errno::EINVAL)?);
        let signature: u32 = UserPtr::new(before).read(self.user())?;
        if signature != area.signature {
            return Err(Errno::EINVAL);
        }
        let regs = self.context.get_mut().regs().map_err(|_| Errno::EFAULT)?;
        let inside = regs.ip().0.wrapping_sub(section.start_ip) < section.post_commit_offset;
        if inside {
            regs.set_ip(Addr(section.abort_ip));
        }
        // In or out: the pointer is done with, as Linux clears it lazily, too.
        pointer.write(self.user(), &0)
    }
}
