//! Page faults and other exceptions.

use arch::abi::{Addr, PAGE_SIZE};
use platform::{Access, Exit, Prot};

use super::code;
use super::harness::{
    CODE, DATA, DATA_PAGES, RX, code_page, map, next_call, protect, start_regs, unmap, with_guest,
};

fn expect_fault(exit: Exit, address: u64, real: Access, mapped: bool) {
    match exit {
        Exit::Fault { at, access } => {
            assert_eq!(at, Addr(address));
            assert!(
                code::access_fits(access, real, mapped),
                "{access:?} for {real:?}"
            );
        }
        other => panic!("no fault at {address:#x} but {other:?}"),
    }
}

#[test]
fn loads_fault_at_the_exact_byte_and_go_on() {
    with_guest(code::load(), |guest| {
        let target = DATA + DATA_PAGES * PAGE_SIZE + 5 * PAGE_SIZE + 0x123;
        let mut context = guest.context_with(&[target]);
        expect_fault(context.switch().unwrap(), target, Access::Read, false);
        // Nothing was resolved: again.
        expect_fault(context.switch().unwrap(), target, Access::Read, false);
        let page = guest.memory.allocate(1, None).unwrap();
        page.write(0x123, &77_u64.to_ne_bytes());
        guest.apply(&[map(target - 0x123, &page, Prot::READ)]);
        assert_eq!(next_call(&mut *context)[1], 77);
    });
}

#[test]
fn stores_fault_on_absent_and_read_only_pages() {
    with_guest(code::store(), |guest| {
        let target = DATA + 0x1008;
        guest.apply(&[unmap(DATA + 0x1000, 1)]);
        let mut context = guest.context_with(&[target, 4711]);
        expect_fault(context.switch().unwrap(), target, Access::Write, false);
        let page = guest.memory.allocate(1, None).unwrap();
        guest.apply(&[map(DATA + 0x1000, &page, Prot::READ)]);
        expect_fault(context.switch().unwrap(), target, Access::Write, true);
        guest.apply(&[protect(DATA + 0x1000, 1, Prot::READ | Prot::WRITE)]);
        assert_eq!(next_call(&mut *context)[1], 4711);
        assert_eq!(page.load_u64(8), Some(4711));
    });
}

#[test]
fn fetches_fault_as_execute() {
    with_guest(code::call_loop(), |guest| {
        let mut context = guest.context();
        for target in [DATA, DATA + 0x10_0000, DATA + 0x10] {
            let mut regs = start_regs(&[]);
            regs.set_ip(Addr(target));
            *context.regs().unwrap() = regs;
            let exit = context.switch().unwrap();
            expect_fault(exit, target, Access::Execute, true);
            assert_eq!(context.regs().unwrap().ip(), Addr(target));
        }
        // Becomes executable: goes on.
        let page = code_page(&guest.memory, code::call_loop());
        guest.apply(&[map(DATA, &page, RX)]);
        context.regs().unwrap().set_ip(Addr(DATA));
        next_call(&mut *context);
    });
}

#[test]
fn pages_without_access_fault() {
    with_guest(code::load(), |guest| {
        guest.apply(&[protect(DATA, 1, Prot::empty())]);
        let mut context = guest.context_with(&[DATA + 8]);
        expect_fault(context.switch().unwrap(), DATA + 8, Access::Read, true);
        guest.apply(&[protect(DATA, 1, Prot::READ)]);
        next_call(&mut *context);
    });
}

#[test]
fn faults_keep_all_registers() {
    with_guest(code::load(), |guest| {
        let mut context = guest.context();
        for seed in 1..20 {
            let mut before = start_regs(&[]);
            code::fill(&mut before, seed);
            before.set_arg(0, 0x7000_0000 + seed);
            *context.regs().unwrap() = before;
            let exit = context.switch().unwrap();
            expect_fault(exit, 0x7000_0000 + seed, Access::Read, false);
            let mut after = *context.regs().unwrap();
            after.forget_syscall();
            let mut expected = before;
            expected.set_ip(after.ip());
            code::forgive_fault(&mut expected, &after);
            assert_eq!(after, expected, "seed {seed}");
        }
    });
}

#[test]
fn exceptions_are_those_of_linux() {
    for (name, code, expected, ip) in code::exceptions() {
        with_guest(code, |guest| {
            let mut context = guest.context();
            match context.switch().unwrap() {
                Exit::Exception(seen) => assert_eq!(seen, expected, "{name}"),
                other => panic!("{name}: {other:?}"),
            }
            assert_eq!(context.regs().unwrap().ip(), Addr(CODE + ip), "{name}");
        });
    }
}
