//! The host's KVM on x86-64.

use std::os::fd::{AsRawFd, BorrowedFd};

use arch::abi::Errno;
use arch::abi::num::u64_of;
use kvm_bindings::{KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET, kvm_device_attr};

use super::super::errors::check_int;
use super::super::{HostRule, rule};

/// Rules of this file and of kvm-ioctls: requests of ioctl(2). Source:
/// include/uapi/linux/kvm.h.
pub(crate) const RULES: &[HostRule] = &[
    rule!(SYS_ioctl, &[(1, 0xae80)], "KVM_RUN: the program runs"),
    rule!(
        SYS_ioctl,
        &[(1, 0xae41)],
        "KVM_CREATE_VCPU: as more threads run"
    ),
    rule!(
        SYS_ioctl,
        &[(1, 0x4020_ae46)],
        "KVM_SET_USER_MEMORY_REGION: memory grows"
    ),
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

/// KVM_SET_DEVICE_ATTR, which kvm-ioctls has for other machines only.
const SET_DEVICE_ATTR: u64 = 0x4018_aee1;

/// Has a virtual CPU read the host's time-stamp counter as it is: KVM_VCPU_TSC_OFFSET.
/// `ENXIO`: this host's KVM (before 5.16) cannot be told.
pub(crate) fn same_counter(vcpu: BorrowedFd<'_>) -> Result<(), Errno> {
    let offset = 0_u64;
    let attribute = kvm_device_attr {
        flags: 0,
        group: KVM_VCPU_TSC_CTRL,
        attr: u64::from(KVM_VCPU_TSC_OFFSET),
        addr: u64_of((&raw const offset).expose_provenance()),
    };
    // SAFETY: [fd], [buffer] both live across the call.
    check_int(unsafe { libc::ioctl(vcpu.as_raw_fd(), SET_DEVICE_ATTR, &raw const attribute) })
        .map(drop)
}
