//! What there is to say about this host's KVM.

use std::os::fd::{AsRawFd, BorrowedFd};

use arch::aarch64::el1::stub;
use arch::aarch64::el1::timer::runs_at_el2;

use crate::host;

/// For `ringfence doctor`: which level the host's kernel runs at, as far as that can be
/// told, and how programs' machines are left.
#[must_use]
pub fn nature() -> String {
    let interrupts = std::fs::read_to_string("/proc/interrupts").unwrap_or_default();
    let level = match runs_at_el2(&interrupts) {
        Some(true) => "kernel at EL2 (VHE), by its timer",
        Some(false) => "kernel at EL1 (no VHE), by its timer",
        None => "whether the kernel runs at EL2 (VHE) cannot be told from here",
    };
    format!("{level}; machines are left by {}", way())
}

fn way() -> &'static str {
    let made = kvm_ioctls::Kvm::new().and_then(|kvm| kvm.create_vm());
    let Ok(vm) = made else {
        return "no way, as none can be made";
    };
    // SAFETY: [fd] open for as long as `vm`.
    let fd = unsafe { BorrowedFd::borrow_raw(vm.as_raw_fd()) };
    match host::kvm::forward_calls(fd, stub::CALL, stub::CALLS) {
        Ok(()) => "HVC, which the kernel hands on",
        Err(_) => "a store to no memory, as this kernel (before 6.4) hands no HVC on",
    }
}
