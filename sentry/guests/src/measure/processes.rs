//! Threads and processes: made, waited for.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::calls::timed;
use crate::{Loop, ok};

pub(crate) const LOOPS: &[Loop] = &[
    Loop {
        name: "thread",
        run: thread,
    },
    Loop {
        name: "fork-wait",
        run: fork_wait,
    },
    Loop {
        name: "fork-exec-wait",
        run: fork_exec_wait,
    },
];

fn thread(rounds: u32) -> Duration {
    timed(rounds, |_| std::thread::spawn(|| ()).join().unwrap())
}

fn waits(child: i32) {
    ok(child.into());
    let mut status = 0;
    ok(unsafe { libc::waitpid(child, &raw mut status, 0) }.into());
    assert_eq!(status, 0, "the child failed");
}

fn fork_wait(rounds: u32) -> Duration {
    timed(rounds, |_| {
        let child = unsafe { libc::fork() };
        if child == 0 {
            unsafe { libc::_exit(0) };
        }
        waits(child);
    })
}

/// The program is a dynamically linked one, as most are.
fn fork_exec_wait(rounds: u32) -> Duration {
    const PROGRAM: &std::ffi::CStr = c"/bin/true";
    let argv = [PROGRAM.as_ptr(), std::ptr::null()];
    let envp = [std::ptr::null()];
    timed(rounds, |_| {
        let child = unsafe { libc::fork() };
        if child == 0 {
            unsafe {
                libc::execve(PROGRAM.as_ptr(), argv.as_ptr(), envp.as_ptr());
                libc::_exit(1);
            }
        }
        waits(child);
    })
}

/// Runs a program, which must succeed, that many times.
pub(crate) fn spawn(rounds: u32, program: &str, args: &[String]) -> Duration {
    let start = Instant::now();
    for _ in 0..rounds {
        let mut command = Command::new(program);
        command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let status = command.status().unwrap();
        assert!(status.success(), "{program}: {status}");
    }
    start.elapsed()
}
