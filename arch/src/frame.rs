//! What both architectures' signal frames have in common: input, output, and
//! the choice of the stack. The layouts are in each architecture's `sigframe`.

use crate::abi::signal::{SS_AUTODISARM, SS_DISABLE, SS_ONSTACK, SaFlags, Sigaction, StackT};
use crate::abi::{Addr, Errno, SigInfo, SigSet};

/// A signal about to be delivered to a handler.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a, R, F, I> {
    /// The interrupted registers; a restart or its `EINTR` is already in them.
    pub regs: &'a R,
    /// The interrupted FP and vector state.
    pub fp: &'a F,
    /// What is delivered.
    pub info: &'a SigInfo,
    /// What is done.
    pub action: &'a Sigaction,
    /// The mask that returning from the handler restores.
    pub mask: SigSet,
    /// The alternate stack as it is set; `SS_DISABLE` in its flags or no size: none.
    pub altstack: StackT,
    /// The machine's details of the thread's last fault, if any.
    pub fault: Option<I>,
    /// Where a handler without `SA_RESTORER` returns to: the vDSO's trampoline. x86-64
    /// has no such thing.
    pub trampoline: Option<Addr>,
}

/// A finished frame: copy `bytes` out to `at`, then load `regs`.
#[derive(Clone, Debug)]
pub struct Frame<R> {
    /// Lowest address.
    pub at: Addr,
    /// From there on, up to the former top of the stack.
    pub bytes: Vec<u8>,
    /// The registers the handler starts with. FP state stays as it is.
    pub regs: R,
}

/// What rt_sigreturn(2) restores.
#[derive(Clone, Debug)]
pub struct Restored<R, F> {
    /// All general registers, sanitised.
    pub regs: R,
    /// FP and vector state, validated.
    pub fp: F,
    /// The signal mask; what cannot be blocked is already out.
    pub mask: SigSet,
    /// The alternate stack to set as if by sigaltstack(2), whose errors are ignored.
    pub altstack: StackT,
}

/// What a page fault was about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultAccess {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Execute,
}

/// Why a page could not be accessed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultPage {
    /// Nothing is there.
    Absent,
    /// The page does not allow it.
    Protected,
}

/// Copies from guest memory; `EFAULT` unless every byte could be read.
pub type Reader<'a> = dyn FnMut(Addr, &mut [u8]) -> Result<(), Errno> + 'a;

/// Whether `sp` lies on the stack, which is searched from its top downwards.
#[must_use]
pub const fn is_within(stack: &StackT, sp: Addr) -> bool {
    sp.0 > stack.sp && sp.0 - stack.sp <= stack.size
}

/// What sigaltstack(2) reports as state for a thread with this stack pointer:
/// `SS_DISABLE`, `SS_ONSTACK` or zero. A stack with `SS_AUTODISARM` is never in
/// use: it is forgotten when a handler starts.
#[must_use]
pub const fn altstack_state(stack: &StackT, sp: Addr) -> u32 {
    let flags = stack.flags.cast_unsigned();
    if stack.size == 0 || flags & SS_DISABLE != 0 {
        SS_DISABLE
    } else if flags & SS_AUTODISARM == 0 && is_within(stack, sp) {
        SS_ONSTACK
    } else {
        0
    }
}

/// The stack a handler will run on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Chosen {
    /// Down from here, wherever that is.
    Any(Addr),
    /// Down from here, on the alternate stack.
    Alternate(Addr),
}

impl Chosen {
    /// Chooses for a thread whose own stack is free below `sp`.
    pub(crate) const fn new(action: &Sigaction, altstack: &StackT, sp: Addr) -> Self {
        match altstack_state(altstack, sp) {
            SS_ONSTACK => Self::Alternate(sp),
            0 if action.flags & SaFlags::ONSTACK.bits() != 0 => {
                Self::Alternate(Addr(altstack.sp.wrapping_add(altstack.size)))
            }
            _ => Self::Any(sp),
        }
    }

    pub(crate) const fn top(self) -> Addr {
        match self {
            Self::Any(top) | Self::Alternate(top) => top,
        }
    }
}

/// Rounds down to a power of two.
pub(crate) const fn align_down(value: u64, align: u64) -> u64 {
    value & !(align - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(flags: u32) -> StackT {
        StackT {
            sp: 0x1000,
            size: 0x1000,
            flags: flags.cast_signed(),
            pad: 0,
        }
    }

    #[test]
    fn a_stack_is_used_from_its_top_downwards() {
        assert_eq!(altstack_state(&stack(0), Addr(0x2000)), SS_ONSTACK);
        assert_eq!(altstack_state(&stack(0), Addr(0x1000)), 0);
        assert_eq!(altstack_state(&stack(0), Addr(0x2001)), 0);
        assert_eq!(altstack_state(&stack(SS_AUTODISARM), Addr(0x2000)), 0);
        assert_eq!(altstack_state(&StackT::default(), Addr(0)), SS_DISABLE);
    }

    #[test]
    fn nested_handlers_stay_on_the_alternate_stack() {
        let mut action = Sigaction::default();
        let elsewhere = Addr(0x9000);
        let choose = |action: &Sigaction, sp| Chosen::new(action, &stack(0), sp);
        assert_eq!(choose(&action, elsewhere), Chosen::Any(elsewhere));
        action.flags = SaFlags::ONSTACK.bits();
        assert_eq!(choose(&action, elsewhere), Chosen::Alternate(Addr(0x2000)));
        assert_eq!(
            choose(&action, Addr(0x1800)),
            Chosen::Alternate(Addr(0x1800))
        );
    }
}
