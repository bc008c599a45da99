//! The stub: the few hundred bytes of code that lie in every stub process, and the
//! image that the zygote is started from.
//!
//! Invariants: the code uses registers, its own page (never writable) and the
//! control page (read-only in the stub), so nothing that the program's threads can
//! write changes what it does; `[stub-code]` the bytes between its labels are
//! position-independent and complete. All system calls that it makes are those of
//! requests, plus futex, lseek, write, ppoll, exit and exit_group. getppid is made as a check:
//! it fails if its result is not its first argument.

pub(crate) mod changes;
pub(crate) mod channel;
pub(crate) mod control;
pub(crate) mod family;
pub(crate) mod keeper;
pub(crate) mod layout;
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
mod machine;
pub(crate) mod placement;
pub(crate) mod ranges;
mod zygote;

use arch::abi::num::{u64_of, usize_of};

/// A system call for the stub to make.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Op {
    /// Its number.
    pub(crate) nr: u64,
    /// Its arguments.
    pub(crate) args: [u64; 6],
}

impl Op {
    /// The operation with its arguments; those not given are zero.
    pub(crate) fn new<const N: usize>(nr: i64, args: [u64; N]) -> Self {
        let mut all = [0; 6];
        for (to, from) in all.iter_mut().zip(args) {
            *to = from;
        }
        Self {
            nr: nr.cast_unsigned(),
            args: all,
        }
    }

    /// As it lies in the control page.
    pub(crate) fn words(&self) -> [u64; 7] {
        let [a, b, c, d, e, f] = self.args;
        [self.nr, a, b, c, d, e, f]
    }
}

unsafe extern "C" {
    static ringfence_stub_start: u8;
    static ringfence_stub_park: u8;
    static ringfence_stub_exit: u8;
    static ringfence_stub_boot: u8;
    static ringfence_stub_end: u8;
}

/// Where the stub's pages are in all stub processes of a sandbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Address of the code page.
    pub(crate) code: u64,
    /// One past the last address that a process can map.
    pub(crate) task_size: u64,
}

impl Place {
    /// Whether an address lies in the code page.
    pub(crate) fn is_code(self, at: arch::abi::Addr) -> bool {
        at.0.wrapping_sub(self.code) < u64_of(layout::PAGE)
    }

    /// Address of the control page.
    pub(crate) fn control(self) -> u64 {
        self.code.wrapping_add(u64_of(layout::PAGE))
    }

    /// Address of the zygote's scratch page.
    pub(crate) fn scratch(self) -> u64 {
        self.control().wrapping_add(u64_of(layout::PAGE))
    }

    /// Where a new thread of a tracer waits.
    pub(crate) fn park(self) -> u64 {
        self.at((&raw const ringfence_stub_park).addr())
    }

    /// Where a thread goes to end.
    pub(crate) fn exit(self) -> u64 {
        self.at((&raw const ringfence_stub_exit).addr())
    }

    /// The address in the stub of a label of the code.
    fn at(self, label: usize) -> u64 {
        self.code.wrapping_add(u64_of(offset(label)))
    }
}

/// Sizes that the address space of a process may have here, largest first.
pub(crate) fn task_sizes() -> &'static [u64] {
    machine::TASK_SIZES
}

fn offset(label: usize) -> usize {
    label.wrapping_sub((&raw const ringfence_stub_start).addr())
}

/// The code as it is linked.
fn code() -> &'static [u8] {
    let start = &raw const ringfence_stub_start;
    let len = offset((&raw const ringfence_stub_end).addr());
    // SAFETY: [stub-code] the bytes between the labels are constant data of this program.
    unsafe { std::slice::from_raw_parts(start, len) }
}

/// An executable file that, when started, carries out `boot` and then waits for
/// requests: an ELF header, one program header, and the code page at `place`. At most
/// [`layout::BOOT_OPS`] operations; the first one, which may be made twice, fills the rest.
pub(crate) fn image(place: Place, boot: &[Op]) -> Vec<u8> {
    let mut page = code().to_vec();
    let at = offset((&raw const ringfence_stub_boot).addr());
    let fill = boot.first().into_iter().cycle();
    let ops = boot.iter().chain(fill).take(layout::BOOT_OPS);
    let ops = ops.flat_map(Op::words).flat_map(u64::to_ne_bytes);
    for (to, from) in page.iter_mut().skip(at).zip(ops) {
        *to = from;
    }
    page.resize(layout::PAGE, 0);
    let mut file = header(place);
    file.resize(layout::PAGE, 0);
    file.append(&mut page);
    file
}

/// The same with more in the code page, at these offsets.
pub(crate) fn image_with(place: Place, boot: &[Op], parts: &[(usize, &[u8])]) -> Vec<u8> {
    let mut file = image(place, boot);
    for (offset, part) in parts {
        let at = layout::PAGE.saturating_add(*offset);
        for (to, from) in file.iter_mut().skip(at).zip(*part) {
            *to = *from;
        }
    }
    file
}

/// ELF and program header (elf(5)) of an executable with one segment.
fn header(place: Place) -> Vec<u8> {
    let page = u64_of(layout::PAGE);
    let mut file = Vec::with_capacity(layout::PAGE);
    // 64 bits, little endian, version 1.
    file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    let half = |file: &mut Vec<u8>, values: &[u16]| {
        for value in values {
            file.extend(value.to_le_bytes());
        }
    };
    let word = |file: &mut Vec<u8>, values: &[u32]| {
        for value in values {
            file.extend(value.to_le_bytes());
        }
    };
    let wide = |file: &mut Vec<u8>, values: &[u64]| {
        for value in values {
            file.extend(value.to_le_bytes());
        }
    };
    half(&mut file, &[2, machine::ELF_MACHINE]); // ET_EXEC
    word(&mut file, &[1]);
    wide(&mut file, &[place.code, 64, 0]); // entry, program headers, section headers
    word(&mut file, &[0]);
    half(&mut file, &[64, 56, 1, 0, 0, 0]); // sizes and counts
    word(&mut file, &[1, 5]); // PT_LOAD, readable and executable
    wide(&mut file, &[page, place.code, place.code, page, page, page]);
    file
}

/// How an answer of the stub reads.
pub(crate) fn answer(value: u64) -> Result<u64, Failed> {
    if value >> layout::FAILED_BIT & 1 == 0 {
        return Ok(value);
    }
    let errno = value & ((1 << layout::ERRNO_BITS) - 1);
    let offset = usize_of(value >> layout::ERRNO_BITS & 0xfff);
    Err(Failed {
        index: offset.saturating_sub(layout::OPS) / layout::OP_SIZE,
        errno: arch::abi::Errno(arch::abi::num::low16(errno)),
    })
}

/// An operation that failed; those after it were not tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Failed {
    /// Its place in the request.
    pub(crate) index: usize,
    /// The host's reason.
    pub(crate) errno: arch::abi::Errno,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_fits_its_page() {
        assert!(code().len() <= layout::PAGE);
        let place = Place {
            code: 0x7fff_0000_0000,
            task_size: 1 << 47,
        };
        let op = Op::new(11, [1, 2, 3]);
        let file = image(place, &[op]);
        assert_eq!(file.len(), 2 * layout::PAGE);
        let boot = file.len() - layout::PAGE + offset((&raw const ringfence_stub_boot).addr());
        assert_eq!(file[boot], 11);
        assert!(place.exit() > place.code && place.exit() < place.control());
    }

    #[test]
    fn answers_read_back() {
        assert_eq!(answer(4711), Ok(4711));
        let offset = u64_of(layout::OPS + 3 * layout::OP_SIZE);
        let failed = 1 << layout::FAILED_BIT | offset << layout::ERRNO_BITS | 12;
        let expected = Failed {
            index: 3,
            errno: arch::abi::Errno::ENOMEM,
        };
        assert_eq!(answer(failed), Err(expected));
    }
}
