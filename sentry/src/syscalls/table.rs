//! The one system-call table, for both architectures.
//!
//! Dispatch, `--strace`, the report of unsupported calls, the guest's filter and
//! `sentry/COMPAT.md` come from these rows; a number is typed once.
//! Numbers: arch/x86/entry/syscalls/syscall_64.tbl and
//! include/uapi/asm-generic/unistd.h of Linux; `-`: not on that architecture.

use arch::abi::memory::{MapFlags, MlockallFlags, MremapFlags, MsyncFlags, Prot};
use arch::abi::num;
use arch::abi::open::{Iovec, OpenHow};
use arch::abi::poll::{EpollEvent, PollFd};
use arch::abi::prctl::{CapData, CapHeader};
use arch::abi::process::{CloneArgs, Rlimit, Rusage, SchedParam, Sysinfo, Utsname};
use arch::abi::signal::{Sigaction, StackT};
use arch::abi::socket::{Mmsghdr, Msghdr};
use arch::abi::stat::{Statfs, Statx};
use arch::abi::time::{Itimerspec, Itimerval, Sigevent, Timex, Timezone, Tms};
use arch::abi::{OpenFlags, SigInfo, SigSet, Stat, Timespec, Timeval};

use super::SysResult;
use super::arg::{Arg, Fd, ModeArg};
use super::*;
use crate::task::Task;
use base::{Addr, Pid};
use mem::{UserPtr, UserStr};

/// How much of a call is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Support {
    /// As Linux does it.
    Full,
    /// With the difference that is named.
    Partial(&'static str),
    /// Pretends, as named.
    Stub(&'static str),
    /// Gives `ENOSYS`, for the reason named; `EPERM` to those whom Linux would refuse
    /// before it looked at anything else.
    Missing(&'static str),
}

/// One argument of a row.
#[derive(Clone, Copy)]
pub struct Argument {
    /// Its name in the manual page.
    pub name: &'static str,
    /// Shows the raw value at entry.
    pub show: fn(u64, &Task, &mut String),
}

/// One system call.
#[derive(Clone, Copy)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Its number on x86-64.
    pub x86_64: Option<u32>,
    /// Its number on arm64.
    pub aarch64: Option<u32>,
    /// Its arguments in order.
    pub arguments: &'static [Argument],
    /// How much of it is there.
    pub support: Support,
    /// Converts the arguments and calls the handler.
    pub call: fn(&mut Task, &[u64; 6]) -> SysResult,
}

macro_rules! number {
    (-) => {
        None
    };
    ($number:literal) => {
        Some($number)
    };
}

macro_rules! support {
    (Full) => {
        Support::Full
    };
    (Partial $why:literal) => {
        Support::Partial($why)
    };
    (Stub $why:literal) => {
        Support::Stub($why)
    };
    (Missing $why:literal) => {
        Support::Missing($why)
    };
}

/// The registers that are left, and the argument that the next of them holds. There are
/// six, and no row takes more.
fn next_argument<T: Arg>(
    mut registers: std::iter::Copied<std::slice::Iter<'_, u64>>,
) -> Result<(std::iter::Copied<std::slice::Iter<'_, u64>>, T), base::Errno> {
    let argument = T::from_raw(registers.next().unwrap_or(0))?;
    Ok((registers, argument))
}

macro_rules! syscalls {
    ($(
        $name:ident $x86:tt $arm:tt
        $module:ident :: $handler:ident ($($arg:ident: $type:ty),* $(,)?)
        $support:ident $(($why:literal))?;
    )*) => {
        /// All rows, in the order of the source.
        pub static TABLE: &[Row] = &[$(
            Row {
                name: stringify!($name),
                x86_64: number!($x86),
                aarch64: number!($arm),
                arguments: &[$(Argument {
                    name: stringify!($arg),
                    show: <$type as Arg>::show,
                }),*],
                support: support!($support $($why)?),
                call: |task, raw| {
                    let _registers = raw.iter().copied();
                    $(let (_registers, $arg) = next_argument::<$type>(_registers)?;)*
                    $module::$handler(task, $($arg),*)
                },
            },
        )*];
    };
}

/// Numbers at and above this have no row on any architecture.
const NUMBERS: usize = 512;

/// Row index + 1 by number; 0: none.
static BY_NUMBER: [u16; NUMBERS] = index();

#[expect(
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "evaluated at compile time, where a mistake is a compile error"
)]
const fn index() -> [u16; NUMBERS] {
    let mut by_number = [0; NUMBERS];
    let mut at = 0;
    while at < TABLE.len() {
        let number = if arch::layout::MACHINE == arch::abi::elf::EM_X86_64 {
            TABLE[at].x86_64
        } else {
            TABLE[at].aarch64
        };
        if let Some(number) = number {
            assert!(by_number[number as usize] == 0, "a number is used twice");
            by_number[number as usize] = at as u16 + 1;
        }
        at += 1;
    }
    by_number
}

/// The row of a number that the program gave; `None` if Linux has no such call.
#[must_use]
pub fn row(nr: u32) -> Option<&'static Row> {
    let index = *BY_NUMBER.get(num::usize_of(nr.into()))?;
    TABLE.get(usize::from(index).checked_sub(1)?)
}

/// The number here of the call of this name; `None` if this architecture has none.
#[must_use]
pub fn number_of(name: &str) -> Option<u32> {
    let row = TABLE.iter().find(|row| row.name == name)?;
    if arch::layout::MACHINE == arch::abi::elf::EM_X86_64 {
        row.x86_64
    } else {
        row.aarch64
    }
}

syscalls! {
    // name  x86  arm  handler(argument: type)  support
    // ---- processes
    getpid 39 172 process::getpid() Full;
    gettid 186 178 process::gettid() Full;
    getppid 110 173 process::getppid() Full;
    getpgid 121 155 process::getpgid(pid: Pid) Full;
    getpgrp 111 - process::getpgrp() Full;
    setpgid 109 154 process::setpgid(pid: Pid, pgid: Pid) Full;
    getsid 124 156 process::getsid(pid: Pid) Full;
    setsid 112 157 process::setsid() Full;
    pidfd_open 434 434 process::pidfd_open(pid: Pid, flags: u32) Partial("no PIDFD_THREAD");
    pidfd_send_signal 424 424 process::pidfd_send_signal(pidfd: Fd, sig: i32, info: UserPtr<SigInfo>, flags: u32) Full;
    pidfd_getfd 438 438 process::pidfd_getfd(pidfd: Fd, targetfd: Fd, flags: u32) Full;
    fork 57 - clone::fork() Full;
    vfork 58 - clone::vfork() Full;
    clone 56 220 clone::clone(flags: u64, stack: Addr, parent_tid: Addr, child_tid: u64, tls: u64) Partial("no new namespaces");
    clone3 435 435 clone::clone3(cl_args: UserPtr<CloneArgs>, size: usize) Partial("no new namespaces, no cgroup");
    unshare 272 97 clone::unshare(flags: u64) Partial("no new namespaces");
    setns 308 268 clone::setns(fd: Fd, nstype: u32) Stub("no descriptor names a namespace: EINVAL");
    execve 59 221 exec::execve(path: UserStr, argv: Addr, envp: Addr) Partial("no file capabilities, no core dumps later");
    execveat 322 281 exec::execveat(dirfd: Fd, path: UserStr, argv: Addr, envp: Addr, flags: u32) Partial("as execve");
    exit 60 93 exec::exit(status: i32) Full;
    exit_group 231 94 exec::exit_group(status: i32) Full;
    wait4 61 260 wait::wait4(pid: Pid, wstatus: UserPtr<u32>, options: u32, rusage: UserPtr<Rusage>) Full;
    waitid 247 95 wait::waitid(idtype: u32, id: i32, infop: UserPtr<SigInfo>, options: u32, rusage: UserPtr<Rusage>) Full;
    ptrace 101 117 absent::missing() Missing("tracing inside the sandbox is not there");
    kcmp 312 272 absent::missing() Missing("compares kernel objects of checkpointed processes");
    process_vm_readv 310 270 remote::process_vm_readv(pid: Pid, local: UserPtr<Iovec>, locals: usize, remote: UserPtr<Iovec>, remotes: usize, flags: u64) Full;
    process_vm_writev 311 271 remote::process_vm_writev(pid: Pid, local: UserPtr<Iovec>, locals: usize, remote: UserPtr<Iovec>, remotes: usize, flags: u64) Full;
    process_mrelease 448 448 absent::missing() Missing("for out-of-memory daemons");
    acct 163 89 absent::needs_accounting() Missing("process accounting");

    // ---- signals
    kill 62 129 signal::kill(pid: Pid, sig: i32) Full;
    tkill 200 130 signal::tkill(tid: Pid, sig: i32) Full;
    tgkill 234 131 signal::tgkill(tgid: Pid, tid: Pid, sig: i32) Full;
    rt_sigqueueinfo 129 138 signal::rt_sigqueueinfo(tgid: Pid, sig: i32, info: UserPtr<SigInfo>) Full;
    rt_tgsigqueueinfo 297 240 signal::rt_tgsigqueueinfo(tgid: Pid, tid: Pid, sig: i32, info: UserPtr<SigInfo>) Full;
    rt_sigaction 13 134 signal::rt_sigaction(signum: i32, act: UserPtr<Sigaction>, oldact: UserPtr<Sigaction>, sigsetsize: usize) Full;
    rt_sigprocmask 14 135 signal::rt_sigprocmask(how: i32, set: UserPtr<SigSet>, oldset: UserPtr<SigSet>, sigsetsize: usize) Full;
    rt_sigpending 127 136 signal::rt_sigpending(set: UserPtr<SigSet>, sigsetsize: usize) Full;
    rt_sigsuspend 130 133 signal::rt_sigsuspend(mask: UserPtr<SigSet>, sigsetsize: usize) Full;
    rt_sigtimedwait 128 137 signal::rt_sigtimedwait(set: UserPtr<SigSet>, info: UserPtr<SigInfo>, timeout: UserPtr<Timespec>, sigsetsize: usize) Full;
    rt_sigreturn 15 139 signal::rt_sigreturn() Full;
    sigaltstack 131 132 signal::sigaltstack(ss: UserPtr<StackT>, old_ss: UserPtr<StackT>) Full;
    pause 34 - signal::pause() Full;
    signalfd 282 - signalfd::signalfd(fd: Fd, mask: UserPtr<SigSet>, sizemask: usize) Full;
    signalfd4 289 74 signalfd::signalfd4(fd: Fd, mask: UserPtr<SigSet>, sizemask: usize, flags: u32) Full;

    // ---- futexes
    futex 202 98 futex::futex(uaddr: Addr, op: u32, val: u32, timeout: u64, uaddr2: Addr, val3: u32) Partial("no priority inheritance");
    futex_waitv 449 449 absent::missing() Missing("several words at once");
    set_robust_list 273 99 futex::set_robust_list(head: Addr, len: usize) Full;
    get_robust_list 274 100 futex::get_robust_list(pid: Pid, head_ptr: UserPtr<u64>, len_ptr: UserPtr<u64>) Full;
    set_tid_address 218 96 futex::set_tid_address(tidptr: Addr) Full;

    // ---- time
    clock_gettime 228 113 time::clock_gettime(clockid: i32, tp: UserPtr<Timespec>) Full;
    clock_getres 229 114 time::clock_getres(clockid: i32, res: UserPtr<Timespec>) Full;
    clock_settime 227 112 time::clock_settime(clockid: i32, tp: UserPtr<Timespec>) Stub("the clocks are the host's: EPERM");
    clock_nanosleep 230 115 time::clock_nanosleep(clockid: i32, flags: i32, t: UserPtr<Timespec>, remain: UserPtr<Timespec>) Partial("not on CPU-time clocks");
    clock_adjtime 305 266 time::clock_adjtime(clk_id: i32, buf: UserPtr<Timex>) Partial("changes are EPERM");
    adjtimex 159 171 time::adjtimex(buf: UserPtr<Timex>) Partial("changes are EPERM");
    nanosleep 35 101 time::nanosleep(req: UserPtr<Timespec>, rem: UserPtr<Timespec>) Full;
    gettimeofday 96 169 time::gettimeofday(tv: UserPtr<Timeval>, tz: UserPtr<Timezone>) Full;
    settimeofday 164 170 time::settimeofday(tv: UserPtr<Timeval>, tz: UserPtr<Timezone>) Stub("the clocks are the host's: EPERM");
    time 201 - time::time(tloc: UserPtr<i64>) Full;
    times 100 153 time::times(buf: UserPtr<Tms>) Full;
    getrusage 98 165 time::getrusage(who: i32, usage: UserPtr<Rusage>) Partial("faults without I/O and waits are counted, little else");
    getitimer 36 102 timer::getitimer(which: i32, curr_value: UserPtr<Itimerval>) Full;
    setitimer 38 103 timer::setitimer(which: i32, new_value: UserPtr<Itimerval>, old_value: UserPtr<Itimerval>) Full;
    alarm 37 - timer::alarm(seconds: u32) Full;
    timer_create 222 107 timer::timer_create(clockid: i32, sevp: UserPtr<Sigevent>, timerid: UserPtr<i32>) Full;
    timer_settime 223 110 timer::timer_settime(timerid: i32, flags: i32, new_value: UserPtr<Itimerspec>, old_value: UserPtr<Itimerspec>) Full;
    timer_gettime 224 108 timer::timer_gettime(timerid: i32, curr_value: UserPtr<Itimerspec>) Full;
    timer_getoverrun 225 109 timer::timer_getoverrun(timerid: i32) Full;
    timer_delete 226 111 timer::timer_delete(timerid: i32) Full;
    timerfd_create 283 85 timer::timerfd_create(clockid: i32, flags: u32) Full;
    timerfd_settime 286 86 timer::timerfd_settime(fd: Fd, flags: u32, new_value: UserPtr<Itimerspec>, old_value: UserPtr<Itimerspec>) Partial("nobody sets the clock, so nothing is cancelled");
    timerfd_gettime 287 87 timer::timerfd_gettime(fd: Fd, curr_value: UserPtr<Itimerspec>) Full;

    // ---- credentials
    getuid 102 174 credentials::getuid() Full;
    geteuid 107 175 credentials::geteuid() Full;
    getgid 104 176 credentials::getgid() Full;
    getegid 108 177 credentials::getegid() Full;
    getresuid 118 148 credentials::getresuid(ruid: UserPtr<u32>, euid: UserPtr<u32>, suid: UserPtr<u32>) Full;
    getresgid 120 150 credentials::getresgid(rgid: UserPtr<u32>, egid: UserPtr<u32>, sgid: UserPtr<u32>) Full;
    setuid 105 146 credentials::setuid(uid: u32) Full;
    setgid 106 144 credentials::setgid(gid: u32) Full;
    setreuid 113 145 credentials::setreuid(ruid: u32, euid: u32) Full;
    setregid 114 143 credentials::setregid(rgid: u32, egid: u32) Full;
    setresuid 117 147 credentials::setresuid(ruid: u32, euid: u32, suid: u32) Full;
    setresgid 119 149 credentials::setresgid(rgid: u32, egid: u32, sgid: u32) Full;
    setfsuid 122 151 credentials::setfsuid(fsuid: u32) Full;
    setfsgid 123 152 credentials::setfsgid(fsgid: u32) Full;
    getgroups 115 158 credentials::getgroups(size: i32, list: UserPtr<u32>) Full;
    setgroups 116 159 credentials::setgroups(size: i32, list: UserPtr<u32>) Full;
    capget 125 90 credentials::capget(hdrp: UserPtr<CapHeader>, datap: UserPtr<CapData>) Full;
    capset 126 91 credentials::capset(hdrp: UserPtr<CapHeader>, datap: UserPtr<CapData>) Full;

    // ---- limits and scheduling
    getrlimit 97 163 limits::getrlimit(resource: u32, rlim: UserPtr<Rlimit>) Full;
    setrlimit 160 164 limits::setrlimit(resource: u32, rlim: UserPtr<Rlimit>) Full;
    prlimit64 302 261 limits::prlimit(pid: Pid, resource: u32, new_limit: UserPtr<Rlimit>, old_limit: UserPtr<Rlimit>) Full;
    sched_yield 24 124 sched::sched_yield() Full;
    sched_getaffinity 204 123 sched::sched_getaffinity(pid: Pid, cpusetsize: usize, mask: Addr) Full;
    sched_setaffinity 203 122 sched::sched_setaffinity(pid: Pid, cpusetsize: usize, mask: Addr) Full;
    sched_getscheduler 145 120 sched::sched_getscheduler(pid: Pid) Full;
    sched_setscheduler 144 119 sched::sched_setscheduler(pid: Pid, policy: i32, param: UserPtr<SchedParam>) Partial("kept and told; the host schedules");
    sched_getparam 143 121 sched::sched_getparam(pid: Pid, param: UserPtr<SchedParam>) Full;
    sched_setparam 142 118 sched::sched_setparam(pid: Pid, param: UserPtr<SchedParam>) Partial("kept and told; the host schedules");
    sched_getattr 315 275 sched::sched_getattr(pid: Pid, attr: Addr, size: u32, flags: u32) Full;
    sched_setattr 314 274 sched::sched_setattr(pid: Pid, attr: UserPtr<u32>, flags: u32) Partial("kept and told; the host schedules");
    sched_get_priority_max 146 125 sched::sched_get_priority_max(policy: u32) Full;
    sched_get_priority_min 147 126 sched::sched_get_priority_min(policy: u32) Full;
    sched_rr_get_interval 148 127 sched::sched_rr_get_interval(pid: Pid, tp: UserPtr<Timespec>) Stub("Linux's usual slices");
    getpriority 140 141 sched::getpriority(which: u32, who: i32) Full;
    setpriority 141 140 sched::setpriority(which: u32, who: i32, prio: i32) Partial("kept and told; the host schedules");
    ioprio_get 252 31 sched::ioprio_get(which: i32, who: i32) Partial("single threads only");
    ioprio_set 251 30 sched::ioprio_set(which: i32, who: i32, ioprio: u32) Partial("kept and told; single threads only");
    getcpu 309 168 sched::getcpu(cpu: UserPtr<u32>, node: UserPtr<u32>) Full;

    // ---- reading and writing
    read 0 63 file::read(fd: Fd, buffer: UserPtr<u8>, count: usize) Full;
    write 1 64 file::write(fd: Fd, buffer: UserPtr<u8>, count: usize) Full;
    pread64 17 67 file::pread(fd: Fd, buffer: UserPtr<u8>, count: usize, at: i64) Full;
    pwrite64 18 68 file::pwrite(fd: Fd, buffer: UserPtr<u8>, count: usize, at: i64) Full;
    readv 19 65 file::readv(fd: Fd, vector: UserPtr<Iovec>, count: usize) Full;
    writev 20 66 file::writev(fd: Fd, vector: UserPtr<Iovec>, count: usize) Full;
    preadv 295 69 file::preadv(fd: Fd, vector: UserPtr<Iovec>, count: usize, at: i64) Full;
    pwritev 296 70 file::pwritev(fd: Fd, vector: UserPtr<Iovec>, count: usize, at: i64) Full;
    preadv2 327 286 file::preadv2(fd: Fd, vector: UserPtr<Iovec>, count: usize, at: i64, high: u64, flags: u32) Full;
    pwritev2 328 287 file::pwritev2(fd: Fd, vector: UserPtr<Iovec>, count: usize, at: i64, high: u64, flags: u32) Full;
    lseek 8 62 file::lseek(fd: Fd, offset: i64, whence: u32) Full;
    fsync 74 82 file::fsync(fd: Fd) Full;
    fdatasync 75 83 file::fdatasync(fd: Fd) Full;
    splice 275 76 splice::splice(input: Fd, input_at: UserPtr<i64>, output: Fd, output_at: UserPtr<i64>, count: usize, flags: u32) Full;
    tee 276 77 splice::tee(input: Fd, output: Fd, count: usize, flags: u32) Full;
    vmsplice 278 75 splice::vmsplice(fd: Fd, vector: UserPtr<Iovec>, count: usize, flags: u32) Full;
    sync_file_range 277 84 file::sync_file_range(fd: Fd, offset: i64, len: i64, flags: u32) Full;
    syncfs 306 267 file::syncfs(fd: Fd) Full;
    sync 162 81 file::sync() Full;
    fadvise64 221 223 file::fadvise(fd: Fd, offset: i64, len: i64, advice: u32) Full;
    readahead 187 213 file::readahead(fd: Fd, offset: i64, count: usize) Full;
    sendfile 40 71 file::sendfile(output: Fd, input: Fd, offset: UserPtr<i64>, count: usize) Full;
    copy_file_range 326 285 file::copy_file_range(input: Fd, input_at: UserPtr<i64>, output: Fd, output_at: UserPtr<i64>, count: usize, flags: u32) Full;
    // ---- descriptors
    close 3 57 fd::close(fd: Fd) Full;
    close_range 436 436 fd::close_range(first: u32, last: u32, flags: u32) Full;
    dup 32 23 fd::dup(old: Fd) Full;
    dup2 33 - fd::dup2(old: Fd, new: Fd) Full;
    dup3 292 24 fd::dup3(old: Fd, new: Fd, flags: u32) Full;
    fcntl 72 25 fd::fcntl(fd: Fd, command: u32, argument: u64) Partial("no leases, no SIGIO");
    flock 73 32 fd::flock(fd: Fd, operation: u32) Full;
    ioctl 16 29 fd::ioctl(fd: Fd, command: u32, argument: u64) Partial("as the file offers");
    pipe 22 - fd::pipe(out: UserPtr<[i32; 2]>) Full;
    pipe2 293 59 fd::pipe2(out: UserPtr<[i32; 2]>, flags: u32) Full;
    inotify_init 253 - inotify::inotify_init() Partial("limits count for the whole sandbox, not for each user");
    inotify_init1 294 26 inotify::inotify_init1(flags: u32) Partial("limits count for the whole sandbox, not for each user");
    inotify_add_watch 254 27 inotify::inotify_add_watch(fd: Fd, path: UserStr, mask: u32) Partial("changes made by others on the host, and unmounts, are not told");
    inotify_rm_watch 255 28 inotify::inotify_rm_watch(fd: Fd, watch: i32) Full;
    eventfd 284 - fd::eventfd(initial: u32) Full;
    eventfd2 290 19 fd::eventfd2(initial: u32, flags: u32) Full;
    memfd_create 319 279 fd::memfd_create(name: UserStr, flags: u32) Full;
    // ---- paths
    open 2 - path::open(path: UserStr, flags: OpenFlags, mode: ModeArg) Full;
    openat 257 56 path::openat(dirfd: Fd, path: UserStr, flags: OpenFlags, mode: ModeArg) Full;
    creat 85 - path::creat(path: UserStr, mode: ModeArg) Full;
    openat2 437 437 path::openat2(dirfd: Fd, path: UserStr, how: UserPtr<OpenHow>, size: usize) Full;
    mkdir 83 - path::mkdir(path: UserStr, mode: ModeArg) Full;
    mkdirat 258 34 path::mkdirat(dirfd: Fd, path: UserStr, mode: ModeArg) Full;
    mknod 133 - path::mknod(path: UserStr, mode: ModeArg, device: u64) Full;
    mknodat 259 33 path::mknodat(dirfd: Fd, path: UserStr, mode: ModeArg, device: u64) Full;
    symlink 88 - path::symlink(target: UserStr, path: UserStr) Full;
    symlinkat 266 36 path::symlinkat(target: UserStr, dirfd: Fd, path: UserStr) Full;
    link 86 - path::link(old: UserStr, new: UserStr) Full;
    linkat 265 37 path::linkat(old_fd: Fd, old: UserStr, new_fd: Fd, new: UserStr, flags: u32) Full;
    unlink 87 - path::unlink(path: UserStr) Full;
    rmdir 84 - path::rmdir(path: UserStr) Full;
    unlinkat 263 35 path::unlinkat(dirfd: Fd, path: UserStr, flags: u32) Full;
    rename 82 - path::rename(old: UserStr, new: UserStr) Full;
    renameat 264 38 path::renameat(old_fd: Fd, old: UserStr, new_fd: Fd, new: UserStr) Full;
    renameat2 316 276 path::renameat2(old_fd: Fd, old: UserStr, new_fd: Fd, new: UserStr, flags: u32) Full;
    readlink 89 - path::readlink(path: UserStr, buffer: UserPtr<u8>, size: i32) Full;
    readlinkat 267 78 path::readlinkat(dirfd: Fd, path: UserStr, buffer: UserPtr<u8>, size: i32) Full;
    chdir 80 49 path::chdir(path: UserStr) Full;
    fchdir 81 50 path::fchdir(fd: Fd) Full;
    chroot 161 51 path::chroot(path: UserStr) Full;
    getcwd 79 17 path::getcwd(buffer: UserPtr<u8>, size: usize) Full;
    umask 95 166 path::umask(mask: u32) Full;
    access 21 - path::access(path: UserStr, mode: u32) Full;
    faccessat 269 48 path::faccessat(dirfd: Fd, path: UserStr, mode: u32) Full;
    faccessat2 439 439 path::faccessat2(dirfd: Fd, path: UserStr, mode: u32, flags: u32) Full;
    chmod 90 - path::chmod(path: UserStr, mode: ModeArg) Full;
    fchmodat 268 53 path::fchmodat(dirfd: Fd, path: UserStr, mode: ModeArg) Full;
    fchmod 91 52 path::fchmod(fd: Fd, mode: ModeArg) Full;
    chown 92 - path::chown(path: UserStr, uid: u32, gid: u32) Full;
    lchown 94 - path::lchown(path: UserStr, uid: u32, gid: u32) Full;
    fchownat 260 54 path::fchownat(dirfd: Fd, path: UserStr, uid: u32, gid: u32, flags: u32) Full;
    fchown 93 55 path::fchown(fd: Fd, uid: u32, gid: u32) Full;
    utimensat 280 88 path::utimensat(dirfd: Fd, path: UserStr, times: UserPtr<[Timespec; 2]>, flags: u32) Full;
    futimesat 261 - path::futimesat(dirfd: Fd, path: UserStr, times: UserPtr<[Timeval; 2]>) Full;
    utimes 235 - path::utimes(path: UserStr, times: UserPtr<[Timeval; 2]>) Full;
    utime 132 - path::utime(path: UserStr, times: UserPtr<[i64; 2]>) Full;
    truncate 76 45 path::truncate(path: UserStr, len: i64) Full;
    ftruncate 77 46 path::ftruncate(fd: Fd, len: i64) Full;
    fallocate 285 47 path::fallocate(fd: Fd, mode: u32, offset: i64, len: i64) Full;
    statfs 137 43 path::statfs(path: UserStr, out: UserPtr<Statfs>) Full;
    fstatfs 138 44 path::fstatfs(fd: Fd, out: UserPtr<Statfs>) Full;
    // ---- attributes
    stat 4 - stat::stat(path: UserStr, out: UserPtr<Stat>) Full;
    lstat 6 - stat::lstat(path: UserStr, out: UserPtr<Stat>) Full;
    fstat 5 80 stat::fstat(fd: Fd, out: UserPtr<Stat>) Full;
    newfstatat 262 79 stat::newfstatat(dirfd: Fd, path: UserStr, out: UserPtr<Stat>, flags: u32) Full;
    statx 332 291 stat::statx(dirfd: Fd, path: UserStr, flags: u32, mask: u32, out: UserPtr<Statx>) Full;
    getdents64 217 61 stat::getdents64(fd: Fd, out: UserPtr<u8>, count: u32) Full;
    // ---- extended attributes
    getxattr 191 8 xattr::getxattr(path: UserStr, name: UserStr, out: UserPtr<u8>, size: usize) Full;
    lgetxattr 192 9 xattr::lgetxattr(path: UserStr, name: UserStr, out: UserPtr<u8>, size: usize) Full;
    fgetxattr 193 10 xattr::fgetxattr(fd: Fd, name: UserStr, out: UserPtr<u8>, size: usize) Full;
    setxattr 188 5 xattr::setxattr(path: UserStr, name: UserStr, value: UserPtr<u8>, size: usize, flags: u32) Full;
    lsetxattr 189 6 xattr::lsetxattr(path: UserStr, name: UserStr, value: UserPtr<u8>, size: usize, flags: u32) Full;
    fsetxattr 190 7 xattr::fsetxattr(fd: Fd, name: UserStr, value: UserPtr<u8>, size: usize, flags: u32) Full;
    listxattr 194 11 xattr::listxattr(path: UserStr, out: UserPtr<u8>, size: usize) Full;
    llistxattr 195 12 xattr::llistxattr(path: UserStr, out: UserPtr<u8>, size: usize) Full;
    flistxattr 196 13 xattr::flistxattr(fd: Fd, out: UserPtr<u8>, size: usize) Full;
    removexattr 197 14 xattr::removexattr(path: UserStr, name: UserStr) Full;
    lremovexattr 198 15 xattr::lremovexattr(path: UserStr, name: UserStr) Full;
    fremovexattr 199 16 xattr::fremovexattr(fd: Fd, name: UserStr) Full;
    // ---- readiness
    poll 7 - poll::poll(fds: UserPtr<PollFd>, count: usize, timeout: i32) Full;
    ppoll 271 73 poll::ppoll(fds: UserPtr<PollFd>, count: usize, timeout: UserPtr<Timespec>, mask: UserPtr<SigSet>, mask_size: usize) Full;
    select 23 - poll::select(count: i32, reads: UserPtr<u64>, writes: UserPtr<u64>, exceptions: UserPtr<u64>, timeout: UserPtr<Timeval>) Full;
    pselect6 270 72 poll::pselect6(count: i32, reads: UserPtr<u64>, writes: UserPtr<u64>, exceptions: UserPtr<u64>, timeout: UserPtr<Timespec>, mask: UserPtr<[u64; 2]>) Full;
    epoll_create 213 - poll::epoll_create(size: i32) Full;
    epoll_create1 291 20 poll::epoll_create1(flags: u32) Full;
    epoll_ctl 233 21 poll::epoll_ctl(epfd: Fd, operation: u32, fd: Fd, event: UserPtr<EpollEvent>) Full;
    epoll_wait 232 - poll::epoll_wait(epfd: Fd, out: UserPtr<EpollEvent>, max: i32, timeout: i32) Full;
    epoll_pwait 281 22 poll::epoll_pwait(epfd: Fd, out: UserPtr<EpollEvent>, max: i32, timeout: i32, mask: UserPtr<SigSet>, mask_size: usize) Full;
    epoll_pwait2 441 441 poll::epoll_pwait2(epfd: Fd, out: UserPtr<EpollEvent>, max: i32, timeout: UserPtr<Timespec>, mask: UserPtr<SigSet>, mask_size: usize) Full;
    // ---- sockets
    socket 41 198 socket::socket(family: i32, kind: u32, protocol: i32) Partial("AF_UNIX only");
    socketpair 53 199 socket::socketpair(family: i32, kind: u32, protocol: i32, sv: UserPtr<[i32; 2]>) Full;
    bind 49 200 socket::bind(fd: Fd, addr: UserPtr<u8>, addrlen: i32) Full;
    listen 50 201 socket::listen(fd: Fd, backlog: i32) Full;
    accept 43 202 socket::accept(fd: Fd, addr: UserPtr<u8>, addrlen: UserPtr<i32>) Full;
    accept4 288 242 socket::accept4(fd: Fd, addr: UserPtr<u8>, addrlen: UserPtr<i32>, flags: u32) Full;
    connect 42 203 socket::connect(fd: Fd, addr: UserPtr<u8>, addrlen: i32) Full;
    getsockname 51 204 socket::getsockname(fd: Fd, addr: UserPtr<u8>, addrlen: UserPtr<i32>) Full;
    getpeername 52 205 socket::getpeername(fd: Fd, addr: UserPtr<u8>, addrlen: UserPtr<i32>) Full;
    sendto 44 206 message::sendto(fd: Fd, buf: UserPtr<u8>, len: usize, flags: u32, addr: UserPtr<u8>, addrlen: i32) Partial("no MSG_OOB");
    recvfrom 45 207 message::recvfrom(fd: Fd, buf: UserPtr<u8>, len: usize, flags: u32, addr: UserPtr<u8>, addrlen: UserPtr<i32>) Partial("no MSG_OOB");
    sendmsg 46 211 message::sendmsg(fd: Fd, msg: UserPtr<Msghdr>, flags: u32) Partial("as sendto");
    recvmsg 47 212 message::recvmsg(fd: Fd, msg: UserPtr<Msghdr>, flags: u32) Partial("as recvfrom");
    sendmmsg 307 269 message::sendmmsg(fd: Fd, msgvec: UserPtr<Mmsghdr>, vlen: u32, flags: u32) Partial("as sendto");
    recvmmsg 299 243 message::recvmmsg(fd: Fd, msgvec: UserPtr<Mmsghdr>, vlen: u32, flags: u32, timeout: UserPtr<Timespec>) Partial("as recvfrom; at most 1,024 messages");
    shutdown 48 210 socket::shutdown(fd: Fd, how: u32) Full;
    setsockopt 54 208 socket::setsockopt(fd: Fd, level: i32, optname: i32, optval: UserPtr<u8>, optlen: i32) Partial("no filters, no security labels; SO_RCVLOWAT is kept and told");
    getsockopt 55 209 socket::getsockopt(fd: Fd, level: i32, optname: i32, optval: UserPtr<u8>, optlen: UserPtr<i32>) Partial("no filters, no security labels, no SO_PEERGROUPS, no SO_PEERPIDFD");
    // ---- memory
    mmap 9 222 memory::mmap(at: Addr, len: u64, prot: Prot, flags: MapFlags, fd: Fd, offset: u64) Full;
    munmap 11 215 memory::munmap(at: Addr, len: u64) Full;
    mprotect 10 226 memory::mprotect(at: Addr, len: u64, prot: Prot) Full;
    mremap 25 216 memory::mremap(old: Addr, old_len: u64, new_len: u64, flags: MremapFlags, new: Addr) Full;
    madvise 28 233 memory::madvise(at: Addr, len: u64, advice: u32) Full;
    brk 12 214 memory::brk(end: Addr) Full;
    mincore 27 232 memory::mincore(at: Addr, len: u64, out: UserPtr<u8>) Full;
    msync 26 227 memory::msync(at: Addr, len: u64, flags: MsyncFlags) Full;
    mlock 149 228 memory::mlock(at: Addr, len: u64) Full;
    mlock2 325 284 memory::mlock2(at: Addr, len: u64, flags: u32) Full;
    munlock 150 229 memory::munlock(at: Addr, len: u64) Full;
    mlockall 151 230 memory::mlockall(flags: MlockallFlags) Full;
    munlockall 152 231 memory::munlockall() Full;
    pkey_mprotect 329 288 memory::pkey_mprotect(at: Addr, len: u64, prot: Prot, pkey: i32) Full;
    pkey_alloc 330 289 memory::pkey_alloc(flags: u32, rights: u32) Full;
    pkey_free 331 290 memory::pkey_free(pkey: i32) Full;
    fchmodat2 452 452 path::fchmodat2(dirfd: Fd, path: UserStr, mode: ModeArg, flags: u32) Full;
    // ---- the system
    prctl 157 167 prctl::prctl(option: u32, arg2: u64, arg3: u64, arg4: u64, arg5: u64) Partial("what concerns names, signals, privileges and capabilities");
    arch_prctl 158 - prctl::arch_prctl(code: u32, addr: u64) Partial("the bases of FS and GS");
    personality 135 92 prctl::personality(persona: u32) Partial("kept and told");
    uname 63 160 system::uname(buf: UserPtr<Utsname>) Full;
    sethostname 170 161 system::sethostname(name: Addr, len: i32) Full;
    setdomainname 171 162 system::setdomainname(name: Addr, len: i32) Full;
    sysinfo 99 179 system::sysinfo(info: UserPtr<Sysinfo>) Partial("no swap, no buffers");
    getrandom 318 278 system::getrandom(buf: Addr, buflen: usize, flags: u32) Full;
    syslog 103 116 system::syslog(kind: i32, bufp: Addr, len: i32) Stub("an empty log");
    reboot 169 142 system::reboot(magic: u32, magic2: u32, cmd: u32, arg: Addr) Stub("EPERM");
    membarrier 324 283 system::membarrier(cmd: u32, flags: u32, cpu_id: i32) Partial("not SYNC_CORE, not RSEQ");
    rseq 334 293 system::rseq(rseq: Addr, rseq_len: u32, flags: u32, sig: u32) Full;
    seccomp 317 277 seccomp::seccomp(operation: u32, flags: u32, arguments: Addr) Partial("no notifications of a supervisor");
    restart_syscall 219 128 absent::restart() Full;
    // ---- what Linux has no more, or not on these machines
    uselib 134 - absent::gone() Full;
    _sysctl 156 - absent::gone() Full;
    create_module 174 - absent::gone() Full;
    get_kernel_syms 177 - absent::gone() Full;
    query_module 178 - absent::gone() Full;
    nfsservctl 180 42 absent::gone() Full;
    getpmsg 181 - absent::gone() Full;
    putpmsg 182 - absent::gone() Full;
    afs_syscall 183 - absent::gone() Full;
    tuxcall 184 - absent::gone() Full;
    security 185 - absent::gone() Full;
    set_thread_area 205 - absent::gone() Full;
    get_thread_area 211 - absent::gone() Full;
    lookup_dcookie 212 18 absent::gone() Full;
    epoll_ctl_old 214 - absent::gone() Full;
    epoll_wait_old 215 - absent::gone() Full;
    vserver 236 - absent::gone() Full;
    // ---- what is not there: files
    getdents 78 - absent::missing() Missing("the layout of programs before getdents64");
    ustat 136 - absent::missing() Missing("replaced by statfs");
    sysfs 139 - absent::missing() Missing("numbers of file system types");
    fanotify_init 300 262 absent::missing() Missing("nobody is told of changes yet");
    fanotify_mark 301 263 absent::missing() Missing("nobody is told of changes yet");
    name_to_handle_at 303 264 absent::missing() Missing("no file has a handle");
    open_by_handle_at 304 265 absent::needs_search() Missing("no file has a handle");
    io_setup 206 0 absent::missing() Missing("asynchronous I/O");
    io_destroy 207 1 absent::missing() Missing("asynchronous I/O");
    io_submit 209 2 absent::missing() Missing("asynchronous I/O");
    io_cancel 210 3 absent::missing() Missing("asynchronous I/O");
    io_getevents 208 4 absent::missing() Missing("asynchronous I/O");
    io_pgetevents 333 292 absent::missing() Missing("asynchronous I/O");
    io_uring_setup 425 425 absent::missing() Missing("asynchronous I/O");
    io_uring_enter 426 426 absent::missing() Missing("asynchronous I/O");
    io_uring_register 427 427 absent::missing() Missing("asynchronous I/O");
    quotactl 179 60 absent::missing() Missing("no file system has quotas");
    quotactl_fd 443 443 absent::missing() Missing("no file system has quotas");
    cachestat 451 451 absent::missing() Missing("the page cache is not counted");
    // ---- what is not there: mounts
    mount 165 40 absent::needs_admin() Missing("what is mounted is decided outside");
    umount2 166 39 absent::needs_admin() Missing("what is mounted is decided outside");
    pivot_root 155 41 absent::needs_admin() Missing("what is mounted is decided outside");
    open_tree 428 428 absent::missing() Missing("what is mounted is decided outside");
    move_mount 429 429 absent::needs_admin() Missing("what is mounted is decided outside");
    fsopen 430 430 absent::needs_admin() Missing("what is mounted is decided outside");
    fsconfig 431 431 absent::missing() Missing("what is mounted is decided outside");
    fsmount 432 432 absent::needs_admin() Missing("what is mounted is decided outside");
    fspick 433 433 absent::needs_admin() Missing("what is mounted is decided outside");
    mount_setattr 442 442 absent::needs_admin() Missing("what is mounted is decided outside");
    statmount 457 457 absent::missing() Missing("newer than what programs ask for");
    listmount 458 458 absent::missing() Missing("newer than what programs ask for");
    // ---- what is not there: memory
    remap_file_pages 216 234 absent::missing() Missing("programs use mmap");
    mbind 237 235 absent::missing() Missing("there is one memory node");
    set_mempolicy 238 237 absent::missing() Missing("there is one memory node");
    get_mempolicy 239 236 absent::missing() Missing("there is one memory node");
    set_mempolicy_home_node 450 450 absent::missing() Missing("there is one memory node");
    migrate_pages 256 238 absent::missing() Missing("there is one memory node");
    move_pages 279 239 absent::missing() Missing("there is one memory node");
    process_madvise 440 440 absent::missing() Missing("advice about other processes");
    memfd_secret 447 447 absent::missing() Missing("Linux has it switched off unless asked");
    userfaultfd 323 282 absent::missing() Missing("faults are not handed to programs");
    map_shadow_stack 453 453 absent::missing() Missing("no shadow stacks");
    mseal 462 462 absent::missing() Missing("mappings cannot be sealed");
    // ---- what is not there: communication
    shmget 29 194 absent::missing() Missing("System V shared memory");
    shmat 30 196 absent::missing() Missing("System V shared memory");
    shmctl 31 195 absent::missing() Missing("System V shared memory");
    shmdt 67 197 absent::missing() Missing("System V shared memory");
    semget 64 190 absent::missing() Missing("System V semaphores");
    semop 65 193 absent::missing() Missing("System V semaphores");
    semctl 66 191 absent::missing() Missing("System V semaphores");
    semtimedop 220 192 absent::missing() Missing("System V semaphores");
    msgget 68 186 absent::missing() Missing("System V message queues");
    msgsnd 69 189 absent::missing() Missing("System V message queues");
    msgrcv 70 188 absent::missing() Missing("System V message queues");
    msgctl 71 187 absent::missing() Missing("System V message queues");
    mq_open 240 180 absent::missing() Missing("POSIX message queues");
    mq_unlink 241 181 absent::missing() Missing("POSIX message queues");
    mq_timedsend 242 182 absent::missing() Missing("POSIX message queues");
    mq_timedreceive 243 183 absent::missing() Missing("POSIX message queues");
    mq_notify 244 184 absent::missing() Missing("POSIX message queues");
    mq_getsetattr 245 185 absent::missing() Missing("POSIX message queues");
    futex_wake 454 454 absent::missing() Missing("futex does the same");
    futex_wait 455 455 absent::missing() Missing("futex does the same");
    futex_requeue 456 456 absent::missing() Missing("futex does the same");
    // ---- what is not there: security, tracing, the machine
    add_key 248 217 absent::missing() Missing("no keys are kept");
    request_key 249 218 absent::missing() Missing("no keys are kept");
    keyctl 250 219 absent::missing() Missing("no keys are kept");
    landlock_create_ruleset 444 444 absent::missing() Missing("no rules inside the sandbox");
    landlock_add_rule 445 445 absent::missing() Missing("no rules inside the sandbox");
    landlock_restrict_self 446 446 absent::missing() Missing("no rules inside the sandbox");
    lsm_get_self_attr 459 459 absent::missing() Missing("no security modules");
    lsm_set_self_attr 460 460 absent::missing() Missing("no security modules");
    lsm_list_modules 461 461 absent::missing() Missing("no security modules");
    bpf 321 280 absent::needs_bpf() Missing("no programs run in the kernel");
    perf_event_open 298 241 absent::missing() Missing("no counters");
    uretprobe 335 - absent::missing() Missing("for probes, which nobody can set");
    modify_ldt 154 - absent::missing() Missing("segments of 16-bit and 32-bit programs");
    iopl 172 - absent::needs_rawio() Missing("there are no I/O ports");
    ioperm 173 - absent::needs_rawio() Missing("there are no I/O ports");
    swapon 167 224 absent::needs_admin() Missing("memory is the host's to swap");
    swapoff 168 225 absent::needs_admin() Missing("memory is the host's to swap");
    vhangup 153 58 absent::needs_tty_config() Missing("terminals are the host's");
    init_module 175 105 absent::needs_module() Missing("this kernel has no modules");
    finit_module 313 273 absent::needs_module() Missing("this kernel has no modules");
    delete_module 176 106 absent::needs_module() Missing("this kernel has no modules");
    kexec_load 246 104 absent::needs_boot() Missing("there is no machine to start");
    kexec_file_load 320 294 absent::needs_boot() Missing("there is no machine to start");
}
