//! A program under test, whose code changes, and the comparison of platforms by it.

use std::sync::mpsc;
use std::time::Duration;

use arch::Regs;
use arch::abi::{Addr, PAGE_SIZE};
use platform::memory::FrameRun;
use platform::{Context, Exit};

use super::super::code;
use super::super::harness::{DATA, Guest, RX, map, on_all, start_regs};

/// Where the code under test is.
pub(super) const AT: u64 = DATA + 0x10_0000;
/// A program's stack, in the middle of its data.
pub(super) const STACK: u64 = DATA + 8 * PAGE_SIZE;
/// How long one exit may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// SYSCALL.
pub(super) const CALL: [u8; 2] = [0x0f, 0x05];

/// A guest whose code can be changed, and its context.
pub(super) struct Victim {
    code: FrameRun,
    pub(super) context: Box<dyn Context>,
}

impl Victim {
    pub(super) fn new(guest: &Guest) -> Self {
        let code = guest.memory.allocate(1, None).unwrap();
        guest.apply(&[map(AT, &code, RX)]);
        let context = guest.context();
        Self { code, context }
    }

    /// The next exit. A program that spins is interrupted in the end.
    pub(super) fn switch(&mut self) -> Exit {
        let interrupter = self.context.interrupter();
        let (done, wait) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                if wait.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                    interrupter.interrupt();
                }
            });
            let exit = self.context.switch();
            drop(done);
            exit.unwrap()
        })
    }

    /// Runs `code` and a call behind it with what `set` makes of the registers; says what
    /// came of it, where, and whether it is a call or something else.
    pub(super) fn run(&mut self, code: &[u8], set: impl Fn(&mut Regs)) -> String {
        let page = [code, &CALL, &[0x0f, 0x0b]].concat();
        self.code.write(0, &page);
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
        let fine = self.run(&[0x90], |regs| regs.set_arg(1, 77));
        assert_eq!(fine, "call at 0x3 with 0x4d", "behind {name}");
    }
}

/// What comes of each of `cases` on each platform must be the same, but for `known`,
/// which say how KVM differs. All differences are told together.
pub(super) fn compare(cases: &[(String, Vec<u8>)], set: impl Fn(&mut Regs), known: &[&str]) {
    let seen = std::cell::RefCell::new(Vec::<(String, Vec<String>)>::new());
    on_all(|platform, memory| {
        let name = platform.name().to_owned();
        if name != "kvm" && !seen.borrow().is_empty() {
            return;
        }
        let guest = Guest::new(platform, memory, code::call_loop());
        let mut victim = Victim::new(&guest);
        let mut results = Vec::new();
        for (case, bytes) in cases {
            results.push(victim.run(bytes, &set));
            victim.check(case);
        }
        seen.borrow_mut().push((name, results));
    });
    let seen = seen.into_inner();
    let mut differ = Vec::new();
    for (name, results) in seen.iter().skip(1) {
        let (_, native) = seen.first().unwrap();
        for (((case, _), here), there) in cases.iter().zip(results).zip(native) {
            if here != there && !known.contains(&case.as_str()) {
                differ.push(format!("{case}: {here} on {name}, {there} natively"));
            }
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
}

pub(super) fn cases(list: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
    let owned = |(name, bytes): &(&str, &[u8])| ((*name).to_owned(), bytes.to_vec());
    list.iter().map(owned).collect()
}
