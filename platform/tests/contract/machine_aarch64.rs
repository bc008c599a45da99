//! What only arm64 has.

use super::harness::{next_call, with_guest};
use super::pieces::pieces;

pieces! {
    set_tls: "msr tpidr_el0, x0", "svc #0", "mrs x1, tpidr_el0", "svc #0", "udf #0";
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
