//! Segments into an address space. Source: fs/binfmt_elf.c.

use std::sync::Arc;

use arch::abi::memory::MapFlags;
use arch::layout::{BRK_RANDOM, ELF_ET_DYN_BASE, MMAP_RND_BITS};
use base::{Addr, Errno, PAGE_SIZE, num};
use mem::{MapRequest, Mm, UserMemory};
use platform::Prot;

use super::elf::{Header, Place, Segment, Segments};
use super::{Image, Program, Random};

/// A program that is mapped.
pub(super) struct Mapped {
    /// The first instruction: the interpreter's, if there is one.
    pub(super) start: Addr,
    /// The program's own first instruction.
    pub(super) entry: Addr,
    /// Its program headers.
    pub(super) headers: Addr,
    /// How many.
    pub(super) header_count: usize,
    /// Where the interpreter lies; null if there is none.
    pub(super) base: Addr,
    /// The stack is to be executable.
    pub(super) executable_stack: bool,
    /// First and last of what is executable.
    pub(super) code: (Addr, Addr),
    /// First and last of what is writable in the file.
    pub(super) data: (Addr, Addr),
}

/// One file's segments in memory.
struct Object {
    /// What is added to its addresses.
    bias: u64,
    /// One past its last byte.
    end: Addr,
}

/// Maps the program and its interpreter, and sets the heap's start. The first stack
/// is not there yet: nothing else can be in the way.
pub(super) fn program(
    memory: &Mm,
    image: &Image,
    program: &Program<'_>,
    random: &Random,
) -> Result<Mapped, Errno> {
    let limit = memory.layout().max.0;
    let (header, segments) = read(image, limit)?;
    let interpreter = match segments.interpreter {
        Some((offset, len)) => Some(open_interpreter(image, program, offset, len)?),
        None => None,
    };
    let at = match (header.place, &interpreter) {
        (Place::Fixed, _) => Wanted::Fixed,
        (Place::Anywhere, Some(_)) => {
            let pages = random.load & ((1 << MMAP_RND_BITS) - 1);
            let base = ELF_ET_DYN_BASE.saturating_add(pages.saturating_mul(PAGE_SIZE));
            Wanted::At(base & !(segments.align.saturating_sub(1)))
        }
        (Place::Anywhere, None) => Wanted::Anywhere,
    };
    let object = map(memory, image, &segments, at)?;
    let relocate = |at: u64| Addr(at.wrapping_add(object.bias));
    let heap = match at {
        // Its own area may be small: the heap goes where programs usually lie.
        Wanted::Anywhere => Addr(ELF_ET_DYN_BASE),
        _ => object.end,
    };
    set_heap(memory, heap, random)?;
    let entry = relocate(header.entry);
    let (mut start, mut base) = (entry, Addr::NULL);
    if let Some(interpreter) = interpreter {
        (start, base) = load_interpreter(memory, &interpreter)?;
    }
    if start >= memory.layout().max {
        return Err(Errno::EINVAL);
    }
    let bounds = |flag: Prot, file_only: bool| {
        let chosen = segments
            .load
            .iter()
            .filter(|segment| segment.prot.contains(flag));
        let len = |segment: &Segment| {
            if file_only {
                segment.file
            } else {
                segment.memory
            }
        };
        let first = chosen.clone().map(|segment| segment.at).min();
        let last = chosen
            .map(|segment| segment.at.saturating_add(len(segment)))
            .max();
        (relocate(first.unwrap_or(0)), relocate(last.unwrap_or(0)))
    };
    Ok(Mapped {
        start,
        entry,
        headers: segments.headers.map_or(Addr::NULL, relocate),
        header_count: header.headers,
        base,
        executable_stack: segments.executable_stack,
        code: bounds(Prot::EXEC, true),
        data: bounds(Prot::WRITE, true),
    })
}

fn read(image: &Image, limit: u64) -> Result<(Header, Segments), Errno> {
    let header = Header::parse(image.head())?;
    let size = header.headers_size();
    let bytes = image.read(header.headers_at, size)?;
    if bytes.len() < size {
        return Err(Errno::ENOEXEC);
    }
    let segments = Segments::parse(&bytes, &header, limit)?;
    Ok((header, segments))
}

fn open_interpreter(
    image: &Image,
    program: &Program<'_>,
    offset: u64,
    len: usize,
) -> Result<Image, Errno> {
    let path = image.read(offset, len)?;
    if path.len() < len {
        return Err(Errno::EIO);
    }
    let Some((0, path)) = path.split_last() else {
        return Err(Errno::ENOEXEC);
    };
    let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
    let interpreter = Image::open(&program.resolve(path)?, program.caller)?;
    if interpreter.head().len() < 64 {
        return Err(Errno::EIO);
    }
    Ok(interpreter)
}

/// Maps the interpreter; gives its first instruction and where it lies.
fn load_interpreter(memory: &Mm, image: &Image) -> Result<(Addr, Addr), Errno> {
    let bad = |errno| match errno {
        Errno::ENOEXEC => Errno::ELIBBAD,
        other => other,
    };
    let (header, segments) = read(image, memory.layout().max.0).map_err(bad)?;
    let wanted = match header.place {
        Place::Fixed => Wanted::Fixed,
        Place::Anywhere => Wanted::Anywhere,
    };
    let object = map(memory, image, &segments, wanted)?;
    Ok((
        Addr(header.entry.wrapping_add(object.bias)),
        Addr(object.bias),
    ))
}

/// Where a file is to be mapped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// At its own addresses.
    Fixed,
    /// With its first page here.
    At(u64),
    /// Wherever there is room.
    Anywhere,
}

fn map(memory: &Mm, image: &Image, segments: &Segments, wanted: Wanted) -> Result<Object, Errno> {
    let (first, last) = segments.span();
    let end = Addr(last).page_up().ok_or(Errno::EINVAL)?.0;
    let size = end
        .checked_sub(first)
        .filter(|size| *size > 0)
        .ok_or(Errno::EINVAL)?;
    let bias = match wanted {
        Wanted::Fixed => 0,
        Wanted::At(at) => at.wrapping_sub(first),
        Wanted::Anywhere => room(memory, size, segments.align)?.0.wrapping_sub(first),
    };
    let start = first.wrapping_add(bias);
    if !memory.in_range(Addr(start), size) {
        return Err(Errno::ENOMEM);
    }
    for segment in &segments.load {
        map_segment(memory, image, segment, bias)?;
    }
    Ok(Object {
        bias,
        end: Addr(last.wrapping_add(bias)),
    })
}

/// `size` bytes that are free, aligned to `align`.
fn room(memory: &Mm, size: u64, align: u64) -> Result<Addr, Errno> {
    let slack = align.saturating_sub(PAGE_SIZE);
    let len = size.checked_add(slack).ok_or(Errno::ENOMEM)?;
    let at = memory.map(MapRequest::anonymous(len, Prot::empty()))?;
    memory.unmap(at, len)?;
    let up = at.0.checked_add(slack).ok_or(Errno::ENOMEM)?;
    Ok(Addr(up & !(align.saturating_sub(1))))
}

fn map_segment(memory: &Mm, image: &Image, segment: &Segment, bias: u64) -> Result<(), Errno> {
    let at = segment.at.wrapping_add(bias);
    let start = Addr(at).page_down();
    let lead = at.saturating_sub(start.0);
    let fixed = MapFlags::PRIVATE | MapFlags::FIXED;
    let mut anonymous_from = start;
    if segment.file > 0 {
        let len = segment.file.checked_add(lead).ok_or(Errno::EINVAL)?;
        let offset = segment.offset.checked_sub(lead).ok_or(Errno::EINVAL)?;
        let file: Arc<dyn mem::Mappable> = image.mappable()?;
        memory.map(MapRequest {
            at: start,
            len,
            flags: fixed,
            file: Some((file, offset)),
            ..MapRequest::anonymous(len, segment.prot)
        })?;
        let file_end = start.checked_add(len).ok_or(Errno::EINVAL)?;
        anonymous_from = file_end.page_up().ok_or(Errno::EINVAL)?;
        let bss = segment.memory > segment.file;
        if bss && segment.prot.contains(Prot::WRITE) {
            let tail = anonymous_from.0.saturating_sub(file_end.0);
            if memory.zero_out(file_end, num::usize_of(tail))? < num::usize_of(tail) {
                return Err(Errno::EFAULT);
            }
        }
    }
    let end = Addr(at.saturating_add(segment.memory))
        .page_up()
        .ok_or(Errno::EINVAL)?;
    if end > anonymous_from {
        let len = end.0.saturating_sub(anonymous_from.0);
        memory.map(MapRequest {
            at: anonymous_from,
            flags: fixed | MapFlags::ANONYMOUS,
            ..MapRequest::anonymous(len, segment.prot)
        })?;
    }
    Ok(())
}

/// The heap starts at a random place above the program.
fn set_heap(memory: &Mm, after: Addr, random: &Random) -> Result<(), Errno> {
    let pages = BRK_RANDOM.checked_div(PAGE_SIZE).unwrap_or(1).max(1);
    let offset = (random.brk % pages).saturating_mul(PAGE_SIZE);
    let start = after.page_up().and_then(|at| at.checked_add(offset));
    memory.set_brk_start(start.ok_or(Errno::ENOMEM)?);
    Ok(())
}
