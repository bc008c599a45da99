//! What cases are written with: assertions that report and end the process, children, gates,
//! and the calls with path arguments in a short form (`sys`).

use std::ffi::CStr;
use std::fmt::{Debug, Display};
use std::panic::Location;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

pub use libc::*;
pub use std::ptr::{null, null_mut};

/// Lowest descriptor for the report pipe.
pub const REPORT: c_int = 200;
/// Exit status of a skipped case.
pub const SKIPPED: c_int = 77;
/// The runner's process id, which reaps orphans; 0 if the case runs alone.
pub static RUNNER: AtomicI32 = AtomicI32::new(0);
static REPORT_FD: AtomicI32 = AtomicI32::new(2);

/// Sends reports to `fd`.
pub fn report_to(fd: c_int) {
    REPORT_FD.store(fd, Relaxed);
}

fn report(line: &str) {
    let line = format!("{}\n", line.replace('\n', " "));
    unsafe { libc::write(REPORT_FD.load(Relaxed), line.as_ptr().cast(), line.len()) };
}

/// Ends this process: the case has failed.
#[track_caller]
pub fn fail(why: impl Display) -> ! {
    let at = Location::caller();
    report(&format!("FAIL {why} at {}:{}", at.file(), at.line()));
    unsafe { _exit(1) }
}

/// Ends this process: the case can't be tried here.
pub fn skip(why: impl Display) -> ! {
    report(&format!("SKIP {why}"));
    unsafe { _exit(SKIPPED) }
}

/// The calling thread's errno.
pub fn errno() -> c_int {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn name(errno: c_int) -> String {
    std::io::Error::from_raw_os_error(errno).to_string()
}

/// What system calls return.
pub trait Returned: Copy + Debug {
    fn failed(self) -> bool;
}
impl Returned for i32 {
    fn failed(self) -> bool {
        self == -1
    }
}
impl Returned for i64 {
    fn failed(self) -> bool {
        self == -1
    }
}
impl Returned for isize {
    fn failed(self) -> bool {
        self == -1
    }
}
impl Returned for *mut c_void {
    fn failed(self) -> bool {
        self == MAP_FAILED
    }
}

/// The call must have succeeded.
#[track_caller]
pub fn ok<R: Returned>(result: R) -> R {
    if result.failed() {
        fail(format_args!("unexpected error: {}", name(errno())));
    }
    result
}

/// The call must have failed with `expected`.
#[track_caller]
pub fn err<R: Returned>(result: R, expected: c_int) {
    let got = errno();
    if !result.failed() {
        fail(format_args!(
            "returned {result:?}, expected error: {}",
            name(expected)
        ));
    }
    if got != expected {
        fail(format_args!(
            "error: {}, expected: {}",
            name(got),
            name(expected)
        ));
    }
}

#[track_caller]
pub fn eq<A: PartialEq<B> + Debug, B: Debug>(got: A, expected: B) {
    if got != expected {
        fail(format_args!("got {got:?}, expected {expected:?}"));
    }
}

#[track_caller]
pub fn check(condition: bool, what: &str) {
    if !condition {
        fail(format_args!("not so: {what}"));
    }
}

/// Runs `body` in a forked child, which exits with what it returns.
#[track_caller]
pub fn child(body: impl FnOnce() -> c_int) -> pid_t {
    let pid = ok(unsafe { fork() });
    if pid == 0 {
        let code = body();
        unsafe { _exit(code) };
    }
    pid
}

/// Waits for `pid` and returns its wait status.
#[track_caller]
pub fn wait_status(pid: pid_t) -> c_int {
    let mut status = 0;
    loop {
        let done = unsafe { waitpid(pid, &raw mut status, 0) };
        if done == -1 && errno() == EINTR {
            continue;
        }
        eq(ok(done), pid);
        return status;
    }
}

/// `pid` must end by exit with `code`.
#[track_caller]
pub fn exits(pid: pid_t, code: c_int) {
    let status = wait_status(pid);
    if !WIFEXITED(status) || WEXITSTATUS(status) != code {
        fail(format_args!(
            "child's wait status {status:#x}, expected exit {code}"
        ));
    }
}

/// `pid` must be killed by `signal`.
#[track_caller]
pub fn killed(pid: pid_t, signal: c_int) {
    let status = wait_status(pid);
    if !WIFSIGNALED(status) || WTERMSIG(status) != signal {
        fail(format_args!(
            "child's wait status {status:#x}, expected signal {signal}"
        ));
    }
}

/// Runs `body` in a child that must not fail.
#[track_caller]
pub fn in_child(body: impl FnOnce()) {
    let pid = child(|| {
        body();
        0
    });
    exits(pid, 0);
}

/// Runs `body` in a child that must be killed by `signal`.
#[track_caller]
pub fn dies_of(signal: c_int, body: impl FnOnce()) {
    let pid = child(|| {
        // No core files, whatever the machine's settings.
        let none = rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        unsafe { setrlimit(RLIMIT_CORE, &raw const none) };
        body();
        0
    });
    killed(pid, signal);
}

/// A one-way gate between processes or threads: a pipe, opened by closing or writing.
#[derive(Clone, Copy)]
pub struct Gate {
    pub read: c_int,
    pub write: c_int,
}

impl Gate {
    #[track_caller]
    pub fn new() -> Gate {
        let [read, write] = pipe_pair(0);
        Gate { read, write }
    }
    /// Lets one waiter through.
    #[track_caller]
    pub fn open(self) {
        eq(
            unsafe { libc::write(self.write, b"x".as_ptr().cast(), 1) },
            1,
        );
    }
    /// Waits until the other side has opened the gate.
    #[track_caller]
    pub fn pass(self) {
        let mut byte = 0_u8;
        loop {
            let got = unsafe { libc::read(self.read, (&raw mut byte).cast(), 1) };
            if got == -1 && errno() == EINTR {
                continue;
            }
            eq(got, 1);
            return;
        }
    }
}

#[track_caller]
pub fn pipe_pair(flags: c_int) -> [c_int; 2] {
    let mut ends = [0; 2];
    ok(unsafe { pipe2(ends.as_mut_ptr(), flags) });
    ends
}

/// Writes all of `data` in one call.
#[track_caller]
pub fn put(fd: c_int, data: &[u8]) {
    eq(
        ok(unsafe { write(fd, data.as_ptr().cast(), data.len()) }),
        data.len() as isize,
    );
}

/// One read of at most `max` bytes.
#[track_caller]
pub fn get(fd: c_int, max: usize) -> Vec<u8> {
    let mut buffer = vec![0; max];
    let done = ok(unsafe { read(fd, buffer.as_mut_ptr().cast(), max) });
    buffer.truncate(done as usize);
    buffer
}

/// Everything up to end of file.
pub fn read_to_end(fd: c_int) -> String {
    let mut all = Vec::new();
    let mut part = [0_u8; 4096];
    loop {
        let done = unsafe { read(fd, part.as_mut_ptr().cast(), part.len()) };
        match done {
            -1 if errno() == EINTR => {}
            1.. => all.extend_from_slice(&part[..done as usize]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// A whole file as text; the case fails if it can't be read.
#[track_caller]
pub fn slurp(path: &str) -> String {
    match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => fail(format_args!("reading {path}: {error}")),
    }
}

/// Makes a new file with `contents` and returns it open for reading and writing.
#[track_caller]
pub fn file_with(path: &CStr, contents: &[u8]) -> c_int {
    let fd = ok(sys::open(
        path,
        O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC,
        0o644,
    ));
    if !contents.is_empty() {
        put(fd, contents);
    }
    ok(unsafe { lseek(fd, 0, SEEK_SET) });
    fd
}

/// A page, in bytes.
pub fn page() -> usize {
    unsafe { sysconf(_SC_PAGESIZE) as usize }
}

/// Whether this process is root (in its user namespace).
pub fn is_root() -> bool {
    unsafe { geteuid() == 0 }
}

/// State letter of a process: the third field of `/proc/PID/stat`.
#[track_caller]
pub fn state_of(pid: pid_t) -> char {
    let stat = slurp(&format!("/proc/{pid}/stat"));
    let rest = stat.rsplit(')').next().unwrap_or("");
    rest.trim_start().chars().next().unwrap_or('?')
}

/// Yields until `pid` sleeps (state `S`); the case's time limit is the way out.
#[track_caller]
pub fn until_asleep(pid: pid_t) {
    while state_of(pid) != 'S' {
        unsafe { sched_yield() };
    }
}

/// Yields until `done` says so; the case's time limit is the way out.
pub fn until(done: impl Fn() -> bool) {
    while !done() {
        unsafe { sched_yield() };
    }
}

pub unsafe fn set_real_timer(first: timeval, every: timeval) {
    let value = itimerval {
        it_interval: every,
        it_value: first,
    };
    setitimer(ITIMER_REAL, &raw const value, null_mut());
}

/// Starts a repeating SIGALRM each 5 ms: however late a call begins to wait, it is interrupted.
pub unsafe fn pester() {
    let often = timeval {
        tv_sec: 0,
        tv_usec: 5000,
    };
    set_real_timer(often, often);
}

/// Ends [`pester`].
pub unsafe fn calm() {
    let none = timeval {
        tv_sec: 0,
        tv_usec: 0,
    };
    set_real_timer(none, none);
}

pub type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

/// Installs a handler with `SA_SIGINFO` and `flags`.
#[track_caller]
pub fn handle(signal: c_int, handler: Handler, flags: c_int) {
    unsafe {
        let mut action: sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = flags | SA_SIGINFO;
        ok(libc::sigaction(signal, &raw const action, null_mut()));
    }
}

/// Gives back what the runner and the language's start-up code have changed.
pub fn reset_signals() {
    unsafe {
        signal(SIGALRM, SIG_DFL);
        signal(SIGPIPE, SIG_DFL);
    }
}

/// The set of `signals`.
pub fn set_of(signals: &[c_int]) -> sigset_t {
    unsafe {
        let mut set: sigset_t = std::mem::zeroed();
        sigemptyset(&raw mut set);
        for signal in signals {
            sigaddset(&raw mut set, *signal);
        }
        set
    }
}

/// Blocks `signals` in this thread and returns their set.
#[track_caller]
pub fn block(signals: &[c_int]) -> sigset_t {
    let set = set_of(signals);
    eq(
        unsafe { pthread_sigmask(SIG_BLOCK, &raw const set, null_mut()) },
        0,
    );
    set
}

/// This thread's signal mask has `signal`.
pub fn is_blocked(signal: c_int) -> bool {
    unsafe {
        let mut set: sigset_t = std::mem::zeroed();
        pthread_sigmask(SIG_BLOCK, null(), &raw mut set);
        sigismember(&raw const set, signal) == 1
    }
}

pub fn millis(ms: i64) -> timespec {
    timespec {
        tv_sec: ms / 1000,
        tv_nsec: ms % 1000 * 1_000_000,
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub fn now() -> i64 {
    unsafe {
        let mut time = timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        clock_gettime(CLOCK_MONOTONIC, &raw mut time);
        time.tv_sec * 1_000_000_000 + time.tv_nsec
    }
}

/// A new private directory under `$TMPDIR` or `/tmp`.
pub fn private_dir() -> String {
    let base = std::env::var("TMPDIR").unwrap_or_else(|_| "/tmp".to_owned());
    let mut template = format!("{base}/guests-XXXXXX\0").into_bytes();
    if unsafe { mkdtemp(template.as_mut_ptr().cast()) }.is_null() {
        fail(format_args!("mkdtemp in {base}: {}", name(errno())));
    }
    template.pop();
    String::from_utf8_lossy(&template).into_owned()
}

/// Removes a directory that a case may have left without permissions.
pub fn remove_tree(path: &str) {
    if std::fs::remove_dir_all(path).is_ok() {
        return;
    }
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        let Ok(name) = std::ffi::CString::new(entry.path().as_os_str().as_encoded_bytes()) else {
            continue;
        };
        unsafe { chmod(name.as_ptr(), 0o700) };
    }
    let _ = std::fs::remove_dir_all(path);
}

/// Kills and reaps every child that the ended case has left to its runner.
pub fn reap_everything() {
    let me = unsafe { getpid() };
    loop {
        match unsafe { waitpid(-1, null_mut(), WNOHANG) } {
            0 => {
                for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
                    let Some(pid) = entry
                        .file_name()
                        .to_str()
                        .and_then(|s| s.parse::<pid_t>().ok())
                    else {
                        continue;
                    };
                    let stat =
                        std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                    let mut fields = stat.rsplit(')').next().unwrap_or("").split_whitespace();
                    if fields.nth(1).and_then(|f| f.parse().ok()) == Some(me) {
                        unsafe { kill(pid, SIGKILL) };
                    }
                }
                unsafe { sched_yield() };
            }
            -1 if errno() == EINTR => {}
            -1 => return,
            _ => {}
        }
    }
}

/// Calls that take paths, so that cases can write `sys::open(c"f", ...)`. All return what libc does.
pub mod sys {
    use super::*;

    pub fn open(path: &CStr, flags: c_int, mode: mode_t) -> c_int {
        unsafe { libc::open(path.as_ptr(), flags, mode) }
    }
    pub fn openat(dir: c_int, path: &CStr, flags: c_int, mode: mode_t) -> c_int {
        unsafe { libc::openat(dir, path.as_ptr(), flags, mode) }
    }
    pub fn mkdir(path: &CStr, mode: mode_t) -> c_int {
        unsafe { libc::mkdir(path.as_ptr(), mode) }
    }
    pub fn rmdir(path: &CStr) -> c_int {
        unsafe { libc::rmdir(path.as_ptr()) }
    }
    pub fn unlink(path: &CStr) -> c_int {
        unsafe { libc::unlink(path.as_ptr()) }
    }
    pub fn link(old: &CStr, new: &CStr) -> c_int {
        unsafe { libc::link(old.as_ptr(), new.as_ptr()) }
    }
    pub fn symlink(target: &CStr, new: &CStr) -> c_int {
        unsafe { libc::symlink(target.as_ptr(), new.as_ptr()) }
    }
    pub fn rename(old: &CStr, new: &CStr) -> c_int {
        unsafe { libc::rename(old.as_ptr(), new.as_ptr()) }
    }
    pub fn renameat2(old: &CStr, new: &CStr, flags: c_uint) -> c_long {
        unsafe {
            syscall(
                SYS_renameat2,
                AT_FDCWD,
                old.as_ptr(),
                AT_FDCWD,
                new.as_ptr(),
                flags,
            )
        }
    }
    pub fn chmod(path: &CStr, mode: mode_t) -> c_int {
        unsafe { libc::chmod(path.as_ptr(), mode) }
    }
    pub fn truncate(path: &CStr, len: off_t) -> c_int {
        unsafe { libc::truncate(path.as_ptr(), len) }
    }
    pub fn access(path: &CStr, mode: c_int) -> c_int {
        unsafe { libc::access(path.as_ptr(), mode) }
    }
    pub fn chdir(path: &CStr) -> c_int {
        unsafe { libc::chdir(path.as_ptr()) }
    }
    pub fn mkfifo(path: &CStr, mode: mode_t) -> c_int {
        unsafe { libc::mkfifo(path.as_ptr(), mode) }
    }
    /// The `stat` of a path, which must exist; links are followed.
    #[track_caller]
    pub fn stat(path: &CStr) -> libc::stat {
        let mut out: libc::stat = unsafe { std::mem::zeroed() };
        ok(unsafe { libc::stat(path.as_ptr(), &raw mut out) });
        out
    }
    /// The `stat` of a link itself.
    #[track_caller]
    pub fn lstat(path: &CStr) -> libc::stat {
        let mut out: libc::stat = unsafe { std::mem::zeroed() };
        ok(unsafe { libc::lstat(path.as_ptr(), &raw mut out) });
        out
    }
    #[track_caller]
    pub fn fstat(fd: c_int) -> libc::stat {
        let mut out: libc::stat = unsafe { std::mem::zeroed() };
        ok(unsafe { libc::fstat(fd, &raw mut out) });
        out
    }
    /// What `lstat` returns, for errors.
    pub fn exists(path: &CStr) -> c_int {
        let mut out: libc::stat = unsafe { std::mem::zeroed() };
        unsafe { libc::lstat(path.as_ptr(), &raw mut out) }
    }
}
