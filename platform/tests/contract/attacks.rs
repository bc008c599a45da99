//! Programs that attack the platform under them. Whatever becomes of their own process,
//! others keep their mappings and descriptors and go on, and so does the sentry.
//!
//! `RINGFENCE_ATTACKS` makes everything that many times longer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arch::abi::{Addr, PAGE_SIZE};
use platform::{Context, Exit, PlatformError, Prot};

use super::code;
use super::harness::{DATA, Guest, RW, Random, map, next_call, protect, with_stubs};
use super::stubs::{children_of, descriptors, executable_pages, mappings};

/// How much longer than usual.
pub(crate) fn effort() -> u64 {
    let told = std::env::var("RINGFENCE_ATTACKS").ok();
    told.and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// What is open and mapped in a process.
type Belongings = (u32, Vec<String>, Vec<(u32, String)>);

/// The others: a zygote, this process, and a guest that must go on.
struct Bystanders {
    guest: Guest,
    before: Vec<Belongings>,
}

/// What of a process others could change. A listener, at 0, comes with each thread.
fn belongings(pid: u32) -> Belongings {
    let open = descriptors(pid)
        .into_iter()
        .filter(|&(number, _)| number > 0);
    (pid, mappings(pid), open.collect())
}

impl Bystanders {
    /// Beside `guest`, all of whose processes there are by now.
    fn of(guest: &Guest) -> Self {
        let victim = *children_of(std::process::id()).last().unwrap();
        let beside = Guest::new(guest.platform.clone(), guest.memory.clone(), code::count());
        next_call(&mut *beside.context_with(&[0, 0]));
        let stubs = children_of(std::process::id());
        let others = stubs.into_iter().filter(|&pid| pid != victim);
        Self {
            guest: beside,
            before: others.map(belongings).collect(),
        }
    }

    /// They have what they had and do what they did.
    fn check(&self) {
        for before in &self.before {
            assert_eq!(&belongings(before.0), before);
        }
        let mut context = self.guest.context_with(&[0, 6]);
        assert_eq!(next_call(&mut *context)[1], 7);
    }
}

/// Lets an attacker run a little; whether its process is still there.
fn run_a_little(context: &mut dyn Context, random: &mut Random) -> bool {
    let interrupter = context.interrupter();
    for _ in 0..4 {
        // It may spin: do not wait for it to end.
        interrupter.interrupt();
        match context.switch() {
            Ok(Exit::Syscall { .. }) => context.answer(random.next() % 3),
            Ok(Exit::Interrupted) => {}
            Ok(_) => return true,
            Err(PlatformError::Dead { .. }) => return false,
            Err(error) => panic!("{error}"),
        }
    }
    true
}

/// Data areas of a process, which only one platform has.
fn areas(pid: u32) -> Option<(u64, u64)> {
    let lines = mappings(pid);
    let line = lines.iter().find(|line| line.contains("ringfence-areas"))?;
    let (start, rest) = line.split_once('-').unwrap();
    let end = rest.split(' ').next().unwrap();
    let number = |text| u64::from_str_radix(text, 16).unwrap();
    Some((number(start), number(end)))
}

/// Where the stub's code makes system calls.
fn calls_of_the_stub(pid: u32, page: u64) -> Vec<u64> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; 4096];
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    memory.read_exact_at(&mut bytes, page).unwrap();
    let len = usize::try_from(code::CALL_LEN).unwrap();
    let call = code::call_loop().get(len.saturating_sub(4)..len).unwrap();
    let found = bytes.windows(call.len()).enumerate();
    let found = found.filter(|(_, window)| *window == call);
    found
        .map(|(at, _)| page + u64::try_from(at).unwrap())
        .collect()
}

/// What a forged frame might be made of.
fn forge(guest: &Guest, random: &mut Random, places: &[u64]) {
    // Code segments of all kinds beside stack segments, flags, states of the processor.
    let tempting = [
        0,
        0x33,
        0x23,
        0x10,
        0x2b_0000_0000_0033,
        0x8,
        0x202,
        0x3_7202,
        0x100,
        u64::MAX,
    ];
    for at in (0..2048).step_by(8) {
        let value = match random.next() % 8 {
            0..3 => 0,
            3 => random.next(),
            4 => DATA + random.next() % 4096,
            5 => *places
                .get(usize::try_from(random.next()).unwrap() % places.len())
                .unwrap(),
            _ => *tempting
                .get(usize::try_from(random.next()).unwrap() % tempting.len())
                .unwrap(),
        };
        guest.data.write(at, &value.to_ne_bytes());
    }
    if !random.next().is_multiple_of(64) {
        // Nothing blocked, mostly: a thread that does not obey is waited for.
        guest.data.write(296, &[0; 8]);
    }
}

#[test]
fn forged_signal_frames_harm_the_forger_alone() {
    with_stubs(code::count(), |guest| {
        let others = Bystanders::of(guest);
        let mut random = Random::new(815);
        let mut left = 60 * effort();
        while left > 0 {
            let before = children_of(std::process::id());
            let forger = Guest::new(guest.platform.clone(), guest.memory.clone(), code::count());
            let mut context = forger.context_with(&[0, 0]);
            next_call(&mut *context);
            let process = children_of(std::process::id())
                .into_iter()
                .find(|pid| !before.contains(pid))
                .unwrap();
            let page = executable_pages(process, guest.platform.limits().max_address.0)[0];
            let calls = calls_of_the_stub(process, page);
            assert!(!calls.is_empty());
            let (area, end) = areas(process).unwrap_or((DATA, DATA + PAGE_SIZE));
            let places = [calls.clone(), vec![page, page + PAGE_SIZE, area, end - 8]].concat();
            // Until it has done itself in.
            loop {
                left = left.saturating_sub(1);
                forge(&forger, &mut random, &places);
                let Ok(regs) = context.regs() else { break };
                let call = calls[usize::try_from(random.next()).unwrap() % calls.len()];
                regs.set_ip(Addr(call));
                regs.set_sp(Addr(DATA + 128 * (random.next() % 4)));
                let number = u64::from(arch::current::layout::NR_RT_SIGRETURN);
                regs.set_syscall_number(arch::abi::num::low32(number));
                regs.set_return(number);
                regs.set_arg(
                    2,
                    [DATA, area + 16384, end - 4096][usize::try_from(random.next()).unwrap() % 3],
                );
                regs.sanitize();
                if !run_a_little(&mut *context, &mut random) || left == 0 {
                    break;
                }
            }
        }
        others.check();
    });
}

#[test]
fn scribbling_over_the_stubs_data_harms_the_scribbler_alone() {
    with_stubs(code::scribble(), |guest| {
        let others = Bystanders::of(guest);
        for round in 0..6 * effort() {
            let before = children_of(std::process::id());
            let scribbler = Guest::new(
                guest.platform.clone(),
                guest.memory.clone(),
                code::scribble(),
            );
            let counter = super::harness::code_page(&guest.memory, code::count());
            scribbler.apply(&[map(0x60_0000, &counter, Prot::READ | Prot::EXEC)]);
            let process = children_of(std::process::id())
                .into_iter()
                .find(|pid| !before.contains(pid))
                .unwrap();
            let mut sibling = scribbler.context();
            sibling.regs().unwrap().set_ip(Addr(0x60_0000));
            let mut random = Random::new(round + 1);
            let (start, end) = areas(process).unwrap_or((DATA, DATA + PAGE_SIZE));
            // All of it; or the first words, where what is done next is said.
            let (start, end) = if round.is_multiple_of(2) {
                (start, end)
            } else {
                (start, start + 1024)
            };
            let (done, stop) = (AtomicBool::new(false), &AtomicBool::new(false));
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mut context = scribbler.context_with(&[start, random.next(), end]);
                    let interrupter = context.interrupter();
                    scope.spawn(move || {
                        while !stop.load(Ordering::Relaxed) {
                            std::thread::sleep(Duration::from_millis(2));
                            interrupter.interrupt();
                        }
                    });
                    while !done.load(Ordering::Relaxed) && context.switch().is_ok() {
                        std::hint::spin_loop();
                    }
                    stop.store(true, Ordering::Relaxed);
                });
                let mut random = Random::new(round + 99);
                for _ in 0..200 {
                    let _ = sibling.regs();
                    if !run_a_little(&mut *sibling, &mut random) {
                        break;
                    }
                }
                done.store(true, Ordering::Relaxed);
            });
        }
        others.check();
    });
}

#[test]
fn as_many_mappings_as_the_host_allows() {
    with_stubs(code::count(), |guest| {
        let others = Bystanders::of(guest);
        let greedy = Guest::new(guest.platform.clone(), guest.memory.clone(), code::count());
        let mut context = greedy.context_with(&[0, 0]);
        next_call(&mut *context);
        let large = 0x1_0000_0000;
        let run = guest.memory.allocate(8, None).unwrap();
        let part = |n: u64| {
            map(
                large + n * 16 * PAGE_SIZE,
                &run,
                if n.is_multiple_of(2) { RW } else { Prot::READ },
            )
        };
        let limit = u64::try_from(greedy.space.mapping_limit().unwrap()).unwrap();
        let refused = (0..limit).step_by(64).find_map(|first| {
            let many: Vec<_> = (first..first + 64).map(part).collect();
            let split: Vec<_> = (first..first + 64)
                .map(|n| protect(large + n * 16 * PAGE_SIZE + 2 * PAGE_SIZE, 1, Prot::empty()))
                .collect();
            let done = greedy
                .space
                .apply(&many)
                .and_then(|()| greedy.space.apply(&split));
            done.err()
        });
        // The host's limit is twice ours; each of ours became three.
        assert!(
            matches!(refused, Some(PlatformError::Host { .. })),
            "{refused:?}"
        );
        drop(context);
        drop(greedy);
        others.check();
    });
}

#[test]
fn stubs_that_are_killed_at_any_moment() {
    with_stubs(code::count(), |guest| {
        let others = Bystanders::of(guest);
        let count = children_of(std::process::id()).len();
        let mut random = Random::new(4);
        for _ in 0..30 * effort() {
            let before = children_of(std::process::id());
            let victim = Guest::new(guest.platform.clone(), guest.memory.clone(), code::count());
            let process = children_of(std::process::id())
                .into_iter()
                .find(|pid| !before.contains(pid))
                .unwrap();
            let delay = random.next() % 1000;
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        let made = victim.platform.new_context(&victim.space);
                        let Ok(mut context) = made else { return };
                        let Ok(regs) = context.regs() else { return };
                        *regs = super::harness::start_regs(&[0, 0]);
                        while context.switch().is_ok() {
                            context.answer(0);
                        }
                    });
                }
                scope.spawn(|| {
                    let change = [protect(DATA, 1, RW)];
                    while victim.space.apply(&change).is_ok() {
                        let _ = victim.space.cloner().map(|cloner| cloner.clone_space());
                    }
                });
                std::thread::sleep(Duration::from_micros(delay));
                // SAFETY: a stub process that this test has made.
                unsafe { libc::kill(i32::try_from(process).unwrap(), libc::SIGKILL) };
            });
        }
        others.check();
        // A child that its maker had no time to tell of ends by itself.
        let deadline = Instant::now() + Duration::from_secs(10);
        while children_of(std::process::id()).len() != count {
            assert!(Instant::now() < deadline, "processes are left");
            std::thread::yield_now();
        }
    });
}
