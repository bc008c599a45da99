//! A program that knows the stub.

use arch::abi::Addr;
use platform::{Exit, Prot};

use super::attacks::effort;
use super::code;
use super::harness::{
    CODE, DATA, Random, code_page, map, next_call, unmap, with_guest, with_stubs,
};
use super::stubs::{children_of, descriptors, executable_pages, mappings};

/// Runs of a program thread from each place of the stub's code.
const RUNS: u64 = 2;
/// Where the code is in the stub's page: a keeper's, its first operations, and, of one
/// platform, that of the program's threads.
const CODE_LEN: u64 = 3456;
/// Exits in each run.
const EXITS: usize = 6;

#[test]
fn running_the_stubs_own_code_gains_nothing() {
    with_stubs(code::count(), |guest| {
        let process = *children_of(std::process::id()).last().unwrap();
        let pages = executable_pages(process, guest.platform.limits().max_address.0);
        let mut random = Random::new(4711);
        let mut context = guest.context();
        let before = (mappings(process), descriptors(process));
        for start in pages {
            for at in start..start + CODE_LEN {
                for _ in 0..RUNS * effort() {
                    run_from(&mut *context, at, &mut random);
                }
            }
        }
        assert_eq!((mappings(process), descriptors(process)), before);
        // The keeper is as it was, and so are other threads.
        guest.apply(&[unmap(DATA, 1)]);
        let mut other = guest.context_with(&[0, 0]);
        assert_eq!(next_call(&mut *other)[1], 1);
        drop(other);
        let _ = guest.context();
    });
}

fn run_from(context: &mut dyn platform::Context, at: u64, random: &mut Random) {
    let regs = context.regs().unwrap();
    code::fill(regs, random.next());
    // Things that the stub's code would use, and numbers of calls.
    let tempting = [DATA, at & !0xfff, (at & !0xfff) + 0x1000, 0, 56, 231, 3, 9];
    for arg in 0..6 {
        let pick = usize::try_from(random.next()).unwrap() % tempting.len();
        regs.set_arg(arg, *tempting.get(pick).unwrap());
    }
    regs.set_sp(Addr(DATA + 0x8000));
    regs.set_return(random.next() % 335);
    regs.set_tls(0);
    regs.sanitize();
    regs.set_ip(Addr(at));
    let interrupter = context.interrupter();
    for _ in 0..EXITS {
        // The code may spin on what it finds in registers: do not wait for that.
        interrupter.interrupt();
        match context.switch().unwrap() {
            Exit::Syscall { .. } => context.answer(random.next() % 3),
            Exit::Interrupted => {}
            Exit::Fault { .. } | Exit::Exception(_) => break,
            Exit::Preempted => panic!("preempted"),
        }
    }
}

#[test]
fn the_stubs_pages_cannot_be_written() {
    with_stubs(code::store(), |guest| {
        guest.grow_up();
        let process = *children_of(std::process::id()).last().unwrap();
        let limit = guest.platform.limits().max_address.0;
        let above: Vec<_> = mappings(process)
            .into_iter()
            .filter_map(|line| u64::from_str_radix(line.split('-').next()?, 16).ok())
            .filter(|start| (limit..1 << 63).contains(start))
            .collect();
        let own = if guest.platform.name() == "seccomp" {
            3
        } else {
            2
        };
        assert_eq!(above.len(), own, "code and control pages");
        for start in above {
            let mut context = guest.context_with(&[start + 8, 1]);
            let exit = context.switch().unwrap();
            assert!(
                matches!(exit, Exit::Fault { at, .. } if at == Addr(start + 8)),
                "{exit:?}"
            );
        }
    });
}

#[test]
fn a_program_cannot_change_its_own_code_page() {
    with_guest(code::store(), |guest| {
        let mut context = guest.context_with(&[CODE, 0]);
        assert!(matches!(context.switch().unwrap(), Exit::Fault { .. }));
        let page = code_page(&guest.memory, code::store());
        guest.apply(&[map(CODE, &page, Prot::READ | Prot::EXEC)]);
        assert!(matches!(context.switch().unwrap(), Exit::Fault { .. }));
    });
}
