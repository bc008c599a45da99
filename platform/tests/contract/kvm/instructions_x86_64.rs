//! Instructions that a program should not use: what comes of them is what comes of them
//! on Linux, where the ptrace platform runs them, and the machine goes on.

use std::sync::atomic::{AtomicBool, Ordering};

use arch::Regs;
use platform::Exit;

use super::super::code;
use super::super::harness::with_kvm;
use super::victim::{AT, STACK, Victim, compare_each};

/// Instructions that ring 3 cannot do, by name.
const PRIVILEGED: &[(&str, &[u8])] = &[
    ("hlt", &[0xf4]),
    ("cli", &[0xfa]),
    ("sti", &[0xfb]),
    ("in al, dx", &[0xec]),
    ("out dx, al", &[0xee]),
    ("in eax, 0x60", &[0xe5, 0x60]),
    ("insb", &[0x6c]),
    ("outsb", &[0x6e]),
    ("rdmsr", &[0x0f, 0x32]),
    ("wrmsr", &[0x0f, 0x30]),
    ("rdpmc", &[0x0f, 0x33]),
    ("mov rax, cr0", &[0x0f, 0x20, 0xc0]),
    ("mov cr0, rax", &[0x0f, 0x22, 0xc0]),
    ("mov rax, cr3", &[0x0f, 0x20, 0xd8]),
    ("mov cr3, rax", &[0x0f, 0x22, 0xd8]),
    ("mov cr4, rax", &[0x0f, 0x22, 0xe0]),
    ("mov rax, cr8", &[0x44, 0x0f, 0x20, 0xc0]),
    ("mov cr8, rax", &[0x44, 0x0f, 0x22, 0xc0]),
    ("mov rax, dr0", &[0x0f, 0x21, 0xc0]),
    ("mov dr7, rax", &[0x0f, 0x23, 0xf8]),
    ("clts", &[0x0f, 0x06]),
    ("lmsw ax", &[0x0f, 0x01, 0xf0]),
    ("invd", &[0x0f, 0x08]),
    ("wbinvd", &[0x0f, 0x09]),
    ("invlpg [rdi]", &[0x0f, 0x01, 0x3f]),
    ("lgdt [rdi]", &[0x0f, 0x01, 0x17]),
    ("lidt [rdi]", &[0x0f, 0x01, 0x1f]),
    ("lldt ax", &[0x0f, 0x00, 0xd0]),
    ("ltr ax", &[0x0f, 0x00, 0xd8]),
    ("swapgs", &[0x0f, 0x01, 0xf8]),
    ("sysretq", &[0x48, 0x0f, 0x07]),
    ("sysexit", &[0x48, 0x0f, 0x35]),
    ("xsetbv", &[0x0f, 0x01, 0xd1]),
    ("monitor", &[0x0f, 0x01, 0xc8]),
    ("mwait", &[0x0f, 0x01, 0xc9]),
    ("stac", &[0x0f, 0x01, 0xcb]),
    ("clac", &[0x0f, 0x01, 0xca]),
    ("vmlaunch", &[0x0f, 0x01, 0xc2]),
    ("vmrun", &[0x0f, 0x01, 0xd8]),
    ("vmcall", &[0x0f, 0x01, 0xc1]),
    ("vmmcall", &[0x0f, 0x01, 0xd9]),
    ("rsm", &[0x0f, 0xaa]),
    ("ud2", &[0x0f, 0x0b]),
    ("ud1", &[0x0f, 0xb9, 0xc0]),
    ("ud0", &[0x0f, 0xff, 0xc0]),
    ("int3", &[0xcc]),
    ("icebp", &[0xf1]),
    ("into", &[0xce]),
    ("push es", &[0x06]),
    ("lock nop", &[0xf0, 0x90]),
    ("long", &[0x66; 16]),
    ("div by zero", &[0x31, 0xc9, 0xf7, 0xf1]),
    (
        "jmp non-canonical",
        &[0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0xe0],
    ),
    (
        "load non-canonical",
        &[0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x8b, 0],
    ),
    (
        "ret non-canonical",
        &[0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x50, 0xc3],
    ),
    (
        "push non-canonical",
        &[0x48, 0xbc, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x50],
    ),
    ("iret to nowhere", &[0x48, 0xcf]),
];

/// Code by its name.
pub(super) fn cases(list: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
    let owned = |(name, bytes): &(&str, &[u8])| ((*name).to_owned(), bytes.to_vec());
    list.iter().map(owned).collect()
}

/// See [`compare_each`]; each case starts with what `set` makes of the registers.
pub(super) fn compare(cases: &[(String, Vec<u8>)], set: impl Fn(&mut Regs), known: &[&str]) {
    compare_each(cases, |_, regs| set(regs), known);
}

/// Whether the machine's CPU is QEMU's, which differs from real ones in places.
pub(super) fn is_emulated() -> bool {
    let vendor = std::arch::x86_64::__cpuid(0x4000_0000);
    [vendor.ebx, vendor.ecx, vendor.edx] == [0x5447_4354, 0x4354_4743, 0x4743_5447]
}

#[test]
fn privileged_and_undefined_instructions() {
    let mut list = cases(PRIVILEGED);
    if is_emulated() {
        // There IRET and far returns load from the stack with the kernel's rights, and it
        // is the machine's own kernel that has to see to it.
        eprintln!("skipped: iret to nowhere: QEMU's CPU");
        list.retain(|(name, _)| name != "iret to nowhere");
    }
    // Hosts without VMX or SVM refuse three of these in another way; others answer
    // hypercalls themselves, with an error or a fault, and SYSEXIT as the other maker's
    // CPU does.
    let known = ["monitor", "mwait", "vmrun", "vmcall", "vmmcall", "sysexit"];
    compare(&list, |_| (), &known);
}

#[test]
fn every_software_interrupt() {
    let list: Vec<_> = (0..=255)
        .map(|n| (format!("int {n:#x}"), vec![0xcd, n]))
        .collect();
    // Interrupts of the host's own where it has no VMX or SVM: it takes them for its own
    // and goes on behind them.
    let known = ["int 0x17", "int 0x18", "int 0x19", "int 0x1a"];
    compare(&list, |_| (), &known);
}

/// PUSH of a 32-bit number.
fn push(value: u32) -> Vec<u8> {
    [&[0x68][..], &value.to_le_bytes()].concat()
}

/// Selectors of all kinds: descriptors that exist, that do not, local ones, in all rings.
fn selectors() -> impl Iterator<Item = u32> {
    (0..0x100).chain([0x1000, 0x7ff8, 0xfff8, 0xffff])
}

#[test]
fn segment_registers_with_every_selector() {
    // MOV to es, ss, ds, fs, gs from ax.
    for (name, register) in [
        ("es", 0xc0),
        ("ss", 0xd0),
        ("ds", 0xd8),
        ("fs", 0xe0),
        ("gs", 0xe8),
    ] {
        let load = |selector: u32| {
            let [low, high, ..] = selector.to_le_bytes();
            let code = vec![0x66, 0xb8, low, high, 0x8e, register];
            (format!("mov {name}, {selector:#x}"), code)
        };
        let list: Vec<_> = selectors().map(load).collect();
        compare(&list, |_| (), &[]);
    }
}

#[test]
fn far_returns_with_every_selector() {
    if is_emulated() {
        eprintln!("skipped: far returns: QEMU's CPU");
        return;
    }
    // LRETQ and IRETQ to the call behind them.
    let at = u32::try_from(AT).unwrap();
    let wide = [0x23, 0x20, 0x21, 0x22];
    let far = |selector: u32| {
        let mut code = [push(selector), push(at + 12), vec![0x48, 0xcb]].concat();
        assert_eq!(code.len(), 12);
        (format!("lret to {selector:#x}"), std::mem::take(&mut code))
    };
    let list: Vec<_> = selectors()
        .filter(|it| !wide.contains(it))
        .map(far)
        .collect();
    compare(&list, |_| (), &[]);
    let back = |selector: u32| {
        let stack = push(u32::try_from(STACK).unwrap());
        let frame = [
            push(0x2b),
            stack,
            push(0x202),
            push(selector),
            push(at + 27),
        ];
        let code = [frame.concat(), vec![0x48, 0xcf]].concat();
        assert_eq!(code.len(), 27);
        (format!("iret to {selector:#x}"), code)
    };
    let list: Vec<_> = selectors()
        .filter(|it| !wide.contains(it))
        .map(back)
        .collect();
    // Data and nothing as code: hosts without VMX or SVM refuse them in another way.
    let known: Vec<_> = [
        0x0b, 0x2b, 0x3b, 0x43, 0x4b, 0x53, 0x5b, 0x63, 0x6b, 0x73, 0x7b,
    ]
    .map(|selector| format!("iret to {selector:#x}"))
    .into();
    let known: Vec<_> = known.iter().map(String::as_str).collect();
    compare(&list, |_| (), &known);
}

#[test]
fn code_of_32_bits_gains_nothing() {
    if is_emulated() {
        eprintln!("skipped: far returns: QEMU's CPU");
        return;
    }
    with_kvm(code::call_loop(), |guest| {
        let mut victim = Victim::new(guest);
        let at = u32::try_from(AT).unwrap();
        // Through LRETQ to 0x23: SYSCALL, SYSENTER, INT 0x80, HLT, a store, UD2, INTO.
        let ends: [&[u8]; 7] = [
            &[0x0f, 0x05],
            &[0x0f, 0x34],
            &[0xcd, 0x80],
            &[0xf4],
            &[0xa3, 0, 0, 0, 0],
            &[0x0f, 0x0b],
            &[0xce],
        ];
        for end in ends {
            let code = [push(0x23), push(at + 12), vec![0x48, 0xcb], end.to_vec()].concat();
            let came = victim.run(&code, |_| ());
            assert!(came.starts_with("signal 11 code 128"), "{came}");
            victim.check(&format!("32-bit {end:x?}"));
        }
        // A kick in the middle: MOV DWORD PTR [edi], 1, then a loop.
        let interrupter = victim.context.interrupter();
        let data = &guest.data;
        data.write(0, &[0; 4]);
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Where the machine has no such code, it does not come to that.
                while data.load_u32(0) == Some(0) && !ended.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                interrupter.interrupt();
            });
            let spin = vec![0xc7, 0x07, 1, 0, 0, 0, 0xeb, 0xfe];
            let far = vec![0x48, 0xcb];
            let code = [push(0x23), push(at + 12), far, spin].concat();
            let came = victim.run(&code, |_| ());
            ended.store(true, Ordering::SeqCst);
            assert!(came.starts_with("signal 11 code 128"), "{came}");
        });
        while victim.switch() == Exit::Interrupted {}
        victim.check("a 32-bit loop");
    });
}
