//! Processes: clone(2), wait(2), resource limits and usage, uname(2), scheduling.

use super::macros::{abi_struct, flags, numbers};

flags! {
    /// Flags of clone3(2); the low byte of clone(2)'s word is its exit signal.
    CloneFlags: u64, clone_flags = linux_raw_sys::general;
    NEWTIME CLONE_NEWTIME 0x80, "New time namespace; clone3(2) and unshare(2) only.";
    VM CLONE_VM 0x100, "Share the address space.";
    FS CLONE_FS 0x200, "Share root, working directory and umask.";
    FILES CLONE_FILES 0x400, "Share the fd table.";
    SIGHAND CLONE_SIGHAND 0x800, "Share the signal actions.";
    PIDFD CLONE_PIDFD 0x1000, "Return a pidfd.";
    PTRACE CLONE_PTRACE 0x2000, "The tracer traces the child too.";
    VFORK CLONE_VFORK 0x4000, "Sleep until the child execs or exits.";
    PARENT CLONE_PARENT 0x8000, "Be a sibling.";
    THREAD CLONE_THREAD 0x1_0000, "Join the thread group.";
    NEWNS CLONE_NEWNS 0x2_0000, "New mount namespace.";
    SYSVSEM CLONE_SYSVSEM 0x4_0000, "Share semaphore undo values.";
    SETTLS CLONE_SETTLS 0x8_0000, "Set the thread pointer.";
    PARENT_SETTID CLONE_PARENT_SETTID 0x10_0000, "Store the tid in the parent.";
    CHILD_CLEARTID CLONE_CHILD_CLEARTID 0x20_0000, "Clear the tid in the child at exit and wake a futex.";
    DETACHED CLONE_DETACHED 0x40_0000, "Ignored by clone(2), refused by clone3(2).";
    UNTRACED CLONE_UNTRACED 0x80_0000, "Tracers cannot force CLONE_PTRACE.";
    CHILD_SETTID CLONE_CHILD_SETTID 0x100_0000, "Store the tid in the child.";
    NEWCGROUP CLONE_NEWCGROUP 0x200_0000, "New cgroup namespace.";
    NEWUTS CLONE_NEWUTS 0x400_0000, "New UTS namespace.";
    NEWIPC CLONE_NEWIPC 0x800_0000, "New IPC namespace.";
    NEWUSER CLONE_NEWUSER 0x1000_0000, "New user namespace.";
    NEWPID CLONE_NEWPID 0x2000_0000, "New pid namespace.";
    NEWNET CLONE_NEWNET 0x4000_0000, "New network namespace.";
    IO CLONE_IO 0x8000_0000, "Share the I/O context.";
    CLEAR_SIGHAND CLONE_CLEAR_SIGHAND 0x1_0000_0000, "Reset handlers to the default; clone3(2) only.";
    INTO_CGROUP CLONE_INTO_CGROUP 0x2_0000_0000, "Start in the given cgroup; clone3(2) only.";
}

/// The exit signal's bits in clone(2)'s flags word.
pub const CSIGNAL: u64 = 0xff;

abi_struct! {
    /// `struct clone_args`: clone3(2). Programs may know a shorter one: see the sizes.
    pub struct CloneArgs {
        /// `CLONE_` flags without `CSIGNAL`.
        pub flags: u64,
        /// Where to store the pidfd.
        pub pidfd: u64,
        /// Where to store the tid in the child.
        pub child_tid: u64,
        /// Where to store the tid in the parent.
        pub parent_tid: u64,
        /// Signal sent to the parent at exit.
        pub exit_signal: u64,
        /// Lowest byte of the child's stack.
        pub stack: u64,
        /// Bytes of the stack.
        pub stack_size: u64,
        /// The thread pointer.
        pub tls: u64,
        /// Wanted pids, innermost namespace first.
        pub set_tid: u64,
        /// How many.
        pub set_tid_size: u64,
        /// File descriptor of the cgroup.
        pub cgroup: u64,
    }
}

numbers! {
    u64, clone_args_sizes = linux_raw_sys::general;
    CLONE_ARGS_SIZE_VER0 64 "The first version ends after `tls`; less is EINVAL.";
    CLONE_ARGS_SIZE_VER1 80 "Ends after `set_tid_size`.";
    CLONE_ARGS_SIZE_VER2 88 "Ends after `cgroup`.";
}

flags! {
    /// Options of wait4(2) and waitid(2).
    WaitOptions: u32, wait_options = linux_raw_sys::general;
    NOHANG WNOHANG 1, "Do not wait.";
    UNTRACED WUNTRACED 2, "Report stopped children; WSTOPPED of waitid(2).";
    EXITED WEXITED 4, "Report ended children; waitid(2) only.";
    CONTINUED WCONTINUED 8, "Report continued children.";
    NOWAIT WNOWAIT 0x0100_0000, "Leave the child waitable.";
    NOTHREAD __WNOTHREAD 0x2000_0000, "Only this thread's children.";
    ALL __WALL 0x4000_0000, "All children, whatever their exit signal.";
    CLONE __WCLONE 0x8000_0000, "Only children whose exit signal is not SIGCHLD.";
}

numbers! {
    u32, wait_ids = linux_raw_sys::general;
    P_ALL 0 "waitid(2): any child.";
    P_PID 1 "waitid(2): the child with this pid.";
    P_PGID 2 "waitid(2): children of this process group.";
    P_PIDFD 3 "waitid(2): the child of this pidfd.";
}

/// The `int` that wait4(2) stores for a child that exited.
#[must_use]
pub const fn wait_status_exited(code: u8) -> u32 {
    u32::from_le_bytes([0, code, 0, 0])
}

/// The `int` that wait4(2) stores for a child that a signal ended.
#[must_use]
pub const fn wait_status_killed(signal: super::signal::Signal, dumped_core: CoreDumped) -> u32 {
    let flag = match dumped_core {
        CoreDumped::Yes => 0x80,
        CoreDumped::No => 0,
    };
    u32::from_le_bytes([signal.number() | flag, 0, 0, 0])
}

/// The `int` that wait4(2) stores for a child that stopped.
#[must_use]
pub const fn wait_status_stopped(signal: super::signal::Signal) -> u32 {
    u32::from_le_bytes([0x7f, signal.number(), 0, 0])
}

/// The `int` that wait4(2) stores for a child that continued.
pub const WAIT_STATUS_CONTINUED: u32 = 0xffff;

/// Whether a process that a signal ended left a core dump.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CoreDumped {
    /// It did.
    Yes,
    /// It did not.
    No,
}

abi_struct! {
    /// `struct rlimit64`: prlimit64(2).
    pub struct Rlimit {
        /// The soft limit.
        pub cur: u64,
        /// The hard limit.
        pub max: u64,
    }
}

/// No limit: `RLIM64_INFINITY`.
pub const RLIM_INFINITY: u64 = u64::MAX;

numbers! {
    u32, resources = linux_raw_sys::general;
    RLIMIT_CPU 0 "Seconds of CPU time.";
    RLIMIT_FSIZE 1 "Bytes of a file.";
    RLIMIT_DATA 2 "Bytes of data.";
    RLIMIT_STACK 3 "Bytes of stack.";
    RLIMIT_CORE 4 "Bytes of a core dump.";
    RLIMIT_RSS 5 "Resident bytes; without effect.";
    RLIMIT_NPROC 6 "Processes of the user.";
    RLIMIT_NOFILE 7 "File descriptors: one more than the highest.";
    RLIMIT_MEMLOCK 8 "Locked bytes.";
    RLIMIT_AS 9 "Bytes of address space.";
    RLIMIT_LOCKS 10 "File locks; without effect.";
    RLIMIT_SIGPENDING 11 "Queued signals of the user.";
    RLIMIT_MSGQUEUE 12 "Bytes in POSIX message queues of the user.";
    RLIMIT_NICE 13 "20 minus the lowest nice value.";
    RLIMIT_RTPRIO 14 "Highest real-time priority.";
    RLIMIT_RTTIME 15 "Microseconds of real-time CPU without a wait.";
    RLIM_NLIMITS 16 "How many there are.";
}

abi_struct! {
    /// `struct rusage`: getrusage(2), wait4(2).
    pub struct Rusage {
        /// User time.
        pub utime: super::time::Timeval,
        /// System time.
        pub stime: super::time::Timeval,
        /// Largest resident set in KiB.
        pub maxrss: i64,
        /// Unused: shared, data and stack memory.
        pub ixrss: [i64; 3],
        /// Page faults without I/O.
        pub minflt: i64,
        /// Page faults with I/O.
        pub majflt: i64,
        /// Unused.
        pub nswap: i64,
        /// Blocks read.
        pub inblock: i64,
        /// Blocks written.
        pub oublock: i64,
        /// Unused: messages sent and received, signals.
        pub msgs: [i64; 3],
        /// Voluntary context switches.
        pub nvcsw: i64,
        /// Involuntary context switches.
        pub nivcsw: i64,
    }
}

numbers! {
    i32, rusage_whos = linux_raw_sys::general;
    RUSAGE_SELF 0 "getrusage(2): the process.";
    RUSAGE_CHILDREN -1 "getrusage(2): its waited-for children.";
    RUSAGE_THREAD 1 "getrusage(2): the thread.";
}

abi_struct! {
    /// `struct sysinfo`: sysinfo(2).
    pub struct Sysinfo {
        /// Seconds since the start.
        pub uptime: i64,
        /// Load averages over 1, 5 and 15 minutes, times 65536.
        pub loads: [u64; 3],
        /// Memory, in `mem_unit`s as all that follows.
        pub totalram: u64,
        /// Free memory.
        pub freeram: u64,
        /// Shared memory.
        pub sharedram: u64,
        /// Buffers.
        pub bufferram: u64,
        /// Swap.
        pub totalswap: u64,
        /// Free swap.
        pub freeswap: u64,
        /// Tasks.
        pub procs: u16,
        #[doc(hidden)]
        pub pad0: u16,
        #[doc(hidden)]
        pub pad1: u32,
        /// Always zero on 64-bit machines.
        pub totalhigh: u64,
        /// Always zero on 64-bit machines.
        pub freehigh: u64,
        /// Bytes in a unit.
        pub mem_unit: u32,
        #[doc(hidden)]
        pub pad2: u32,
    }
}

/// Bytes of each field of `Utsname`, with the final zero.
pub const UTS_FIELD: usize = 65;

abi_struct! {
    /// `struct new_utsname`: uname(2). Zero-terminated strings.
    pub struct Utsname {
        /// `Linux`.
        pub sysname: [u8; UTS_FIELD],
        /// The host name.
        pub nodename: [u8; UTS_FIELD],
        /// Kernel release.
        pub release: [u8; UTS_FIELD],
        /// Kernel version.
        pub version: [u8; UTS_FIELD],
        /// The machine: `arch::UTS_MACHINE`.
        pub machine: [u8; UTS_FIELD],
        /// The NIS domain name.
        pub domainname: [u8; UTS_FIELD],
    }
}

impl Utsname {
    /// A field that holds `text`, cut to 64 bytes.
    #[must_use]
    pub fn field(text: &[u8]) -> [u8; UTS_FIELD] {
        let mut field = [0; UTS_FIELD];
        for (to, from) in field.iter_mut().take(UTS_FIELD - 1).zip(text) {
            *to = *from;
        }
        field
    }
}

abi_struct! {
    /// `struct sched_param`: sched_setscheduler(2).
    pub struct SchedParam {
        /// Real-time priority.
        pub priority: i32,
    }
}

/// Bytes of the first version of `SchedAttr`, which ends after `period`; less is `E2BIG`.
pub const SCHED_ATTR_SIZE_VER0: u32 = 48;

abi_struct! {
    /// `struct sched_attr`: sched_setattr(2). Programs may know a shorter one.
    pub struct SchedAttr {
        /// Bytes the program knows.
        pub size: u32,
        /// `SCHED_` policy.
        pub policy: u32,
        /// `SCHED_FLAG_` bits.
        pub flags: u64,
        /// Nice value.
        pub nice: i32,
        /// Real-time priority.
        pub priority: u32,
        /// Nanoseconds, for `SCHED_DEADLINE`.
        pub runtime: u64,
        /// Nanoseconds, for `SCHED_DEADLINE`.
        pub deadline: u64,
        /// Nanoseconds, for `SCHED_DEADLINE`.
        pub period: u64,
        /// Utilisation clamp.
        pub util_min: u32,
        /// Utilisation clamp.
        pub util_max: u32,
    }
}

numbers! {
    u32, sched_numbers = linux_raw_sys::general;
    SCHED_NORMAL 0 "The default policy; SCHED_OTHER in C libraries.";
    SCHED_FIFO 1 "Real time, first in first out.";
    SCHED_RR 2 "Real time, round robin.";
    SCHED_BATCH 3 "For batch work.";
    SCHED_IDLE 5 "Below all others.";
    SCHED_DEADLINE 6 "Earliest deadline first.";
    SCHED_RESET_ON_FORK 0x4000_0000 "Children start with the default policy.";
    PRIO_PROCESS 0 "getpriority(2): one process.";
    PRIO_PGRP 1 "getpriority(2): a process group.";
    PRIO_USER 2 "getpriority(2): all of a user's.";
}

numbers! {
    u32, ptrace_numbers = linux_raw_sys::ptrace;
    PTRACE_TRACEME 0 "Be traced by the parent.";
    PTRACE_PEEKDATA 2 "Read a word.";
    PTRACE_POKEDATA 5 "Write a word.";
    PTRACE_CONT 7 "Go on.";
    PTRACE_ATTACH 16 "Trace a process and stop it.";
    PTRACE_DETACH 17 "Stop tracing.";
    PTRACE_SYSCALL 24 "Go on to the next system call's entry or exit.";
    PTRACE_GETREGSET 0x4204 "Read registers.";
    PTRACE_SETREGSET 0x4205 "Write registers.";
    PTRACE_SEIZE 0x4206 "Trace a process without a stop.";
}

#[cfg(test)]
mod tests {
    use super::super::macros::same_layout;
    use super::super::signal::Signal;
    use super::*;

    same_layout!(clone_args: CloneArgs = libc::clone_args {
        flags = flags, pidfd = pidfd, child_tid = child_tid, parent_tid = parent_tid,
        exit_signal = exit_signal, stack = stack, stack_size = stack_size, tls = tls,
        set_tid = set_tid, set_tid_size = set_tid_size, cgroup = cgroup,
    });
    same_layout!(rlimit: Rlimit = libc::rlimit64 { cur = rlim_cur, max = rlim_max });
    same_layout!(rusage: Rusage = libc::rusage {
        utime = ru_utime, stime = ru_stime, maxrss = ru_maxrss, ixrss = ru_ixrss,
        minflt = ru_minflt, majflt = ru_majflt, nswap = ru_nswap, inblock = ru_inblock,
        oublock = ru_oublock, msgs = ru_msgsnd, nvcsw = ru_nvcsw, nivcsw = ru_nivcsw,
    });
    same_layout!(sysinfo: Sysinfo = libc::sysinfo {
        uptime = uptime, loads = loads, totalram = totalram, freeram = freeram,
        sharedram = sharedram, bufferram = bufferram, totalswap = totalswap, freeswap = freeswap,
        procs = procs, totalhigh = totalhigh, freehigh = freehigh, mem_unit = mem_unit,
    });
    same_layout!(utsname: Utsname = libc::utsname {
        sysname = sysname, nodename = nodename, release = release, version = version,
        machine = machine, domainname = domainname,
    });
    #[test]
    fn sched_attr_starts_with_its_first_version() {
        use core::mem::offset_of;
        assert_eq!(size_of::<libc::sched_attr>(), 48);
        assert_eq!(offset_of!(SchedAttr, util_min), 48);
        assert_eq!(
            offset_of!(SchedAttr, period),
            offset_of!(libc::sched_attr, sched_period)
        );
    }

    #[test]
    fn wait_statuses_read_back_with_the_c_library() {
        let exited = wait_status_exited(42).cast_signed();
        assert!(libc::WIFEXITED(exited));
        assert_eq!(libc::WEXITSTATUS(exited), 42);
        let killed = wait_status_killed(Signal::SIGSEGV, CoreDumped::Yes).cast_signed();
        assert!(libc::WIFSIGNALED(killed) && libc::WCOREDUMP(killed));
        assert_eq!(libc::WTERMSIG(killed), 11);
        let stopped = wait_status_stopped(Signal::SIGTSTP).cast_signed();
        assert!(libc::WIFSTOPPED(stopped));
        assert_eq!(libc::WSTOPSIG(stopped), 20);
        assert!(libc::WIFCONTINUED(WAIT_STATUS_CONTINUED.cast_signed()));
    }

    #[test]
    fn long_names_are_cut() {
        let field = Utsname::field(&[b'x'; 100]);
        assert_eq!(field[63], b'x');
        assert_eq!(field[64], 0);
    }
}
