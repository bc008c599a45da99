//! What a signal finds in the code of patched calls, and how it looks to the program: it
//! is on the call's instruction, or behind it, and nothing else has happened.

use arch::Regs;
use arch::abi::num::low16;

use super::areas::Area;
use super::code;
use super::mailbox::{self, NUMBER, SITE};
use crate::stub::Place;

unsafe extern "C" {
    static ringfence_notify_returned: u8;
    static ringfence_notify_call: u8;
    static ringfence_notify_packed: u8;
    static ringfence_notify_saved: u8;
    static ringfence_notify_posted: u8;
    static ringfence_notify_waited: u8;
    static ringfence_notify_unposted: u8;
    static ringfence_notify_unsaved: u8;
    static ringfence_notify_unpacking: u8;
    static ringfence_notify_called: u8;
}

/// The zero flag.
const ZERO: u64 = 1 << 6;
/// What `lahf` and `seto` give: CF, PF, AF, ZF, SF and OF.
const ARITHMETIC: u64 = 0x8d5;
const OVERFLOW: u64 = 1 << 11;

/// Behind the call that ends a stop told by mailbox.
pub(super) fn returned(place: Place) -> Option<u64> {
    Some(code::address(place, &raw const ringfence_notify_returned))
}

/// Whether this is a thread's wait for the answer to a call that it has posted.
pub(super) fn is_wait(nr: u32, ip: u64, place: Place) -> bool {
    nr == mailbox::WAIT && ip == code::address(place, &raw const ringfence_notify_waited)
}

/// How far a patched call has come.
enum Progress {
    /// Not made: number in the low 16 bits and flags above, address of its instruction.
    Before(u64, u64),
    /// The same, and the flags are still where they were.
    Untouched(u16, u64),
    /// Made.
    Behind,
}

/// If the thread is in the code of patched calls, puts it where the program believes it
/// to be; `answer` is that of the last call. Gives whether it was there.
pub(super) fn tidy(regs: &mut Regs, area: &Area, place: Place, answer: u64) -> bool {
    match progress(regs, area, place) {
        None => return false,
        Some(Progress::Before(packed, site)) => {
            set_flags(regs, packed);
            (regs.rax, regs.rip) = (low16(packed).into(), site);
        }
        Some(Progress::Untouched(number, site)) => {
            (regs.rax, regs.rip) = (number.into(), site);
        }
        Some(Progress::Behind) => {
            set_flags(regs, area.load(NUMBER));
            let behind = area.load(SITE).wrapping_add(2);
            (regs.rax, regs.rip, regs.rcx, regs.r11) = (answer, behind, behind, regs.eflags);
        }
    }
    true
}

fn progress(regs: &Regs, area: &Area, place: Place) -> Option<Progress> {
    let is_before = |label| regs.rip < code::address(place, label);
    let is_at = |label| regs.rip == code::address(place, label);
    let posted = || Some(Progress::Before(area.load(NUMBER), area.load(SITE)));
    if is_before(&raw const ringfence_notify_call) || !is_before(&raw const ringfence_notify_called)
    {
        return None;
    }
    if is_before(&raw const ringfence_notify_packed) {
        let first = is_at(&raw const ringfence_notify_call);
        let number = low16(if first { regs.rax } else { regs.r11 });
        return Some(Progress::Untouched(number, regs.rcx));
    }
    if is_at(&raw const ringfence_notify_packed) {
        let packed = regs.rax | u64::from(low16(regs.r11));
        return Some(Progress::Before(packed, regs.rcx));
    }
    if is_before(&raw const ringfence_notify_saved) || is_at(&raw const ringfence_notify_unsaved) {
        return Some(Progress::Before(regs.rax, regs.rcx));
    }
    if is_before(&raw const ringfence_notify_posted) {
        return posted();
    }
    if is_before(&raw const ringfence_notify_unposted) {
        let failed = is_at(&raw const ringfence_notify_posted) && regs.eflags & ZERO == 0;
        return if failed || mailbox::withdraw(area) {
            posted()
        } else {
            Some(Progress::Behind)
        };
    }
    if is_before(&raw const ringfence_notify_unsaved) {
        return posted();
    }
    debug_assert!(
        !is_before(&raw const ringfence_notify_unpacking),
        "all told"
    );
    Some(Progress::Before(regs.r11, regs.rcx))
}

/// Puts in the flags that are in bits 16 to 31: OF in the lowest, the others 8 further.
fn set_flags(regs: &mut Regs, packed: u64) {
    let overflow = if packed >> 16 & 1 == 0 { 0 } else { OVERFLOW };
    let flags = packed >> 24 & ARITHMETIC & 0xff | overflow;
    regs.eflags = regs.eflags & !ARITHMETIC | flags;
}

/// Calls that need all registers: they raise SIGSYS, which is half as dear as fetching them.
pub(super) const WHOLE: &[i64] = &[
    libc::SYS_clone,
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_clone3,
    libc::SYS_execve,
    libc::SYS_execveat,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_back() {
        let mut regs = Regs::new_program(arch::abi::Addr::NULL, arch::abi::Addr::NULL);
        for flags in [0x246, 0x202, 0xa97, 0xad7, 0x293] {
            regs.eflags = 0x202;
            let overflow = u64::from(flags & OVERFLOW != 0);
            let packed = (flags & 0xff) << 24 | overflow << 16 | 39;
            set_flags(&mut regs, packed);
            assert_eq!(regs.eflags & ARITHMETIC, flags & ARITHMETIC, "{flags:#x}");
        }
    }
}
