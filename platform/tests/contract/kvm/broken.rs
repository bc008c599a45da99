//! A machine that got lost: the program on it is, too, with a reason, and nobody waits.

use arch::abi::PAGE_SIZE;
use platform::PlatformError;
use platform::kvm::sabotage::spoil;

use super::super::harness::{start_regs, with_kvm};
use super::super::pieces::pieces;

pieces! {
    stumble: "ud2";
}

/// More contexts than a machine ever has virtual CPUs.
const MANY: usize = 70;

#[test]
fn a_triple_fault_loses_the_program_and_nobody_waits() {
    with_kvm(stumble(), |guest| {
        let mut context = guest.context();
        assert!(context.switch().is_ok());
        let mut others: Vec<_> = (0..3).map(|_| guest.context()).collect();
        // No interrupt table: an exception is a second one, and that a third.
        let page = vec![0; usize::try_from(PAGE_SIZE).unwrap()];
        spoil(&guest.space, PAGE_SIZE, &page).unwrap();
        *context.regs().unwrap() = start_regs(&[]);
        let told = match context.switch() {
            Err(PlatformError::Dead { how }) => how,
            other => panic!("{other:?}"),
        };
        assert!(told.contains("Shutdown"), "{told}");
        // Every other virtual CPU goes the same way; in the end there is none.
        std::thread::scope(|scope| {
            for _ in 0..MANY {
                let lost = scope.spawn(|| guest.context().switch().is_err());
                assert!(lost.join().unwrap());
            }
        });
        for context in &mut others {
            match context.switch() {
                Err(PlatformError::Dead { how }) => assert!(how.contains("lost"), "{how}"),
                other => panic!("{other:?}"),
            }
        }
    });
}
