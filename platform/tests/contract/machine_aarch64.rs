//! What only arm64 has.

use platform::Prot;

use super::harness::{DATA, map, next_call, start_regs, with_guest};
use super::pieces::pieces;

pieces! {
    set_tls: "msr tpidr_el0, x0", "svc #0", "mrs x1, tpidr_el0", "svc #0", "udf #0";
    /// Makes argument 1 the instruction at argument 0 and goes there, without a word of
    /// the kernel's; calls behind it, repeats.
    rewrite: "mov x9, x0", "2: str w1, [x9]", "dc cvau, x9", "dsb ish", "ic ivau, x9",
        "dsb ish", "isb", "mov x1, #0", "blr x9", "svc #0", "b 2b";
    /// The counter.
    counter: "isb", "mrs x1, cntvct_el0", "svc #0", "udf #0";
    /// An ID register and the frequency of the counter.
    features: "mrs x1, s3_0_c0_c4_0", "mrs x2, cntfrq_el0", "svc #0", "udf #0";
    seventh: "mov x7, #77", "svc #0", "mov x1, x7", "svc #0", "udf #0";
}

#[test]
fn the_program_may_change_its_thread_pointer_itself() {
    with_guest(set_tls(), |guest| {
        let mut context = guest.context_with(&[0x1234_5678]);
        next_call(&mut *context);
        assert_eq!(context.regs().unwrap().tls(), 0x1234_5678);
        context.regs().unwrap().set_tls(0x8765_4321);
        assert_eq!(next_call(&mut *context)[1], 0x8765_4321);
    });
}

#[test]
fn the_register_that_the_kernel_hides_is_whole() {
    with_guest(seventh(), |guest| {
        let mut context = guest.context();
        next_call(&mut *context);
        assert_eq!(context.regs().unwrap().x[7], 77);
        context.regs().unwrap().x[7] = 78;
        assert_eq!(next_call(&mut *context)[1], 78);
    });
}

#[test]
fn a_program_rewrites_its_code() {
    with_guest(rewrite(), |guest| {
        // RET behind the instruction.
        guest.data.write(4, &0xd65f_03c0_u32.to_le_bytes());
        let all = Prot::READ | Prot::WRITE | Prot::EXEC;
        guest.apply(&[map(DATA, &guest.data, all)]);
        let mut context = guest.context();
        for n in 0..50 {
            // MOV x1, #n
            let word = 0xd280_0001 | n << 5;
            *context.regs().unwrap() = start_regs(&[DATA, word]);
            assert_eq!(next_call(&mut *context)[1], n);
        }
    });
}

#[test]
fn the_counter_is_the_hosts() {
    with_guest(counter(), |guest| {
        let before = arch::vdso::counter();
        let mut context = guest.context();
        let read = next_call(&mut *context)[1];
        let after = arch::vdso::counter();
        assert!((before..=after).contains(&read), "{before} {read} {after}");
    });
}

#[test]
fn features_that_are_hidden_are_hidden_everywhere() {
    /// AT_HWCAP, SVE.
    const SVE: u64 = 1 << 22;
    with_guest(features(), |guest| {
        let mut context = guest.context();
        let [_, id, frequency, ..] = next_call(&mut *context);
        assert_ne!(frequency, 0);
        let [hidden, _] = guest.platform.hidden_features();
        let there = platform::host::auxiliary(16).unwrap() & !hidden & SVE != 0;
        assert_eq!(id >> 32 & 0xf != 0, there, "{id:#x}");
    });
}
