//! What a virtual CPU has cached of a page table is gone when a change is done: on the
//! CPU that ran last and on another that does not stop.

use std::sync::mpsc;
use std::time::Duration;

use arch::abi::{Addr, PAGE_SIZE};
use platform::kvm::recycle;
use platform::{Access, AddressSpace, Change, Context, Exit, Prot};

use super::super::code;
use super::super::harness::{
    CODE, DATA, Guest, RW, RX, code_page, map, protect, start_regs, unmap, with_kvm,
};

/// How long what has to come at once may take.
const PATIENCE: Duration = Duration::from_secs(5);

const AT: u64 = DATA + 3 * PAGE_SIZE;

/// What came of a program that spins in a thread of its own while `change` is done.
/// `Interrupted` if it was still spinning long after.
fn spinning(guest: &Guest, change: &Change<'_>) -> Exit {
    let (tell, started) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    guest.data.write(0, &[0; 4]);
    std::thread::scope(|scope| {
        let spinner = scope.spawn(move || {
            let mut context = guest.context_with(&[AT, DATA]);
            tell.send(context.interrupter()).unwrap();
            let exit = context.switch().unwrap();
            end.send(()).unwrap();
            exit
        });
        let interrupter = started.recv().unwrap();
        while guest.data.load_u32(0) == Some(0) && !spinner.is_finished() {
            std::thread::yield_now();
        }
        guest.apply(std::slice::from_ref(change));
        if ended.recv_timeout(PATIENCE).is_err() {
            interrupter.interrupt();
        }
        spinner.join().unwrap()
    })
}

/// The access that a spinner at `AT` faulted with.
fn fault(exit: Exit) -> Access {
    match exit {
        Exit::Fault { at, access } if at.page_down() == Addr(AT) => access,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_spinning_store_notices_a_downgrade() {
    with_kvm(code::keep_storing(), |guest| {
        let exit = spinning(guest, &protect(AT, 1, Prot::READ));
        assert_eq!(fault(exit), Access::Write);
        let stored = guest.data.load_u64(3 * PAGE_SIZE);
        assert!(stored > Some(0));
        assert_eq!(guest.data.load_u64(3 * PAGE_SIZE), stored);
    });
}

#[test]
fn a_spinning_load_notices_that_its_page_is_gone() {
    with_kvm(code::keep_loading(), |guest| {
        guest.data.write(3 * PAGE_SIZE, &1_u64.to_ne_bytes());
        assert_eq!(fault(spinning(guest, &unmap(AT, 1))), Access::Read);
    });
    with_kvm(code::keep_loading(), |guest| {
        guest.data.write(3 * PAGE_SIZE, &1_u64.to_ne_bytes());
        let none = protect(AT, 1, Prot::empty());
        assert_eq!(fault(spinning(guest, &none)), Access::Read);
    });
}

#[test]
fn a_spinning_load_notices_another_page() {
    with_kvm(code::keep_loading(), |guest| {
        guest.data.write(3 * PAGE_SIZE, &1_u64.to_ne_bytes());
        let other = guest.memory.allocate(1, None).unwrap();
        other.write(0, &2_u64.to_ne_bytes());
        let exit = spinning(guest, &map(AT, &other, RW));
        assert!(
            matches!(exit, Exit::Syscall { args: [2, ..], .. }),
            "{exit:?}"
        );
    });
}

#[test]
fn spinning_code_notices_that_it_is_code_no_more() {
    with_kvm(code::go(), |guest| {
        let page = code_page(&guest.memory, code::stay());
        guest.apply(&[map(AT, &page, RX)]);
        let exit = spinning(guest, &protect(AT, 1, Prot::READ));
        assert_eq!(fault(exit), Access::Execute);
    });
}

/// Runs from the start with these arguments.
fn run(context: &mut dyn Context, args: &[u64]) -> Exit {
    *context.regs().unwrap() = start_regs(args);
    context.switch().unwrap()
}

#[test]
fn the_same_cpu_notices_every_change() {
    with_kvm(code::store(), |guest| {
        let mut context = guest.context();
        let others: Vec<_> = (0..2)
            .map(|_| guest.memory.allocate(1, None).unwrap())
            .collect();
        for n in 1..100_u64 {
            let page = &others[usize::try_from(n % 2).unwrap()];
            guest.apply(&[map(AT, page, RW)]);
            assert!(matches!(run(&mut *context, &[AT, n]), Exit::Syscall { .. }));
            assert_eq!(page.load_u64(0), Some(n));
            let away = if n % 3 == 0 {
                unmap(AT, 1)
            } else {
                protect(AT, 1, Prot::READ)
            };
            guest.apply(&[away]);
            assert_eq!(fault(run(&mut *context, &[AT, n + 1000])), Access::Write);
            assert_eq!(page.load_u64(0), Some(n));
        }
    });
}

/// A space with `code` and a page with `value` at `at`; it ends with the guest's memory.
fn space_with(
    guest: &Guest,
    at: u64,
    value: u64,
) -> (
    std::sync::Arc<dyn AddressSpace>,
    [platform::memory::FrameRun; 2],
) {
    let space = guest.platform.new_address_space().unwrap();
    let page = code_page(&guest.memory, code::load());
    let data = guest.memory.allocate(1, None).unwrap();
    data.write(0, &value.to_ne_bytes());
    space
        .apply(&[map(CODE, &page, RX), map(at, &data, Prot::READ)])
        .unwrap();
    (space, [page, data])
}

#[test]
fn a_table_in_its_next_life_leads_where_it_says() {
    with_kvm(code::load(), |guest| {
        for n in 0..60_u64 {
            // Elsewhere each time: a table is the lowest in one life, higher in another.
            let at = DATA + ((n + 1) << (12 + 9 * (n % 4)));
            let (space, pages) = space_with(guest, at, n);
            let mut context = guest.platform.new_context(&space).unwrap();
            let exit = run(&mut *context, &[at]);
            assert!(
                matches!(exit, Exit::Syscall { args: [_, seen, ..], .. } if seen == n),
                "{n}: {exit:?}"
            );
            // What the life before had there is not.
            let before = DATA + (n << (12 + 9 * ((n + 3) % 4)));
            if n > 0 && before != at {
                let exit = run(&mut *context, &[before]);
                assert!(matches!(exit, Exit::Fault { .. }), "{n}: {exit:?}");
            }
            drop((context, space, pages));
            recycle(&guest.space).unwrap();
        }
    });
}

/// Whether this host keeps what it derived from page tables until it is told: it has no
/// nested paging, or does not use it.
#[cfg(debug_assertions)]
fn host_keeps_tables() -> bool {
    let npt = std::fs::read_to_string("/sys/module/kvm_amd/parameters/npt");
    let ept = std::fs::read_to_string("/sys/module/kvm_intel/parameters/ept");
    std::path::Path::new("/sys/module/kvm_pvm").exists()
        || [npt, ept]
            .into_iter()
            .flatten()
            .any(|used| matches!(used.trim(), "0" | "N"))
}

/// The cases above fail where nothing is flushed: they do so here, on purpose.
#[cfg(debug_assertions)]
#[test]
fn these_cases_would_notice() {
    use platform::kvm::sabotage::keep_stale;
    if !host_keeps_tables() {
        eprintln!("skipped: this host reads page tables itself");
        return;
    }
    let stale = |code: &[u8], change: &dyn Fn(&Guest) -> Change<'static>, still: &str| {
        with_kvm(code, |guest| {
            guest.data.write(3 * PAGE_SIZE, &1_u64.to_ne_bytes());
            keep_stale(&guest.space, true).unwrap();
            let exit = spinning(guest, &change(guest));
            assert_eq!(exit, Exit::Interrupted, "{still}");
        });
    };
    let downgrade = |_: &Guest| protect(AT, 1, Prot::READ);
    stale(
        code::keep_storing(),
        &downgrade,
        "a store beside a downgrade",
    );
    stale(
        code::keep_loading(),
        &|_| unmap(AT, 1),
        "a load of what is gone",
    );
    with_kvm(code::store(), |guest| {
        keep_stale(&guest.space, true).unwrap();
        let mut context = guest.context();
        assert!(matches!(run(&mut *context, &[AT, 1]), Exit::Syscall { .. }));
        guest.apply(&[protect(AT, 1, Prot::READ)]);
        let exit = run(&mut *context, &[AT, 2]);
        assert!(
            matches!(exit, Exit::Syscall { .. }),
            "the same CPU: {exit:?}"
        );
        keep_stale(&guest.space, false).unwrap();
        guest.apply(&[protect(AT, 1, RW), protect(AT, 1, Prot::READ)]);
        assert_eq!(fault(run(&mut *context, &[AT, 3])), Access::Write);
    });
}
