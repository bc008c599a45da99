//! Several contexts, several spaces.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arch::abi::{Addr, PAGE_SIZE};
use platform::{Exit, Prot};

use super::code;
use super::harness::{
    CODE, DATA, Guest, RW, RX, code_page, map, next_call, on_all, protect, start_regs, unmap,
    with_guest,
};

/// How long making spaces may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn threads_of_a_space_run_at_the_same_time() {
    const EACH: u64 = 100_000;
    with_guest(code::add(), |guest| {
        let done = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut context = guest.context_with(&[DATA, EACH]);
                    next_call(&mut *context);
                    done.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        assert_eq!(done.into_inner(), 4);
        assert_eq!(guest.data.load_u64(0), Some(4 * EACH));
    });
}

#[test]
fn a_thread_ends_and_the_others_go_on() {
    with_guest(code::count(), |guest| {
        // The first one made ends first, then one in the middle.
        let mut contexts: Vec<_> = (0..3).map(|_| guest.context_with(&[0, 0])).collect();
        for n in 1..4 {
            for context in &mut contexts {
                assert_eq!(next_call(&mut **context)[1], n);
                context.answer(0);
            }
        }
        drop(contexts.remove(0));
        for n in 4..8 {
            for context in &mut contexts {
                assert_eq!(next_call(&mut **context)[1], n);
                context.answer(0);
            }
        }
        // One that never ran, and one that is in the middle of things.
        drop(guest.context());
        drop(contexts.remove(1));
        assert_eq!(next_call(&mut *contexts[0])[1], 8);
        let mut late = guest.context_with(&[0, 50]);
        assert_eq!(next_call(&mut *late)[1], 51);
    });
}

#[test]
fn a_host_thread_ends_with_its_context_only() {
    with_guest(code::count(), |guest| {
        let mut mine = guest.context_with(&[0, 0]);
        assert_eq!(next_call(&mut *mine)[1], 1);
        for _ in 0..20 {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mut context = guest.context_with(&[0, 7]);
                    assert_eq!(next_call(&mut *context)[1], 8);
                });
            });
        }
        mine.answer(0);
        assert_eq!(next_call(&mut *mine)[1], 2);
    });
}

#[test]
fn spaces_are_apart() {
    on_all(|platform, memory| {
        let guests: Vec<_> = (0..5)
            .map(|_| Guest::new(platform.clone(), memory.clone(), code::load()))
            .collect();
        let mut contexts: Vec<_> = guests.iter().map(|g| g.context_with(&[DATA])).collect();
        for (n, guest) in (0..).zip(&guests) {
            let n: u64 = n;
            guest.data.write(0, &n.to_ne_bytes());
        }
        for (n, context) in (0..).zip(&mut contexts) {
            assert_eq!(next_call(&mut **context)[1], n);
        }
        guests[0].apply(&[unmap(DATA, 1)]);
        contexts[0].answer(DATA);
        assert!(matches!(contexts[0].switch().unwrap(), Exit::Fault { .. }));
        contexts[1].answer(DATA);
        assert_eq!(next_call(&mut *contexts[1])[1], 1);
    });
}

#[test]
fn a_cloned_space_has_the_same_mappings_and_its_own_changes() {
    with_guest(code::load(), |guest| {
        guest.data.write(0, &1_u64.to_ne_bytes());
        let mut context = guest.context_with(&[DATA]);
        assert_eq!(next_call(&mut *context)[1], 1);
        guest.apply(&[protect(DATA, 1, Prot::READ)]);
        let Some(cloner) = guest.space.cloner() else {
            return;
        };
        let child = cloner.clone_space().unwrap();
        let grandchild = child.cloner().unwrap().clone_space().unwrap();
        let page = guest.memory.allocate(1, None).unwrap();
        page.write(0, &2_u64.to_ne_bytes());
        child.apply(&[map(DATA, &page, RW)]).unwrap();
        grandchild.apply(&[unmap(DATA, 1)]).unwrap();
        let start = |space| {
            let mut context = guest.platform.new_context(space).unwrap();
            *context.regs().unwrap() = start_regs(&[DATA]);
            context
        };
        assert_eq!(next_call(&mut *start(&child))[1], 2);
        assert!(matches!(
            start(&grandchild).switch().unwrap(),
            Exit::Fault { .. }
        ));
        context.answer(DATA);
        assert_eq!(next_call(&mut *context)[1], 1);
        // The parent goes first.
        drop(context);
        let mut last = start(&grandchild);
        grandchild.apply(&[map(DATA, &page, RW)]).unwrap();
        assert_eq!(next_call(&mut *last)[1], 2);
    });
}

#[test]
fn a_space_is_cloned_while_its_threads_run() {
    with_guest(code::spin(), |guest| {
        let mut running = guest.context();
        let interrupter = running.interrupter();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                if let Some(cloner) = guest.space.cloner() {
                    for _ in 0..50 {
                        let child = cloner.clone_space().unwrap();
                        child.apply(&[unmap(DATA, 1)]).unwrap();
                    }
                }
                interrupter.interrupt();
            });
            assert_eq!(running.switch().unwrap(), Exit::Interrupted);
        });
    });
}

/// Where the space that a thread moves to has its code.
const OTHER_CODE: u64 = DATA + 0x10_0000;

#[test]
fn exec_by_another_thread_than_the_first() {
    with_guest(code::count(), |guest| {
        let mut first = guest.context_with(&[0, 0]);
        let mut second = guest.context_with(&[0, 100]);
        next_call(&mut *first);
        next_call(&mut *second);
        let space = guest.platform.new_address_space().unwrap();
        let page = code_page(&guest.memory, code::load());
        let data = guest.memory.allocate(1, None).unwrap();
        data.write(0, &5_u64.to_ne_bytes());
        let changes = [map(OTHER_CODE, &page, RX), map(DATA, &data, RW)];
        space.apply(&changes).unwrap();
        let interrupter = second.interrupter();
        interrupter.interrupt();
        second.enter(&space).unwrap();
        // Registers stay.
        assert_eq!(second.regs().unwrap().syscall_args()[1], 101);
        let regs = second.regs().unwrap();
        regs.set_ip(Addr(OTHER_CODE));
        regs.set_arg(0, DATA);
        regs.forget_syscall();
        // So does an interrupt that was on its way.
        assert_eq!(second.switch().unwrap(), Exit::Interrupted);
        assert_eq!(next_call(&mut *second)[1], 5);
        first.answer(0);
        assert_eq!(next_call(&mut *first)[1], 2);
        interrupter.interrupt();
        second.answer(0);
        assert_eq!(second.switch().unwrap(), Exit::Interrupted);
        // What was mapped before is not here.
        second.regs().unwrap().set_ip(Addr(CODE));
        assert!(matches!(second.switch().unwrap(), Exit::Fault { .. }));
    });
}

#[test]
fn spaces_come_and_go() {
    on_all(|platform, memory| {
        for n in 0..100 {
            let guest = Guest::new(platform.clone(), memory.clone(), code::count());
            let mut context = guest.context_with(&[0, n]);
            assert_eq!(next_call(&mut *context)[1], n + 1);
        }
        assert_eq!(memory.usage().used, 0);
        platform.barrier().unwrap();
        assert!(platform.limits().max_address > Addr(1 << 38));
        assert!(PAGE_SIZE.is_multiple_of(4096));
    });
}

#[test]
fn spaces_made_at_the_same_time_are_apart() {
    // More makers than CPUs, so that a new stub is still starting when the next is asked for.
    const MAKERS: usize = 6;
    on_all(|platform, memory| {
        let (done, made) = std::sync::mpsc::channel();
        // Not scoped: a maker that waits for ever is to fail the test, not to hang it.
        for _ in 0..MAKERS {
            let (platform, memory, done) = (platform.clone(), memory.clone(), done.clone());
            std::thread::spawn(move || {
                for n in 0..60 {
                    let guest = Guest::new(platform.clone(), memory.clone(), code::count());
                    let mut context = guest.context_with(&[0, n]);
                    assert_eq!(next_call(&mut *context)[1], n + 1);
                }
                done.send(()).unwrap();
            });
        }
        drop(done);
        for _ in 0..MAKERS {
            let result = made.recv_timeout(PATIENCE);
            assert!(result.is_ok(), "a maker is lost: {result:?}");
        }
    });
}

#[test]
fn a_parent_changes_at_once_behind_a_clone() {
    with_guest(code::load(), |guest| {
        let Some(cloner) = guest.space.cloner() else {
            return;
        };
        guest.data.write(0, &1_u64.to_ne_bytes());
        for _ in 0..300 {
            let child = cloner.clone_space().unwrap();
            // Calls that would show in the child if it made them.
            guest.apply(&[unmap(DATA, 1), unmap(DATA, 1), unmap(DATA, 1)]);
            let mut context = guest.platform.new_context(&child).unwrap();
            *context.regs().unwrap() = start_regs(&[DATA]);
            assert_eq!(next_call(&mut *context)[1], 1);
            guest.apply(&[map(DATA, &guest.data, RW)]);
        }
    });
}
