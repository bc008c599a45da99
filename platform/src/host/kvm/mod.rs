//! What the KVM platform needs of the host, beside the calls of kvm-ioctls.
//!
//! Invariant `[run-page]`: the thread's pointer to `immediate_exit` is set only while the
//! page that it points into is borrowed ([`Armed`]).

#[cfg_attr(target_arch = "aarch64", path = "machine_aarch64.rs")]
#[cfg_attr(target_arch = "x86_64", path = "machine_x86_64.rs")]
mod machine;

use std::cell::Cell;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::atomic::{AtomicU8, Ordering, compiler_fence};

use arch::abi::num::{u64_of, usize_of};
use arch::abi::{Errno, PAGE_SIZE};
use kvm_bindings::kvm_device_attr;
use nix::sys::signal::SigSet;

use super::errors::{check_int, check_long};
use super::{HostRule, Window, rule};
pub(crate) use machine::*;

/// Rules of kvm-ioctls: requests of ioctl(2). Source: include/uapi/linux/kvm.h.
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
];

/// KVM_SET_DEVICE_ATTR, which kvm-ioctls does not have for all that take it.
const SET_DEVICE_ATTR: u64 = 0x4018_aee1;

/// Sets an attribute, by its group and number, of a virtual machine or CPU.
///
/// # Safety
/// `value` is of the type that the attribute has.
unsafe fn set_attribute<T>(
    of: BorrowedFd<'_>,
    [group, number]: [u32; 2],
    value: &T,
) -> Result<(), Errno> {
    let attribute = kvm_device_attr {
        flags: 0,
        group,
        attr: u64::from(number),
        addr: u64_of(ptr::from_ref(value).expose_provenance()),
    };
    // SAFETY: [fd], [buffer] all live across the call.
    check_int(unsafe { libc::ioctl(of.as_raw_fd(), SET_DEVICE_ATTR, &raw const attribute) })
        .map(drop)
}

/// The reserved signal that brings a thread back from KVM_RUN: SIGRTMAX.
const KICK: i32 = 64;

thread_local! {
    /// `immediate_exit` of the virtual CPU that this thread is about to run.
    static IMMEDIATE_EXIT: Cell<*const AtomicU8> = const { Cell::new(ptr::null()) };
}

/// Kicks that hit a thread between its last look and KVM_RUN.
extern "C" fn on_kick(_signal: i32) {
    let flag = IMMEDIATE_EXIT.get();
    if !flag.is_null() {
        // SAFETY: [run-page].
        unsafe { &*flag }.store(1, Ordering::Release);
    }
}

/// Installs the handler of kicks. Before confinement.
pub(crate) fn handle_kicks() -> Result<(), Errno> {
    // Other host calls of the sentry go on; KVM_RUN does not.
    let handler: extern "C" fn(i32) = on_kick;
    #[expect(clippy::as_conversions, reason = "the C struct holds it as a number")]
    let action = libc::sigaction {
        sa_sigaction: handler as libc::sighandler_t,
        sa_mask: *SigSet::empty().as_ref(),
        sa_flags: libc::SA_RESTART,
        sa_restorer: None,
    };
    // SAFETY: [buffer] a live action, whose handler only touches a thread-local and an atomic.
    check_int(unsafe { libc::sigaction(KICK, &raw const action, ptr::null_mut()) }).map(drop)
}

/// Lets kicks through to the calling thread.
pub(crate) fn admit_kicks() -> Result<(), Errno> {
    let mask = 1_u64 << (KICK - 1);
    let old = ptr::null_mut::<u64>();
    // SAFETY: [buffer] a live mask of the kernel's size.
    check_long(unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_UNBLOCK,
            &raw const mask,
            old,
            size_of::<u64>(),
        )
    })
    .map(drop)
}

/// Brings `tid`, a thread of this process, back from KVM_RUN.
pub(crate) fn kick(tid: i32) {
    // ESRCH: it has ended since.
    let _ = super::signal_thread(super::pid(), tid, KICK);
}

/// The page that a virtual CPU shares with its host (`struct kvm_run`), mapped once more.
/// kvm-ioctls has it too, but not for other threads.
#[derive(Debug)]
pub(crate) struct RunPage(Window);

impl RunPage {
    /// Of this virtual CPU.
    pub(crate) fn of(vcpu: BorrowedFd<'_>) -> Result<Self, Errno> {
        let len = NonZeroUsize::new(usize_of(PAGE_SIZE)).ok_or(Errno::EINVAL)?;
        Window::shared(vcpu, len).map(Self)
    }

    /// `immediate_exit`: KVM_RUN does not run while it is set.
    fn immediate_exit(&self) -> *const AtomicU8 {
        const OFFSET: usize = 1;
        self.0.at(OFFSET).cast_const().cast()
    }

    /// From here on until the value is dropped, a kick of the calling thread ends its
    /// next KVM_RUN at once. What made an earlier one end is forgotten.
    pub(crate) fn arm(&self) -> Armed<'_> {
        let flag = self.immediate_exit();
        // SAFETY: [run-page] mapped for as long as `self`.
        unsafe { &*flag }.store(0, Ordering::Release);
        IMMEDIATE_EXIT.set(flag);
        // The handler runs on this thread: the order of the program is all it takes.
        compiler_fence(Ordering::SeqCst);
        Armed(PhantomData)
    }
}

/// See [`RunPage::arm`].
#[must_use]
pub(crate) struct Armed<'a>(PhantomData<&'a RunPage>);

impl Drop for Armed<'_> {
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst);
        IMMEDIATE_EXIT.set(ptr::null());
    }
}
