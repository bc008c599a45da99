//! Runs cases, each in a child of its own: a crash or a hang of one is that one's failure only.
//!
//! The child is the leader of its own process group, works in a private directory (removed
//! afterwards) and reports through a pipe; the first report counts, whichever process of the case
//! it comes from. The runner is a subreaper, so that nothing a case left behind outlives it.

use crate::support::{self, REPORT};
use std::ffi::CString;
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;

/// One assertion program.
#[derive(Clone, Copy)]
pub struct Case {
    /// `theme/case`.
    pub name: &'static str,
    pub run: unsafe fn(),
}

/// Makes the case list of one file: `cases!("theme": a, b)`; names become `theme/a`.
/// Another name than `CASES` for the list may come first.
#[macro_export]
macro_rules! cases {
    ($theme:literal: $($name:ident),+ $(,)?) => {
        $crate::cases!(CASES $theme: $($name),+);
    };
    ($list:ident $theme:literal: $($name:ident),+ $(,)?) => {
        /// The cases of this file.
        pub const $list: &[$crate::runner::Case] = &[
            $($crate::runner::Case { name: concat!($theme, "/", stringify!($name)), run: $name }),+
        ];
    };
}

enum Verdict {
    Passed,
    Failed(String),
    Skipped(String),
}

/// Runs `cases` one after the other and prints a line each, and a line with the counts.
pub fn run(cases: &[Case]) -> ExitCode {
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    support::RUNNER.store(unsafe { libc::getpid() }, Relaxed);
    let limit = std::env::var("GUESTS_TIMEOUT")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(20);
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for case in cases {
        match run_one(case, limit) {
            Verdict::Passed => {
                passed += 1;
                println!("ok {}", case.name);
            }
            Verdict::Failed(why) => {
                failed += 1;
                println!("FAIL {}: {why}", case.name);
            }
            Verdict::Skipped(why) => {
                skipped += 1;
                println!("SKIP {}: {why}", case.name);
            }
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    ExitCode::from(u8::from(failed > 0))
}

/// Runs one case in this process; what it leaves behind is the caller's.
pub fn one(case: &Case) -> ExitCode {
    let dir = support::private_dir();
    std::env::set_current_dir(&dir).expect("chdir to the private directory");
    support::report_to(2);
    let name = CString::new(dir.clone()).expect("path without NUL");
    // A failed assertion ends this process at once, so another one tidies up.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        support::reset_signals();
        unsafe { (case.run)() };
        eprintln!("ok {}", case.name);
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    drop(name);
    support::remove_tree(&dir);
    if libc::WIFEXITED(status) {
        ExitCode::from(libc::WEXITSTATUS(status) as u8)
    } else {
        ExitCode::FAILURE
    }
}

extern "C" fn tick(_signal: i32) {}

fn run_one(case: &Case, limit: u32) -> Verdict {
    let dir = support::private_dir();
    let mut ends = [0; 2];
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Verdict::Failed(format!(
            "no report pipe: {}",
            std::io::Error::last_os_error()
        ));
    }
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => return Verdict::Failed(format!("fork: {}", std::io::Error::last_os_error())),
        0 => unsafe { child(case, &dir, ends) },
        _ => {}
    }
    unsafe { libc::setpgid(pid, pid) };
    let status = wait_for(pid, limit);
    unsafe { libc::kill(-pid, libc::SIGKILL) };
    support::reap_everything();
    unsafe { libc::close(ends[1]) };
    let report = support::read_to_end(ends[0]);
    unsafe { libc::close(ends[0]) };
    support::remove_tree(&dir);
    judge(status, report.lines().next().unwrap_or(""), limit)
}

fn judge(status: Option<i32>, report: &str, limit: u32) -> Verdict {
    if let Some(why) = report.strip_prefix("FAIL ") {
        return Verdict::Failed(why.to_owned());
    }
    let Some(status) = status else {
        return Verdict::Failed(format!("not done within {limit} s"));
    };
    if libc::WIFSIGNALED(status) {
        return Verdict::Failed(format!("killed by signal {}", libc::WTERMSIG(status)));
    }
    match (libc::WEXITSTATUS(status), report.strip_prefix("SKIP ")) {
        (support::SKIPPED, Some(why)) => Verdict::Skipped(why.to_owned()),
        (0, _) => Verdict::Passed,
        (code, _) => Verdict::Failed(format!("exit status {code} without a report")),
    }
}

unsafe fn child(case: &Case, dir: &str, ends: [i32; 2]) -> ! {
    libc::setpgid(0, 0);
    support::reset_signals();
    // Out of the way of cases that count on the lowest descriptors.
    let report = libc::fcntl(ends[1], libc::F_DUPFD_CLOEXEC, REPORT);
    libc::close(ends[0]);
    libc::close(ends[1]);
    support::report_to(report);
    libc::umask(0o022);
    if std::env::set_current_dir(dir).is_err() {
        support::fail("chdir to the private directory");
    }
    (case.run)();
    libc::_exit(0)
}

/// Waits for `pid`; `None` once `limit` seconds have passed.
fn wait_for(pid: i32, limit: u32) -> Option<i32> {
    let second = libc::timeval {
        tv_sec: 1,
        tv_usec: 0,
    };
    let none = libc::timeval {
        tv_sec: 0,
        tv_usec: 0,
    };
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = tick as *const () as usize;
        libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut());
        // A repeating timer: a tick between the check and the wait is followed by another.
        support::set_real_timer(second, second);
    }
    let mut status = 0;
    let mut left = limit;
    let result = loop {
        if unsafe { libc::waitpid(pid, &raw mut status, 0) } == pid {
            break Some(status);
        }
        left = left.saturating_sub(1);
        if left == 0 {
            unsafe {
                libc::kill(-pid, libc::SIGKILL);
                libc::kill(pid, libc::SIGKILL);
                support::set_real_timer(none, none);
                libc::waitpid(pid, &raw mut status, 0);
            }
            break None;
        }
    };
    unsafe { support::set_real_timer(none, none) };
    result
}
