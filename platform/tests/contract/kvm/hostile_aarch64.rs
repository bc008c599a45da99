//! Programs with registers that should not be, and in places where they should not be.

use arch::Regs;
use arch::abi::Addr;
use platform::Prot;
use platform::kvm::audit;

use super::super::code;
use super::super::harness::{
    CODE, DATA, Guest, RW, code_page, map, next_call, start_regs, with_kvm,
};
use super::super::pieces::pieces;
use super::instructions::{Case, case, compare};
use super::victim::{AT, STACK, Victim};

const NOP: u32 = 0xd503_201f;
const SVC: u32 = 0xd400_0001;
const BRK: u32 = 0xd420_0000;
/// ldr x2, [sp] and str x2, [sp].
const POP: u32 = 0xf940_03e2;
const PUSH: u32 = 0xf900_03e2;

pieces! {
    /// Signs argument 0, with its modifier 0, into argument 1; calls, repeats.
    sign: "mov x9, x0", "2: mov x17, x9", "mov x16, #0", "hint #8", "mov x1, x17", "svc #0",
        "b 2b";
}

#[test]
fn every_bit_of_the_state() {
    let list: Vec<Case> = (0..64)
        .map(|bit| {
            case(&format!("bit {bit}"), &[NOP], move |regs: &mut Regs| {
                regs.pstate = 1 << bit;
                regs.sanitize();
            })
        })
        .collect();
    compare(&list, &[]);
}

#[test]
fn exceptions_without_a_stack() {
    // Without 1 << 63: see `WILD`.
    let stacks = [0, 8, 0x7000, u64::MAX, 1 << 48, STACK + 1, STACK + 8];
    let codes = [
        ("nop", NOP),
        ("brk", BRK),
        ("udf", 0),
        ("svc", SVC),
        ("pop", POP),
        ("push", PUSH),
    ];
    let list: Vec<Case> = stacks
        .iter()
        .flat_map(|stack| {
            codes.map(|(name, word)| {
                let stack = *stack;
                case(&format!("{name} at {stack:#x}"), &[word], move |regs| {
                    regs.set_sp(Addr(stack));
                })
            })
        })
        .collect();
    compare(&list, &[]);
}

/// Addresses that cannot be, or are not there; three with a tag, which the machine ignores
/// and which platforms with stub processes report.
const WILD: [u64; 9] = [
    8,
    1 << 48,
    (1 << 48) - 8,
    1 << 55,
    1 << 63,
    u64::MAX - 7,
    0xffff_0000_0000_0000,
    0xab00_0000_0000_0000 | DATA,
    0xab00_0000_7000_0000,
];

#[test]
fn places_that_are_no_places() {
    let codes: [(&str, u32); 9] = [
        ("ldr x2, [x30]", 0xf940_03c2),
        ("str x2, [x30]", 0xf900_03c2),
        ("ldxr x2, [x30]", 0xc85f_7fc2),
        ("prfm [x30]", 0xf980_03c0),
        ("dc cvau, x30", 0xd50b_7b3e),
        ("ic ivau, x30", 0xd50b_753e),
        ("dc zva, x30", 0xd50b_743e),
        ("br x30", 0xd61f_03c0),
        ("mrs x1, tpidr_el0", 0xd53b_d041),
    ];
    let mut list: Vec<Case> = Vec::new();
    for wild in WILD {
        for (name, word) in codes {
            list.push(case(&format!("{name} {wild:#x}"), &[word], move |regs| {
                regs.x[30] = wild;
                regs.tpidr = wild;
            }));
        }
        list.push(case(&format!("pc {wild:#x}"), &[NOP], move |regs| {
            regs.set_ip(Addr(wild));
            regs.sanitize();
        }));
    }
    for odd in [1, 2, 3] {
        list.push(case(&format!("pc + {odd}"), &[NOP], move |regs| {
            regs.set_ip(Addr(AT + odd));
        }));
    }
    let tags = [1 << 63, 0xab00_0000_7000_0000_u64];
    let known: Vec<_> = codes
        .iter()
        .flat_map(|(name, _)| tags.map(|tag| format!("{name} {tag:#x}")))
        .collect();
    let known: Vec<_> = known.iter().map(String::as_str).collect();
    compare(&list, &known);
}

#[test]
fn floating_point_with_every_trap() {
    // msr fpcr, x5; fmov d0, #1.0; movi d1, #0; fdiv d2, d0, d1; mrs x1, fpcr
    let code = [
        0xd51b_4405,
        0x1e6e_1000,
        0x2f00_e401,
        0x1e61_1802,
        0xd53b_4401,
    ];
    let list: Vec<Case> = (0..32)
        .map(|bit| {
            case(&format!("FPCR bit {bit}"), &code, move |regs| {
                regs.x[5] = 1 << bit;
            })
        })
        .collect();
    // Bits of SME's, which programs do not have here.
    compare(&list, &["FPCR bit 0", "FPCR bit 1", "FPCR bit 2"]);
}

#[test]
fn a_pointer_with_a_wrong_signature() {
    // mov x30, x0; paciasp; eor x30, x30, #1 << 52; autiasp; ldr x2, [x30]
    let code = [
        0xaa00_03fe,
        0xd503_233f,
        0xd24c_03de,
        0xd503_23bf,
        0xf940_03c2,
    ];
    // The same without a change: a call.
    let right = [0xaa00_03fe, 0xd503_233f, NOP, 0xd503_23bf, 0xf940_03c2];
    let list = [case("wrong", &code, |_| ()), case("right", &right, |_| ())];
    compare(&list, &[]);
}

#[test]
fn keys_are_each_programs_own() {
    with_kvm(sign(), |guest| {
        let signed = |space: &std::sync::Arc<dyn platform::AddressSpace>| -> Vec<u64> {
            (0..16)
                .map(|n| {
                    let mut context = guest.platform.new_context(space).unwrap();
                    *context.regs().unwrap() = start_regs(&[DATA + n * 64]);
                    let first = next_call(&mut *context)[1];
                    // The same behind a call.
                    context.answer(0);
                    assert_eq!(next_call(&mut *context)[1], first);
                    first
                })
                .collect()
        };
        let own = signed(&guest.space);
        if own.iter().zip(0..).all(|(it, n)| *it == DATA + n * 64) {
            eprintln!("skipped: no pointer authentication");
            return;
        }
        assert_eq!(signed(&guest.space), own);
        let child = guest.space.cloner().unwrap().clone_space().unwrap();
        assert_eq!(signed(&child), own, "a child has its parent's");
        let other = guest.platform.new_address_space().unwrap();
        let page = code_page(&guest.memory, sign());
        other
            .apply(&[
                map(CODE, &page, Prot::READ | Prot::EXEC),
                map(DATA, &guest.data, RW),
            ])
            .unwrap();
        assert_ne!(signed(&other), own);
        assert_eq!(signed(&guest.space), own);
    });
}

/// Tries to use what is at `at`: as code, as data, as a stack.
fn trespass(victim: &mut Victim, at: u64) {
    let at = at & !7;
    for (name, word) in [
        ("jump", 0xd61f_03c0),
        ("load", 0xf940_03c2),
        ("store", 0xf900_03c2),
        ("exclusive", 0xc85f_7fc2),
        ("zero", 0xd50b_743e),
    ] {
        let came = victim.run(&words(&[word]), |regs| regs.x[30] = at);
        // Of a block that is zeroed the machine tells one byte or another.
        let fine = ["", "zero"].iter().any(|it| {
            let at = if *it == "zero" { at & !63 } else { at };
            (it.is_empty() || *it == name) && came.starts_with(&format!("fault for {at:#x} "))
        });
        assert!(fine, "{name} {at:#x}: {came}");
    }
    for word in [POP, PUSH] {
        let came = victim.run(&words(&[word]), |regs| regs.set_sp(Addr(at & !15)));
        assert!(came.starts_with("fault for"), "{came}");
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn the_stub_is_no_place_for_programs() {
    with_kvm(code::call_loop(), |guest: &Guest| {
        let mut victim = Victim::new(guest);
        let pages = audit(&guest.space).unwrap().pages;
        let others: Vec<_> = pages.into_iter().filter(|page| !page.is_users).collect();
        assert!(others.len() > 2);
        for page in &others {
            // All of the stub's code, and some of each other page.
            let step = if page.rights.execute { 4 } else { 0x1000 };
            for at in (page.at..=page.at + 0xfff).step_by(step) {
                trespass(&mut victim, at);
            }
        }
        victim.check("the stub");
    });
}

#[test]
fn programs_run_at_el0() {
    with_kvm(code::call_loop(), |guest| {
        let mut victim = Victim::new(guest);
        // mrs x2, CurrentEL; also behind an exception and an interrupt.
        for _ in 0..3 {
            let came = victim.run(&words(&[0xd538_4242]), |_| ());
            assert_eq!(came, "signal 4 code 1 at 0x0");
            assert_eq!(victim.run(&words(&[BRK]), |_| ()), "signal 5 code 1 at 0x0");
            victim.context.interrupter().interrupt();
            assert_eq!(victim.run(&words(&[NOP]), |_| ()), "Interrupted");
        }
    });
}
