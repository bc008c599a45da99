//! execve(2): arguments, scripts, limits, what survives, and exec from another thread.

use crate::helper::{argv, environ, exec, output};
use crate::support::*;
use std::ffi::CString;
use std::os::unix::fs::PermissionsExt;

crate::cases!("process":
    exec_passes_arguments, exec_passes_environment, exec_closes_cloexec, exec_signals,
    exec_keeps_pid_from_any_thread, exec_resets_name, exec_script, exec_script_argument, exec_script_too_deep,
    exec_script_missing_interpreter, exec_errors, exec_bad_formats, exec_argument_too_long, exec_too_many_arguments,
    exec_null_argv, execveat_by_descriptor, execveat_errors, exec_text_busy, exec_of_unlinked_program,
    exec_auxv, exec_clears_memory_and_timers_stay, exec_fails_leaves_process_whole,
);

unsafe fn exec_passes_arguments() {
    let text = output(&["args", "one", "", "three words here"]);
    eq(
        text.as_str(),
        "guests\nhelper\nargs\none\n\nthree words here\n",
    );
}

unsafe fn exec_passes_environment() {
    let gate = Gate::new();
    let pid = child(|| {
        dup2(gate.write, 1);
        let (_keep, argv) = argv(&["env"]);
        let env = [c"A=1".as_ptr(), c"EMPTY=".as_ptr(), null()];
        execve(c"/proc/self/exe".as_ptr(), argv.as_ptr(), env.as_ptr());
        1
    });
    close(gate.write);
    eq(read_to_end(gate.read).as_str(), "A=1\nEMPTY=\n");
    exits(pid, 0);
}

unsafe fn exec_closes_cloexec() {
    let kept = ok(dup2(
        ok(sys::open(c"/dev/null", O_RDONLY | O_CLOEXEC, 0)),
        50,
    ));
    let gone = ok(dup3(kept, 51, O_CLOEXEC));
    eq((kept, gone), (50, 51));
    exits(child(|| exec(&["fds", "51"])), 0);
    exits(child(|| exec(&["fds", "50", "51"])), 1);
}

extern "C" fn nothing(_: c_int, _: *mut siginfo_t, _: *mut c_void) {}

unsafe fn exec_signals() {
    // Mask and ignored signals stay, handlers go.
    block(&[SIGUSR1]);
    signal(SIGUSR2, SIG_IGN);
    handle(SIGTERM, nothing, 0);
    exits(child(|| exec(&["signals"])), 0);
}

unsafe fn exec_keeps_pid_from_any_thread() {
    let gate = Gate::new();
    let pid = child(|| {
        dup2(gate.write, 1);
        // Another thread than the leader executes; the new program has the leader's identity.
        std::thread::spawn(|| exec(&["identity"]));
        loop {
            pause();
        }
    });
    close(gate.write);
    eq(read_to_end(gate.read), format!("{pid} {pid}\n"));
    exits(pid, 0);
}

unsafe fn exec_resets_name() {
    ok(prctl(PR_SET_NAME, c"before".as_ptr()));
    let (wait, go) = (Gate::new(), Gate::new());
    let pid = child(|| {
        dup2(wait.write, 1);
        dup2(go.read, 0);
        close(go.write);
        exec(&["cat"])
    });
    // Once it echoes, it runs as the new program.
    put(go.write, b"x");
    close(go.write);
    close(wait.write);
    eq(read_to_end(wait.read).as_str(), "x");
    exits(pid, 0);
    let name = slurp("/proc/self/comm");
    eq(name.as_str(), "before\n");
    let me = std::fs::read_link("/proc/self/exe").unwrap();
    std::fs::copy(&me, "a-name-longer-than-fifteen").unwrap();
    let stop = Gate::new();
    let pid = child(|| {
        dup2(stop.read, 0);
        close(stop.write);
        let (_keep, argv) = argv(&["cat"]);
        execv(c"./a-name-longer-than-fifteen".as_ptr(), argv.as_ptr());
        1
    });
    let comm = || slurp(&format!("/proc/{pid}/comm"));
    until(|| comm() != "before\n");
    eq(comm().as_str(), "a-name-longer-t\n");
    close(stop.write);
    exits(pid, 0);
}

fn script(name: &str, text: &str) -> CString {
    std::fs::write(name, text).unwrap();
    std::fs::set_permissions(name, std::fs::Permissions::from_mode(0o755)).unwrap();
    CString::new(format!("./{name}")).unwrap()
}

/// Executes `path` with one argument in a child: its output, or what errno it failed with.
unsafe fn run_script(path: &CString) -> Result<String, c_int> {
    let gate = Gate::new();
    let pid = child(|| {
        dup2(gate.write, 1);
        let argv = [c"zero".as_ptr(), c"tail".as_ptr(), null()];
        execve(path.as_ptr(), argv.as_ptr(), environ);
        errno()
    });
    close(gate.write);
    let text = read_to_end(gate.read);
    match WEXITSTATUS(wait_status(pid)) {
        0 => Ok(text),
        errno => Err(errno),
    }
}

fn me() -> String {
    std::fs::read_link("/proc/self/exe")
        .unwrap()
        .to_string_lossy()
        .into_owned()
}

unsafe fn exec_script() {
    // argv[0] is replaced by the interpreter; `helper` is what its one argument gives.
    std::os::unix::fs::symlink(me(), "interp").unwrap();
    let path = script("s", "#!./interp helper\nanything\n");
    // `guests helper ./s tail`: an unknown helper.
    eq(run_script(&path), Err(98));
}

unsafe fn exec_script_argument() {
    // All that follows the interpreter is one argument, without blanks around it.
    std::os::unix::fs::symlink("/bin/sh", "sh").unwrap();
    if std::fs::metadata("sh").is_err() {
        skip("no /bin/sh here");
    }
    let path = script("s", "#! ./sh \t-e  \necho \"$0 $1 $#\"\nfalse\necho no\n");
    let gate = Gate::new();
    let pid = child(|| {
        dup2(gate.write, 1);
        let argv = [c"zero".as_ptr(), c"tail".as_ptr(), null()];
        execve(path.as_ptr(), argv.as_ptr(), environ);
        99
    });
    close(gate.write);
    eq(read_to_end(gate.read).as_str(), "./s tail 1\n");
    exits(pid, 1);
}

unsafe fn exec_script_too_deep() {
    // An interpreter may be a script, but only so often: execve(2), five rewrites.
    script("s0", &format!("#!{} helper\n", me()));
    for i in 1..=6 {
        script(&format!("s{i}"), &format!("#!./s{}\n", i - 1));
    }
    eq(run_script(&c"./s4".to_owned()), Err(98));
    eq(run_script(&c"./s6".to_owned()), Err(ELOOP));
}

unsafe fn exec_script_missing_interpreter() {
    eq(
        run_script(&script("s", "#!/nonexistent/interpreter\n")),
        Err(ENOENT),
    );
    eq(run_script(&script("t", "#!\n")), Err(ENOEXEC));
    eq(run_script(&script("u", "#!.\n")), Err(EACCES));
}

unsafe fn try_exec(path: &std::ffi::CStr) -> c_int {
    let argv = [c"x".as_ptr(), null()];
    execve(path.as_ptr(), argv.as_ptr(), environ)
}

unsafe fn exec_errors() {
    err(try_exec(c"missing"), ENOENT);
    err(try_exec(c""), ENOENT);
    err(try_exec(c"."), EACCES);
    file_with(c"plain", b"x");
    // No execute bit: not even root may.
    err(try_exec(c"plain"), EACCES);
    err(try_exec(c"plain/x"), ENOTDIR);
    ok(sys::symlink(c"loop", c"loop"));
    err(try_exec(c"loop"), ELOOP);
    ok(sys::mkfifo(c"fifo", 0o755));
    err(try_exec(c"fifo"), EACCES);
    let argv = [c"x".as_ptr(), null()];
    err(execve(8 as *const c_char, argv.as_ptr(), environ), EFAULT);
    err(
        execve(
            c"/proc/self/exe".as_ptr(),
            8 as *const *const c_char,
            environ,
        ),
        EFAULT,
    );
    let bad = [8 as *const c_char, null()];
    err(
        execve(c"/proc/self/exe".as_ptr(), bad.as_ptr(), environ),
        EFAULT,
    );
}

unsafe fn exec_bad_formats() {
    let try_bytes = |bytes: &[u8]| {
        std::fs::write("p", bytes).unwrap();
        sys::chmod(c"p", 0o755);
        try_exec(c"./p")
    };
    err(try_bytes(b""), ENOEXEC);
    err(try_bytes(b"neither"), ENOEXEC);
    err(try_bytes(b"\x7fELF"), ENOEXEC);
    let mut start = std::fs::read("/proc/self/exe").unwrap();
    start.truncate(4096);
    // Another machine's program.
    start[18] = 0xfe;
    err(try_bytes(&start), ENOEXEC);
}

unsafe fn exec_argument_too_long() {
    // One string: 32 pages, with its NUL (MAX_ARG_STRLEN).
    let limit = 32 * page();
    let long = |len: usize| CString::new(vec![b'a'; len]).unwrap();
    let run = |text: &CString| {
        child(|| {
            let argv = [
                c"guests".as_ptr(),
                c"helper".as_ptr(),
                c"exit".as_ptr(),
                c"5".as_ptr(),
                text.as_ptr(),
                null(),
            ];
            execve(c"/proc/self/exe".as_ptr(), argv.as_ptr(), environ);
            errno()
        })
    };
    exits(run(&long(limit)), E2BIG);
    exits(run(&long(limit - 1)), 5);
}

unsafe fn exec_too_many_arguments() {
    // All of them: a quarter of the stack's limit.
    let run = |strings: usize| {
        child(|| {
            let limit = rlimit {
                rlim_cur: 1 << 20,
                rlim_max: RLIM_INFINITY,
            };
            let mut old: rlimit = std::mem::zeroed();
            getrlimit(RLIMIT_STACK, &raw mut old);
            let limit = rlimit {
                rlim_max: old.rlim_max,
                ..limit
            };
            ok(setrlimit(RLIMIT_STACK, &raw const limit));
            let text = CString::new(vec![b'b'; 1023]).unwrap();
            let mut argv = vec![
                c"guests".as_ptr(),
                c"helper".as_ptr(),
                c"exit".as_ptr(),
                c"6".as_ptr(),
            ];
            argv.extend(std::iter::repeat_n(text.as_ptr(), strings));
            argv.push(null());
            let env = [null()];
            execve(c"/proc/self/exe".as_ptr(), argv.as_ptr(), env.as_ptr());
            errno()
        })
    };
    exits(run(200), 6);
    exits(run(260), E2BIG);
}

unsafe fn exec_null_argv() {
    // Since Linux 5.18 an empty vector becomes one empty string.
    let pid = child(|| {
        let none: [*const c_char; 1] = [null()];
        execve(c"/proc/self/exe".as_ptr(), none.as_ptr(), none.as_ptr());
        99
    });
    // No arguments: the usage text, status 2.
    exits(pid, 2);
}

unsafe fn execveat_by_descriptor() {
    let fd = ok(sys::open(c"/proc/self/exe", O_PATH | O_CLOEXEC, 0));
    let pid = child(|| {
        let (_keep, argv) = argv(&["exit", "21"]);
        syscall(
            SYS_execveat,
            fd,
            c"".as_ptr(),
            argv.as_ptr(),
            environ,
            AT_EMPTY_PATH,
        );
        99
    });
    exits(pid, 21);
}

unsafe fn execveat_errors() {
    let (_keep, argv) = argv(&["exit", "0"]);
    let call = |fd: c_int, path: &std::ffi::CStr, flags: c_int| {
        syscall(
            SYS_execveat,
            fd,
            path.as_ptr(),
            argv.as_ptr(),
            environ,
            flags,
        )
    };
    err(call(-1, c"", AT_EMPTY_PATH), EBADF);
    err(call(AT_FDCWD, c"", 0), ENOENT);
    err(call(AT_FDCWD, c"x", 0x4000_0000), EINVAL);
    ok(sys::symlink(c"/proc/self/exe", c"link"));
    err(call(AT_FDCWD, c"link", AT_SYMLINK_NOFOLLOW), ELOOP);
    let dir = ok(sys::open(c".", O_RDONLY | O_DIRECTORY, 0));
    err(call(dir, c"", AT_EMPTY_PATH), EACCES);
}

unsafe fn exec_text_busy() {
    std::fs::copy("/proc/self/exe", "program").unwrap();
    let writer = ok(sys::open(c"program", O_WRONLY, 0));
    err(try_exec(c"./program"), ETXTBSY);
    ok(close(writer));
    let gate = Gate::new();
    let pid = child(|| {
        dup2(gate.read, 0);
        close(gate.write);
        let (_keep, argv) = argv(&["cat"]);
        execv(c"./program".as_ptr(), argv.as_ptr());
        99
    });
    close(gate.read);
    until(|| std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|p| p.ends_with("program")));
    err(sys::open(c"program", O_WRONLY, 0), ETXTBSY);
    close(gate.write);
    exits(pid, 0);
    ok(sys::open(c"program", O_WRONLY, 0));
}

unsafe fn exec_of_unlinked_program() {
    std::fs::copy("/proc/self/exe", "program").unwrap();
    let fd = ok(sys::open(c"program", O_RDONLY | O_CLOEXEC, 0));
    ok(sys::unlink(c"program"));
    let pid = child(|| {
        let (_keep, argv) = argv(&["exit", "22"]);
        fexecve(fd, argv.as_ptr(), environ.cast());
        99
    });
    exits(pid, 22);
}

unsafe fn exec_auxv() {
    eq(getauxval(AT_PAGESZ), page() as u64);
    check(getauxval(AT_RANDOM) != 0, "AT_RANDOM");
    check(getauxval(AT_PHDR) != 0, "AT_PHDR");
    check(getauxval(AT_ENTRY) != 0, "AT_ENTRY");
    eq(getauxval(AT_UID), u64::from(getuid()));
    eq(getauxval(AT_EGID), u64::from(getegid()));
    eq(getauxval(AT_SECURE), 0);
    eq(getauxval(AT_CLKTCK), sysconf(_SC_CLK_TCK) as u64);
    let name = std::ffi::CStr::from_ptr(getauxval(AT_EXECFN) as *const c_char);
    check(!name.is_empty(), "AT_EXECFN names the file");
    let raw = std::fs::read("/proc/self/auxv").unwrap();
    let words: Vec<u64> = raw
        .chunks_exact(8)
        .map(|c| u64::from_ne_bytes(c.try_into().unwrap()))
        .collect();
    let found = words
        .chunks_exact(2)
        .find(|pair| pair[0] == AT_PAGESZ)
        .map(|pair| pair[1]);
    eq(found, Some(page() as u64));
}

unsafe fn exec_clears_memory_and_timers_stay() {
    // An alarm goes on across exec: `cat` on an open pipe ends by it.
    let gate = Gate::new();
    let pid = child(|| {
        dup2(gate.read, 0);
        set_real_timer(
            timeval {
                tv_sec: 0,
                tv_usec: 50_000,
            },
            timeval {
                tv_sec: 0,
                tv_usec: 50_000,
            },
        );
        exec(&["cat"])
    });
    killed(pid, SIGALRM);
}

unsafe fn exec_fails_leaves_process_whole() {
    handle(SIGUSR1, nothing, 0);
    let fd = ok(sys::open(c"/dev/null", O_RDONLY | O_CLOEXEC, 0));
    err(try_exec(c"missing"), ENOENT);
    ok(fcntl(fd, F_GETFD));
    ok(raise(SIGUSR1));
}
