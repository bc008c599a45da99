//! Guest code for x86-64.

use arch::Regs;
use arch::abi::Addr;
use platform::{Access, Exception};

use super::pieces::pieces;

pieces! {
    /// Makes system calls for ever.
    call_loop: "2: syscall", "jmp 2b";
    /// Counts in the second argument and makes a call for each number.
    count: "2: inc rsi", "mov eax, 39", "syscall", "jmp 2b";
    /// Adds up the results of argument 1 calls in argument 0, then makes another call.
    sum: "2: mov eax, 39", "syscall", "add rdi, rax", "dec rsi", "jnz 2b", "mov eax, 24", "syscall",
        "ud2";
    /// Never leaves.
    spin: "2: jmp 2b";
    /// Counts in the second argument and never leaves.
    spin_counting: "2: inc rsi", "jmp 2b";
    /// Waits until the word at argument 0 is no longer argument 1, then makes a call
    /// with what is there as argument 0.
    wait_change: "2: mov rax, [rdi]", "cmp rax, rsi", "je 2b", "mov rdi, rax", "syscall", "ud2";
    /// Loads the word at argument 0 into argument 1, makes a call, repeats.
    load: "2: mov rsi, [rdi]", "syscall", "jmp 2b";
    /// Stores argument 1 at argument 0, makes a call, repeats.
    store: "2: mov [rdi], rsi", "syscall", "jmp 2b";
    /// Stores numbers from argument 1 on into all words from argument 0 to argument 2, for ever.
    scribble: "mov r8, rdi", "2: mov rdi, r8", "3: mov [rdi], rsi", "add rdi, 8", "add rsi, 257",
        "cmp rdi, rdx", "jb 3b", "jmp 2b";
    /// Adds one to the word at argument 0, atomically, argument 1 times, then calls.
    add: "2: lock inc qword ptr [rdi]", "dec rsi", "jnz 2b", "3: syscall", "jmp 3b";
    /// Loads a vector from argument 0, calls, stores it at argument 1, calls, repeats.
    vector: "2: movups xmm3, [rdi]", "syscall", "movups [rsi], xmm3", "syscall", "jmp 2b";
    /// Loads the word that the thread pointer points to into argument 1 and calls.
    thread_word: "2: mov rsi, fs:[0]", "syscall", "jmp 2b";
    /// Stores at argument 0 for ever; each of these says at argument 1 that it has begun.
    keep_storing: "2: lock inc qword ptr [rdi]", "mov dword ptr [rsi], 1", "jmp 2b";
    /// Loads at argument 0 until that is not 1 any more; makes a call with it.
    keep_loading: "2: mov rax, [rdi]", "mov dword ptr [rsi], 1", "cmp rax, 1", "je 2b",
        "mov rdi, rax", "syscall", "ud2";
    /// Jumps to argument 0, where code for `stay` is.
    go: "jmp rdi";
    stay: "2: mov dword ptr [rsi], 1", "jmp rdi";
}

/// Where the register that `vector` uses lies in the FP state.
pub(crate) const VECTOR_OFFSET: usize = 160 + 3 * 16;

/// Gives every register that a program can set a value of its own.
pub(crate) fn fill(regs: &mut Regs, seed: u64) {
    let value = |n: u64| seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(7) ^ (n << 56 | n);
    (regs.rbx, regs.rbp, regs.r8, regs.r9) = (value(1), value(2), value(3), value(4));
    (regs.r10, regs.r12, regs.r13) = (value(5), value(6), value(7));
    (regs.r14, regs.r15, regs.rdi, regs.rsi) = (value(8), value(9), value(10), value(11));
    (regs.rdx, regs.rsp, regs.rax) = (value(12), value(13), seed & 0xfff);
    (regs.rcx, regs.r11) = (value(14), value(15));
    regs.fs_base = 0x1234_5000 + seed;
    regs.gs_base = 0x7654_3000 + seed;
    regs.eflags = 0x202 | seed & 0xd5 & !2 | 2;
}

/// The registers behind a system call made with `before`, which has `ENOSYS` so far.
pub(crate) fn after_call(mut before: Regs, ip: Addr) -> Regs {
    before.rip = ip.0;
    before.rcx = ip.0;
    before.r11 = before.eflags;
    before.orig_rax = before.rax;
    before.rax = 38_u64.wrapping_neg();
    before
}

/// Whether code that is stored over is run as it is then.
pub(crate) const CHANGES_BY_ITSELF: bool = true;

/// A system call, an undefined instruction, one that does nothing.
pub(crate) const CALL: &[u8] = &[0x0f, 0x05];
pub(crate) const UNDEFINED: &[u8] = &[0x0f, 0x0b];
pub(crate) const NOP: &[u8] = &[0x90];

/// The length of the system call instruction.
pub(crate) const CALL_LEN: u64 = 2;

pieces! {
    divide: "xor eax, eax", "xor edx, edx", "xor ecx, ecx", "div ecx";
    undefined: "ud2";
    breakpoint: "int3";
    privileged: "hlt";
    non_canonical: "movabs rax, 0x8000000000000000", "mov rax, [rax]";
    interrupt_gate: "int 0x20";
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
        ("divide", divide(), exception(8, 1, code + 6, 0), 6),
        ("undefined", undefined(), exception(4, 2, code, 6), 0),
        ("breakpoint", breakpoint(), exception(5, 0x80, 0, 3), 1),
        ("privileged", privileged(), exception(11, 0x80, 0, 13), 0),
        (
            "non_canonical",
            non_canonical(),
            exception(11, 0x80, 0, 13),
            10,
        ),
        (
            "interrupt_gate",
            interrupt_gate(),
            exception(11, 0x80, 0, 13),
            0,
        ),
    ]
}

/// Whether `reported` is right for a fault that was `real`, on a page that is
/// `mapped` or not: some machines do not tell.
pub(crate) fn access_fits(reported: Access, real: Access, mapped: bool) -> bool {
    let coarse = if mapped { Access::Write } else { Access::Read };
    reported == real || (real != Access::Execute && reported == coarse)
}

/// What a fault changes besides: the resume flag, which the machine sets so that a
/// breakpoint on the instruction does not fire twice.
pub(crate) fn forgive_fault(expected: &mut Regs, after: &Regs) {
    const RESUME: u64 = 1 << 16;
    expected.eflags |= after.eflags & RESUME;
}
