//! Programs with registers that should not be, and in places where they should not be.

use arch::Regs;
use arch::abi::Addr;
use platform::kvm::audit;

use super::super::code;
use super::super::harness::{Guest, RW, RX, map, next_call, on_all, with_guest, with_kvm};
use super::instructions::{cases, compare, is_emulated};
use super::victim::{AT, Victim, compare_each};

#[test]
fn every_flag() {
    // The flags are in the first argument: PUSH rdi, POPFQ, NOP, NOP.
    let code = [0x57, 0x9d, 0x90, 0x90];
    let each = |name: &str, code: &[u8]| -> Vec<_> {
        (0..64)
            .map(|bit| (format!("{name} {bit}"), code.to_vec()))
            .collect()
    };
    let popf = |bit: usize, regs: &mut Regs| regs.set_arg(0, 2 | 1 << bit);
    compare_each(&each("popf", &code), popf, &[]);
    // The same from the sentry, as by a signal frame.
    let sigreturn = |bit: usize, regs: &mut Regs| {
        regs.eflags = 2 | 1 << bit;
        regs.sanitize();
    };
    compare_each(&each("sigreturn", &[0x90, 0x90]), sigreturn, &[]);
    // Alignment checks, of a load at DATA + 1.
    let list = cases(&[
        ("misaligned", &[0x8b, 0x47, 0x01]),
        ("aligned", &[0x8b, 0x47, 0x04]),
    ]);
    compare(&list, |regs| regs.eflags |= 1 << 18, &[]);
}

#[test]
fn single_steps_across_calls() {
    let told = std::cell::RefCell::new(Vec::new());
    on_all(|platform, memory| {
        let guest = Guest::new(platform, memory, code::call_loop());
        let mut victim = Victim::new(&guest);
        // Set by POPFQ in front of a call and of others.
        let code = [0x68, 0x02, 0x01, 0, 0, 0x9d, 0x90, 0x0f, 0x05, 0x90, 0x90];
        let mut steps = vec![victim.run(&code, |_| ())];
        for _ in 0..5 {
            victim.context.answer(0);
            let exit = victim.switch();
            steps.push(victim.describe(exit));
        }
        victim.check("steps");
        told.borrow_mut().push(steps);
    });
    let told = told.into_inner();
    for steps in &told {
        assert_eq!(Some(steps), told.first());
    }
}

#[test]
fn exceptions_without_a_stack() {
    let list = cases(&[
        ("ud2", &[0x0f, 0x0b]),
        ("int3", &[0xcc]),
        ("hlt", &[0xf4]),
        ("push", &[0x50]),
        ("call", &[0xe8, 0, 0, 0, 0]),
        ("syscall", &[0x0f, 0x05]),
        ("pop", &[0x58]),
        ("enter", &[0xc8, 0xff, 0xff, 0x1f]),
        ("div", &[0x31, 0xc9, 0xf7, 0xf1]),
    ]);
    let stacks = [
        0,
        8,
        0x7000,
        u64::MAX,
        1 << 47,
        (1 << 47) - 8,
        0x8000_0000_0000_0000,
        0xffff_ffff_8000_0000,
    ];
    for stack in stacks {
        // Hosts without VMX or SVM have another opinion of stacks that cannot be.
        let known: &[_] = if stack < (1 << 47) - 8 {
            &[]
        } else {
            &["int3", "enter"]
        };
        compare(&list, |regs| regs.set_sp(Addr(stack)), known);
    }
}

#[test]
fn places_that_are_no_places() {
    let list = cases(&[
        ("nop", &[0x90]),
        ("thread word", &[0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0]),
    ]);
    for wild in [
        1 << 47,
        (1 << 47) - 1,
        1 << 63,
        u64::MAX,
        0xffff_8000_0000_0000,
    ] {
        let thread = |regs: &mut Regs| {
            regs.fs_base = wild;
            regs.gs_base = wild;
            regs.sanitize();
        };
        compare(&list, thread, &[]);
        let ip = |regs: &mut Regs| {
            regs.set_ip(Addr(wild));
            regs.sanitize();
        };
        compare(&list, ip, &[]);
    }
    // The vsyscall page, at its entries and beside them.
    for at in [0, 1, 0x400, 0x800, 0xc00, 0xfff] {
        let jump = cases(&[
            ("jump", &[0xff, 0xe7]),
            ("load", &[0x8a, 0x07]),
            ("store", &[0x88, 0x07]),
        ]);
        // Linux answers these itself: how a load ends is the boot option vsyscall's to
        // say, and a jump beside the entries is a signal without an address.
        let is_entry = [0, 0x400, 0x800].contains(&at);
        let known: &[_] = if is_entry {
            &["load"]
        } else {
            &["load", "jump"]
        };
        let at = 0xffff_ffff_ff60_0000 + at;
        compare(&jump, |regs| regs.set_arg(0, at), known);
    }
}

#[test]
fn the_stub_is_no_place_for_programs() {
    with_kvm(code::call_loop(), |guest| {
        let mut victim = Victim::new(guest);
        let pages = audit(&guest.space).unwrap().pages;
        let mut others = pages.into_iter().filter(|page| !page.is_users).peekable();
        assert!(others.peek().is_some());
        for page in others {
            // All of the stub's code, and some of each other page; an emulated CPU is slow.
            let step = match (page.rights.execute, is_emulated()) {
                (true, false) => 1,
                (true, true) => 8,
                (false, _) => 0x1f8,
            };
            for at in (page.at..=page.at + 0xfff).step_by(step) {
                for (name, code) in [
                    ("jump", &[0xff, 0xe7][..]),
                    ("store", &[0x88, 0x07]),
                    ("load", &[0x8a, 0x07]),
                ] {
                    let came = victim.run(code, |regs| {
                        regs.set_arg(0, at);
                        // What SYSCALL would have left, if anybody looks.
                        regs.rcx = 0xffff_9000_0000_1234;
                        regs.r11 = u64::MAX;
                    });
                    assert!(
                        came.starts_with(&format!("fault for {at:#x}")),
                        "{name} {at:#x}: {came}"
                    );
                    let regs = *victim.context.regs().unwrap();
                    assert_eq!((regs.cs, regs.ss), (0x33, 0x2b));
                    if !page.rights.execute {
                        // As a stack.
                        for code in [&[0x50][..], &[0x0f, 0x0b], code::CALL, &[0x58]] {
                            victim.run(code, |regs| regs.set_sp(Addr(at)));
                        }
                    }
                }
            }
            victim.check("a page of the stub");
        }
    });
}

#[test]
fn programs_run_in_ring_3() {
    with_kvm(code::call_loop(), |guest| {
        let mut victim = Victim::new(guest);
        // MOV esi, cs.
        let came = victim.run(&[0x8c, 0xce], |_| ());
        assert_eq!(came, "call at 0x4 with 0x33");
        // MOV esi, ss, also behind an exception and an interrupt.
        for _ in 0..3 {
            victim.run(&[0x0f, 0x0b], |_| ());
            assert_eq!(victim.run(&[0x8c, 0xd6], |_| ()), "call at 0x4 with 0x2b");
            assert_eq!(victim.run(&[0xf4], |_| ()), "signal 11 code 128 at 0x0");
        }
    });
}

#[test]
fn code_that_changes_itself() {
    // MOV BYTE PTR [rip + 1], 0x2a changes the number in MOV esi, 1 behind it; a call.
    let own: &[u8] = &[0xc6, 0x05, 1, 0, 0, 0, 0x2a, 0xbe, 1, 0, 0, 0, 0x0f, 0x05];
    // MOV BYTE PTR [rdi], 0x2a does so through another mapping; CPUID, so that it counts.
    let other: &[u8] = &[0xc6, 0x07, 0x2a, 0x0f, 0xa2, 0xbe, 1, 0, 0, 0, 0x0f, 0x05];
    let alias = AT + 0x10_0000;
    with_guest(code::call_loop(), |guest| {
        for (code, prot, to) in [(own, RW.union(RX), 0), (other, RX, alias + 6)] {
            let page = guest.memory.allocate(1, None).unwrap();
            page.write(0, code);
            guest.apply(&[map(AT, &page, prot), map(alias, &page, RW)]);
            let mut context = guest.context_with(&[to]);
            context.regs().unwrap().set_ip(Addr(AT));
            let name = guest.platform.name();
            assert_eq!(next_call(&mut *context)[1], 0x2a, "{name}");
        }
    });
}
