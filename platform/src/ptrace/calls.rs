//! ptrace(2) and wait4(2), typed.
//!
//! Invariants: `[tracee]` the thread is a stopped tracee of the calling thread (else
//! the kernel answers ESRCH, which is an error, not a danger); `[out]` and `[buffer]`
//! as in `host`.

use arch::abi::Errno;
use arch::abi::num::u64_of;

use crate::host::{HostRule, check_long, rule};

macro_rules! requests {
    ($($name:ident = $number:literal;)*) => {
        $(pub(super) const $name: u64 = $number;)*
        /// Rules of this file.
        pub(super) const RULES: &[HostRule] = &[
            $(rule!(SYS_ptrace, &[(0, $name)], concat!(stringify!($name), ": stub threads")),)*
        ];
    };
}

// include/uapi/linux/ptrace.h
requests! {
    POKEUSER = 6;
    CONT = 7;
    SYSCALL = 24;
    SYSEMU = 31;
    GETSIGINFO = 0x4202;
    GETREGSET = 0x4204;
    SETREGSET = 0x4205;
    SEIZE = 0x4206;
    INTERRUPT = 0x4207;
    SETSIGMASK = 0x420b;
    GET_SYSCALL_INFO = 0x420e;
}

/// PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL.
const OPTIONS: u64 = 1 | 1 << 20;

/// How a stopped thread goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Resume {
    /// System calls stop it and are not made.
    Emulate,
    /// System calls stop it before and after they are made.
    Trace,
    /// Free: system calls are made.
    Free,
}

/// What wait4(2) told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// At a system call.
    Syscall,
    /// A signal is about to be delivered.
    Signal(i32),
    /// PTRACE_INTERRUPT, or a stop signal for the whole process.
    Event,
    /// The thread called exit(2) with this status.
    Exited(i32),
    /// A signal ended the thread.
    Killed(i32),
}

/// Makes a request. The machine's module has those that only one machine knows.
pub(super) fn request(what: u64, tid: i32, at: u64, data: u64) -> Result<u64, Errno> {
    // SAFETY: [tracee]; the callers below pass, as `at` and `data`, numbers or the
    // addresses of [out] and [buffer] objects that live across the call.
    check_long(unsafe { libc::syscall(libc::SYS_ptrace, what, tid, at, data) })
}

fn address<T>(of: *mut T) -> u64 {
    u64_of(of.expose_provenance())
}

/// Becomes the tracer of `tid`, whose process dies if this thread ends.
pub(super) fn seize(tid: i32) -> Result<(), Errno> {
    request(SEIZE, tid, 0, OPTIONS).map(drop)
}

/// Stops a seized thread.
pub(super) fn interrupt(tid: i32) -> Result<(), Errno> {
    request(INTERRUPT, tid, 0, 0).map(drop)
}

/// Lets a stopped thread go on, without the signal that stopped it.
pub(super) fn resume(tid: i32, how: Resume) -> Result<(), Errno> {
    let what = match how {
        Resume::Emulate => SYSEMU,
        Resume::Trace => SYSCALL,
        Resume::Free => CONT,
    };
    request(what, tid, 0, 0).map(drop)
}

/// Waits for the next stop or the end of `tid`.
pub(super) fn wait(tid: i32) -> Result<Stop, Errno> {
    let mut status = 0_i32;
    loop {
        let no_usage = std::ptr::null_mut::<libc::rusage>();
        // SAFETY: [out] `status`.
        let done = check_long(unsafe {
            libc::syscall(
                libc::SYS_wait4,
                tid,
                &raw mut status,
                libc::__WALL,
                no_usage,
            )
        });
        match done {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
            Ok(_) => return Ok(decode(status)),
        }
    }
}

/// wait4(2)'s status word.
fn decode(status: i32) -> Stop {
    if libc::WIFEXITED(status) {
        return Stop::Exited(libc::WEXITSTATUS(status));
    }
    if libc::WIFSIGNALED(status) {
        return Stop::Killed(libc::WTERMSIG(status));
    }
    let signal = libc::WSTOPSIG(status);
    if status >> 16 != 0 {
        Stop::Event
    } else if signal == libc::SIGTRAP | 0x80 {
        Stop::Syscall
    } else {
        Stop::Signal(signal)
    }
}

/// A system call stop: `struct ptrace_syscall_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SyscallInfo {
    op: u8,
    pad: [u8; 3],
    /// AUDIT_ARCH of the convention that the call came in by.
    pub(super) arch: u32,
    ip: u64,
    sp: u64,
    /// Its number.
    pub(super) nr: u64,
    /// Its arguments.
    pub(super) args: [u64; 6],
    /// More in stops that are not asked for.
    rest: [u64; 2],
}

impl SyscallInfo {
    /// Whether the call is about to be made (else: was made).
    pub(super) fn is_entry(&self) -> bool {
        self.op == 1
    }
}

/// What the thread's system call stop is about: PTRACE_GET_SYSCALL_INFO.
pub(super) fn syscall_info(tid: i32) -> Result<SyscallInfo, Errno> {
    let mut info = SyscallInfo::default();
    let size = u64_of(size_of::<SyscallInfo>());
    request(GET_SYSCALL_INFO, tid, size, address(&raw mut info))?;
    Ok(info)
}

/// Reads a register set (`NT_...`) into `to`; gives its size.
pub(super) fn get_registers(tid: i32, set: u64, to: &mut [u8]) -> Result<usize, Errno> {
    let mut part = libc::iovec {
        iov_base: to.as_mut_ptr().cast(),
        iov_len: to.len(),
    };
    request(GETREGSET, tid, set, address(&raw mut part))?;
    Ok(part.iov_len)
}

/// Writes a register set.
pub(super) fn set_registers(tid: i32, set: u64, from: &[u8]) -> Result<(), Errno> {
    let mut part = libc::iovec {
        iov_base: from.as_ptr().cast_mut().cast(),
        iov_len: from.len(),
    };
    request(SETREGSET, tid, set, address(&raw mut part)).map(drop)
}

/// Unblocks all signals of the thread.
pub(super) fn unblock_signals(tid: i32) -> Result<(), Errno> {
    let mut none = 0_u64;
    let size = u64_of(size_of::<u64>());
    request(SETSIGMASK, tid, size, address(&raw mut none)).map(drop)
}

/// What is known of a signal.
#[derive(Clone, Copy, Debug)]
pub(super) struct SignalInfo {
    /// `si_code`.
    pub(super) code: i32,
    /// `si_addr`, for signals that faults raise; `si_call_addr` for SIGSYS.
    pub(super) at: u64,
}

/// The signal that stopped the thread: PTRACE_GETSIGINFO.
pub(super) fn signal_info(tid: i32) -> Result<SignalInfo, Errno> {
    // SAFETY: [out] a plain struct, for which all zeros are valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    request(GETSIGINFO, tid, 0, address(&raw mut info))?;
    // SAFETY: [out] the union's first word, which is initialised whatever the signal.
    let at = unsafe { info.si_addr() }.addr();
    Ok(SignalInfo {
        code: info.si_code,
        at: u64_of(at),
    })
}
