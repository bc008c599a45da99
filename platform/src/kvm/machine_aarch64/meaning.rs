//! What an exception of a program means.

use arch::abi::Addr;
use arch::current::el1::features::Features;
use arch::current::el1::insn;
use arch::current::el1::traps::{Abort, DATA_ABORT, Event, Read, Trap, read_of};
use arch::current::regs::Regs;

use crate::host;
use crate::kvm::exits::{Meaning, Program};
use crate::{Access, Exception};

use super::Setup;

/// A synchronous exception other than a fault, with its syndrome and address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) struct Raised {
    pub(super) event: Event,
    pub(super) esr: u64,
    pub(super) far: u64,
}

/// The access that was refused.
pub(super) fn access(abort: Abort) -> Access {
    match abort {
        Abort::Load => Access::Read,
        Abort::Store => Access::Write,
        Abort::Fetch => Access::Execute,
    }
}

/// What an exception means.
pub(in super::super) fn meaning(
    setup: &Setup,
    raised: Raised,
    regs: &mut Regs,
    program: &mut impl Program,
) -> Meaning {
    let Raised { event, esr, far } = raised;
    let (read, trap) = match event {
        Event::Wait => return go_on(regs),
        Event::Read(read, trap) => (Some(read), trap),
        Event::Undefined(trap) => (code_at(program, regs.ip()).and_then(read_of), trap),
        Event::Signal(trap) => (None, trap),
        Event::Call | Event::Fault(..) | Event::Impossible => {
            let at = regs.pc;
            return Meaning::Broken(format!("syndrome {esr:#x} at {at:#x}, address {far:#x}"));
        }
    };
    if let Some(read) = read
        && let Some(value) = answer(setup, read)
    {
        let to = usize::from(read.to);
        if let Some(register) = regs.x.get_mut(to) {
            *register = value;
        }
        return go_on(regs);
    }
    Meaning::Signal(exception(trap))
}

/// Behind the instruction.
fn go_on(regs: &mut Regs) -> Meaning {
    regs.pc = regs.pc.wrapping_add(4);
    regs.pstate &= !arch::current::regs::PSTATE_BTYPE;
    Meaning::Done
}

fn exception(trap: Trap) -> Exception {
    Exception {
        signal: trap.signal,
        code: trap.code,
        at: trap.at,
        vector: u32::from(trap.class),
        error: trap.error,
    }
}

/// The instruction at `ip`, if the program can read it.
fn code_at(program: &impl Program, ip: Addr) -> Option<u32> {
    let mut bytes = [0; 4];
    for (n, byte) in (0..).zip(&mut bytes) {
        *byte = program.byte(ip.checked_add(n)?)?;
    }
    Some(u32::from_le_bytes(bytes))
}

/// What Linux answers for a register that the machine does not show programs.
fn answer(setup: &Setup, read: Read) -> Option<u64> {
    match read.name {
        [3, 0, 0, crm, op2] => id(&setup.features, crm, op2),
        // CNTFRQ_EL0, CNTVCT_EL0, CNTVCTSS_EL0, where the counter is not the host's.
        [3, 3, 14, 0, 0] if !setup.exact_counter => Some(insn::frequency()),
        [3, 3, 14, 0, 2 | 6] if !setup.exact_counter => Some(arch::vdso::counter()),
        _ => None,
    }
}

/// An ID register, as far as programs may see it.
fn id(features: &Features, crm: u8, op2: u8) -> Option<u64> {
    const AT_HWCAP: u64 = 16;
    const HWCAP_CPUID: u64 = 1 << 11;
    let shown = host::auxiliary(AT_HWCAP).is_some_and(|bits| bits & HWCAP_CPUID != 0);
    if !shown {
        return None;
    }
    // SAFETY: as it says: AT_HWCAP has HWCAP_CPUID.
    let value = unsafe { insn::read(crm, op2) }?;
    Some(features.visible(crm, op2, value))
}

/// The exception for an access to a page at `at` whose file is too short: BUS_ADRERR.
pub(in super::super) fn bus_error(at: Addr) -> Exception {
    const SIGBUS: u8 = 7;
    const BUS_ADRERR: i32 = 2;
    Exception {
        signal: SIGBUS,
        code: BUS_ADRERR,
        at,
        vector: u32::from(DATA_ABORT),
        error: 0,
    }
}
