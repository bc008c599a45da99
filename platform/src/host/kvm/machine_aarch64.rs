//! The host's KVM on arm64.

use std::os::fd::{AsRawFd, BorrowedFd};

use arch::abi::Errno;
use kvm_bindings::{
    KVM_ARM_VM_SMCCC_CTRL, KVM_ARM_VM_SMCCC_FILTER, kvm_arm_counter_offset, kvm_smccc_filter,
    kvm_smccc_filter_action_KVM_SMCCC_FILTER_FWD_TO_USER as TO_USER,
};

use super::super::errors::check_int;
use super::super::{HostRule, rule};
use super::set_attribute;

/// Rules that this machine needs beside [`RULES`](super::RULES).
pub(crate) const MACHINE_RULES: &[HostRule] = &[
    rule!(
        SYS_ioctl,
        &[(1, 0x4008_ae61)],
        "KVM_IRQ_LINE: the program is to come back with its registers"
    ),
    rule!(
        SYS_ioctl,
        &[(1, 0x4020_aeae)],
        "KVM_ARM_VCPU_INIT: a new vCPU"
    ),
    rule!(
        SYS_ioctl,
        &[(1, 0x4010_aeac)],
        "KVM_SET_ONE_REG: a new vCPU"
    ),
];

/// KVM_ARM_SET_COUNTER_OFFSET.
const SET_COUNTER_OFFSET: u64 = 0x4010_aeb5;

/// Has a virtual machine read the host's counter as it is. `EINVAL` or `ENOTTY`: this host's
/// KVM (before 6.4) cannot be told.
pub(crate) fn same_counter(vm: BorrowedFd<'_>) -> Result<(), Errno> {
    let offset = kvm_arm_counter_offset::default();
    // SAFETY: [fd], [buffer] both live across the call.
    check_int(unsafe { libc::ioctl(vm.as_raw_fd(), SET_COUNTER_OFFSET, &raw const offset) })
        .map(drop)
}

/// Has HVC calls of `count` functions from `first` on leave a virtual machine for its
/// host's process. `ENXIO`: this host's KVM (before 6.4) cannot.
pub(crate) fn forward_calls(vm: BorrowedFd<'_>, first: u32, count: u32) -> Result<(), Errno> {
    let filter = kvm_smccc_filter {
        base: first,
        nr_functions: count,
        action: u8::try_from(TO_USER).map_err(|_| Errno::EINVAL)?,
        pad: [0; 15],
    };
    let attribute = [KVM_ARM_VM_SMCCC_CTRL, KVM_ARM_VM_SMCCC_FILTER];
    // SAFETY: the attribute is a filter.
    unsafe { set_attribute(vm, attribute, &filter) }
}
