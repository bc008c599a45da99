//! What a signal finds in the code of patched calls, and how it looks to the program: it
//! is on the call's instruction, or behind it, and nothing else has happened.

use arch::Regs;
use arch::abi::Addr;
use arch::abi::num::low16;

use super::areas::Area;
use super::code;
use super::mailbox::{self, NUMBER};
use super::sites::Call;
use crate::stub::Place;
use crate::{Patch, SITE};

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

/// Where patched sites go.
fn entry(place: Place) -> u64 {
    code::address(place, &raw const ringfence_notify_call)
}

/// In a data area, a page of answers that the stub cannot write.
pub(super) const ANSWERS: Option<usize> = Some(super::machine::ANSWERS);
/// Bytes from a site's start to the end of its call.
pub(super) const SITE_LEN: u64 = 7;
/// Whether sites are patched.
pub(super) const PATCHES: bool = true;

/// Numbers above have no place in the page of answers.
const NUMBERS: u32 = 512;

/// How to patch `mov eax, imm32; syscall` at `site`. The load alone is replaced, by a jump as
/// long, so that a thread behind it goes on as if nothing had happened, and the slot can lead
/// back to the call's own instruction.
pub(super) fn patch(
    place: Place,
    site: Addr,
    code: &[u8; SITE],
    slot: Addr,
) -> Option<(Patch, Call)> {
    // Intel SDM vol. 2: B8+r imm32, SYSCALL 0F 05; a byte before of 40 to 4F, or an operand-size
    // or lock or repeat prefix, would belong to the load.
    let [before, 0xb8, a, b, c, d, 0x0f, 0x05] = *code else {
        return None;
    };
    if matches!(before, 0x40..=0x4f | 0x66 | 0x67 | 0xf0 | 0xf2 | 0xf3) {
        return None;
    }
    let number = u32::from_le_bytes([a, b, c, d]);
    // A posted call has its registers elsewhere.
    let needs_all = WHOLE.contains(&number.into()) || number == super::machine::SIGRETURN;
    if number >= NUMBERS || needs_all {
        return None;
    }
    let at = site.0.wrapping_add(5);
    let [j, k, l, m] = distance(at, slot.0)?.to_le_bytes();
    let [p, q, r, s] = distance(slot.0.wrapping_add(7), at)?.to_le_bytes();
    let [e0, e1, e2, e3, e4, e5, e6, e7] = entry(place).to_le_bytes();
    let patch = Patch {
        // jmp rel32
        site: [0xe9, j, k, l, m],
        slot: [
            // lea rcx, [rip + rel32]: the call's instruction
            0x48, 0x8d, 0x0d, p, q, r, s, // mov eax, imm32
            0xb8, a, b, c, d, // movabs r11, imm64
            0x49, 0xbb, e0, e1, e2, e3, e4, e5, e6, e7, // jmp r11
            0x41, 0xff, 0xe3,
        ],
    };
    let number = low16(number.into());
    Some((patch, Call { number, at }))
}

/// From the end of an instruction to its target, if a jump reaches that far.
fn distance(from: u64, to: u64) -> Option<i32> {
    i32::try_from(to.wrapping_sub(from).cast_signed()).ok()
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
            let behind = area.load(mailbox::SITE).wrapping_add(2);
            (regs.rax, regs.rip, regs.rcx, regs.r11) = (answer, behind, behind, regs.eflags);
        }
    }
    true
}

fn progress(regs: &Regs, area: &Area, place: Place) -> Option<Progress> {
    let is_before = |label| regs.rip < code::address(place, label);
    let is_at = |label| regs.rip == code::address(place, label);
    let posted = || {
        Some(Progress::Before(
            area.load(NUMBER),
            area.load(mailbox::SITE),
        ))
    };
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
