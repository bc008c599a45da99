//! `siginfo_t`: what a signal tells its handler, in the kernel's layout.

use super::macros::{abi_struct, numbers};
use super::signal::Signal;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Bytes of the union after the common fields.
const FIELDS: usize = 112;

abi_struct! {
    /// `siginfo_t`, 128 bytes. What `fields` means follows from `signo` and `code`.
    pub struct SigInfo {
        /// The signal's number; kept as the program gave it (rt_sigqueueinfo(2)).
        pub signo: i32,
        /// An errno value, mostly zero.
        pub errno: i32,
        /// Why the signal was sent: `SI_`, `SEGV_`, `CLD_` and so on.
        pub code: i32,
        #[doc(hidden)]
        pub pad: u32,
        /// The union, see the types below.
        pub fields: [u8; FIELDS],
    }
}

abi_struct! {
    /// Union fields of `SI_USER`, `SI_TKILL`; and of `SI_QUEUE`, `SI_MESGQ` with the value.
    pub struct Sender {
        /// The sender's pid, in the receiver's pid namespace.
        pub pid: i32,
        /// The sender's real uid.
        pub uid: u32,
        /// `union sigval`; zero for kill(2).
        pub value: u64,
    }
}

abi_struct! {
    /// Union fields of `SIGCHLD`.
    pub struct Child {
        /// The child.
        pub pid: i32,
        /// Its real uid.
        pub uid: u32,
        /// Exit status, or the signal's number.
        pub status: i32,
        #[doc(hidden)]
        pub pad: u32,
        /// User time in ticks of `USER_HZ`.
        pub utime: i64,
        /// System time in ticks of `USER_HZ`.
        pub stime: i64,
    }
}

abi_struct! {
    /// Union fields of `SI_TIMER`.
    pub struct Timer {
        /// The timer's id.
        pub id: i32,
        /// Expiries since the last delivery, less one.
        pub overrun: i32,
        /// `union sigval` of the timer.
        pub value: u64,
    }
}

abi_struct! {
    /// Union fields of `SIGSEGV`, `SIGBUS`, `SIGILL`, `SIGFPE`, `SIGTRAP`.
    pub struct Fault {
        /// Address of the access or the instruction.
        pub addr: u64,
        /// `addr_lsb` for `BUS_MCEERR_*`; else zero.
        pub lsb: u64,
        /// Lower bound (`SEGV_BNDERR`), or the key in the low 32 bits (`SEGV_PKUERR`).
        pub lower: u64,
        /// Upper bound (`SEGV_BNDERR`).
        pub upper: u64,
    }
}

abi_struct! {
    /// Union fields of `SIGIO` (`POLL_*`).
    pub struct Poll {
        /// The events, as poll(2) reports them.
        pub band: i64,
        /// The file descriptor.
        pub fd: i32,
        #[doc(hidden)]
        pub pad: u32,
    }
}

abi_struct! {
    /// Union fields of `SIGSYS`.
    pub struct Sys {
        /// Address after the system call instruction.
        pub call_addr: u64,
        /// The system call's number.
        pub syscall: i32,
        /// `AUDIT_ARCH_` of the call.
        pub arch: u32,
    }
}

impl SigInfo {
    fn with<T: IntoBytes + Immutable>(signal: Signal, code: i32, fields: &T) -> Self {
        let mut info = Self {
            signo: signal.raw(),
            code,
            ..Self::default()
        };
        let written = fields.write_to_prefix(&mut info.fields);
        debug_assert!(written.is_ok(), "every union member is at most 112 bytes");
        info
    }

    fn fields<T: FromBytes>(&self) -> T {
        match T::read_from_prefix(&self.fields) {
            Ok((fields, _)) => fields,
            // Not reached: every union member is at most 112 bytes.
            Err(_) => T::new_zeroed(),
        }
    }

    /// A signal the kernel sends of its own accord (`SI_KERNEL`), without details.
    #[must_use]
    pub fn kernel(signal: Signal) -> Self {
        Self::with(signal, SI_KERNEL, &Sender::default())
    }

    /// kill(2), with `SI_USER`, or tgkill(2), with `SI_TKILL`.
    #[must_use]
    pub fn kill(signal: Signal, code: i32, pid: i32, uid: u32) -> Self {
        let sender = Sender { pid, uid, value: 0 };
        Self::with(signal, code, &sender)
    }

    /// sigqueue(3), with `SI_QUEUE`, or a message queue's notification, with `SI_MESGQ`.
    #[must_use]
    pub fn queue(signal: Signal, code: i32, sender: Sender) -> Self {
        Self::with(signal, code, &sender)
    }

    /// `SIGCHLD` (or what clone(2) asked for instead) with a `CLD_` code.
    #[must_use]
    pub fn child(signal: Signal, code: i32, child: Child) -> Self {
        Self::with(signal, code, &child)
    }

    /// A machine fault at `addr`.
    #[must_use]
    pub fn fault(signal: Signal, code: i32, addr: u64) -> Self {
        let fault = Fault {
            addr,
            ..Fault::default()
        };
        Self::with(signal, code, &fault)
    }

    /// A POSIX timer's expiry (`SI_TIMER`).
    #[must_use]
    pub fn timer(signal: Signal, timer: Timer) -> Self {
        Self::with(signal, SI_TIMER, &timer)
    }

    /// I/O is possible on `fd`: `code` is one of `POLL_`, `band` the events.
    #[must_use]
    pub fn poll(signal: Signal, code: i32, band: i64, fd: i32) -> Self {
        let poll = Poll { band, fd, pad: 0 };
        Self::with(signal, code, &poll)
    }

    /// seccomp(2)'s `SECCOMP_RET_TRAP` (`SYS_SECCOMP`); `data` goes into `errno`.
    #[must_use]
    pub fn seccomp(sys: Sys, data: i32) -> Self {
        let mut info = Self::with(Signal::SIGSYS, SYS_SECCOMP, &sys);
        info.errno = data;
        info
    }

    /// The signal, if the number is one.
    #[must_use]
    pub fn signal(&self) -> Option<Signal> {
        Signal::new(self.signo)
    }

    /// The union as of kill(2) and sigqueue(3).
    #[must_use]
    pub fn as_sender(&self) -> Sender {
        self.fields()
    }

    /// The union as of `SIGCHLD`.
    #[must_use]
    pub fn as_child(&self) -> Child {
        self.fields()
    }

    /// The union as of a machine fault.
    #[must_use]
    pub fn as_fault(&self) -> Fault {
        self.fields()
    }

    /// The union as of a POSIX timer.
    #[must_use]
    pub fn as_timer(&self) -> Timer {
        self.fields()
    }

    /// The union as of `SIGIO`.
    #[must_use]
    pub fn as_poll(&self) -> Poll {
        self.fields()
    }

    /// The union as of `SIGSYS`.
    #[must_use]
    pub fn as_sys(&self) -> Sys {
        self.fields()
    }

    /// Whether a program may claim this in rt_sigqueueinfo(2) for another process:
    /// codes of the kernel and of tgkill(2) are refused with `EPERM`.
    #[must_use]
    pub const fn may_be_queued(&self) -> bool {
        self.code < 0 && self.code != SI_TKILL
    }
}

numbers! {
    i32, si_codes = libc;
    SI_USER 0 "Sent by kill(2).";
    SI_KERNEL 128 "Sent by the kernel.";
    SI_QUEUE -1 "Sent by sigqueue(3).";
    SI_TIMER -2 "A POSIX timer expired.";
    SI_MESGQ -3 "A message arrived on an empty queue.";
    SI_ASYNCIO -4 "Asynchronous I/O is done.";
    SI_SIGIO -5 "Queued SIGIO.";
    SI_TKILL -6 "Sent by tkill(2) or tgkill(2).";
    CLD_EXITED 1 "SIGCHLD: the child exited.";
    CLD_KILLED 2 "SIGCHLD: a signal ended the child.";
    CLD_DUMPED 3 "SIGCHLD: a signal ended the child, which dumped core.";
    CLD_TRAPPED 4 "SIGCHLD: a traced child trapped.";
    CLD_STOPPED 5 "SIGCHLD: the child stopped.";
    CLD_CONTINUED 6 "SIGCHLD: the child continued.";
}

numbers! {
    i32, fault_codes = linux_raw_sys::general;
    ILL_ILLOPC 1 "SIGILL: illegal opcode.";
    ILL_ILLOPN 2 "SIGILL: illegal operand.";
    ILL_ILLADR 3 "SIGILL: illegal addressing mode.";
    ILL_ILLTRP 4 "SIGILL: illegal trap.";
    ILL_PRVOPC 5 "SIGILL: privileged opcode.";
    ILL_PRVREG 6 "SIGILL: privileged register.";
    FPE_INTDIV 1 "SIGFPE: integer division by zero.";
    FPE_INTOVF 2 "SIGFPE: integer overflow.";
    FPE_FLTDIV 3 "SIGFPE: division by zero.";
    FPE_FLTOVF 4 "SIGFPE: overflow.";
    FPE_FLTUND 5 "SIGFPE: underflow.";
    FPE_FLTRES 6 "SIGFPE: inexact result.";
    FPE_FLTINV 7 "SIGFPE: invalid operation.";
    FPE_FLTSUB 8 "SIGFPE: subscript out of range.";
    FPE_FLTUNK 14 "SIGFPE: undiagnosed exception.";
    SEGV_MAPERR 1 "SIGSEGV: nothing is mapped there.";
    SEGV_ACCERR 2 "SIGSEGV: the mapping does not allow it.";
    SEGV_BNDERR 3 "SIGSEGV: bounds check failed.";
    SEGV_PKUERR 4 "SIGSEGV: a protection key forbids it.";
    SEGV_MTEAERR 8 "SIGSEGV: asynchronous memory tag mismatch.";
    SEGV_MTESERR 9 "SIGSEGV: synchronous memory tag mismatch.";
    BUS_ADRALN 1 "SIGBUS: misaligned address.";
    BUS_ADRERR 2 "SIGBUS: no such physical address, or past the end of the file.";
    BUS_OBJERR 3 "SIGBUS: hardware error of the object.";
    BUS_MCEERR_AR 4 "SIGBUS: memory error that must be acted on.";
    BUS_MCEERR_AO 5 "SIGBUS: memory error that may be acted on.";
    TRAP_BRKPT 1 "SIGTRAP: breakpoint.";
    TRAP_TRACE 2 "SIGTRAP: single step.";
    TRAP_BRANCH 3 "SIGTRAP: branch trap.";
    TRAP_HWBKPT 4 "SIGTRAP: hardware breakpoint or watchpoint.";
    TRAP_UNK 5 "SIGTRAP: undiagnosed.";
    POLL_IN 1 "SIGIO: input is available.";
    POLL_OUT 2 "SIGIO: output is possible.";
    POLL_MSG 3 "SIGIO: an input message is available.";
    POLL_ERR 4 "SIGIO: an I/O error.";
    POLL_PRI 5 "SIGIO: urgent input.";
    POLL_HUP 6 "SIGIO: the device is disconnected.";
    SYS_SECCOMP 1 "SIGSYS: a seccomp filter trapped the call.";
    SYS_USER_DISPATCH 2 "SIGSYS: system call user dispatch.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;
    use linux_raw_sys::general as oracle;

    #[test]
    fn layout() {
        assert_eq!(size_of::<SigInfo>(), size_of::<libc::siginfo_t>());
        assert_eq!(offset_of!(SigInfo, fields), 16);
        assert_eq!(
            offset_of!(Sender, value),
            offset_of!(oracle::__sifields__bindgen_ty_3, _sigval)
        );
        assert_eq!(
            offset_of!(Timer, value),
            offset_of!(oracle::__sifields__bindgen_ty_2, _sigval)
        );
        assert_eq!(
            offset_of!(Child, utime),
            offset_of!(oracle::__sifields__bindgen_ty_4, _utime)
        );
        assert_eq!(
            offset_of!(Sys, syscall),
            offset_of!(oracle::__sifields__bindgen_ty_7, _syscall)
        );
        assert_eq!(
            offset_of!(Poll, fd),
            offset_of!(oracle::__sifields__bindgen_ty_6, _fd)
        );
    }

    #[test]
    fn members_read_back() {
        let child = Child {
            pid: 42,
            uid: 7,
            status: 3,
            utime: 11,
            stime: 12,
            pad: 0,
        };
        let info = SigInfo::child(Signal::SIGCHLD, CLD_EXITED, child);
        assert_eq!(info.as_child(), child);
        assert_eq!(info.signal(), Some(Signal::SIGCHLD));
        let info = SigInfo::fault(Signal::SIGSEGV, SEGV_MAPERR, 0xdead_0000);
        assert_eq!(info.as_fault().addr, 0xdead_0000);
        assert_eq!(info.as_bytes()[16..24], 0xdead_0000_u64.to_le_bytes());
    }

    #[test]
    fn programs_cannot_claim_the_kernels_codes() {
        let with_code = |code| SigInfo::kill(Signal::SIGUSR1, code, 1, 0);
        assert!(with_code(SI_QUEUE).may_be_queued());
        assert!(!with_code(SI_USER).may_be_queued());
        assert!(!with_code(SI_KERNEL).may_be_queued());
        assert!(!with_code(SI_TKILL).may_be_queued());
    }
}
