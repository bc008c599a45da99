//! The host's KVM on x86-64.

use std::os::fd::BorrowedFd;

use arch::abi::Errno;
use kvm_bindings::{KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET};

use super::super::{HostRule, rule};
use super::set_attribute;

/// Rules that this machine needs beside [`RULES`](super::RULES).
pub(crate) const MACHINE_RULES: &[HostRule] = &[
    rule!(SYS_ioctl, &[(1, 0x4008_ae90)], "KVM_SET_CPUID2: a new vCPU"),
    rule!(SYS_ioctl, &[(1, 0x4008_ae89)], "KVM_SET_MSRS: a new vCPU"),
    rule!(SYS_ioctl, &[(1, 0x8138_ae83)], "KVM_GET_SREGS: a new vCPU"),
    rule!(SYS_ioctl, &[(1, 0x4138_ae84)], "KVM_SET_SREGS: a new vCPU"),
    rule!(SYS_ioctl, &[(1, 0x4188_aea7)], "KVM_SET_XCRS: a new vCPU"),
    rule!(
        SYS_ioctl,
        &[(1, 0x4018_aee1)],
        "KVM_SET_DEVICE_ATTR: a new vCPU's clock"
    ),
    rule!(
        SYS_ioctl,
        &[(1, 0x9000_aecf)],
        "KVM_GET_XSAVE2: vector state"
    ),
    rule!(
        SYS_ioctl,
        &[(1, 0x9000_aea4)],
        "KVM_GET_XSAVE: vector state"
    ),
    rule!(
        SYS_ioctl,
        &[(1, 0x5000_aea5)],
        "KVM_SET_XSAVE: vector state"
    ),
];

/// Has a virtual CPU read the host's time-stamp counter as it is: KVM_VCPU_TSC_OFFSET.
/// `ENXIO`: this host's KVM (before 5.16) cannot be told.
pub(crate) fn same_counter(vcpu: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: the attribute is a number of 64 bits.
    unsafe { set_attribute(vcpu, [KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET], &0_u64) }
}
