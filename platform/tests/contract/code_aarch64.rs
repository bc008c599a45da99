//! Guest code for arm64.

use arch::Regs;
use arch::abi::Addr;
use platform::{Access, Exception};

use super::pieces::pieces;

pieces! {
    /// Makes system calls for ever, each with the last one's result as its number.
    call_loop: "2: mov x8, x0", "svc #0", "b 2b";
    /// Counts in the second argument and makes a call for each number.
    count: "2: add x1, x1, #1", "mov x8, #172", "svc #0", "b 2b";
    /// Never leaves.
    spin: "2: b 2b";
    /// Counts in the second argument and never leaves.
    spin_counting: "2: add x1, x1, #1", "b 2b";
    /// Waits until the word at argument 0 is no longer argument 1, then makes a call
    /// with what is there as argument 0.
    wait_change: "2: ldar x8, [x0]", "cmp x8, x1", "b.eq 2b", "mov x0, x8", "svc #0", "udf #0";
    /// Loads the word at argument 0 into argument 1, makes a call, repeats.
    load: "mov x9, x0", "2: ldr x1, [x9]", "svc #0", "b 2b";
    /// Stores argument 1 at argument 0, makes a call, repeats.
    store: "mov x9, x0", "2: str x1, [x9]", "svc #0", "b 2b";
    /// Stores numbers from argument 1 on into all words from argument 0 to argument 2, for ever.
    scribble: "mov x9, x0", "2: mov x0, x9", "3: str x1, [x0], #8", "add x1, x1, #257",
        "cmp x0, x2", "b.lo 3b", "b 2b";
    /// Adds one to the word at argument 0, atomically, argument 1 times, then calls.
    add: "2: ldaxr x3, [x0]", "add x3, x3, #1", "stlxr w4, x3, [x0]", "cbnz w4, 2b",
        "subs x1, x1, #1", "b.ne 2b", "3: svc #0", "b 3b";
    /// Loads a vector from argument 0, calls, stores it at argument 1, calls, repeats.
    vector: "mov x9, x0", "mov x10, x1", "2: ldr q3, [x9]", "svc #0", "str q3, [x10]",
        "svc #0", "b 2b";
    /// Loads the word that the thread pointer points to into argument 1 and calls.
    thread_word: "2: mrs x9, tpidr_el0", "ldr x1, [x9]", "svc #0", "b 2b";
    /// Stores at argument 0 for ever; each of these says at argument 1 that it has begun.
    keep_storing: "mov w5, #1", "2: ldaxr x3, [x0]", "add x3, x3, #1", "stlxr w4, x3, [x0]",
        "str w5, [x1]", "b 2b";
    /// Loads at argument 0 until that is not 1 any more; makes a call with it.
    keep_loading: "mov w5, #1", "2: ldr x8, [x0]", "str w5, [x1]", "cmp x8, #1", "b.eq 2b",
        "mov x0, x8", "svc #0", "udf #0";
    /// Jumps to argument 0, where code for `stay` is.
    go: "br x0";
    stay: "mov w5, #1", "2: str w5, [x1]", "br x0";
}

/// Where the register that `vector` uses lies in the FP state.
pub(crate) const VECTOR_OFFSET: usize = 3 * 16;

/// Gives every register that a program can set a value of its own.
pub(crate) fn fill(regs: &mut Regs, seed: u64) {
    let value = |n: u64| seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(7) ^ (n << 56 | n);
    for (n, x) in (1..).zip(&mut regs.x) {
        *x = value(n);
    }
    regs.x[0] = seed & 0xfff;
    regs.sp = value(32);
    regs.tpidr = value(33);
    regs.pstate = (seed & 0xf) << 28;
}

/// The registers behind a system call made with `before`, which has `ENOSYS` so far.
pub(crate) fn after_call(mut before: Regs, ip: Addr) -> Regs {
    before.pc = ip.0;
    before.x[8] = before.x[0];
    before.orig_x0 = before.x[0];
    before.syscallno = before.x[0];
    before.x[0] = 38_u64.wrapping_neg();
    before
}

/// Whether code that is stored over is run as it is then.
pub(crate) const CHANGES_BY_ITSELF: bool = false;

/// A system call, an undefined instruction, one that does nothing.
pub(crate) const CALL: &[u8] = &[0x01, 0, 0, 0xd4];
pub(crate) const UNDEFINED: &[u8] = &[0; 4];
pub(crate) const NOP: &[u8] = &[0x1f, 0x20, 0x03, 0xd5];

/// The length from the start of `call_loop` to behind its call.
pub(crate) const CALL_LEN: u64 = 8;

pieces! {
    undefined: "udf #0";
    breakpoint: "brk #0";
}

/// Code that raises exceptions, and what: the instruction pointer is counted from the
/// start of the code.
pub(crate) fn exceptions() -> Vec<(&'static str, &'static [u8], Exception, u64)> {
    let exception = |signal, code, at, vector| Exception {
        signal,
        code,
        at: Addr(at),
        vector,
        error: 0,
    };
    let code = super::harness::CODE;
    vec![
        ("undefined", undefined(), exception(4, 1, code, 0), 0),
        ("breakpoint", breakpoint(), exception(5, 1, code, 0x3c), 0),
    ]
}

/// Whether `reported` is right for a fault that was `real`, on a page that is
/// `mapped` or not: some machines do not tell.
pub(crate) fn access_fits(reported: Access, real: Access, mapped: bool) -> bool {
    let coarse = if mapped { Access::Write } else { Access::Read };
    reported == real || (real != Access::Execute && reported == coarse)
}

/// What differs at the fault: the guest code copies its argument to x9 first.
pub(crate) fn forgive_fault(expected: &mut Regs, after: &Regs) {
    expected.x[9] = after.x[9];
}
