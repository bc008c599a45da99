//! What the system says about itself, and its limits.

use crate::runner::Case;
use crate::support::*;

pub const CASES: &[&[Case]] = &[ALL];

crate::cases!(ALL "system":
    uname_fields, sysinfo_fields, getrandom_fills, getcpu_is_in_mask, affinity_roundtrip, cpus_in_sys, affinity_holds, affinity_of_another_thread, affinity_errors, yield_and_priorities, limits_roundtrip, limits_errors, prlimit_of_child,
    personality_reads, sethostname_rules, unknown_calls_are_enosys, proc_cpuinfo_and_meminfo, proc_sys_values, scheduler_queries, sysconf_values, getpriority_rules, rseq_or_enosys,
    syscall_numbers_are_bounded, hostname_in_proc, ioprio_or_einval, nofile_limit_is_enforced, process_limit_is_enforced, seccomp_filter_or_einval,
    privileged_calls_are_refused, restart_syscall_has_nothing_to_restart, protection_key_of_no_protection,
);

fn text(field: &[c_char]) -> String {
    field
        .iter()
        .map(|c| *c as u8 as char)
        .take_while(|c| *c != '\0')
        .collect()
}

unsafe fn uname_fields() {
    let mut name: utsname = std::mem::zeroed();
    ok(uname(&raw mut name));
    eq(text(&name.sysname).as_str(), "Linux");
    eq(text(&name.machine).as_str(), crate::arch::MACHINE);
    check(
        !text(&name.nodename).is_empty() && !text(&name.version).is_empty(),
        "no empty field",
    );
    let release = text(&name.release);
    let major: u32 = release.split('.').next().unwrap_or("").parse().unwrap_or(0);
    check(major >= 4, "a release that programs take");
    eq(
        slurp("/proc/sys/kernel/osrelease").trim_end(),
        release.as_str(),
    );
    check(
        slurp("/proc/version").starts_with(&format!("Linux version {release} ")),
        "/proc/version agrees",
    );
    err(syscall(SYS_uname, 16), EFAULT);
}

unsafe fn sysinfo_fields() {
    let mut info: sysinfo = std::mem::zeroed();
    ok(sysinfo(&raw mut info));
    check(info.totalram > 0 && info.freeram <= info.totalram, "memory");
    check(
        info.mem_unit >= 1 && info.procs >= 1 && info.uptime > 0,
        "the rest",
    );
    err(sysinfo(16 as *mut sysinfo), EFAULT);
}

unsafe fn getrandom_fills() {
    let mut one = [0_u8; 300];
    let mut two = [0_u8; 300];
    eq(ok(getrandom(one.as_mut_ptr().cast(), 300, 0)), 300);
    eq(
        ok(getrandom(two.as_mut_ptr().cast(), 300, GRND_NONBLOCK)),
        300,
    );
    check(one != two, "not twice the same");
    check(
        one.chunks(50).all(|c| c.iter().any(|b| *b != 0)),
        "all of it",
    );
    eq(ok(getrandom(null_mut(), 0, 0)), 0);
    err(getrandom(one.as_mut_ptr().cast(), 1, 0x100), EINVAL);
    err(
        getrandom(one.as_mut_ptr().cast(), 1, GRND_RANDOM | GRND_INSECURE),
        EINVAL,
    );
    err(syscall(SYS_getrandom, 16, 8, 0), EFAULT);
    // Parent and child don't share a stream.
    let gate = Gate::new();
    in_child(|| {
        let mut mine = [0_u8; 16];
        ok(getrandom(mine.as_mut_ptr().cast(), 16, 0));
        put(gate.write, &mine);
    });
    let mut mine = [0_u8; 16];
    ok(getrandom(mine.as_mut_ptr().cast(), 16, 0));
    check(get(gate.read, 16) != mine, "different after fork");
}

unsafe fn own_mask() -> cpu_set_t {
    let mut mask: cpu_set_t = std::mem::zeroed();
    ok(sched_getaffinity(0, size_of::<cpu_set_t>(), &raw mut mask));
    mask
}

unsafe fn getcpu_is_in_mask() {
    let mask = own_mask();
    let (mut cpu, mut node): (u32, u32) = (u32::MAX, u32::MAX);
    ok(syscall(SYS_getcpu, &raw mut cpu, &raw mut node, 0));
    check(CPU_ISSET(cpu as usize, &mask), "one of those allowed");
    check(sched_getcpu() >= 0 && node < 1024, "both ways");
    ok(syscall(SYS_getcpu, 0, 0, 0));
}

unsafe fn affinity_roundtrip() {
    let mask = own_mask();
    let count = CPU_COUNT(&mask);
    check(count >= 1, "at least one");
    eq(
        i64::from(count),
        sysconf(_SC_NPROCESSORS_ONLN).min(i64::from(count)),
    );
    let first = (0..1024).find(|i| CPU_ISSET(*i, &mask)).unwrap();
    let mut one: cpu_set_t = std::mem::zeroed();
    CPU_SET(first, &mut one);
    ok(sched_setaffinity(0, size_of::<cpu_set_t>(), &raw const one));
    eq(CPU_COUNT(&own_mask()), 1);
    eq(sched_getcpu(), first as c_int);
    in_child(|| eq(CPU_COUNT(&own_mask()), 1));
    ok(sched_setaffinity(
        0,
        size_of::<cpu_set_t>(),
        &raw const mask,
    ));
    eq(CPU_COUNT(&own_mask()), count);
}

unsafe fn cpus_in_sys() {
    const CPUS: &str = "/sys/devices/system/cpu";
    let online = slurp(&format!("{CPUS}/online"));
    let mut listed = std::collections::BTreeSet::new();
    for range in online.trim_end().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        listed.extend(first.parse::<usize>().unwrap()..=last.parse().unwrap());
    }
    eq(listed.len() as i64, sysconf(_SC_NPROCESSORS_ONLN));
    let mask = own_mask();
    for cpu in (0..1024).filter(|i| CPU_ISSET(*i, &mask)) {
        check(listed.contains(&cpu), "one may run on those online only");
        let siblings = slurp(&format!("{CPUS}/cpu{cpu}/topology/thread_siblings_list"));
        let itself = cpu.to_string();
        check(
            siblings.trim_end().split([',', '-']).any(|at| at == itself),
            "a sibling of itself",
        );
    }
    let of_node = slurp("/sys/devices/system/node/node0/cpulist");
    check(!of_node.trim_end().is_empty(), "a node has CPUs");
    let info = slurp("/proc/cpuinfo");
    let shown = |cpu: &usize| info.contains(&format!("processor\t: {cpu}\n"));
    check(listed.iter().all(shown), "those of /proc/cpuinfo");
}

unsafe fn bind(thread: pid_t, cpu: usize) {
    let mut one: cpu_set_t = std::mem::zeroed();
    CPU_SET(cpu, &mut one);
    ok(sched_setaffinity(
        thread,
        size_of::<cpu_set_t>(),
        &raw const one,
    ));
}

unsafe fn affinity_holds() {
    let mask = own_mask();
    for cpu in (0..1024).filter(|i| CPU_ISSET(*i, &mask)) {
        bind(0, cpu);
        for _ in 0..100 {
            eq(sched_getcpu(), cpu as c_int);
            ok(sched_yield());
            ok(usleep(1));
        }
    }
}

unsafe fn affinity_of_another_thread() {
    let mask = own_mask();
    let (tell, told) = std::sync::mpsc::channel();
    let end = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let until = std::sync::Arc::clone(&end);
    let other = std::thread::spawn(move || {
        tell.send((syscall(SYS_gettid) as pid_t, 0)).unwrap();
        while !until.load(std::sync::atomic::Ordering::SeqCst) {
            for _ in 0..1000 {
                std::hint::spin_loop();
            }
            tell.send((0, sched_getcpu())).unwrap();
        }
        CPU_COUNT(&own_mask())
    });
    let (thread, _) = told.recv().unwrap();
    for cpu in (0..1024).filter(|i| CPU_ISSET(*i, &mask)) {
        bind(thread, cpu);
        // What it said before may still be on its way.
        while told.recv().unwrap().1 != cpu as c_int {}
        for _ in 0..50 {
            eq(told.recv().unwrap().1, cpu as c_int);
        }
    }
    end.store(true, std::sync::atomic::Ordering::SeqCst);
    eq(other.join().unwrap(), 1);
    eq(CPU_COUNT(&own_mask()), CPU_COUNT(&mask));
}

unsafe fn affinity_errors() {
    let mut mask: cpu_set_t = std::mem::zeroed();
    err(
        sched_setaffinity(0, size_of::<cpu_set_t>(), &raw const mask),
        EINVAL,
    );
    err(
        sched_getaffinity(0x3fff_ffff, size_of::<cpu_set_t>(), &raw mut mask),
        ESRCH,
    );
    err(syscall(SYS_sched_getaffinity, 0, 3, &raw mut mask), EINVAL);
    err(syscall(SYS_sched_getaffinity, 0, 128, 16), EFAULT);
    // The raw call says how many bytes it wrote.
    let wrote = ok(syscall(SYS_sched_getaffinity, 0, 128, &raw mut mask));
    check(wrote >= 8 && wrote % 8 == 0, "whole words");
}

unsafe fn yield_and_priorities() {
    ok(sched_yield());
    eq(ok(sched_getscheduler(0)), SCHED_OTHER);
    eq(
        (
            ok(sched_get_priority_min(SCHED_FIFO)),
            ok(sched_get_priority_max(SCHED_FIFO)),
        ),
        (1, 99),
    );
    eq(ok(sched_get_priority_max(SCHED_OTHER)), 0);
    err(sched_get_priority_max(99), EINVAL);
}

unsafe fn scheduler_queries() {
    let mut parameter: sched_param = std::mem::zeroed();
    ok(sched_getparam(0, &raw mut parameter));
    eq(parameter.sched_priority, 0);
    err(sched_getparam(-1, &raw mut parameter), EINVAL);
    err(sched_getscheduler(0x3fff_ffff), ESRCH);
    parameter.sched_priority = 5;
    err(
        sched_setscheduler(0, SCHED_OTHER, &raw const parameter),
        EINVAL,
    );
    parameter.sched_priority = 0;
    ok(sched_setscheduler(0, SCHED_BATCH, &raw const parameter));
    eq(ok(sched_getscheduler(0)), SCHED_BATCH);
}

unsafe fn limits_roundtrip() {
    for which in [
        RLIMIT_NOFILE,
        RLIMIT_STACK,
        RLIMIT_CORE,
        RLIMIT_FSIZE,
        RLIMIT_DATA,
        RLIMIT_AS,
        RLIMIT_NPROC,
    ] {
        let mut limit: rlimit = std::mem::zeroed();
        ok(getrlimit(which, &raw mut limit));
        check(limit.rlim_cur <= limit.rlim_max, "soft below hard");
    }
    let mut limit: rlimit = std::mem::zeroed();
    ok(getrlimit(RLIMIT_NOFILE, &raw mut limit));
    let lower = rlimit {
        rlim_cur: 64,
        rlim_max: limit.rlim_max,
    };
    ok(setrlimit(RLIMIT_NOFILE, &raw const lower));
    in_child(|| {
        let mut seen: rlimit = std::mem::zeroed();
        ok(getrlimit(RLIMIT_NOFILE, &raw mut seen));
        eq((seen.rlim_cur, seen.rlim_max), (64, lower.rlim_max));
    });
    // Up again, as far as the hard one.
    ok(setrlimit(RLIMIT_NOFILE, &raw const limit));
}

unsafe fn limits_errors() {
    let mut limit = rlimit {
        rlim_cur: 10,
        rlim_max: 5,
    };
    err(setrlimit(RLIMIT_CORE, &raw const limit), EINVAL);
    err(getrlimit(99, &raw mut limit), EINVAL);
    err(syscall(SYS_prlimit64, 0, RLIMIT_CORE, 0, 16), EFAULT);
    err(
        syscall(SYS_prlimit64, 0x3fff_ffff, RLIMIT_CORE, 0, &raw mut limit),
        ESRCH,
    );
    if !is_root() {
        let none = rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        ok(setrlimit(RLIMIT_MEMLOCK, &raw const none));
        limit = rlimit {
            rlim_cur: 0,
            rlim_max: 1,
        };
        err(setrlimit(RLIMIT_MEMLOCK, &raw const limit), EPERM);
    }
}

unsafe fn prlimit_of_child() {
    let gate = Gate::new();
    let pid = child(|| {
        gate.pass();
        let mut seen: rlimit = std::mem::zeroed();
        ok(getrlimit(RLIMIT_NOFILE, &raw mut seen));
        eq(seen.rlim_cur, 77);
        0
    });
    let mut old: rlimit = std::mem::zeroed();
    ok(prlimit(pid, RLIMIT_NOFILE, null(), &raw mut old));
    let new = rlimit {
        rlim_cur: 77,
        rlim_max: old.rlim_max,
    };
    ok(prlimit(pid, RLIMIT_NOFILE, &raw const new, &raw mut old));
    gate.open();
    exits(pid, 0);
}

unsafe fn nofile_limit_is_enforced() {
    let mut limit: rlimit = std::mem::zeroed();
    ok(getrlimit(RLIMIT_NOFILE, &raw mut limit));
    limit.rlim_cur = 40;
    ok(setrlimit(RLIMIT_NOFILE, &raw const limit));
    eq(ok(dup2(0, 39)), 39);
    err(dup2(0, 40), EBADF);
    let mut count = 0;
    while dup(0) != -1 {
        count += 1;
    }
    eq(errno(), EMFILE);
    check(count < 40, "bounded");
    err(epoll_create1(0), EMFILE);
    err(socket(AF_UNIX, SOCK_STREAM, 0), EMFILE);
    err(memfd_create(c"m".as_ptr(), 0), EMFILE);
}

unsafe fn process_limit_is_enforced() {
    if is_root() {
        skip("root is exempt");
    }
    let mut limit: rlimit = std::mem::zeroed();
    ok(getrlimit(RLIMIT_NPROC, &raw mut limit));
    limit.rlim_cur = 0;
    ok(setrlimit(RLIMIT_NPROC, &raw const limit));
    err(fork(), EAGAIN);
}

unsafe fn personality_reads() {
    let now = ok(personality(0xffff_ffff));
    eq(now & 0xff, 0);
    eq(ok(personality(now as c_ulong | 0x0040000)), now);
    eq(ok(personality(0xffff_ffff)), now | 0x0040000);
    in_child(|| eq(ok(personality(0xffff_ffff)) & 0x0040000, 0x0040000));
}

unsafe fn sethostname_rules() {
    let long = [b'h'; 65];
    if is_root() {
        // In a namespace of one's own only.
        in_child(|| {
            if unshare(CLONE_NEWUTS) == -1 {
                return;
            }
            err(sethostname(long.as_ptr().cast(), 65), EINVAL);
            ok(sethostname(c"guest".as_ptr(), 5));
            let mut name = [0_u8; 65];
            ok(gethostname(name.as_mut_ptr().cast(), 65));
            eq(&name[..6], b"guest\0");
        });
        return;
    }
    err(sethostname(c"guest".as_ptr(), 5), EPERM);
    err(sethostname(long.as_ptr().cast(), 65), EPERM);
    err(setdomainname(c"d".as_ptr(), 1), EPERM);
}

unsafe fn hostname_in_proc() {
    let mut name: utsname = std::mem::zeroed();
    ok(uname(&raw mut name));
    eq(
        slurp("/proc/sys/kernel/hostname").trim_end(),
        text(&name.nodename).as_str(),
    );
}

unsafe fn unknown_calls_are_enosys() {
    for number in [1000, 4095, 5000, 0x1000_0000] {
        err(syscall(number, 0, 0, 0), ENOSYS);
    }
}

unsafe fn syscall_numbers_are_bounded() {
    // Only 32 bits are a number; negative ones are none.
    err(syscall(-5), ENOSYS);
    err(syscall(i64::from(i32::MAX)), ENOSYS);
    err(syscall(i64::from(i32::MIN)), ENOSYS);
}

unsafe fn proc_cpuinfo_and_meminfo() {
    let cpus = slurp("/proc/cpuinfo")
        .lines()
        .filter(|l| l.starts_with("processor"))
        .count();
    check(cpus as i64 >= 1, "processors");
    let memory = slurp("/proc/meminfo");
    let value = |key: &str| -> u64 {
        let line = memory.lines().find(|l| l.starts_with(key)).unwrap_or("");
        line.split_whitespace()
            .nth(1)
            .and_then(|v| v.parse().ok())
            .unwrap_or(0)
    };
    check(
        value("MemTotal:") > 0 && value("MemFree:") <= value("MemTotal:"),
        "memory",
    );
    check(value("MemAvailable:") > 0, "available");
    check(
        slurp("/proc/stat").lines().any(|l| l.starts_with("cpu ")),
        "/proc/stat",
    );
    check(
        slurp("/proc/loadavg").split_whitespace().count() == 5,
        "/proc/loadavg",
    );
}

unsafe fn proc_sys_values() {
    let number = |path: &str| slurp(path).trim().parse::<u64>().unwrap_or(0);
    check(number("/proc/sys/kernel/pid_max") >= 300, "pid_max");
    check(number("/proc/sys/fs/file-max") > 0, "file-max");
    check(number("/proc/sys/vm/max_map_count") > 0, "max_map_count");
    check(
        number("/proc/sys/fs/pipe-max-size") >= 65536,
        "pipe-max-size",
    );
    check(
        slurp("/proc/sys/kernel/random/boot_id").trim().len() == 36,
        "boot_id",
    );
}

unsafe fn sysconf_values() {
    check(sysconf(_SC_NPROCESSORS_ONLN) >= 1, "processors");
    check(sysconf(_SC_PHYS_PAGES) > 0, "memory");
    eq(sysconf(_SC_CLK_TCK), 100);
    check(sysconf(_SC_OPEN_MAX) >= 20, "descriptors");
}

unsafe fn getpriority_rules() {
    // The raw call has 20 - nice, so that no answer is negative.
    let nice = getpriority(PRIO_PROCESS, 0);
    eq(
        ok(syscall(SYS_getpriority, PRIO_PROCESS, 0)),
        i64::from(20 - nice),
    );
    ok(setpriority(PRIO_PROCESS, 0, nice + 1));
    eq(getpriority(PRIO_PROCESS, 0), nice + 1);
    in_child(|| eq(getpriority(PRIO_PROCESS, 0), nice + 1));
    err(setpriority(9, 0, 1), EINVAL);
    err(syscall(SYS_getpriority, PRIO_PROCESS, 0x3fff_ffff), ESRCH);
    if !is_root() {
        err(setpriority(PRIO_PROCESS, 0, nice - 5), EACCES);
    }
}

unsafe fn rseq_or_enosys() {
    // glibc has registered its own area: a second registration of another is refused.
    #[repr(C, align(32))]
    struct Area([u8; 32]);
    let mut area = Area([0; 32]);
    let result = syscall(SYS_rseq, area.0.as_mut_ptr(), 32, 0, 0x5305_3053);
    check(
        result == 0 || errno() == ENOSYS || errno() == EINVAL || errno() == EBUSY,
        "a known answer",
    );
    if result == 0 {
        ok(syscall(SYS_rseq, area.0.as_mut_ptr(), 32, 1, 0x5305_3053));
    }
}

unsafe fn ioprio_or_einval() {
    err(syscall(SYS_ioprio_get, 9, 0), EINVAL);
    check(ok(syscall(SYS_ioprio_get, 1, 0)) >= 0, "a class");
}

unsafe fn seccomp_filter_or_einval() {
    // A filter that refuses one call with a number of its own.
    let load = |at| sock_filter {
        code: 0x20,
        jt: 0,
        jf: 0,
        k: at,
    };
    let answer = |value| sock_filter {
        code: 0x06,
        jt: 0,
        jf: 0,
        k: value,
    };
    let filter = [
        load(0),
        sock_filter {
            code: 0x15,
            jt: 0,
            jf: 1,
            k: SYS_getppid as u32,
        },
        answer(0x0005_0000 | 123),
        answer(0x7fff_0000),
    ];
    let allow = 0x7fff_0000_u32;
    let program = sock_fprog {
        len: 4,
        filter: filter.as_ptr() as *mut sock_filter,
    };
    // SECCOMP_GET_ACTION_AVAIL of "allow": whether there are filters at all.
    if syscall(SYS_seccomp, 2, 0, &raw const allow) == -1 {
        check(errno() == EINVAL || errno() == ENOSYS, "not supported");
        skip("no filters for programs here");
    }
    if !is_root() {
        let refused = syscall(SYS_seccomp, 1, 0, &raw const program);
        // A kernel without the call says so before anything else.
        if errno() != ENOSYS {
            err(refused, EACCES);
        }
    }
    ok(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    ok(syscall(SYS_seccomp, 1, 0, &raw const program));
    err(syscall(SYS_getppid), 123);
    in_child(|| err(syscall(SYS_getppid), 123));
    eq(ok(prctl(PR_GET_SECCOMP, 0, 0, 0, 0)), 2);
}

unsafe fn privileged_calls_are_refused() {
    in_child(|| {
        if is_root() {
            ok(setresuid(1234, 1234, 1234));
        }
        // Calls that some kernels are built without are not asked for.
        let here = c"/".as_ptr();
        err(mount(here, here, c"tmpfs".as_ptr(), 0, null()), EPERM);
        err(umount2(c"/".as_ptr(), 0), EPERM);
        err(syscall(SYS_pivot_root, here, here), EPERM);
        err(syscall(SYS_fsopen, c"tmpfs".as_ptr(), 0), EPERM);
        err(syscall(SYS_swapon, here, 0), EPERM);
        err(syscall(SYS_swapoff, here), EPERM);
        err(syscall(SYS_vhangup), EPERM);
        err(syscall(SYS_acct, null::<c_char>()), EPERM);
        err(syscall(SYS_sethostname, c"x".as_ptr(), 1), EPERM);
        err(
            syscall(SYS_reboot, 0xfee1_dead_u32, 672_274_793, 0, 0),
            EPERM,
        );
    });
}

unsafe fn restart_syscall_has_nothing_to_restart() {
    err(syscall(SYS_restart_syscall), EINTR);
}

unsafe fn protection_key_of_no_protection() {
    let at = mmap(
        null_mut(),
        page(),
        PROT_READ,
        MAP_PRIVATE | MAP_ANONYMOUS,
        -1,
        0,
    );
    // Key -1 means mprotect(2), whether there are keys or not.
    ok(syscall(
        SYS_pkey_mprotect,
        ok(at),
        page(),
        PROT_READ | PROT_WRITE,
        -1,
    ));
    at.cast::<u8>().write_volatile(1);
    err(
        syscall(SYS_pkey_mprotect, at, page(), PROT_READ, 99),
        EINVAL,
    );
    err(syscall(SYS_pkey_alloc, 1, 0), EINVAL);
    err(syscall(SYS_pkey_alloc, 0, 0x100), EINVAL);
    err(syscall(SYS_pkey_free, 99), EINVAL);
}
