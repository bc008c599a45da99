//! Signals for what an instruction did: their codes and addresses, and going on after them.

use crate::arch;
use crate::support::*;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::SeqCst};

crate::cases!("signals":
    segv_maperr, segv_accerr, segv_of_write_to_readonly, segv_of_jump, bus_beyond_end_of_file, fpe_division, ill_instruction,
    trap_breakpoint, handler_skips_instruction, handler_repairs_mapping, handler_moves_program_counter, fault_in_handler_kills,
    fault_on_other_thread, segv_address_not_canonical, efault_is_no_signal,
);

static SIGNAL: AtomicI32 = AtomicI32::new(0);
static CODE: AtomicI32 = AtomicI32::new(0);
static ADDRESS: AtomicU64 = AtomicU64::new(0);
static STEP: AtomicU64 = AtomicU64::new(0);
static PC: AtomicU64 = AtomicU64::new(0);

/// Notes the signal, steps over the instruction and sets the load's result.
extern "C" fn note_and_skip(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    unsafe {
        let context = context.cast::<ucontext_t>();
        SIGNAL.store(signal, SeqCst);
        CODE.store((*info).si_code, SeqCst);
        ADDRESS.store((*info).si_addr() as u64, SeqCst);
        PC.store(arch::pc(context), SeqCst);
        arch::set_pc(context, arch::pc(context) + STEP.load(SeqCst));
        if STEP.load(SeqCst) == arch::LOAD_LEN && signal != SIGILL {
            arch::set_result(context, 0x1234);
        }
    }
}

unsafe fn expect_load_fault(at: u64, signal: c_int, code: c_int, address: u64) {
    handle(signal, note_and_skip, 0);
    STEP.store(arch::LOAD_LEN, SeqCst);
    SIGNAL.store(0, SeqCst);
    eq(arch::load(at), 0x1234);
    eq((SIGNAL.load(SeqCst), CODE.load(SeqCst)), (signal, code));
    eq(ADDRESS.load(SeqCst), address);
}

unsafe fn map(prot: c_int) -> u64 {
    ok(mmap(
        null_mut(),
        page(),
        prot,
        MAP_PRIVATE | MAP_ANONYMOUS,
        -1,
        0,
    )) as u64
}

const SEGV_MAPERR: c_int = 1;
const SEGV_ACCERR: c_int = 2;
const BUS_ADRERR: c_int = 2;
const FPE_INTDIV: c_int = 1;

unsafe fn segv_maperr() {
    expect_load_fault(0x18, SIGSEGV, SEGV_MAPERR, 0x18);
    let at = map(PROT_READ);
    ok(munmap(at as *mut c_void, page()));
    expect_load_fault(at + 0x123, SIGSEGV, SEGV_MAPERR, at + 0x123);
}

unsafe fn segv_accerr() {
    let at = map(PROT_NONE);
    expect_load_fault(at + 0x456, SIGSEGV, SEGV_ACCERR, at + 0x456);
    // Once the protection changes, the same address works.
    ok(mprotect(at as *mut c_void, page(), PROT_READ));
    eq(arch::load(at), 0);
    ok(mprotect(at as *mut c_void, page(), PROT_NONE));
    expect_load_fault(at, SIGSEGV, SEGV_ACCERR, at);
}

extern "C" fn note_and_exit(_: c_int, info: *mut siginfo_t, _: *mut c_void) {
    unsafe {
        _exit(c_int::from((*info).si_addr() as u64 == ADDRESS.load(SeqCst)) * 10 + (*info).si_code)
    }
}

unsafe fn segv_of_write_to_readonly() {
    let at = map(PROT_READ);
    handle(SIGSEGV, note_and_exit, 0);
    ADDRESS.store(at + 8, SeqCst);
    exits(
        child(|| {
            std::ptr::write_volatile((at + 8) as *mut u64, 1);
            0
        }),
        10 + SEGV_ACCERR,
    );
}

unsafe fn segv_of_jump() {
    // To data: not executable. The address is the jump's target.
    let at = map(PROT_READ | PROT_WRITE);
    std::ptr::copy_nonoverlapping(
        arch::RETURN_42.as_ptr(),
        at as *mut u8,
        arch::RETURN_42.len(),
    );
    handle(SIGSEGV, note_and_exit, 0);
    ADDRESS.store(at, SeqCst);
    let call = |at: u64| std::mem::transmute::<u64, extern "C" fn() -> c_int>(at)();
    exits(child(|| call(at)), 10 + SEGV_ACCERR);
    ADDRESS.store(0x20, SeqCst);
    exits(child(|| call(0x20)), 10 + SEGV_MAPERR);
}

unsafe fn bus_beyond_end_of_file() {
    let size = page();
    let fd = file_with(c"f", b"0123456789");
    let at = ok(mmap(null_mut(), 2 * size, PROT_READ, MAP_SHARED, fd, 0)) as u64;
    // The rest of the last page reads as zeros.
    eq(arch::load(at + 4088), 0);
    expect_load_fault(
        at + size as u64 + 16,
        SIGBUS,
        BUS_ADRERR,
        at + size as u64 + 16,
    );
    ok(ftruncate(fd, 2 * size as i64));
    eq(arch::load(at + size as u64 + 16), 0);
    ok(ftruncate(fd, 0));
    expect_load_fault(at, SIGBUS, BUS_ADRERR, at);
    let private = ok(mmap(null_mut(), size, PROT_READ, MAP_PRIVATE, fd, 0)) as u64;
    expect_load_fault(private, SIGBUS, BUS_ADRERR, private);
}

unsafe fn fpe_division() {
    handle(SIGFPE, note_and_exit, 0);
    if !arch::DIVISION_TRAPS {
        arch::divide_by_zero();
        return;
    }
    let pid = child(|| {
        arch::divide_by_zero();
        0
    });
    exits(pid, FPE_INTDIV);
    dies_of(SIGFPE, || {
        signal(SIGFPE, SIG_DFL);
        arch::divide_by_zero();
    });
}

unsafe fn ill_instruction() {
    handle(SIGILL, note_and_skip, 0);
    STEP.store(arch::ILLEGAL_LEN, SeqCst);
    arch::illegal();
    eq(SIGNAL.load(SeqCst), SIGILL);
    // The address is that of the instruction.
    eq(ADDRESS.load(SeqCst), PC.load(SeqCst));
    check(CODE.load(SeqCst) > 0, "a code from the kernel");
    dies_of(SIGILL, || {
        signal(SIGILL, SIG_DFL);
        arch::illegal();
    });
}

unsafe fn trap_breakpoint() {
    handle(SIGTRAP, note_and_skip, 0);
    // Where the program counter stays at the instruction, step over it.
    STEP.store(4 * (1 - arch::BREAKPOINT_PC), SeqCst);
    arch::breakpoint();
    eq(SIGNAL.load(SeqCst), SIGTRAP);
    check(CODE.load(SeqCst) > 0, "a code from the kernel");
    dies_of(SIGTRAP, || {
        signal(SIGTRAP, SIG_DFL);
        arch::breakpoint();
    });
}

unsafe fn handler_skips_instruction() {
    for i in 0..20 {
        expect_load_fault(0x1000 + i * 8, SIGSEGV, SEGV_MAPERR, 0x1000 + i * 8);
    }
}

extern "C" fn open_page(_: c_int, info: *mut siginfo_t, _: *mut c_void) {
    unsafe {
        let at = (*info).si_addr() as usize & !(page() - 1);
        ok(mprotect(at as *mut c_void, page(), PROT_READ | PROT_WRITE));
        STEP.fetch_add(1, SeqCst);
    }
}

unsafe fn handler_repairs_mapping() {
    // The instruction runs again after the handler: how collectors and emulators work.
    handle(SIGSEGV, open_page, 0);
    let pages = 32;
    let at = ok(mmap(
        null_mut(),
        pages * page(),
        PROT_NONE,
        MAP_PRIVATE | MAP_ANONYMOUS,
        -1,
        0,
    )) as u64;
    for i in 0..pages {
        std::ptr::write_volatile((at + (i * page()) as u64) as *mut u64, i as u64);
    }
    eq(STEP.load(SeqCst), pages as u64);
    eq(arch::load(at + (7 * page()) as u64), 7);
}

extern "C" fn landing() {
    unsafe { _exit(51) }
}

extern "C" fn go_elsewhere(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
    unsafe { arch::set_pc(context.cast(), landing as *const () as u64) };
}

unsafe fn handler_moves_program_counter() {
    handle(SIGUSR1, go_elsewhere, 0);
    exits(
        child(|| {
            raise(SIGUSR1);
            0
        }),
        51,
    );
}

extern "C" fn fault_again(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    unsafe { arch::load(8) };
}

unsafe fn fault_in_handler_kills() {
    dies_of(SIGSEGV, || {
        handle(SIGSEGV, fault_again, 0);
        arch::load(8);
    });
}

unsafe fn fault_on_other_thread() {
    // The faulting thread takes its own signal, though another would do.
    handle(SIGSEGV, note_and_skip, 0);
    STEP.store(arch::LOAD_LEN, SeqCst);
    let value = std::thread::spawn(|| arch::load(0x30)).join().unwrap();
    eq((value, ADDRESS.load(SeqCst)), (0x1234, 0x30));
}

unsafe fn segv_address_not_canonical() {
    // What is reported differs between machines; that it is a SIGSEGV doesn't.
    handle(SIGSEGV, note_and_skip, 0);
    STEP.store(arch::LOAD_LEN, SeqCst);
    eq(arch::load(0x4141_4141_4141_4141), 0x1234);
    eq(SIGNAL.load(SeqCst), SIGSEGV);
    SIGNAL.store(0, SeqCst);
    // The kernel's half.
    eq(arch::load(0xffff_8000_0000_0000), 0x1234);
    eq(SIGNAL.load(SeqCst), SIGSEGV);
}

unsafe fn efault_is_no_signal() {
    handle(SIGSEGV, note_and_exit, 0);
    let fd = file_with(c"f", b"0123456789");
    let none = map(PROT_NONE);
    let readonly = map(PROT_READ);
    err(read(fd, none as *mut c_void, 5), EFAULT);
    err(read(fd, readonly as *mut c_void, 5), EFAULT);
    err(
        read(fd, 0xffff_8000_0000_0000_u64 as *mut c_void, 5),
        EFAULT,
    );
    err(write(fd, 16 as *const c_void, 5), EFAULT);
    // Half of it fits: a short count (or EFAULT) on the way in, never a signal.
    let two = ok(mmap(
        null_mut(),
        2 * page(),
        PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS,
        -1,
        0,
    )) as u64;
    ok(munmap((two + page() as u64) as *mut c_void, page()));
    let gate = Gate::new();
    let edge = (two + page() as u64 - 4) as *const c_void;
    let done = write(gate.write, edge, 8);
    check(
        done == 4 || (done == -1 && errno() == EFAULT),
        "a short write or EFAULT",
    );
}
