//! Signal actions and the alternate stack: sigaction(2), sigaltstack(2).

use super::macros::{abi_struct, flags, numbers};
use super::{Addr, SigSet};

abi_struct! {
    /// The kernel's `struct sigaction`, the same on both architectures.
    pub struct Sigaction {
        /// The handler's address, `SIG_DFL` or `SIG_IGN`.
        pub handler: u64,
        /// `SA_` flags; unknown bits are kept, as on Linux.
        pub flags: u64,
        /// Where the handler returns to, with `SA_RESTORER`.
        pub restorer: u64,
        /// What the handler's run blocks besides the signal itself.
        pub mask: SigSet,
    }
}

impl Sigaction {
    /// The flags this kernel knows.
    #[must_use]
    pub fn known_flags(&self) -> SaFlags {
        SaFlags::from_bits_truncate(self.flags)
    }

    /// The handler's address, if it is neither default nor ignored.
    #[must_use]
    pub fn handler_address(&self) -> Option<Addr> {
        (self.handler != SIG_DFL && self.handler != SIG_IGN).then_some(Addr(self.handler))
    }
}

numbers! {
    u64;
    SIG_DFL 0 "sigaction(2): the default action.";
    SIG_IGN 1 "sigaction(2): ignore.";
}

numbers! {
    i32, sigprocmask_hows = linux_raw_sys::general;
    SIG_BLOCK 0 "sigprocmask(2): add to the mask.";
    SIG_UNBLOCK 1 "sigprocmask(2): take out of the mask.";
    SIG_SETMASK 2 "sigprocmask(2): replace the mask.";
}

flags! {
    /// Flags of sigaction(2).
    SaFlags: u64, sa_flags = linux_raw_sys::general;
    NOCLDSTOP SA_NOCLDSTOP 0x1, "No SIGCHLD when children stop or continue.";
    NOCLDWAIT SA_NOCLDWAIT 0x2, "Children leave no zombies.";
    SIGINFO SA_SIGINFO 0x4, "The handler takes three arguments.";
    UNSUPPORTED SA_UNSUPPORTED 0x400, "Never supported: programs probe for known flags with it.";
    EXPOSE_TAGBITS SA_EXPOSE_TAGBITS 0x800, "si_addr keeps the address's tag bits.";
    RESTORER SA_RESTORER 0x0400_0000, "`restorer` is valid.";
    ONSTACK SA_ONSTACK 0x0800_0000, "Run on the alternate stack.";
    RESTART SA_RESTART 0x1000_0000, "Restart interrupted system calls.";
    NODEFER SA_NODEFER 0x4000_0000, "Do not block the signal while its handler runs.";
    RESETHAND SA_RESETHAND 0x8000_0000, "Back to the default action on delivery.";
}

abi_struct! {
    /// `stack_t`: sigaltstack(2).
    pub struct StackT {
        /// Lowest address.
        pub sp: u64,
        /// `SS_` flags.
        pub flags: i32,
        #[doc(hidden)]
        pub pad: u32,
        /// Bytes.
        pub size: u64,
    }
}

numbers! {
    u32, sigaltstack_flags = linux_raw_sys::general;
    SS_ONSTACK 1 "sigaltstack(2): the stack is in use.";
    SS_DISABLE 2 "sigaltstack(2): there is no alternate stack.";
    SS_AUTODISARM 0x8000_0000 "sigaltstack(2): forget the stack when a handler starts on it.";
}

#[cfg(test)]
mod tests {
    use super::super::macros::same_layout;
    use super::*;

    same_layout!(stack_t: StackT = libc::stack_t { sp = ss_sp, flags = ss_flags, size = ss_size });
    same_layout!(sigaction: Sigaction = linux_raw_sys::general::kernel_sigaction {
        handler = sa_handler_kernel, flags = sa_flags, mask = sa_mask,
    });

    #[test]
    fn flags_print_like_strace() {
        let flags = SaFlags::RESTORER | SaFlags::RESTART;
        assert_eq!(format!("{flags:?}"), "SA_RESTORER|SA_RESTART");
        assert_eq!(format!("{:?}", SaFlags::empty()), "0x0");
        assert_eq!(SaFlags::from_bits(0x20), None);
    }
}
