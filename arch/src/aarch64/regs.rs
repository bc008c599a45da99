//! General registers of a thread: what `PTRACE_GETREGSET` with `NT_PRSTATUS`
//! gives, the thread pointer and the state of its system call.

use super::layout::USER_END;
use crate::abi::macros::abi_struct;
use crate::abi::num::low32;
use crate::abi::{Addr, SysArgs};
use zerocopy::IntoBytes;

/// Condition flags N, Z, C and V.
pub const PSTATE_NZCV: u64 = 0xf << 28;
/// Tag check override.
pub const PSTATE_TCO: u64 = 1 << 25;
/// Data independent timing.
pub const PSTATE_DIT: u64 = 1 << 24;
/// Software step.
pub const PSTATE_SS: u64 = 1 << 21;
/// Speculative store bypass safe.
pub const PSTATE_SSBS: u64 = 1 << 12;
/// Branch type, for BTI.
pub const PSTATE_BTYPE: u64 = 3 << 10;
/// Branch type of an indirect call.
pub const PSTATE_BTYPE_CALL: u64 = 2 << 10;
/// What a program may choose. The mode bits are zero: EL0, 64 bits, interrupts on.
pub const PSTATE_USER: u64 = PSTATE_NZCV | PSTATE_TCO | PSTATE_DIT | PSTATE_SSBS | PSTATE_BTYPE;

abi_struct! {
    /// General registers: `struct user_pt_regs` and what it leaves out.
    ///
    /// Any bytes are a valid value; call `sanitize` before registers that a
    /// program could write are loaded.
    pub struct Regs {
        /// `x0` to `x30`.
        pub x: [u64; 31],
        /// Stack pointer.
        pub sp: u64,
        /// Program counter.
        pub pc: u64,
        /// Process state.
        pub pstate: u64,
        /// Thread pointer, `tpidr_el0`: `NT_ARM_TLS`.
        pub tpidr: u64,
        /// The system call's number while in one, else -1: `NT_ARM_SYSTEM_CALL`.
        pub syscallno: u64,
        /// `x0` at entry to the system call, where its result goes.
        pub orig_x0: u64,
    }
}

impl Regs {
    /// Bytes of the `NT_PRSTATUS` register set.
    pub const PRSTATUS_SIZE: usize = 34 * 8;

    /// The registers of a new program: all zero but where it starts and its stack.
    #[must_use]
    pub fn new_program(ip: Addr, sp: Addr) -> Self {
        Self {
            sp: sp.0,
            pc: ip.0,
            syscallno: u64::MAX,
            ..Self::default()
        }
    }

    /// The `NT_PRSTATUS` register set, to be written by `PTRACE_SETREGSET`.
    #[must_use]
    pub fn prstatus(&self) -> &[u8] {
        self.as_bytes()
            .get(..Self::PRSTATUS_SIZE)
            .unwrap_or_default()
    }

    /// The `NT_PRSTATUS` register set, to be filled by `PTRACE_GETREGSET`.
    pub fn prstatus_mut(&mut self) -> &mut [u8] {
        self.as_mut_bytes()
            .get_mut(..Self::PRSTATUS_SIZE)
            .unwrap_or_default()
    }

    /// From the bytes of the `NT_PRSTATUS` register set; `None` if they are too few.
    /// Thread pointer and system call are not in it.
    #[must_use]
    pub fn from_prstatus(bytes: &[u8]) -> Option<Self> {
        let mut regs = Self {
            syscallno: u64::MAX,
            ..Self::default()
        };
        regs.prstatus_mut()
            .copy_from_slice(bytes.get(..Self::PRSTATUS_SIZE)?);
        Some(regs)
    }

    /// Address of the next instruction.
    #[must_use]
    pub const fn ip(&self) -> Addr {
        Addr(self.pc)
    }

    /// Sets the address of the next instruction.
    pub const fn set_ip(&mut self, ip: Addr) {
        self.pc = ip.0;
    }

    /// The stack pointer.
    #[must_use]
    pub const fn sp(&self) -> Addr {
        Addr(self.sp)
    }

    /// Sets the stack pointer.
    pub const fn set_sp(&mut self, sp: Addr) {
        self.sp = sp.0;
    }

    /// The thread pointer: `tpidr_el0`.
    #[must_use]
    pub const fn tls(&self) -> u64 {
        self.tpidr
    }

    /// Sets the thread pointer.
    pub const fn set_tls(&mut self, tls: u64) {
        self.tpidr = tls;
    }

    /// x86's second base register, which this machine does not have: always zero.
    #[must_use]
    pub const fn gs_base(&self) -> u64 {
        0
    }

    /// Does nothing: see [`Regs::gs_base`].
    pub const fn set_gs_base(&mut self, _gs: u64) {}

    /// The system call that the thread is in; all ones if it is in none.
    #[must_use]
    pub const fn syscall_number(&self) -> u32 {
        low32(self.syscallno)
    }

    /// Sets the number of the system call the thread is in, and keeps its first
    /// argument, which the result replaces. `forget_syscall` is the opposite.
    pub fn set_syscall_number(&mut self, number: u32) {
        self.syscallno = u64::from(number);
        let [x0, ..] = self.x;
        self.orig_x0 = x0;
    }

    /// The thread is in no system call (any more): nothing will be restarted.
    pub const fn forget_syscall(&mut self) {
        self.syscallno = u64::MAX;
    }

    /// Arguments of the system call.
    #[must_use]
    pub const fn syscall_args(&self) -> SysArgs {
        let [x0, x1, x2, x3, x4, x5, ..] = self.x;
        let first = if self.syscall_number() == u32::MAX {
            x0
        } else {
            self.orig_x0
        };
        [first, x1, x2, x3, x4, x5]
    }

    /// Sets argument `n` (`0..6`) of the system call; others are ignored.
    pub const fn set_arg(&mut self, n: usize, value: u64) {
        let [x0, x1, x2, x3, x4, x5, ..] = &mut self.x;
        match n {
            0 => {
                *x0 = value;
                self.orig_x0 = value;
            }
            1 => *x1 = value,
            2 => *x2 = value,
            3 => *x3 = value,
            4 => *x4 = value,
            5 => *x5 = value,
            _ => {}
        }
    }

    /// What the system call returns.
    #[must_use]
    pub const fn return_value(&self) -> u64 {
        let [x0, ..] = self.x;
        x0
    }

    /// Sets what the system call returns.
    pub const fn set_return(&mut self, value: u64) {
        let [x0, ..] = &mut self.x;
        *x0 = value;
    }

    /// Puts the thread back onto the system call instruction, to run it once more.
    pub const fn rewind_syscall(&mut self) {
        self.set_return(self.orig_x0);
        self.pc = self.pc.wrapping_sub(4);
    }

    /// The same, but to call `restart_syscall(2)` instead.
    pub const fn rewind_to_restart(&mut self) {
        let [_, _, _, _, _, _, _, _, x8, ..] = &mut self.x;
        *x8 = 128;
        self.rewind_syscall();
    }

    /// Whether the thread runs one instruction at a time.
    #[must_use]
    pub const fn single_steps(&self) -> bool {
        self.pstate & PSTATE_SS != 0
    }

    /// Makes the registers safe to load: EL0, user flags, and an address that no
    /// mapping can have instead of one beyond the user's range. A program that
    /// claimed such an address faults, as it does on Linux.
    pub fn sanitize(&mut self) {
        self.pstate &= PSTATE_USER;
        self.pc = self.pc.min(USER_END);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromBytes;

    #[test]
    fn the_register_set_is_the_prefix() {
        assert_eq!(core::mem::offset_of!(Regs, tpidr), Regs::PRSTATUS_SIZE);
        let mut regs = Regs::new_program(Addr(0x1004), Addr(0x2000));
        regs.x[30] = 7;
        let copy = Regs::from_prstatus(regs.prstatus()).unwrap();
        assert_eq!(copy, regs);
        assert_eq!(Regs::from_prstatus(&[0; 271]), None);
    }

    #[test]
    fn a_restart_runs_the_instruction_again_with_its_first_argument() {
        let mut regs = Regs::new_program(Addr(0x1004), Addr(0x2000));
        regs.set_arg(0, 42);
        regs.set_syscall_number(63);
        regs.set_return(crate::abi::Errno::EINTR.to_return());
        assert_eq!(regs.syscall_args()[0], 42);
        regs.rewind_syscall();
        assert_eq!((regs.x[0], regs.ip()), (42, Addr(0x1000)));
    }

    #[test]
    fn hostile_registers_become_harmless() {
        let mut regs = Regs::read_from_bytes(&[0xff; size_of::<Regs>()]).unwrap();
        regs.sanitize();
        assert_eq!(regs.pstate & 0x3df, 0, "EL0, 64 bits, no masks");
        assert_eq!(regs.pc, USER_END);
    }
}
