//! The one way to touch memory that a guest also touches: routines whose faults
//! end them early instead of ending the sentry.
//!
//! Invariants: `[landing]` a fault whose instruction lies between the routines'
//! first and last label continues at a landing that returns to the caller; the
//! routines use no stack and only registers that a call may clobber.
//! `[window-range]` the pointers come from the memory file's window and the whole
//! range lies in it: no Rust object is there, so nothing is aliased or broken.
//! A fault anywhere else is reported on standard error and ends the process.

use std::ffi::c_void;
use std::sync::OnceLock;

use arch::abi::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::host::report;

#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
mod machine;

/// What a routine gives: a value and whether a fault ended it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Landed {
    value: u64,
    faulted: u64,
}

impl Landed {
    fn ok(self) -> Option<u64> {
        (self.faulted == 0).then_some(self.value)
    }

    /// Bytes done of `len`; the value is what a fault left.
    fn done(self, len: usize) -> usize {
        len.saturating_sub(arch::abi::num::usize_of(self.value))
    }
}

/// Copies `len` bytes, which must not overlap; gives how many were.
///
/// # Safety
/// `to` is writable and `from` readable for `len` bytes, or the address is part of
/// a shared mapping, where a missing page is a fault that lands.
pub(super) unsafe fn copy(to: *mut u8, from: *const u8, len: usize) -> usize {
    // SAFETY: [landing], and the caller's promise about both ranges.
    unsafe { machine::ringfence_copy(to, from, len) }.done(len)
}

/// Zeroes `len` bytes; gives how many were.
///
/// # Safety
/// As for [`copy`]'s `to`.
pub(super) unsafe fn zero(to: *mut u8, len: usize) -> usize {
    // SAFETY: [landing], and the caller's promise about the range.
    unsafe { machine::ringfence_zero(to, len) }.done(len)
}

/// The 32-bit value at `from` (aligned), acquire order; `None` on a fault.
///
/// # Safety
/// As for [`copy`]'s `from`.
pub(super) unsafe fn load_u32(from: *const u8) -> Option<u32> {
    // SAFETY: [landing], and the caller's promise about the address.
    unsafe { machine::ringfence_load_u32(from) }
        .ok()
        .map(arch::abi::num::low32)
}

/// The 64-bit value at `from` (aligned), acquire order; `None` on a fault.
///
/// # Safety
/// As for [`copy`]'s `from`.
pub(super) unsafe fn load_u64(from: *const u8) -> Option<u64> {
    // SAFETY: [landing], and the caller's promise about the address.
    unsafe { machine::ringfence_load_u64(from) }.ok()
}

/// Stores `new` at `at` (aligned) if `current` is there; gives what was there,
/// `None` on a fault. Sequentially consistent.
///
/// # Safety
/// As for [`copy`]'s `to`.
pub(super) unsafe fn compare_exchange_u32(at: *mut u8, current: u32, new: u32) -> Option<u32> {
    // SAFETY: [landing], and the caller's promise about the address.
    unsafe { machine::ringfence_cas_u32(at, current, new) }
        .ok()
        .map(arch::abi::num::low32)
}

/// [`compare_exchange_u32`] for 64 bits.
///
/// # Safety
/// As there.
pub(super) unsafe fn compare_exchange_u64(at: *mut u8, current: u64, new: u64) -> Option<u64> {
    // SAFETY: [landing], and the caller's promise about the address.
    unsafe { machine::ringfence_cas_u64(at, current, new) }.ok()
}

/// What handled a signal before us; std's handler tells a stack overflow.
type Before = [OnceLock<SigAction>; 2];
static BEFORE: Before = [const { OnceLock::new() }; 2];

fn before(signal: Signal) -> &'static OnceLock<SigAction> {
    let [segv, bus] = &BEFORE;
    if signal == Signal::SIGBUS { bus } else { segv }
}

/// Makes faults in the routines land. Once per process is enough; idempotent.
pub(super) fn install() -> Result<(), Errno> {
    static DONE: OnceLock<Result<(), Errno>> = OnceLock::new();
    *DONE.get_or_init(|| {
        for signal in [Signal::SIGSEGV, Signal::SIGBUS] {
            let action = SigAction::new(
                SigHandler::SigAction(on_fault),
                SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK,
                SigSet::empty(),
            );
            // SAFETY: [landing] the handler is async-signal-safe: it reads the
            // context and, outside the routines, writes and restores the action.
            let old = unsafe { sigaction(signal, &action) }.map_err(crate::host::from_nix)?;
            let _ = before(signal).set(old);
        }
        Ok(())
    })
}

extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    let context_ptr = context.cast::<libc::ucontext_t>();
    // SAFETY: the kernel passes a ucontext_t to an SA_SIGINFO handler, ours alone
    // until it returns.
    let Some(context) = (unsafe { context_ptr.as_mut() }) else {
        return;
    };
    let ip = machine::ip(context);
    let routines = (&raw const machine::ringfence_copy_start).addr()
        ..(&raw const machine::ringfence_copy_end).addr();
    if routines.contains(&ip) {
        machine::set_ip(context, machine::landing(ip));
        return;
    }
    crash(signal, info, ip);
}

/// Reports a fault that is a defect of the sentry and lets it happen again with
/// the action that was there before.
fn crash(signal: i32, info: *mut libc::siginfo_t, ip: usize) {
    // SAFETY: the kernel passes a siginfo_t to an SA_SIGINFO handler.
    let info = unsafe { info.as_ref() };
    let at = info.map_or(0, |info| {
        // SAFETY: SIGSEGV and SIGBUS fill in the address.
        unsafe { info.si_addr() }.addr()
    });
    let base = (&raw const machine::ringfence_copy_start).addr();
    report::line(format_args!(
        "ringfence: fatal signal {signal} at {ip:#x} (copy routines at {base:#x}) accessing {at:#x}"
    ));
    let signal = if signal == libc::SIGBUS {
        Signal::SIGBUS
    } else {
        Signal::SIGSEGV
    };
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    let action = before(signal).get().unwrap_or(&default);
    // SAFETY: an action that was in force before, or the default one.
    let _ = unsafe { sigaction(signal, action) };
}

#[cfg(test)]
mod tests;
