//! Loads for measurements and for what must end well: `guests load NAME [NUMBER]`. Each prints a
//! line with figures; one that fails says so and exits with 1. `guests load listener PROGRAM
//! [ARGUMENT...]` becomes the program, under a filter that has a listener.

use crate::support::*;
use std::process::ExitCode;

/// Runs a load.
pub fn main(args: &[String]) -> ExitCode {
    let number = |default: usize| {
        args.get(1)
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    report_to(2);
    reset_signals();
    match args.first().map(String::as_str) {
        Some("forks") => forks(number(1000)),
        Some("storm") => storm(number(4)),
        Some("bomb") => bomb(),
        Some("files") => files(),
        Some("mappings") => mappings(),
        Some("heap") => heap(number(1024)),
        Some("touch") => touch(number(64)),
        Some("threads") => spin(number(1), true),
        Some("processes") => spin(number(1), false),
        Some("listener") => return listener(args.get(1..).unwrap_or_default()),
        _ => {
            eprintln!("guests: no such load");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// As container runtimes do that look at some of a container's calls.
fn listener(program: &[String]) -> ExitCode {
    /// BPF_RET | BPF_K.
    const RETURN: u16 = 6;
    let [name, arguments @ ..] = program else {
        return ExitCode::from(2);
    };
    let mut filter = [libc::sock_filter {
        code: RETURN,
        jt: 0,
        jf: 0,
        k: libc::SECCOMP_RET_ALLOW,
    }];
    let program = libc::sock_fprog {
        len: 1,
        filter: filter.as_mut_ptr(),
    };
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    let (mode, flags) = (
        libc::SECCOMP_SET_MODE_FILTER,
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
    );
    let made = unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) };
    assert!(
        made >= 0,
        "no listener: {}",
        std::io::Error::last_os_error()
    );
    // The listener stays open in a process that waits: without one it would be gone with exec.
    let status = std::process::Command::new(name).args(arguments).status();
    match status.ok().and_then(|status| status.code()) {
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(255)),
        None => ExitCode::FAILURE,
    }
}

fn seconds(since: i64) -> f64 {
    (now() - since) as f64 / 1e9
}

/// `count` children, one after another, after a tenth as many to begin with. Each part ends
/// with a line, and the next begins with one on standard input, so that somebody can look.
fn forks(count: usize) {
    let some = |count: usize| {
        let start = now();
        for _ in 0..count {
            exits(child(|| 0), 0);
        }
        let took = seconds(start);
        println!(
            "{count} forks in {took:.2} s, {:.0} µs each",
            took * 1e6 / count as f64
        );
        let mut line = String::new();
        let _ = std::io::stdin().read_line(&mut line);
    };
    some(count / 10);
    some(count);
}

/// For ever: `width` processes, each making one that makes another.
fn storm(width: usize) {
    for _ in 0..width {
        child(|| {
            loop {
                let pid = child(|| {
                    exits(child(|| 0), 0);
                    0
                });
                exits(pid, 0);
            }
        });
    }
    println!("up");
    unsafe { pause() };
}

/// Processes that stay, until there may be no more.
fn bomb() {
    let start = now();
    let mut pids = Vec::new();
    loop {
        match unsafe { fork() } {
            -1 => break,
            0 => loop {
                unsafe { pause() };
            },
            pid => pids.push(pid),
        }
    }
    eq(errno(), EAGAIN);
    println!("{} processes in {:.2} s", pids.len(), seconds(start));
    for pid in &pids {
        ok(unsafe { kill(*pid, SIGKILL) });
    }
    pids.into_iter().for_each(|pid| killed(pid, SIGKILL));
    exits(child(|| 0), 0);
}

/// Files that stay open in several processes, until the whole system has no more.
fn files() {
    let (counts, go_on) = (Gate::new(), Gate::new());
    let mut limit = rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    unsafe {
        ok(getrlimit(RLIMIT_NOFILE, &raw mut limit));
        limit.rlim_cur = limit.rlim_max;
        ok(setrlimit(RLIMIT_NOFILE, &raw const limit));
    }
    let openers: Vec<_> = (0..3)
        .map(|_| {
            child(|| {
                let mut count = 0_u64;
                while unsafe { eventfd(0, 0) } != -1 {
                    count += 1;
                }
                eq(errno(), ENFILE);
                err(sys::open(c"/", O_RDONLY, 0), ENFILE);
                err(unsafe { socket(AF_UNIX, SOCK_STREAM, 0) }, ENFILE);
                err(unsafe { pipe2([0; 2].as_mut_ptr(), 0) }, ENFILE);
                // Needs no open file of its own.
                ok(unsafe { dup(0) });
                put(counts.write, &count.to_ne_bytes());
                go_on.pass();
                0
            })
        })
        .collect();
    let mut total = 0;
    for _ in &openers {
        let count = get(counts.read, 8).try_into().unwrap_or_default();
        total += u64::from_ne_bytes(count);
    }
    openers.iter().for_each(|_| go_on.open());
    openers.into_iter().for_each(|pid| exits(pid, 0));
    // They were given back.
    ok(sys::open(c"/", O_RDONLY, 0));
    println!("{total} open files");
}

/// Mappings, and processes that have as many, for as long as it is let.
fn mappings() {
    let pages = 1 << 17;
    unsafe {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        let at = ok(mmap(null_mut(), pages * page(), PROT_NONE, flags, -1, 0));
        for i in (0..pages).step_by(2) {
            let page = at.cast::<u8>().add(i * page());
            if mprotect(page.cast(), self::page(), PROT_READ) != 0 {
                eq(errno(), ENOMEM);
                break;
            }
        }
        let mut count = 0;
        loop {
            match fork() {
                -1 => break,
                0 => loop {
                    pause();
                },
                _ => count += 1,
            }
        }
        println!("{count} processes: {}", std::io::Error::last_os_error());
    }
}

/// `mib` of heap; a child holds them while every other page is written.
fn heap(mib: usize) {
    let len = mib << 20;
    let start = now();
    let gate = Gate::new();
    unsafe {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS;
        let at = ok(mmap(null_mut(), len, PROT_READ | PROT_WRITE, flags, -1, 0)).cast::<u8>();
        let each = |step: usize, value: u8| {
            for offset in (0..len).step_by(step * page()) {
                at.add(offset).write_volatile(value);
            }
        };
        each(1, 1);
        let filled = seconds(start);
        let start = now();
        let pid = child(|| {
            gate.pass();
            let mut offsets = (0..len).step_by(page());
            c_int::from(offsets.any(|offset| at.add(offset).read_volatile() != 1))
        });
        let forked = seconds(start);
        let start = now();
        each(2, 2);
        let written = seconds(start);
        gate.open();
        exits(pid, 0);
        for (i, offset) in (0..len).step_by(page()).enumerate() {
            eq(
                at.add(offset).read_volatile(),
                if i % 2 == 0 { 2 } else { 1 },
            );
        }
        println!(
            "{mib} MiB: filled in {filled:.2} s, forked in {forked:.3} s, every other page written in {written:.2} s"
        );
    }
}

/// Writes to every page of `mib`.
fn touch(mib: usize) {
    let len = mib << 20;
    unsafe {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        let at = ok(mmap(null_mut(), len, PROT_READ | PROT_WRITE, flags, -1, 0));
        for offset in (0..len).step_by(page()) {
            at.cast::<u8>().add(offset).write_volatile(1);
        }
    }
    println!("touched {mib} MiB");
}

/// `width` threads or processes that compute for two seconds: rounds done by all.
fn spin(width: usize, threads: bool) {
    let rounds = || {
        let start = now();
        let mut rounds = 0_u64;
        while now() - start < 2_000_000_000 {
            for i in 0..1_000_000_u64 {
                std::hint::black_box(i.wrapping_mul(rounds));
            }
            rounds += 1;
        }
        rounds
    };
    let total: u64 = if threads {
        let running: Vec<_> = (0..width).map(|_| std::thread::spawn(rounds)).collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or(0))
            .sum()
    } else {
        let counts = Gate::new();
        let pids: Vec<_> = (0..width)
            .map(|_| {
                child(|| {
                    put(counts.write, &rounds().to_ne_bytes());
                    0
                })
            })
            .collect();
        pids.into_iter().for_each(|pid| exits(pid, 0));
        (0..width)
            .map(|_| u64::from_ne_bytes(get(counts.read, 8).try_into().unwrap_or_default()))
            .sum()
    };
    println!("{total}");
}
