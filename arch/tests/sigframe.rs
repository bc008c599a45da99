//! The host's kernel as oracle of signal frames: it takes ours, and we take its.
//!
//! [child]: runs in a forked child of a test that has the process to itself.
//! [kernel-frame]: addresses in a frame the kernel has just made are valid.

#![expect(
    clippy::unwrap_used,
    reason = "a test's own functions, too, may fail it"
)]
#![expect(
    clippy::as_conversions,
    reason = "the only way to a function's address"
)]

use arch::abi::num::{u64_of, usize_of};
use arch::abi::signal::{SaFlags, Sigaction, StackT};
use arch::abi::{Addr, Errno, SigInfo, SigSet, Signal};
use arch::sigframe::{Delivery, Restored, build, parse};
use arch::{FpState, Regs};
use std::arch::asm;
use std::sync::Mutex;

const INTEGER: u64 = 0x1234_5678_9abc;
const FLOAT: f64 = 2.75;

/// Where rt_sigreturn(2) ends up: the first arguments of this function are restored registers.
extern "C" fn landed(integer: u64, float: f64) -> ! {
    let status = if integer == INTEGER && float.to_bits() == FLOAT.to_bits() {
        42
    } else {
        1
    };
    // SAFETY: [child] ends it at once.
    unsafe { libc::_exit(status) }
}

fn address(function: *const ()) -> u64 {
    u64_of(function.expose_provenance())
}

/// Writes the frame into its place and makes rt_sigreturn(2) take it.
fn take(at: Addr, bytes: &[u8]) -> ! {
    let to = std::ptr::with_exposed_provenance_mut::<u8>(usize_of(at.0));
    // SAFETY: [child] the frame lies within the stack that the caller made for it.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    #[cfg(target_arch = "x86_64")]
    // SAFETY: [child] does not come back.
    unsafe {
        asm!("mov rsp, {}", "mov eax, 15", "syscall", "ud2", in(reg) at.0 + 8, options(noreturn));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: [child] does not come back.
    unsafe {
        asm!("mov sp, {}", "mov x8, #139", "svc #0", "udf #0", in(reg) at.0, options(noreturn));
    }
}

fn float_state() -> FpState {
    let mut fp = FpState::new();
    let bytes = fp.as_mut_bytes();
    let (float, present) = if cfg!(target_arch = "x86_64") {
        (160, bytes.get_mut(512))
    } else {
        (0, None)
    };
    if let Some(present) = present {
        *present |= 2;
    }
    let place = bytes.get_mut(float..float + 8).unwrap();
    place.copy_from_slice(&FLOAT.to_le_bytes());
    fp
}

#[test]
fn the_kernel_takes_our_frame() {
    let stack = vec![0_u128; 4096];
    let top = u64_of(stack.as_ptr_range().end.expose_provenance());
    let ip = address(landed as *const ());
    let sp = if cfg!(target_arch = "x86_64") {
        top - 264
    } else {
        top - 256
    };
    let mut regs = Regs::new_program(Addr(ip), Addr(sp));
    regs.set_arg(0, INTEGER);
    let frame = build(&Delivery {
        regs: &regs,
        fp: &float_state(),
        info: &SigInfo::kill(Signal::SIGUSR1, 0, 1, 0),
        action: &Sigaction {
            handler: ip,
            flags: (SaFlags::SIGINFO | SaFlags::RESTORER).bits(),
            restorer: ip,
            mask: SigSet::EMPTY,
        },
        mask: SigSet::EMPTY,
        altstack: StackT::default(),
        fault: None,
        trampoline: None,
    })
    .unwrap();
    // SAFETY: [child] only calls what is safe after fork.
    let child = unsafe { libc::fork() };
    if child == 0 {
        take(frame.at, &frame.bytes);
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    let done = unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(done, child);
    assert!(libc::WIFEXITED(status), "status {status:#x}");
    assert_eq!(libc::WEXITSTATUS(status), 42);
}

static TAKEN: Mutex<Option<Result<Restored, Errno>>> = Mutex::new(None);
static CONTEXT: Mutex<Option<(u64, u64)>> = Mutex::new(None);

/// A state as large as the host's: the kernel saves SVE's registers where there are some.
#[cfg(target_arch = "x86_64")]
fn host_state() -> FpState {
    FpState::new()
}

#[cfg(target_arch = "aarch64")]
fn host_state() -> FpState {
    use arch::current::fp::Sve;
    let mut fp = FpState::new();
    // SAFETY: PR_SVE_GET_VL takes no pointers.
    let vl = unsafe { libc::prctl(51) };
    if let Ok(vl) = u16::try_from(vl & 0xffff) {
        let size = Sve::size(vl).unwrap_or(0);
        fp.set_sve(Sve::new(vl, &vec![0; size]).ok());
    }
    fp
}

extern "C" fn handler(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let at = u64_of(context.expose_provenance());
    let mut regs = Regs::default();
    // rt_sigreturn(2) finds the frame by the stack pointer: past the return address
    // on x86-64, at the siginfo on arm64.
    let sp = if cfg!(target_arch = "x86_64") {
        at
    } else {
        at - 128
    };
    regs.set_sp(Addr(sp));
    let mut read = |from: Addr, to: &mut [u8]| {
        let from = std::ptr::with_exposed_provenance::<u8>(usize_of(from.0));
        // SAFETY: [kernel-frame]
        unsafe { std::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) };
        Ok(())
    };
    *TAKEN.lock().unwrap() = Some(parse(&regs, &host_state(), &mut read));
    // SAFETY: [kernel-frame] the third argument is a ucontext.
    let machine = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext };
    *CONTEXT.lock().unwrap() = Some(context_of(machine));
}

#[cfg(target_arch = "x86_64")]
fn context_of(machine: &libc::mcontext_t) -> (u64, u64) {
    let register = |n: i32| {
        let value = machine.gregs.get(usize::try_from(n).unwrap());
        value.unwrap().cast_unsigned()
    };
    (register(libc::REG_RIP), register(libc::REG_RSP))
}

#[cfg(target_arch = "aarch64")]
fn context_of(machine: &libc::mcontext_t) -> (u64, u64) {
    (machine.pc, machine.sp)
}

/// Whether the host adds records of SME, which ringfence does not offer and so refuses.
fn has_sme() -> bool {
    // SAFETY: takes no pointers.
    let features = unsafe { libc::getauxval(libc::AT_HWCAP2) };
    cfg!(target_arch = "aarch64") && features & 1 << 23 != 0
}

#[test]
fn we_take_the_kernels_frame() {
    if has_sme() {
        eprintln!("skipped: we_take_the_kernels_frame: the host's frames hold SME state");
        return;
    }
    // SAFETY: all zero is a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = usize_of(address(handler as *const ()));
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: the handler is called by `raise` below only, outside any lock.
    let done = unsafe { libc::sigaction(libc::SIGUSR2, &action, std::ptr::null_mut()) };
    assert_eq!(done, 0);
    // SAFETY: delivered before the call returns.
    assert_eq!(unsafe { libc::raise(libc::SIGUSR2) }, 0);
    let taken = TAKEN.lock().unwrap().take().unwrap().unwrap();
    let (ip, sp) = CONTEXT.lock().unwrap().take().unwrap();
    assert_eq!((taken.regs.ip().0, taken.regs.sp().0), (ip, sp));
    assert!(!taken.mask.contains(Signal::SIGUSR2));
}
