//! What only x86-64 has.

use arch::abi::{Addr, SigSet};
use arch::x86_64::sigframe::{Ucontext, save};
use platform::{Access, Exit, PlatformError};
use zerocopy::IntoBytes;

use super::code;
use super::harness::{CODE, DATA, Guest, call, next_call, start_regs, with_guest, with_stubs};
use super::pieces::pieces;
use super::stubs::{children_of, executable_pages, mappings};

pieces! {
    wide: "2: vmovups ymm5, [rdi]", "syscall", "vmovups [rsi], ymm5", "syscall", "jmp 2b";
    gate: "mov eax, 20", "int 0x80", "ud2";
    set_fs: "wrfsbase rdi", "syscall", "rdfsbase rsi", "syscall", "ud2";
    vsyscall: "mov rax, 0xffffffffff600000", "xor edi, edi", "call rax", "syscall", "ud2";
    nops: "nop", "nop", "nop", "syscall", "ud2";
}

#[test]
fn upper_halves_of_vectors_are_kept_and_shown() {
    if !std::arch::is_x86_feature_detected!("avx") {
        eprintln!("skipped: no AVX");
        return;
    }
    with_guest(wide(), |guest| {
        let value: Vec<u8> = (1..=32).collect();
        guest.data.write(0, &value);
        let mut context = guest.context_with(&[DATA, DATA + 64]);
        next_call(&mut *context);
        // AVX state: at 576 of the standard format (CPUID.(EAX=0DH,ECX=2):EBX).
        let at = 576 + 5 * 16;
        let fp = context.fp().unwrap();
        assert_eq!(fp.as_bytes()[at..at + 16], value[16..]);
        fp.as_mut_bytes()[at..at + 16].fill(0x5a);
        context.answer(0);
        next_call(&mut *context);
        let mut stored = [0; 32];
        guest.data.read(64, &mut stored);
        assert_eq!(stored[..16], value[..16]);
        assert_eq!(stored[16..], [0x5a; 16]);
    });
}

#[test]
fn a_32_bit_call_is_a_protection_fault() {
    with_guest(gate(), |guest| {
        let mut context = guest.context_with(&[1, 2]);
        let exit = context.switch().unwrap();
        let Exit::Exception(seen) = exit else {
            panic!("{exit:?}");
        };
        assert_eq!((seen.signal, seen.code, seen.vector), (11, 0x80, 13));
        let regs = context.regs().unwrap();
        assert_eq!((regs.ip(), regs.rax), (Addr(CODE + 5), 20));
        // It comes again, until the program is moved off it.
        assert_eq!(context.switch().unwrap(), exit);
        context.regs().unwrap().set_ip(Addr(CODE));
        assert_eq!(context.switch().unwrap(), exit);
    });
}

#[test]
fn x32_numbers_come_as_they_are() {
    with_guest(code::call_loop(), |guest| {
        let mut context = guest.context();
        context.regs().unwrap().set_return(0x4000_0027);
        assert_eq!(call(context.switch().unwrap()).0, 0x4000_0027);
        // The upper half does not count, as on Linux.
        context.answer(0xdead_0000_0000_0027);
        assert_eq!(call(context.switch().unwrap()).0, 0x27);
    });
}

#[test]
fn the_program_may_change_its_thread_pointer_itself() {
    // AT_HWCAP2, bit 1: FSGSBASE.
    // SAFETY: reads the auxiliary vector.
    if unsafe { libc::getauxval(libc::AT_HWCAP2) } & 2 == 0 {
        eprintln!("skipped: no FSGSBASE");
        return;
    }
    with_guest(set_fs(), |guest| {
        let mut context = guest.context_with(&[0x1234_5678]);
        next_call(&mut *context);
        assert_eq!(context.regs().unwrap().tls(), 0x1234_5678);
        context.regs().unwrap().set_tls(0x8765_4321);
        assert_eq!(next_call(&mut *context)[1], 0x8765_4321);
    });
}

#[test]
fn the_vsyscall_page_is_a_fault() {
    with_guest(vsyscall(), |guest| {
        let mut context = guest.context();
        let page = Addr(0xffff_ffff_ff60_0000);
        assert_eq!(
            context.switch().unwrap(),
            Exit::Fault {
                at: page,
                access: Access::Execute
            }
        );
        let regs = context.regs().unwrap();
        assert_eq!(regs.ip(), page, "{}", guest.platform.name());
        // The return address is on the stack.
        let at = regs.sp().0 - DATA;
        assert!(
            guest
                .data
                .load_u64(at)
                .is_some_and(|back| back > CODE && back < CODE + 32)
        );
    });
}

/// The trap flag is a register of the program. (On arm64 single-stepping is the kernel's alone.)
#[test]
fn single_steps_trap_behind_each_instruction() {
    with_guest(nops(), |guest| {
        let mut context = guest.context();
        for step in 1..=3 {
            // TF (Intel SDM vol. 1, 3.4.3.3).
            context.regs().unwrap().eflags |= 1 << 8;
            let exit = context.switch().unwrap();
            let Exit::Exception(seen) = exit else {
                panic!("{exit:?}");
            };
            let ip = Addr(CODE + step);
            assert_eq!((seen.signal, seen.code, seen.at), (5, 2, ip));
            assert_eq!(context.regs().unwrap().ip(), ip);
        }
    });
}

/// A thread of the seccomp platform that returns, by the stub's own instruction, from a
/// signal frame that blocks all signals, and then makes no call.
#[test]
fn a_thread_that_blocks_interrupts_loses_its_process() {
    with_stubs(code::spin(), |guest| {
        if guest.platform.name() != "seccomp" {
            return;
        }
        let process = *children_of(std::process::id()).last().unwrap();
        let mut context = guest.context();
        let limit = guest.platform.limits().max_address.0;
        let page = *executable_pages(process, limit).first().unwrap();
        let memory = std::fs::File::open(format!("/proc/{process}/mem")).unwrap();
        let mut code = [0; 4096];
        std::os::unix::fs::FileExt::read_exact_at(&memory, &mut code, page).unwrap();
        // mov eax, 15; syscall
        let stop = [0xb8, 15, 0, 0, 0, 0x0f, 5];
        let stop = code.windows(7).position(|bytes| bytes == stop).unwrap();
        let area = mappings(process)
            .iter()
            .find(|line| line.contains("ringfence-areas"))
            .and_then(|line| u64::from_str_radix(line.split('-').next()?, 16).ok())
            .unwrap();
        let frame = Ucontext {
            mcontext: save(&start_regs(&[])),
            sigmask: SigSet(u64::MAX),
            ..Ucontext::default()
        };
        guest.data.write(0x1000, frame.as_bytes());
        let regs = context.regs().unwrap();
        regs.set_ip(Addr(page + u64::try_from(stop).unwrap()));
        regs.set_sp(Addr(DATA + 0x1000));
        // Where the thread claims its frame to be.
        (regs.rdi, regs.rsi, regs.rdx) = (0, area, area + 0x6000);
        let interrupter = context.interrupter();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Once it runs, for certain: its time tells.
                while cpu_time(process) < 3 {
                    std::thread::yield_now();
                }
                interrupter.interrupt();
            });
            let lost = context.switch();
            assert!(matches!(lost, Err(PlatformError::Dead { .. })), "{lost:?}");
        });
        let again = Guest::new(guest.platform.clone(), guest.memory.clone(), code::count());
        next_call(&mut *again.context());
    });
}

/// User time of a process, in ticks.
fn cpu_time(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default();
    fields
        .split(' ')
        .nth(11)
        .and_then(|ticks| ticks.parse().ok())
        .unwrap_or(u64::MAX)
}
