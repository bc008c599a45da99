//! ELF headers: what a file asks to be mapped. Source: elf(5) and fs/binfmt_elf.c.

use arch::abi::elf::{
    ELF_MAGIC, ELFCLASS64, ELFDATA2LSB, ET_DYN, ET_EXEC, Ehdr, PT_GNU_STACK, PT_INTERP, PT_LOAD,
    Phdr, SegmentFlags,
};
use arch::layout::MACHINE;
use base::{Addr, Errno, PAGE_SIZE, num};
use platform::Prot;
use zerocopy::FromBytes;

/// Bytes of program headers that Linux reads at most.
const HEADERS_MAX: usize = 65_536;
/// PATH_MAX: most bytes of an interpreter's path, the NUL included.
const INTERPRETER_MAX: u64 = 4096;

/// Where a file wants to lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// At the addresses it says: ET_EXEC.
    Fixed,
    /// Anywhere: ET_DYN.
    Anywhere,
}

/// A checked file header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) place: Place,
    pub(super) entry: u64,
    /// Where the program headers are in the file.
    pub(super) headers_at: u64,
    /// How many.
    pub(super) headers: usize,
}

impl Header {
    /// From the first bytes of a file. `ENOEXEC` for anything but a program of this machine.
    pub(super) fn parse(head: &[u8]) -> Result<Self, Errno> {
        let (raw, _) = Ehdr::read_from_prefix(head).map_err(|_| Errno::ENOEXEC)?;
        let [m0, m1, m2, m3, class, data, ..] = raw.ident;
        if [m0, m1, m2, m3] != ELF_MAGIC || class != ELFCLASS64 || data != ELFDATA2LSB {
            return Err(Errno::ENOEXEC);
        }
        let place = match raw.kind {
            ET_EXEC => Place::Fixed,
            ET_DYN => Place::Anywhere,
            _ => return Err(Errno::ENOEXEC),
        };
        let headers = usize::from(raw.phnum);
        let size = headers.saturating_mul(size_of::<Phdr>());
        let sized = usize::from(raw.phentsize) == size_of::<Phdr>();
        if raw.machine != MACHINE || !sized || headers == 0 || size > HEADERS_MAX {
            return Err(Errno::ENOEXEC);
        }
        Ok(Self {
            place,
            entry: raw.entry,
            headers_at: raw.phoff,
            headers,
        })
    }

    /// Bytes of the program headers.
    pub(super) fn headers_size(&self) -> usize {
        self.headers.saturating_mul(size_of::<Phdr>())
    }
}

/// A PT_LOAD segment, checked to lie within the address space on its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Segment {
    /// Address of the first byte, before relocation.
    pub(super) at: u64,
    /// Bytes in memory.
    pub(super) memory: u64,
    /// Byte offset in the file.
    pub(super) offset: u64,
    /// Bytes in the file.
    pub(super) file: u64,
    /// What the program may do with it.
    pub(super) prot: Prot,
}

/// What the program headers say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Segments {
    /// At least one, in the file's order.
    pub(super) load: Vec<Segment>,
    /// Offset and length of the interpreter's path.
    pub(super) interpreter: Option<(u64, usize)>,
    /// Address of the program headers in memory, before relocation.
    pub(super) headers: Option<u64>,
    /// The largest alignment asked for: a power of two, at least a page.
    pub(super) align: u64,
    /// The stack is to be executable.
    pub(super) executable_stack: bool,
}

impl Segments {
    /// From the bytes of the program headers. `limit`: one past the highest address.
    /// `ENOEXEC` for a bad interpreter entry, `EINVAL` for segments that cannot be.
    pub(super) fn parse(bytes: &[u8], header: &Header, limit: u64) -> Result<Self, Errno> {
        let mut segments = Self {
            align: PAGE_SIZE,
            ..Self::default()
        };
        for raw in bytes.chunks_exact(size_of::<Phdr>()) {
            let raw = Phdr::read_from_bytes(raw).map_err(|_| Errno::ENOEXEC)?;
            match raw.kind {
                PT_LOAD => segments.add(&raw, header, limit)?,
                PT_INTERP if segments.interpreter.is_none() => {
                    if !(2..=INTERPRETER_MAX).contains(&raw.filesz) {
                        return Err(Errno::ENOEXEC);
                    }
                    segments.interpreter = Some((raw.offset, num::usize_of(raw.filesz)));
                }
                PT_GNU_STACK => {
                    segments.executable_stack = raw.flags.contains(SegmentFlags::X);
                }
                _ => {}
            }
        }
        if segments.load.is_empty() {
            return Err(Errno::EINVAL);
        }
        Ok(segments)
    }

    fn add(&mut self, raw: &Phdr, header: &Header, limit: u64) -> Result<(), Errno> {
        let fits = raw.vaddr < limit
            && raw.memsz <= limit.saturating_sub(raw.vaddr)
            && raw.filesz <= raw.memsz
            && raw.offset.checked_add(raw.filesz).is_some();
        let together = raw.vaddr % PAGE_SIZE == raw.offset % PAGE_SIZE;
        if !fits || (!together && raw.filesz > 0) {
            return Err(Errno::EINVAL);
        }
        if raw.align.is_power_of_two() && raw.align < limit {
            self.align = self.align.max(raw.align);
        }
        let mut prot = Prot::empty();
        prot.set(Prot::READ, raw.flags.contains(SegmentFlags::R));
        prot.set(Prot::WRITE, raw.flags.contains(SegmentFlags::W));
        prot.set(Prot::EXEC, raw.flags.contains(SegmentFlags::X));
        let within = header.headers_at.checked_sub(raw.offset);
        if let Some(within) = within.filter(|within| *within < raw.filesz) {
            self.headers.get_or_insert(raw.vaddr.saturating_add(within));
        }
        if raw.memsz > 0 {
            self.load.push(Segment {
                at: raw.vaddr,
                memory: raw.memsz,
                offset: raw.offset,
                file: raw.filesz,
                prot,
            });
        }
        Ok(())
    }

    /// From the first page to one past the last byte, before relocation.
    pub(super) fn span(&self) -> (u64, u64) {
        let first = self
            .load
            .iter()
            .map(|segment| Addr(segment.at).page_down().0)
            .min();
        let end = self
            .load
            .iter()
            .map(|segment| segment.at.saturating_add(segment.memory))
            .max();
        (first.unwrap_or(0), end.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arch::abi::elf::ET_REL;
    use zerocopy::IntoBytes;

    const LIMIT: u64 = 1 << 47;

    fn header() -> Ehdr {
        let mut ident = [0; 16];
        ident[..4].copy_from_slice(&ELF_MAGIC);
        (ident[4], ident[5]) = (ELFCLASS64, ELFDATA2LSB);
        Ehdr {
            ident,
            kind: ET_DYN,
            machine: MACHINE,
            phoff: 64,
            phentsize: 56,
            phnum: 1,
            ..Ehdr::default()
        }
    }

    fn load() -> Phdr {
        Phdr {
            kind: PT_LOAD,
            flags: SegmentFlags::R | SegmentFlags::X,
            vaddr: 0x1000,
            filesz: 0x800,
            memsz: 0x1800,
            align: 0x1000,
            ..Phdr::default()
        }
    }

    fn parse(headers: &[Phdr]) -> Result<Segments, Errno> {
        let header = Header::parse(header().as_bytes()).unwrap();
        Segments::parse(headers.as_bytes(), &header, LIMIT)
    }

    #[test]
    fn a_good_header() {
        let parsed = Header::parse(header().as_bytes()).unwrap();
        assert_eq!(parsed.place, Place::Anywhere);
        assert_eq!(parsed.headers_size(), 56);
    }

    #[test]
    fn bad_headers_are_enoexec() {
        let changes: [fn(&mut Ehdr); 7] = [
            |raw| raw.ident[1] = b'X',
            |raw| raw.ident[4] = 1,
            |raw| raw.kind = ET_REL,
            |raw| raw.machine = 3,
            |raw| raw.phentsize = 32,
            |raw| raw.phnum = 0,
            |raw| raw.phnum = 2000,
        ];
        for change in changes {
            let mut raw = header();
            change(&mut raw);
            assert_eq!(Header::parse(raw.as_bytes()), Err(Errno::ENOEXEC));
        }
        for len in 0..64 {
            let bytes = header();
            assert!(Header::parse(&bytes.as_bytes()[..len]).is_err());
        }
    }

    #[test]
    fn segments_and_where_the_headers_are() {
        let segments = parse(&[load()]).unwrap();
        assert_eq!(segments.span(), (0x1000, 0x2800));
        assert_eq!(segments.headers, Some(0x1040));
        assert_eq!(segments.load[0].prot, Prot::READ | Prot::EXEC);
    }

    #[test]
    fn impossible_segments_are_einval() {
        let changes: [fn(&mut Phdr); 6] = [
            |raw| raw.filesz = raw.memsz + 1,
            |raw| raw.vaddr = LIMIT,
            |raw| raw.memsz = u64::MAX,
            |raw| raw.offset = 0x10,
            |raw| raw.vaddr = u64::MAX - 0xfff,
            |raw| raw.kind = PT_GNU_STACK,
        ];
        for change in changes {
            let mut raw = load();
            change(&mut raw);
            assert_eq!(parse(&[raw]), Err(Errno::EINVAL));
        }
    }

    #[test]
    fn interpreters_have_a_length() {
        for filesz in [0, 1, 4097] {
            let raw = Phdr {
                kind: PT_INTERP,
                filesz,
                ..Phdr::default()
            };
            assert_eq!(parse(&[raw, load()]), Err(Errno::ENOEXEC));
        }
    }

    #[test]
    fn hostile_bytes_do_no_harm() {
        let mut seed = 0x9e37_79b9_u64;
        for _ in 0..20_000 {
            let mut bytes = [header().as_bytes(), load().as_bytes()].concat();
            for _ in 0..4 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = usize::try_from(seed >> 33).unwrap() % bytes.len();
                bytes[at] = seed.to_le_bytes()[7];
            }
            if let Ok(header) = Header::parse(&bytes)
                && let Ok(segments) = Segments::parse(&bytes[64..], &header, LIMIT)
            {
                let (start, end) = segments.span();
                assert!(start <= end && end <= LIMIT);
            }
        }
    }
}
