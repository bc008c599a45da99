//! Changes of mappings as the host calls that a stub makes for them.

use super::Op;
use super::family::SHARED_FIXED;
use super::ranges::Ranges;
use crate::{Backing, Change, Fill, Limits, PlatformError, Prot};

/// MAP_POPULATE.
const POPULATE: u64 = 0x8000;

/// Adds the host calls for one change to `ops`; the set of mapped ranges changes with
/// them. `open` gives the descriptor and offset in the stub of what a mapping shows.
pub(crate) fn plan<'a>(
    change: &'a Change<'a>,
    limits: Limits,
    mapped: &mut Ranges,
    ops: &mut Vec<Op>,
    open: impl FnOnce(&'a Backing<'a>) -> Result<(u32, u64), PlatformError>,
) -> Result<(), PlatformError> {
    match *change {
        Change::Map {
            at,
            len,
            ref backing,
            prot,
            fill,
        } => {
            let range = limits.range(at, len)?;
            let (number, offset) = open(backing)?;
            let populate = if fill == Fill::Now { POPULATE } else { 0 };
            let flags = SHARED_FIXED | populate;
            let args = [at.0, len, host_prot(prot), flags, u64::from(number), offset];
            ops.push(Op::new(libc::SYS_mmap, args));
            mapped.insert(range);
        }
        Change::Protect { at, len, prot } => {
            for part in mapped.within(limits.range(at, len)?) {
                let len = part.end.saturating_sub(part.start);
                let args = [part.start, len, host_prot(prot)];
                ops.push(Op::new(libc::SYS_mprotect, args));
            }
        }
        Change::Unmap { at, len } => {
            if mapped.remove(limits.range(at, len)?) {
                ops.push(Op::new(libc::SYS_munmap, [at.0, len]));
            }
        }
    }
    Ok(())
}

/// Protection bits as mmap(2) has them.
fn host_prot(prot: Prot) -> u64 {
    u64::from(prot.bits())
}
