//! What cases execute as another program: `guests helper NAME ARG...`, through `/proc/self/exe`.

use crate::support::*;
use std::ffi::CString;

/// Runs a helper; its exit status is the answer.
pub fn main(args: &[String]) -> std::process::ExitCode {
    let rest: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
    let code = match args.first().map(String::as_str) {
        Some("exit") => rest[0].parse().unwrap_or(99),
        // One argument a line, after argv[0].
        Some("args") => {
            std::env::args().for_each(|arg| println!("{arg}"));
            0
        }
        Some("env") => {
            std::env::vars().for_each(|(key, value)| println!("{key}={value}"));
            0
        }
        // The low bits of the effective user id.
        Some("uid") => (unsafe { geteuid() } & 0x3f) as u8,
        Some("fds") => open_fds(&rest),
        Some("signals") => signals(),
        Some("identity") => {
            println!("{} {}", unsafe { getpid() }, unsafe { syscall(SYS_gettid) });
            0
        }
        Some("cat") => {
            let all = read_to_end(0);
            print!("{all}");
            0
        }
        _ => 98,
    };
    std::process::ExitCode::from(code)
}

/// 0 if none of the given descriptors is open, else how many are.
fn open_fds(numbers: &[&str]) -> u8 {
    let open = |n: &&&str| unsafe { fcntl(n.parse().unwrap_or(-1), F_GETFD) } != -1;
    numbers.iter().filter(open).count() as u8
}

/// Says whether SIGUSR1 is blocked, SIGUSR2 ignored, SIGTERM at its default.
fn signals() -> u8 {
    let action = |signal| unsafe {
        let mut old: sigaction = std::mem::zeroed();
        sigaction(signal, null(), &raw mut old);
        old.sa_sigaction
    };
    let as_expected =
        is_blocked(SIGUSR1) && action(SIGUSR2) == SIG_IGN && action(SIGTERM) == SIG_DFL;
    u8::from(!as_expected)
}

/// Executes helper `args` in this process; returns only on failure.
#[track_caller]
pub fn exec(args: &[&str]) -> ! {
    let (_keep, argv) = argv(args);
    unsafe { execve(c"/proc/self/exe".as_ptr(), argv.as_ptr(), environ.cast()) };
    fail(format_args!("execve: {}", std::io::Error::last_os_error()))
}

unsafe extern "C" {
    /// The environment of this process.
    pub static environ: *const *const c_char;
}

/// `guests helper ARGS` as strings and as a terminated vector.
pub fn argv(args: &[&str]) -> (Vec<CString>, Vec<*const c_char>) {
    let strings: Vec<CString> = ["guests", "helper"]
        .iter()
        .chain(args)
        .map(|s| CString::new(*s).expect("argument without NUL"))
        .collect();
    let pointers = strings.iter().map(|s| s.as_ptr()).chain([null()]).collect();
    (strings, pointers)
}

/// Executes helper `args` in a child and returns what it printed; it must exit with 0.
#[track_caller]
pub fn output(args: &[&str]) -> String {
    let gate = Gate::new();
    let pid = child(|| {
        unsafe { dup2(gate.write, 1) };
        exec(args)
    });
    unsafe { close(gate.write) };
    let text = read_to_end(gate.read);
    unsafe { close(gate.read) };
    exits(pid, 0);
    text
}
