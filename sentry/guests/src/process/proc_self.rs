//! What `/proc` says about a process agrees with what system calls say.

use crate::support::*;

crate::cases!("process":
    proc_stat_agrees, proc_status_agrees, proc_exe_cwd_root_links, proc_cmdline_and_environ, proc_fd_lists_descriptors,
    proc_self_is_per_process, proc_task_lists_threads, proc_lists_processes, prctl_name, proc_comm_writes_name,
    prctl_dumpable_and_keepcaps, proc_children_of_dead_is_gone, proc_limits_and_fdinfo,
);

unsafe fn proc_stat_agrees() {
    let stat = slurp("/proc/self/stat");
    let (head, tail) = stat.rsplit_once(')').unwrap();
    check(head.starts_with(&format!("{} (", getpid())), "pid first");
    let fields: Vec<&str> = tail.split_whitespace().collect();
    eq(fields[0], "R");
    eq(fields[1], getppid().to_string());
    eq(fields[2], getpgrp().to_string());
    eq(fields[3], ok(getsid(0)).to_string());
    eq(fields[17], "1");
    check(fields.len() >= 50, "all fields");
}

fn status_field(text: &str, key: &str) -> String {
    let line = text.lines().find(|l| l.split(':').next() == Some(key));
    line.and_then(|l| l.split_once(':'))
        .map(|(_, v)| v.trim().to_owned())
        .unwrap_or_default()
}

unsafe fn proc_status_agrees() {
    block(&[SIGUSR1]);
    let text = slurp("/proc/self/status");
    eq(status_field(&text, "Pid"), getpid().to_string());
    eq(status_field(&text, "PPid"), getppid().to_string());
    eq(status_field(&text, "Tgid"), getpid().to_string());
    let uids = status_field(&text, "Uid");
    eq(
        uids.split_whitespace().next(),
        Some(getuid().to_string().as_str()),
    );
    eq(status_field(&text, "Threads").as_str(), "1");
    let blocked = u64::from_str_radix(&status_field(&text, "SigBlk"), 16).unwrap();
    eq(blocked & (1 << (SIGUSR1 - 1)), 1 << (SIGUSR1 - 1));
    check(status_field(&text, "State").starts_with("R"), "running");
    check(!status_field(&text, "VmRSS").is_empty(), "VmRSS");
}

unsafe fn proc_exe_cwd_root_links() {
    let cwd = std::env::current_dir().unwrap();
    eq(std::fs::read_link("/proc/self/cwd").unwrap(), cwd.clone());
    eq(
        std::fs::read_link("/proc/self/root").unwrap().to_str(),
        Some("/"),
    );
    let exe = std::fs::read_link("/proc/self/exe").unwrap();
    check(exe.is_absolute(), "an absolute path");
    ok(sys::mkdir(c"gone", 0o755));
    ok(sys::chdir(c"gone"));
    ok(unlinkat(AT_FDCWD, c"../gone".as_ptr(), AT_REMOVEDIR));
    let cwd = cwd.join("gone (deleted)");
    eq(std::fs::read_link("/proc/self/cwd").unwrap(), cwd);
    let mut buffer = [0_u8; 4096];
    eq(getcwd(buffer.as_mut_ptr().cast(), 4096).is_null(), true);
    eq(errno(), ENOENT);
}

unsafe fn proc_cmdline_and_environ() {
    let (stop, out) = (Gate::new(), Gate::new());
    let pid = child(|| {
        dup2(stop.read, 0);
        dup2(out.write, 1);
        close(stop.write);
        let (_keep, argv) = crate::helper::argv(&["cat", "a b", ""]);
        let env = [c"ONE=1".as_ptr(), c"TWO=2".as_ptr(), null()];
        execve(c"/proc/self/exe".as_ptr(), argv.as_ptr(), env.as_ptr());
        99
    });
    let file = |name: &str| slurp(&format!("/proc/{pid}/{name}"));
    until(|| file("environ").starts_with("ONE"));
    eq(file("cmdline").as_str(), "guests\0helper\0cat\0a b\0\0");
    eq(file("environ").as_str(), "ONE=1\0TWO=2\0");
    close(stop.write);
    exits(pid, 0);
}

unsafe fn proc_fd_lists_descriptors() {
    let fd = ok(dup2(file_with(c"f", b""), 60));
    let names: Vec<String> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    check(names.contains(&"60".to_owned()), "60 is listed");
    let cwd = std::env::current_dir().unwrap();
    eq(
        std::fs::read_link("/proc/self/fd/60").unwrap(),
        cwd.join("f"),
    );
    ok(sys::unlink(c"f"));
    eq(
        std::fs::read_link("/proc/self/fd/60").unwrap(),
        cwd.join("f (deleted)"),
    );
    ok(close(fd));
    err(sys::exists(c"/proc/self/fd/60"), ENOENT);
    let gate = Gate::new();
    let link = std::fs::read_link(format!("/proc/self/fd/{}", gate.read)).unwrap();
    check(
        link.to_string_lossy().starts_with("pipe:["),
        "a pipe by its number",
    );
}

unsafe fn proc_self_is_per_process() {
    eq(
        std::fs::read_link("/proc/self").unwrap().to_str(),
        Some(getpid().to_string().as_str()),
    );
    in_child(|| {
        eq(
            std::fs::read_link("/proc/self").unwrap().to_str(),
            Some(getpid().to_string().as_str()),
        )
    });
    let tid = syscall(SYS_gettid);
    let expected = format!("{}/task/{tid}", getpid());
    eq(
        std::fs::read_link("/proc/thread-self").unwrap().to_str(),
        Some(expected.as_str()),
    );
}

unsafe fn proc_task_lists_threads() {
    let (ready, done) = (Gate::new(), Gate::new());
    let thread = std::thread::spawn(move || {
        put(ready.write, &(syscall(SYS_gettid) as pid_t).to_ne_bytes());
        done.pass();
    });
    let tid = pid_t::from_ne_bytes(get(ready.read, 4).try_into().unwrap());
    let list = || -> Vec<pid_t> {
        let mut tids: Vec<pid_t> = std::fs::read_dir("/proc/self/task")
            .unwrap()
            .map(|e| e.unwrap().file_name().to_str().unwrap().parse().unwrap())
            .collect();
        tids.sort_unstable();
        tids
    };
    let mut expected = vec![getpid(), tid];
    expected.sort_unstable();
    eq(list(), expected);
    eq(
        status_field(&slurp("/proc/self/status"), "Threads").as_str(),
        "2",
    );
    done.open();
    thread.join().unwrap();
    // join(3) waits for the thread's memory, not for its directory.
    until(|| list().len() == 1);
}

unsafe fn proc_lists_processes() {
    let pid = child(|| {
        pause();
        0
    });
    let listed = || {
        std::fs::read_dir("/proc")
            .unwrap()
            .any(|e| e.unwrap().file_name() == *pid.to_string())
    };
    check(listed(), "the child is listed");
    ok(kill(pid, SIGKILL));
    killed(pid, SIGKILL);
    check(!listed(), "and then not");
}

unsafe fn prctl_name() {
    ok(prctl(PR_SET_NAME, c"0123456789abcdefgh".as_ptr()));
    let mut name = [0_u8; 16];
    ok(prctl(PR_GET_NAME, name.as_mut_ptr()));
    eq(&name, b"0123456789abcde\0");
    eq(slurp("/proc/self/comm").as_str(), "0123456789abcde\n");
    err(prctl(PR_SET_NAME, 8), EFAULT);
    err(prctl(0x7fff_0000), EINVAL);
}

unsafe fn proc_comm_writes_name() {
    std::fs::write("/proc/self/comm", "written").unwrap();
    let mut name = [0_u8; 16];
    ok(prctl(PR_GET_NAME, name.as_mut_ptr()));
    eq(&name[..8], b"written\0");
}

unsafe fn prctl_dumpable_and_keepcaps() {
    eq(ok(prctl(PR_GET_DUMPABLE)), 1);
    ok(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
    eq(ok(prctl(PR_GET_DUMPABLE)), 0);
    err(prctl(PR_SET_DUMPABLE, 2, 0, 0, 0), EINVAL);
    ok(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
    eq(ok(prctl(PR_GET_KEEPCAPS)), 0);
    ok(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
    eq(ok(prctl(PR_GET_KEEPCAPS)), 1);
    err(prctl(PR_SET_KEEPCAPS, 2, 0, 0, 0), EINVAL);
}

unsafe fn proc_children_of_dead_is_gone() {
    // A descriptor of a dead process's directory finds nothing.
    let pid = child(|| {
        pause();
        0
    });
    let dir = ok(sys::open(
        &std::ffi::CString::new(format!("/proc/{pid}")).unwrap(),
        O_RDONLY | O_DIRECTORY,
        0,
    ));
    ok(close(ok(sys::openat(dir, c"stat", O_RDONLY, 0))));
    ok(kill(pid, SIGKILL));
    killed(pid, SIGKILL);
    let late = sys::openat(dir, c"stat", O_RDONLY, 0);
    check(
        late == -1 && (errno() == ESRCH || errno() == ENOENT),
        "ESRCH or ENOENT",
    );
}

unsafe fn proc_limits_and_fdinfo() {
    let mut limit: rlimit = std::mem::zeroed();
    ok(getrlimit(RLIMIT_NOFILE, &raw mut limit));
    let text = slurp("/proc/self/limits");
    let line = text
        .lines()
        .find(|l| l.starts_with("Max open files"))
        .unwrap_or("");
    eq(
        line.split_whitespace().nth(3),
        Some(limit.rlim_cur.to_string().as_str()),
    );
    let fd = file_with(c"f", b"abc");
    get(fd, 2);
    let info = slurp(&format!("/proc/self/fdinfo/{fd}"));
    eq(status_field(&info, "pos").as_str(), "2");
    // The text about a descriptor that has become that text itself.
    let path = std::ffi::CString::new(format!("/proc/self/fdinfo/{fd}")).unwrap();
    let text = ok(sys::open(&path, O_RDONLY, 0));
    ok(dup2(text, fd));
    let info = read_to_end(fd);
    eq(status_field(&info, "pos").as_str(), "0");
}
