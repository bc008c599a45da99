//! A program under test, whose code changes, and the comparison of platforms by it.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arch::Regs;
use arch::abi::{Addr, PAGE_SIZE};
use platform::memory::FrameRun;
use platform::{AddressSpace, Context, Exit, Interrupter};

use super::super::code;
use super::super::harness::{DATA, Guest, RX, map, on_both, start_regs};

/// Where the code under test is.
pub(super) const AT: u64 = DATA + 0x10_0000;
/// A program's stack, in the middle of its data.
pub(super) const STACK: u64 = DATA + 8 * PAGE_SIZE;
/// How long one exit may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A guest whose code can be changed, and its context.
pub(super) struct Victim {
    space: Arc<dyn AddressSpace>,
    code: FrameRun,
    pub(super) context: Box<dyn Context>,
    watch: Watch,
}

/// A thread that interrupts a program which spins.
struct Watch(Arc<(Mutex<Watched>, Condvar)>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Watched {
    /// Nothing runs.
    Idle,
    /// Something has run since.
    Since(Instant),
    Over,
}

impl Watch {
    fn new(interrupter: Arc<dyn Interrupter>) -> Self {
        let shared = Arc::new((Mutex::new(Watched::Idle), Condvar::new()));
        let watched = Arc::clone(&shared);
        std::thread::spawn(move || {
            let (state, changed) = &*watched;
            let mut now = state.lock().unwrap();
            while *now != Watched::Over {
                if matches!(*now, Watched::Since(start) if start.elapsed() > PATIENCE) {
                    interrupter.interrupt();
                }
                now = changed
                    .wait_timeout(now, PATIENCE / 10)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
        });
        Self(shared)
    }

    fn set(&self, now: Watched) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.set(Watched::Over);
        self.0.1.notify_all();
    }
}

impl Victim {
    pub(super) fn new(guest: &Guest) -> Self {
        let code = guest.memory.allocate(1, None).unwrap();
        guest.apply(&[map(AT, &code, RX)]);
        let context = guest.context();
        let watch = Watch::new(context.interrupter());
        let space = Arc::clone(&guest.space);
        Self {
            space,
            code,
            context,
            watch,
        }
    }

    /// The next exit. A program that spins is interrupted in the end.
    pub(super) fn switch(&mut self) -> Exit {
        self.watch.set(Watched::Since(Instant::now()));
        let exit = self.context.switch();
        self.watch.set(Watched::Idle);
        exit.unwrap()
    }

    /// Runs `code` and a call behind it with what `set` makes of the registers; says what
    /// came of it, where, and whether it is a call or something else.
    pub(super) fn run(&mut self, code: &[u8], set: impl Fn(&mut Regs)) -> String {
        let page = [code, code::CALL, code::UNDEFINED].concat();
        self.code.write(0, &page);
        // Shown again, so that the machine hears that it is other code.
        if !code::CHANGES_BY_ITSELF {
            self.space.apply(&[map(AT, &self.code, RX)]).unwrap();
        }
        let mut regs = start_regs(&[DATA, 0, 0]);
        regs.set_ip(Addr(AT));
        regs.set_sp(Addr(STACK));
        set(&mut regs);
        *self.context.regs().unwrap() = regs;
        let exit = self.switch();
        self.describe(exit)
    }

    pub(super) fn describe(&mut self, exit: Exit) -> String {
        let ip = self.context.regs().unwrap().ip().0.wrapping_sub(AT);
        match exit {
            Exit::Syscall { args, .. } => format!("call at {ip:#x} with {:#x}", args[1]),
            Exit::Fault { at, .. } => format!("fault for {:#x} at {ip:#x}", at.0),
            Exit::Exception(it) => format!("signal {} code {} at {ip:#x}", it.signal, it.code),
            other => format!("{other:?}"),
        }
    }

    /// Whether an ordinary program still runs.
    pub(super) fn check(&mut self, name: &str) {
        let fine = self.run(code::NOP, |regs| regs.set_arg(1, 77));
        let end = code::NOP.len() + code::CALL.len();
        assert_eq!(fine, format!("call at {end:#x} with 0x4d"), "behind {name}");
    }
}

/// What comes of each of `cases` on KVM must be what comes of it natively, but for `known`,
/// which say how KVM differs; `set` is told the number of the case. All differences are
/// told together.
pub(super) fn compare_each(
    cases: &[(String, Vec<u8>)],
    set: impl Fn(usize, &mut Regs),
    known: &[&str],
) {
    let seen = std::cell::RefCell::new(Vec::<(String, Vec<String>)>::new());
    on_both(|platform, memory| {
        let name = platform.name().to_owned();
        let guest = Guest::new(platform, memory, code::call_loop());
        let mut victim = Victim::new(&guest);
        let mut results = Vec::new();
        for (n, (case, bytes)) in cases.iter().enumerate() {
            results.push(victim.run(bytes, |regs| set(n, regs)));
            victim.check(case);
        }
        seen.borrow_mut().push((name, results));
    });
    let seen = seen.into_inner();
    let mut differ = Vec::new();
    for (platform, results) in seen.iter().skip(1) {
        let (_, native) = seen.first().unwrap();
        for (((name, _), here), there) in cases.iter().zip(results).zip(native) {
            if here != there && !known.contains(&name.as_str()) {
                differ.push(format!("{name}: {here} on {platform}, {there} natively"));
            }
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
}
