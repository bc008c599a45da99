//! The platform works after the sentry has given up everything it can do without: in
//! a process of its own, as root and as an ordinary user, in namespaces and not.

use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::Arc;

use arch::abi::Addr;
use platform::host::setup::{self, Namespaces};
use platform::host::{self, HostFile};
use platform::memory::MemoryFile;
use platform::ptrace::{Nullify, Options, Ptrace};
use platform::seccomp::Seccomp;
use platform::{Backing, Change, Exit, Fill, Platform, PlatformError, Prot};

use super::code;
use super::harness::{DATA, Guest, next_call};

/// Somebody who owns nothing.
const NOBODY: u32 = 65_534;

/// Tells the inner half which platform to take.
const PLATFORM: &str = "RINGFENCE_CONTRACT_PLATFORM";

/// Runs `sentry` in a new process of this program, once for each platform with stubs.
fn run(sentry: &str) {
    for platform in ["ptrace", "seccomp"] {
        run_on(sentry, platform);
    }
}

fn run_on(sentry: &str, platform: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "--test-threads=1"])
        .arg(format!("contract::confined::{sentry}"))
        .env(PLATFORM, platform)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("all done"),
        "{sentry} on {platform}: {:?}\n{said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// What a sentry does, confined to the calls that it and its platform have rules for.
fn confined_work(nullify: Nullify) {
    let memory = MemoryFile::create(64 << 20).unwrap();
    let platform = match std::env::var(PLATFORM).as_deref() {
        Ok("seccomp") => match Seccomp::start(&memory, Default::default()) {
            Err(PlatformError::Unavailable(why)) => {
                println!("\nskipped: {why}: all done");
                std::process::exit(0);
            }
            started => started.unwrap(),
        },
        _ => Ptrace::start(&memory, Options { nullify }).unwrap(),
    };
    let file = host::memfd_create(c"shown").unwrap();
    std::io::Write::write_all(
        &mut std::fs::File::from(file.try_clone().unwrap()),
        &[42; 8],
    )
    .unwrap();
    let file = Arc::new(HostFile::new(file));
    setup::no_new_privs().unwrap();
    setup::drop_capabilities(0).unwrap();
    let mut rules = host::SENTRY_RULES.to_vec();
    rules.extend(platform.host_rules());
    setup::seccomp::install(&setup::seccomp::compile(&rules).unwrap()).unwrap();
    work(&platform, &memory, &file);
}

fn work(platform: &Arc<dyn Platform>, memory: &Arc<MemoryFile>, file: &Arc<HostFile>) {
    let guest = Guest::new(Arc::clone(platform), Arc::clone(memory), code::load());
    let mut context = guest.context_with(&[DATA]);
    next_call(&mut *context);
    guest.apply(&[Change::Map {
        at: Addr(DATA),
        len: 4096,
        backing: Backing::Host { file, offset: 0 },
        prot: Prot::READ,
        fill: Fill::Now,
    }]);
    context.answer(DATA);
    assert_eq!(next_call(&mut *context)[1], u64::from_ne_bytes([42; 8]));
    // A fresh process and a fresh thread are seized by a fresh thread of the sentry.
    let child = guest.space.cloner().unwrap().clone_space().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut context = platform.new_context(&child).unwrap();
            *context.regs().unwrap() = super::harness::start_regs(&[DATA + 0x1000]);
            assert_eq!(next_call(&mut *context)[1], 0);
            context.fp().unwrap();
            context.interrupter().interrupt();
            context.answer(0);
            assert_eq!(context.switch().unwrap(), Exit::Interrupted);
            context.enter(&guest.space).unwrap();
        });
    });
    drop((context, child, guest));
    memory.trim();
    platform.barrier().unwrap();
    println!("\nall done");
    std::process::exit(0);
}

#[test]
#[ignore = "the inner half of a test below"]
fn as_we_are() {
    confined_work(Nullify::Sysemu);
}

#[test]
#[ignore = "the inner half of a test below"]
fn as_nobody() {
    // SAFETY: this process is the test's own and single-threaded.
    let done = unsafe { libc::setresgid(NOBODY, NOBODY, NOBODY) };
    assert_eq!(done, 0);
    // SAFETY: as above.
    assert_eq!(unsafe { libc::setresuid(NOBODY, NOBODY, NOBODY) }, 0);
    // SAFETY: as above. A program that nobody started would be dumpable.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) };
    confined_work(Nullify::Getpid);
}

#[test]
#[ignore = "the inner half of a test below"]
fn in_namespaces() {
    let (mapped, map) = host::pipe().unwrap();
    let (uid, gid, all) = setup::current_ids();
    let flags = i64::from(Namespaces::all().bits()) | i64::from(libc::SIGCHLD);
    // Not `setup::fork_into`, which wants a process of one thread: the test's own
    // thread is not the only one.
    // SAFETY: without CLONE_VM and a stack this is fork(2); the other thread waits.
    match unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } {
        pid if pid > 0 => {
            let pid = i32::try_from(pid).unwrap();
            setup::IdMaps::of_caller(uid, gid, all)
                .unwrap()
                .write(pid)
                .unwrap();
            drop((mapped, map));
            let ended = setup::wait_for(pid).unwrap();
            assert_eq!(ended, setup::Exit::Status(0));
        }
        result => {
            assert_eq!(result, 0, "clone");
            drop(map);
            // The other end closes when the ids are mapped.
            let mut byte = [0_u8; 1];
            // SAFETY: one byte of a live array.
            unsafe { libc::read(mapped.as_raw_fd(), byte.as_mut_ptr().cast(), 1) };
            setup::make_mounts_private().unwrap();
            confined_work(Nullify::Sysemu);
        }
    }
}

#[test]
fn confined_as_the_caller() {
    run("as_we_are");
}

#[test]
fn confined_as_an_ordinary_user() {
    // SAFETY: no pointers.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("skipped: needs root to become somebody else");
        return;
    }
    run("as_nobody");
}

#[test]
fn confined_in_namespaces() {
    if setup::enter_check(Namespaces::all()) != Namespaces::all() {
        eprintln!("skipped: no namespaces here");
        return;
    }
    run("in_namespaces");
}
