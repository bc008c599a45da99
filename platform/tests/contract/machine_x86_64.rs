//! What only x86-64 has.

use arch::abi::Addr;
use platform::{Access, Exit};

use super::code;
use super::harness::{CODE, DATA, call, next_call, with_guest};
use super::pieces::pieces;

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
        assert_eq!(regs.ip(), page);
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
