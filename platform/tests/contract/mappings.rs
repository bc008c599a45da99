//! Changes of mappings take effect at once.

use std::sync::mpsc;

use arch::abi::{Addr, PAGE_SIZE};
use platform::{Access, Backing, Change, Exit, Fill, Prot};

use super::code;
use super::harness::{DATA, DATA_PAGES, RW, map, next_call, protect, unmap, with_guest};

#[test]
fn a_page_can_be_replaced_protected_and_taken_away() {
    with_guest(code::load(), |guest| {
        let mut context = guest.context_with(&[DATA]);
        guest.data.write(0, &1_u64.to_ne_bytes());
        assert_eq!(next_call(&mut *context)[1], 1);
        // The sentry's writes are seen at once.
        guest.data.write(0, &2_u64.to_ne_bytes());
        context.answer(DATA);
        assert_eq!(next_call(&mut *context)[1], 2);
        let other = guest.memory.allocate(1, None).unwrap();
        other.write(0, &3_u64.to_ne_bytes());
        guest.apply(&[map(DATA, &other, Prot::READ)]);
        context.answer(DATA);
        assert_eq!(next_call(&mut *context)[1], 3);
        guest.apply(&[unmap(DATA, 1)]);
        context.answer(DATA);
        let fault = |access| Exit::Fault {
            at: Addr(DATA),
            access,
        };
        assert_eq!(context.switch().unwrap(), fault(Access::Read));
        guest.apply(&[map(DATA, &guest.data.slice(0, 1), Prot::READ)]);
        assert_eq!(next_call(&mut *context)[1], 2);
        // In one batch, in order.
        guest.apply(&[
            unmap(DATA, DATA_PAGES),
            map(DATA, &other, RW),
            protect(DATA, 1, Prot::READ),
        ]);
        context.answer(DATA);
        assert_eq!(next_call(&mut *context)[1], 3);
    });
}

#[test]
fn changes_reach_a_running_guest() {
    with_guest(code::wait_change(), |guest| {
        let space = &guest.space;
        let memory = &guest.memory;
        for round in 1..30_u64 {
            let mut context = guest.context_with(&[DATA, 0]);
            let page = memory.allocate(1, None).unwrap();
            let (ready, go) = mpsc::channel::<()>();
            let page = &page;
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    go.recv().unwrap();
                    page.write(0, &round.to_ne_bytes());
                    space.apply(&[map(DATA, page, Prot::READ)]).unwrap();
                });
                ready.send(()).unwrap();
                assert_eq!(next_call(&mut *context)[0], round);
            });
            guest.apply(&[map(DATA, &guest.data.slice(0, 1), RW)]);
        }
    });
}

#[test]
fn a_running_guest_loses_a_page_at_once() {
    with_guest(code::wait_change(), |guest| {
        let space = &guest.space;
        let mut context = guest.context_with(&[DATA, 0]);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                space.apply(&[unmap(DATA, 1)]).unwrap();
                // In effect when it returns: what the sentry does with the frame from
                // here on is not seen.
                guest.data.write(0, &[0xff; 8]);
            });
            let exit = context.switch().unwrap();
            assert!(
                matches!(exit, Exit::Fault { at: Addr(DATA), .. }),
                "{exit:?}"
            );
        });
    });
}

#[test]
fn holes_are_no_error() {
    with_guest(code::load(), |guest| {
        let base = DATA + 0x10_0000;
        let page = guest.memory.allocate(1, None).unwrap();
        guest.apply(&[
            map(base + PAGE_SIZE, &page, RW),
            map(base + 5 * PAGE_SIZE, &page, RW),
            protect(base, 10, Prot::READ),
            unmap(base + 2 * PAGE_SIZE, 3),
            unmap(base + 0x1000_0000, 3),
            protect(base + 0x1000_0000, 3, RW),
        ]);
        page.write(0, &5_u64.to_ne_bytes());
        let mut context = guest.context_with(&[base + 5 * PAGE_SIZE]);
        assert_eq!(next_call(&mut *context)[1], 5);
    });
}

#[test]
fn changes_outside_the_guests_range_are_refused() {
    with_guest(code::load(), |guest| {
        let limits = guest.platform.limits();
        let page = guest.memory.allocate(1, None).unwrap();
        let top = limits.max_address.0;
        let bad = [
            map(top, &page, RW),
            map(u64::MAX - PAGE_SIZE + 1, &page, RW),
            map(DATA + 1, &page, RW),
            map(0, &page, RW),
            unmap(top - PAGE_SIZE, 2),
            protect(top - PAGE_SIZE, 2, RW),
            unmap(DATA, 0),
            unmap(DATA, u64::MAX / PAGE_SIZE),
        ];
        for change in bad {
            let space = guest.platform.new_address_space().unwrap();
            assert!(
                space.apply(std::slice::from_ref(&change)).is_err(),
                "{change:?}"
            );
        }
        // The last page is a guest's.
        guest.apply(&[map(top - PAGE_SIZE, &page, RW)]);
        guest.apply(&[map(limits.min_address.0, &page, RW)]);
        let mut context = guest.context_with(&[top - 8]);
        next_call(&mut *context);
    });
}

#[test]
fn long_batches_are_carried_out_whole() {
    with_guest(code::load(), |guest| {
        let base = DATA + 0x10_0000;
        let two = guest.memory.allocate(2, None).unwrap();
        two.write(0, &10_u64.to_ne_bytes());
        two.write(PAGE_SIZE, &11_u64.to_ne_bytes());
        // Alternating, so that they do not merge.
        let changes: Vec<_> = (0..1000)
            .map(|n| Change::Map {
                at: Addr(base + n * PAGE_SIZE),
                len: PAGE_SIZE,
                backing: Backing::Memory {
                    offset: two.offset() + (n + 1) % 2 * PAGE_SIZE,
                },
                prot: Prot::READ,
                fill: if n % 3 == 0 { Fill::Now } else { Fill::Lazy },
            })
            .collect();
        guest.apply(&changes);
        for n in [0, 1, 71, 72, 73, 500, 999] {
            let mut context = guest.context_with(&[base + n * PAGE_SIZE]);
            assert_eq!(next_call(&mut *context)[1], 10 + (n + 1) % 2);
        }
        assert!(guest.space.mapping_limit().is_none_or(|limit| limit > 1000));
    });
}
