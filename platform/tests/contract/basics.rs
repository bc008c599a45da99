//! System calls and registers.

use arch::Regs;
use arch::abi::Addr;

use super::code;
use super::harness::{CODE, call, next_call, start_regs, with_guest};

#[test]
fn system_calls_come_with_all_arguments() {
    with_guest(code::call_loop(), |guest| {
        let mut context = guest.context();
        for n in 1..20 {
            let regs = context.regs().unwrap();
            regs.set_ip(Addr(CODE));
            for arg in 0..6 {
                regs.set_arg(arg, n * 1000 + u64::try_from(arg).unwrap());
            }
            let args = next_call(&mut *context);
            assert_eq!(args, [0, 1, 2, 3, 4, 5].map(|arg| n * 1000 + arg));
        }
    });
}

#[test]
fn an_answer_reaches_the_program() {
    with_guest(code::call_loop(), |guest| {
        let mut context = guest.context();
        context.switch().unwrap();
        // Each answer is the next call's number; some look like the kernel's own
        // restart codes.
        let codes = (508..520).map(|n: u64| n.wrapping_neg());
        for value in (0..50).chain(codes).chain([u64::MAX, 1 << 40]) {
            context.answer(value);
            let (nr, _) = call(context.switch().unwrap());
            assert_eq!(nr, arch::abi::num::low32(value));
        }
    });
}

#[test]
fn answers_and_registers_mix() {
    with_guest(code::call_loop(), |guest| {
        let mut context = guest.context();
        context.switch().unwrap();
        context.answer(5);
        assert_eq!(context.regs().unwrap().return_value(), 5);
        context.answer(6);
        assert_eq!(call(context.switch().unwrap()).0, 6);
        context.regs().unwrap().set_return(7);
        assert_eq!(call(context.switch().unwrap()).0, 7);
        context.regs().unwrap().set_return(7);
        context.answer(8);
        assert_eq!(call(context.switch().unwrap()).0, 8);
    });
}

#[test]
fn a_new_context_has_zero_registers() {
    with_guest(code::call_loop(), |guest| {
        let mut context = guest.platform.new_context(&guest.space).unwrap();
        let zero = Regs::new_program(Addr(0), Addr(0));
        assert_eq!(*context.regs().unwrap(), zero);
        // And the machine agrees.
        context.regs().unwrap().set_ip(Addr(CODE));
        context.switch().unwrap();
        let seen = *context.regs().unwrap();
        let expected = code::after_call(zero, Addr(CODE + code::CALL_LEN));
        assert_eq!(seen, expected);
    });
}

#[test]
fn all_registers_survive_calls() {
    with_guest(code::call_loop(), |guest| {
        let mut context = guest.context();
        for seed in 1..40 {
            let mut before = start_regs(&[]);
            code::fill(&mut before, seed);
            *context.regs().unwrap() = before;
            let (nr, _) = call(context.switch().unwrap());
            assert_eq!(u64::from(nr), seed & 0xfff);
            let expected = code::after_call(before, Addr(CODE + code::CALL_LEN));
            assert_eq!(*context.regs().unwrap(), expected, "seed {seed}");
            // Once more, with nothing fetched in between.
            context.answer(7);
            context.switch().unwrap();
            context.answer(9);
            context.switch().unwrap();
            let mut again = before;
            again.set_return(9);
            let expected = code::after_call(again, Addr(CODE + code::CALL_LEN));
            assert_eq!(*context.regs().unwrap(), expected, "seed {seed}, again");
        }
    });
}

#[test]
fn a_call_can_be_rewound() {
    with_guest(code::count(), |guest| {
        let mut context = guest.context_with(&[1, 10]);
        let (nr, args) = call(context.switch().unwrap());
        for _ in 0..3 {
            context.answer(77);
            context.regs().unwrap().rewind_syscall();
            assert_eq!(call(context.switch().unwrap()), (nr, args));
        }
        context.answer(0);
        assert_eq!(next_call(&mut *context)[1], args[1] + 1);
    });
}
