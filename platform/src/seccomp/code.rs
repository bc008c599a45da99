//! The code of program threads and mappers, which lies in every stub's code page.
//!
//! Invariant `[stub-code]`: the bytes between its labels are position-independent but for
//! the tables of the page that they lie in, and complete.

#[cfg_attr(target_arch = "aarch64", path = "code_aarch64.rs")]
#[cfg_attr(target_arch = "x86_64", path = "code_x86_64.rs")]
mod text;

use arch::abi::num::{u64_of, usize_of};

use super::layout;
use crate::stub::Place;

unsafe extern "C" {
    static ringfence_notify_start: u8;
    static ringfence_notify_thread: u8;
    static ringfence_notify_handler: u8;
    static ringfence_notify_reported: u8;
    static ringfence_notify_bases: u8;
    static ringfence_notify_exit: u8;
    static ringfence_notify_exited: u8;
    static ringfence_notify_mapper: u8;
    static ringfence_notify_end: u8;
}

/// A place in the code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Point {
    /// Where a new program thread starts.
    Thread,
    /// The handler of all signals.
    Handler,
    /// Behind the call of the canonical stop.
    Reported,
    /// Sets what frames do not hold, then stops again.
    Bases,
    /// Where a thread goes to end.
    Exit,
    /// Behind the call that ends it.
    Exited,
    /// Where the mapper starts.
    Mapper,
}

impl Point {
    /// Its address in the stubs.
    pub(super) fn address(self, place: Place) -> u64 {
        let label = match self {
            Self::Thread => &raw const ringfence_notify_thread,
            Self::Handler => &raw const ringfence_notify_handler,
            Self::Reported => &raw const ringfence_notify_reported,
            Self::Bases => &raw const ringfence_notify_bases,
            Self::Exit => &raw const ringfence_notify_exit,
            Self::Exited => &raw const ringfence_notify_exited,
            Self::Mapper => &raw const ringfence_notify_mapper,
        };
        address(place, label)
    }
}

/// The address in the stubs of a label of the code.
pub(super) fn address(place: Place, label: *const u8) -> u64 {
    let offset = layout::CODE.wrapping_add(distance(label));
    place.code.wrapping_add(u64_of(offset))
}

fn distance(label: *const u8) -> usize {
    let start = &raw const ringfence_notify_start;
    label.addr().wrapping_sub(start.addr())
}

/// The code as it is linked.
pub(super) fn bytes() -> &'static [u8] {
    let start = &raw const ringfence_notify_start;
    let len = distance(&raw const ringfence_notify_end);
    // SAFETY: [stub-code] the bytes between the labels are constant data of this program.
    unsafe { std::slice::from_raw_parts(start, usize_of(u64_of(len))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_fits_its_part_of_the_page() {
        assert!(layout::CODE + bytes().len() <= layout::ACTION);
        let place = Place {
            code: 0x7fff_0000_0000,
            task_size: 1 << 47,
        };
        assert!(Point::Mapper.address(place) < place.code + u64_of(layout::ACTION));
    }
}
