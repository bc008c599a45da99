//! sigaltstack(2) and the frame on the stack.

use crate::support::*;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

crate::cases!("signals":
    altstack_used_with_onstack, altstack_roundtrip, altstack_errors, altstack_busy_in_handler, altstack_per_thread,
    altstack_survives_fork, altstack_catches_overflow, altstack_autodisarm, frame_is_aligned, no_room_for_frame_kills,
    altstack_nested_handlers, siglongjmp_style_exit,
);

static AT: AtomicU64 = AtomicU64::new(0);
static FLAGS: AtomicU64 = AtomicU64::new(99);

extern "C" fn note_stack(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    let here = 0_u8;
    AT.store(&raw const here as u64, SeqCst);
    unsafe {
        let mut old: stack_t = std::mem::zeroed();
        sigaltstack(null(), &raw mut old);
        FLAGS.store(old.ss_flags as u64, SeqCst);
    }
}

const SIZE: usize = 64 * 1024;

unsafe fn new_stack(flags: c_int) -> stack_t {
    let at = ok(mmap(
        null_mut(),
        SIZE,
        PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS,
        -1,
        0,
    ));
    let stack = stack_t {
        ss_sp: at,
        ss_flags: flags,
        ss_size: SIZE,
    };
    ok(sigaltstack(&raw const stack, null_mut()));
    stack
}

fn within(at: u64, stack: &stack_t) -> bool {
    (stack.ss_sp as u64..stack.ss_sp as u64 + SIZE as u64).contains(&at)
}

unsafe fn altstack_used_with_onstack() {
    let stack = new_stack(0);
    handle(SIGUSR1, note_stack, SA_ONSTACK);
    ok(raise(SIGUSR1));
    check(within(AT.load(SeqCst), &stack), "on the other stack");
    eq(FLAGS.load(SeqCst), SS_ONSTACK as u64);
    handle(SIGUSR1, note_stack, 0);
    ok(raise(SIGUSR1));
    check(!within(AT.load(SeqCst), &stack), "on the ordinary one");
    eq(FLAGS.load(SeqCst), 0);
}

unsafe fn altstack_roundtrip() {
    // The language's start-up code has set one for its main thread.
    let off = stack_t {
        ss_sp: null_mut(),
        ss_flags: SS_DISABLE,
        ss_size: 0,
    };
    ok(sigaltstack(&raw const off, null_mut()));
    let mut old: stack_t = std::mem::zeroed();
    ok(sigaltstack(null(), &raw mut old));
    eq(old.ss_flags, SS_DISABLE);
    let stack = new_stack(0);
    ok(sigaltstack(&raw const off, &raw mut old));
    eq(
        (old.ss_sp, old.ss_flags, old.ss_size),
        (stack.ss_sp, 0, SIZE),
    );
}

unsafe fn altstack_errors() {
    let small = stack_t {
        ss_sp: 0x1000 as *mut c_void,
        ss_flags: 0,
        ss_size: 1024,
    };
    err(sigaltstack(&raw const small, null_mut()), ENOMEM);
    let bad = stack_t {
        ss_sp: 0x1000 as *mut c_void,
        ss_flags: 0x77,
        ss_size: SIZE,
    };
    err(sigaltstack(&raw const bad, null_mut()), EINVAL);
    err(sigaltstack(8 as *const stack_t, null_mut()), EFAULT);
}

extern "C" fn try_change(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    unsafe {
        let off = stack_t {
            ss_sp: null_mut(),
            ss_flags: SS_DISABLE,
            ss_size: 0,
        };
        let result = sigaltstack(&raw const off, null_mut());
        AT.store(if result == -1 { errno() as u64 } else { 0 }, SeqCst);
    }
}

unsafe fn altstack_busy_in_handler() {
    new_stack(0);
    handle(SIGUSR1, try_change, SA_ONSTACK);
    ok(raise(SIGUSR1));
    eq(AT.load(SeqCst), EPERM as u64);
}

unsafe fn altstack_per_thread() {
    let stack = new_stack(0);
    let first = stack.ss_sp as u64..stack.ss_sp as u64 + SIZE as u64;
    handle(SIGUSR1, note_stack, SA_ONSTACK);
    std::thread::spawn(move || {
        let off = stack_t {
            ss_sp: null_mut(),
            ss_flags: SS_DISABLE,
            ss_size: 0,
        };
        ok(sigaltstack(&raw const off, null_mut()));
        ok(raise(SIGUSR1));
        check(
            !first.contains(&AT.load(SeqCst)),
            "another thread has its own",
        );
    })
    .join()
    .unwrap();
    ok(raise(SIGUSR1));
    check(within(AT.load(SeqCst), &stack), "and this one its own");
}

unsafe fn altstack_survives_fork() {
    let stack = new_stack(0);
    handle(SIGUSR1, note_stack, SA_ONSTACK);
    in_child(|| {
        ok(raise(SIGUSR1));
        check(within(AT.load(SeqCst), &stack), "the child's copy");
    });
}

extern "C" fn leave(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    unsafe { _exit(61) }
}

#[expect(
    unconditional_recursion,
    reason = "the stack's end is what is looked for"
)]
fn overflow(depth: u64) -> u64 {
    let block = [depth; 512];
    std::hint::black_box(&block);
    overflow(depth + 1) + block[7]
}

unsafe fn altstack_catches_overflow() {
    let pid = child(|| {
        new_stack(0);
        handle(SIGSEGV, leave, SA_ONSTACK);
        overflow(0) as c_int
    });
    exits(pid, 61);
}

unsafe fn altstack_autodisarm() {
    const SS_AUTODISARM: c_int = 1 << 31;
    let stack = new_stack(SS_AUTODISARM);
    handle(SIGUSR1, note_stack, SA_ONSTACK);
    ok(raise(SIGUSR1));
    check(within(AT.load(SeqCst), &stack), "on the other stack");
    // Disabled while the handler runs, back afterwards.
    eq(FLAGS.load(SeqCst) as c_int, SS_DISABLE);
    let mut old: stack_t = std::mem::zeroed();
    ok(sigaltstack(null(), &raw mut old));
    eq((old.ss_sp, old.ss_flags), (stack.ss_sp, SS_AUTODISARM));
}

extern "C" fn note_alignment(_: c_int, info: *mut siginfo_t, context: *mut c_void) {
    AT.store((info as u64 % 8) | (context as u64 % 8), SeqCst);
    // Aligned vector stores, as a compiler makes them, need the ABI's alignment.
    let block = std::hint::black_box([1.5_f64; 8]);
    FLAGS.store(block.iter().sum::<f64>() as u64, SeqCst);
}

unsafe fn frame_is_aligned() {
    handle(SIGUSR1, note_alignment, 0);
    for _ in 0..10 {
        ok(raise(SIGUSR1));
        eq((AT.load(SeqCst), FLAGS.load(SeqCst)), (0, 12));
    }
}

unsafe fn no_room_for_frame_kills() {
    // An alternate stack that isn't there: the frame can't be written.
    dies_of(SIGSEGV, || {
        let stack = new_stack(0);
        handle(SIGUSR1, note_stack, SA_ONSTACK);
        signal(SIGSEGV, SIG_DFL);
        ok(munmap(stack.ss_sp, SIZE));
        raise(SIGUSR1);
    });
}

extern "C" fn raise_inner(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    let here = 0_u8;
    unsafe { raise(SIGUSR2) };
    // The inner frame lies below this one on the same stack.
    FLAGS.store(u64::from(AT.load(SeqCst) < &raw const here as u64), SeqCst);
}

unsafe fn altstack_nested_handlers() {
    let stack = new_stack(0);
    handle(SIGUSR1, raise_inner, SA_ONSTACK);
    handle(SIGUSR2, note_stack, SA_ONSTACK);
    ok(raise(SIGUSR1));
    check(within(AT.load(SeqCst), &stack), "both on it");
    eq(FLAGS.load(SeqCst), 1);
}

unsafe fn siglongjmp_style_exit() {
    // A handler that never returns: the signal stays blocked until unblocked by hand.
    let pid = child(|| {
        handle(SIGUSR1, leave_if_blocked, 0);
        raise(SIGUSR1);
        0
    });
    exits(pid, 62);
}

extern "C" fn leave_if_blocked(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    unsafe { _exit(if is_blocked(SIGUSR1) { 62 } else { 63 }) }
}
