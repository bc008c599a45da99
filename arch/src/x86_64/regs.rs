//! General registers of a thread, as `PTRACE_GETREGSET` with `NT_PRSTATUS` gives them.

use super::layout::USER_END;
use crate::abi::macros::abi_struct;
use crate::abi::num::low32;
use crate::abi::{Addr, SysArgs};
use zerocopy::{FromBytes, IntoBytes};

/// The 64-bit user code segment.
pub const USER_CS: u64 = 0x33;
/// The user data segment.
pub const USER_SS: u64 = 0x2b;

/// Carry flag.
pub const EFLAGS_CF: u64 = 1;
/// A bit that is always set.
pub const EFLAGS_FIXED: u64 = 1 << 1;
/// Single step.
pub const EFLAGS_TF: u64 = 1 << 8;
/// Interrupts enabled; always set in user mode.
pub const EFLAGS_IF: u64 = 1 << 9;
/// String instructions go downwards.
pub const EFLAGS_DF: u64 = 1 << 10;
/// Resume: no instruction breakpoint on the next instruction.
pub const EFLAGS_RF: u64 = 1 << 16;
/// What a program may choose: CF PF AF ZF SF TF DF OF RF AC, as sigreturn(2) restores.
pub const EFLAGS_USER: u64 = 0x5_0dd5;

abi_struct! {
    /// General registers: `struct user_regs_struct`, which has the TLS bases, too.
    ///
    /// Any bytes are a valid value; call `sanitize` before registers that a
    /// program could write are loaded.
    pub struct Regs {
        /// Callee-saved.
        pub r15: u64,
        /// Callee-saved.
        pub r14: u64,
        /// Callee-saved.
        pub r13: u64,
        /// Callee-saved.
        pub r12: u64,
        /// Frame pointer.
        pub rbp: u64,
        /// Callee-saved.
        pub rbx: u64,
        /// Holds the flags after `SYSCALL`.
        pub r11: u64,
        /// Fourth argument of a system call.
        pub r10: u64,
        /// Sixth argument.
        pub r9: u64,
        /// Fifth argument.
        pub r8: u64,
        /// System call number on entry, then its result.
        pub rax: u64,
        /// Holds the return address after `SYSCALL`.
        pub rcx: u64,
        /// Third argument.
        pub rdx: u64,
        /// Second argument.
        pub rsi: u64,
        /// First argument.
        pub rdi: u64,
        /// The system call's number while in one, else -1.
        pub orig_rax: u64,
        /// Instruction pointer.
        pub rip: u64,
        /// Code segment.
        pub cs: u64,
        /// Flags.
        pub eflags: u64,
        /// Stack pointer.
        pub rsp: u64,
        /// Stack segment.
        pub ss: u64,
        /// Base of FS: the thread pointer.
        pub fs_base: u64,
        /// Base of GS.
        pub gs_base: u64,
        /// Data segment selector.
        pub ds: u64,
        /// Data segment selector.
        pub es: u64,
        /// Data segment selector.
        pub fs: u64,
        /// Data segment selector.
        pub gs: u64,
    }
}

impl Regs {
    /// Bytes of the `NT_PRSTATUS` register set.
    pub const PRSTATUS_SIZE: usize = size_of::<Self>();

    /// The registers of a new program: all zero but where it starts and its stack.
    #[must_use]
    pub fn new_program(ip: Addr, sp: Addr) -> Self {
        Self {
            orig_rax: u64::MAX,
            rip: ip.0,
            rsp: sp.0,
            cs: USER_CS,
            ss: USER_SS,
            eflags: EFLAGS_IF | EFLAGS_FIXED,
            ..Self::default()
        }
    }

    /// The `NT_PRSTATUS` register set, to be written by `PTRACE_SETREGSET`.
    #[must_use]
    pub fn prstatus(&self) -> &[u8] {
        self.as_bytes()
    }

    /// The `NT_PRSTATUS` register set, to be filled by `PTRACE_GETREGSET`.
    pub fn prstatus_mut(&mut self) -> &mut [u8] {
        self.as_mut_bytes()
    }

    /// From the bytes of the `NT_PRSTATUS` register set; `None` if they are too few.
    #[must_use]
    pub fn from_prstatus(bytes: &[u8]) -> Option<Self> {
        Self::read_from_prefix(bytes).ok().map(|(regs, _)| regs)
    }

    /// Address of the next instruction.
    #[must_use]
    pub const fn ip(&self) -> Addr {
        Addr(self.rip)
    }

    /// Sets the address of the next instruction.
    pub const fn set_ip(&mut self, ip: Addr) {
        self.rip = ip.0;
    }

    /// The stack pointer.
    #[must_use]
    pub const fn sp(&self) -> Addr {
        Addr(self.rsp)
    }

    /// Sets the stack pointer.
    pub const fn set_sp(&mut self, sp: Addr) {
        self.rsp = sp.0;
    }

    /// The thread pointer: the FS base.
    #[must_use]
    pub const fn tls(&self) -> u64 {
        self.fs_base
    }

    /// Sets the thread pointer.
    pub const fn set_tls(&mut self, tls: u64) {
        self.fs_base = tls;
    }

    /// The GS base.
    #[must_use]
    pub const fn gs_base(&self) -> u64 {
        self.gs_base
    }

    /// Sets the GS base.
    pub const fn set_gs_base(&mut self, gs: u64) {
        self.gs_base = gs;
    }

    /// The system call that the thread is in; all ones if it is in none.
    #[must_use]
    pub const fn syscall_number(&self) -> u32 {
        low32(self.orig_rax)
    }

    /// Sets the number of the system call the thread is in. `forget_syscall` is the opposite.
    pub fn set_syscall_number(&mut self, number: u32) {
        self.orig_rax = u64::from(number);
    }

    /// The thread is in no system call (any more): nothing will be restarted.
    pub const fn forget_syscall(&mut self) {
        self.orig_rax = u64::MAX;
    }

    /// Arguments of the system call.
    #[must_use]
    pub const fn syscall_args(&self) -> SysArgs {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }

    /// Sets argument `n` (`0..6`) of the system call; others are ignored.
    pub const fn set_arg(&mut self, n: usize, value: u64) {
        match n {
            0 => self.rdi = value,
            1 => self.rsi = value,
            2 => self.rdx = value,
            3 => self.r10 = value,
            4 => self.r8 = value,
            5 => self.r9 = value,
            _ => {}
        }
    }

    /// What the system call returns.
    #[must_use]
    pub const fn return_value(&self) -> u64 {
        self.rax
    }

    /// Sets what the system call returns.
    pub const fn set_return(&mut self, value: u64) {
        self.rax = value;
    }

    /// Puts the thread back onto the system call instruction, to run it once more.
    pub const fn rewind_syscall(&mut self) {
        self.rax = self.orig_rax;
        self.rip = self.rip.wrapping_sub(2);
    }

    /// The same, but to call `restart_syscall(2)` instead.
    pub const fn rewind_to_restart(&mut self) {
        self.rax = 219;
        self.rip = self.rip.wrapping_sub(2);
    }

    /// Whether the thread runs one instruction at a time.
    #[must_use]
    pub const fn single_steps(&self) -> bool {
        self.eflags & EFLAGS_TF != 0
    }

    /// Makes the registers safe to load: user segments, user flags, and addresses
    /// that no mapping can have instead of ones that are not canonical. A program
    /// that claimed such an address faults, as it does on Linux.
    pub fn sanitize(&mut self) {
        self.cs = USER_CS;
        self.ss = USER_SS;
        (self.ds, self.es, self.fs, self.gs) = (0, 0, 0, 0);
        self.eflags = (self.eflags & EFLAGS_USER) | EFLAGS_IF | EFLAGS_FIXED;
        self.rip = self.rip.min(USER_END);
        for base in [&mut self.fs_base, &mut self.gs_base] {
            if *base >= USER_END {
                *base = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_runs_the_instruction_again() {
        let mut regs = Regs::new_program(Addr(0x1002), Addr(0x2000));
        regs.set_syscall_number(35);
        regs.set_return(crate::abi::Errno::EINTR.to_return());
        regs.rewind_syscall();
        assert_eq!((regs.rax, regs.ip()), (35, Addr(0x1000)));
    }

    #[test]
    fn hostile_registers_become_harmless() {
        let mut regs = Regs::read_from_bytes(&[0xff; size_of::<Regs>()]).unwrap();
        regs.sanitize();
        assert_eq!(regs.cs & 3, 3, "ring 3");
        assert_eq!(regs.eflags, EFLAGS_USER | EFLAGS_IF | EFLAGS_FIXED);
        assert_eq!(
            regs.eflags & (3 << 12 | 1 << 14 | 1 << 17),
            0,
            "IOPL, NT, VM"
        );
        assert_eq!(regs.rip, USER_END);
        assert_eq!((regs.fs_base, regs.gs_base), (0, 0));
    }

    #[test]
    fn arguments_by_number() {
        let mut regs = Regs::default();
        for (n, value) in (0..7).zip(10..) {
            regs.set_arg(n, value);
        }
        assert_eq!(regs.syscall_args(), [10, 11, 12, 13, 14, 15]);
    }
}
