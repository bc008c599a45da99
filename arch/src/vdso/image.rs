//! Wraps the machine code into a shared object that C libraries and Go's runtime
//! accept: one loadable segment, a dynamic section with symbols, a System V hash
//! table and symbol versions, and section headers for debuggers. Source: elf(5).

use super::{Code, Function, TEXT_OFFSET};
use crate::abi::elf::{
    Dyn, ELF_MAGIC, ELFCLASS64, ELFDATA2LSB, ET_DYN, EV_CURRENT, Ehdr, PT_DYNAMIC, PT_LOAD, Phdr,
    SegmentFlags, Shdr, Sym,
};
use crate::abi::macros::abi_struct;
use crate::abi::num::{low16, low32, u64_of};
use crate::abi::{Errno, PAGE_SIZE};
use std::sync::OnceLock;
use zerocopy::{Immutable, IntoBytes};

const SONAME: &str = "linux-vdso.so.1";
const STB_GLOBAL_FUNC: u8 = 1 << 4 | 2;
const SHF_ALLOC: u64 = 2;
const SHF_EXECINSTR: u64 = 4;
const TEXT_SECTION: u16 = 7;

/// A vDSO image, one page long, to be mapped right above the parameter page.
#[derive(Clone, Debug)]
pub struct Image {
    /// The page.
    pub bytes: Vec<u8>,
    /// Offset of the instructions that make rt_sigreturn(2), where handlers without a
    /// restorer return to; `None` where Linux has no such thing.
    pub sigreturn: Option<u64>,
}

/// The image for this machine; made once.
///
/// # Errors
///
/// `ENOEXEC` if the tables did not fit; a test shows that they do.
pub fn image() -> Result<&'static Image, Errno> {
    static IMAGE: OnceLock<Option<Image>> = OnceLock::new();
    IMAGE
        .get_or_init(|| build(&crate::current::vdso_code::code()))
        .as_ref()
        .ok_or(Errno::ENOEXEC)
}

abi_struct! {
    /// `Elf64_Verdef` with its one `Elf64_Verdaux`.
    struct Verdef {
        version: u16,
        flags: u16,
        ndx: u16,
        cnt: u16,
        hash: u32,
        aux: u32,
        next: u32,
        aux_name: u32,
        aux_next: u32,
    }
}

/// The hash of the System V ABI.
fn elf_hash(name: &str) -> u32 {
    name.bytes().fold(0_u32, |hash, byte| {
        let hash = (hash << 4).wrapping_add(u32::from(byte));
        let top = hash & 0xf000_0000;
        (hash ^ (top >> 24)) & !top
    })
}

/// A string table under construction.
struct Strings(Vec<u8>);

impl Strings {
    fn new() -> Self {
        Self(vec![0])
    }

    fn add(&mut self, text: &str) -> u32 {
        let at = low32(u64_of(self.0.len()));
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        at
    }
}

/// The image under construction.
struct Page(Vec<u8>);

impl Page {
    /// Appends at the next multiple of 8; returns the offset.
    fn add(&mut self, bytes: &[u8]) -> u64 {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        let at = u64_of(self.0.len());
        self.0.extend_from_slice(bytes);
        at
    }

    fn put(&mut self, at: usize, item: &(impl IntoBytes + Immutable)) -> Option<()> {
        let place = self.0.get_mut(at..)?;
        item.write_to_prefix(place).ok()
    }
}

/// Where a table stands in the image.
#[derive(Clone, Copy, Default)]
struct Place {
    at: u64,
    size: u64,
}

/// The tables of dynamic linking.
#[derive(Default)]
struct Tables {
    hash: Place,
    dynsym: Place,
    dynstr: Place,
    versym: Place,
    verdef: Place,
    dynamic: Place,
}

fn build(code: &Code) -> Option<Image> {
    let headers = size_of::<Ehdr>() + 2 * size_of::<Phdr>();
    let mut page = Page(vec![0; headers]);
    let tables = add_tables(&mut page, code);
    if page.0.len() > TEXT_OFFSET {
        return None;
    }
    page.0.resize(TEXT_OFFSET, 0);
    let text = Place {
        at: page.add(code.text),
        size: u64_of(code.text.len()),
    };
    let (sections, shoff) = add_sections(&mut page, &tables, text);
    if u64_of(page.0.len()) > PAGE_SIZE {
        return None;
    }
    page.0.resize(crate::abi::num::usize_of(PAGE_SIZE), 0);
    page.put(0, &file_header(sections, shoff))?;
    page.put(size_of::<Ehdr>(), &load_segment())?;
    let dynamic = segment(PT_DYNAMIC, SegmentFlags::R, tables.dynamic, 8);
    page.put(size_of::<Ehdr>() + size_of::<Phdr>(), &dynamic)?;
    let sigreturn = code.sigreturn.and_then(|name| {
        let function = code.functions.iter().find(|f| f.name == name)?;
        Some(u64_of(TEXT_OFFSET.saturating_add(function.offset)))
    });
    Some(Image {
        bytes: page.0,
        sigreturn,
    })
}

fn file_header(sections: u16, shoff: u64) -> Ehdr {
    let mut ident = [0; 16];
    let [m0, m1, m2, m3, class, data, version, ..] = &mut ident;
    [*m0, *m1, *m2, *m3] = ELF_MAGIC;
    [*class, *data, *version] = [ELFCLASS64, ELFDATA2LSB, EV_CURRENT];
    Ehdr {
        ident,
        kind: ET_DYN,
        machine: crate::current::layout::MACHINE,
        version: 1,
        phoff: u64_of(size_of::<Ehdr>()),
        shoff,
        ehsize: low16(u64_of(size_of::<Ehdr>())),
        phentsize: low16(u64_of(size_of::<Phdr>())),
        phnum: 2,
        shentsize: low16(u64_of(size_of::<Shdr>())),
        shnum: sections,
        shstrndx: sections.saturating_sub(1),
        ..Ehdr::default()
    }
}

fn segment(kind: u32, flags: SegmentFlags, place: Place, align: u64) -> Phdr {
    Phdr {
        kind,
        flags,
        offset: place.at,
        vaddr: place.at,
        paddr: place.at,
        filesz: place.size,
        memsz: place.size,
        align,
    }
}

fn load_segment() -> Phdr {
    let whole = Place {
        at: 0,
        size: PAGE_SIZE,
    };
    segment(PT_LOAD, SegmentFlags::R | SegmentFlags::X, whole, PAGE_SIZE)
}

fn add_table(page: &mut Page, bytes: &[u8]) -> Place {
    Place {
        at: page.add(bytes),
        size: u64_of(bytes.len()),
    }
}

fn add_tables(page: &mut Page, code: &Code) -> Tables {
    let mut strings = Strings::new();
    let soname = strings.add(SONAME);
    let version = strings.add(code.version);
    let names: Vec<u32> = code.functions.iter().map(|f| strings.add(f.name)).collect();
    let mut symbols = vec![Sym::default()];
    symbols.extend(code.functions.iter().zip(&names).map(symbol));
    let mut tables = Tables {
        hash: add_table(page, hash_table(&code.functions).as_bytes()),
        dynsym: add_table(page, symbols.as_bytes()),
        dynstr: add_table(page, &strings.0),
        ..Tables::default()
    };
    let mut versions = vec![0_u16];
    versions.resize(symbols.len(), 2);
    tables.versym = add_table(page, versions.as_bytes());
    let definitions = [
        definition(1, SONAME, soname),
        definition(2, code.version, version),
    ];
    tables.verdef = add_table(page, definitions.as_bytes());
    let dynamic = dynamic_section(&tables, u64::from(soname));
    tables.dynamic = add_table(page, dynamic.as_bytes());
    tables
}

fn symbol((function, name): (&Function, &u32)) -> Sym {
    Sym {
        name: *name,
        info: STB_GLOBAL_FUNC,
        other: 0,
        shndx: TEXT_SECTION,
        value: u64_of(TEXT_OFFSET.saturating_add(function.offset)),
        size: u64_of(function.size),
    }
}

/// One bucket: the chain runs through all symbols. They are few.
fn hash_table(functions: &[Function]) -> Vec<u32> {
    let count = low32(u64_of(functions.len()));
    // nbucket, nchain, the bucket, the chain: symbol n leads to n - 1, and 0 ends it.
    let mut table = vec![1, count.saturating_add(1), count, 0];
    table.extend(0..count);
    table
}

/// Definition 1 is the object itself, 2 the version of its functions.
fn definition(ndx: u16, name: &str, aux_name: u32) -> Verdef {
    Verdef {
        version: 1,
        flags: u16::from(ndx == 1),
        ndx,
        cnt: 1,
        hash: elf_hash(name),
        aux: 20,
        next: if ndx == 1 { 28 } else { 0 },
        aux_name,
        aux_next: 0,
    }
}

fn dynamic_section(tables: &Tables, soname: u64) -> Vec<Dyn> {
    [
        (14, soname),
        (4, tables.hash.at),
        (5, tables.dynstr.at),
        (6, tables.dynsym.at),
        (10, tables.dynstr.size),
        (11, u64_of(size_of::<Sym>())),
        (0x6fff_fff0, tables.versym.at),
        (0x6fff_fffc, tables.verdef.at),
        (0x6fff_fffd, 2),
        (0, 0),
    ]
    .into_iter()
    .map(|(tag, value)| Dyn { tag, value })
    .collect()
}

/// Section headers; returns their number and offset. The order is what `link`
/// fields and `TEXT_SECTION` count on.
fn add_sections(page: &mut Page, tables: &Tables, text: Place) -> (u16, u64) {
    let mut names = Strings::new();
    let exec = SHF_ALLOC | SHF_EXECINSTR;
    let mut headers = vec![Shdr::default()];
    // name, type, flags, link, info, entry size
    for (name, kind, flags, place, link, info, entsize) in [
        (".hash", 5, SHF_ALLOC, tables.hash, 2, 0, 4),
        (".dynsym", 11, SHF_ALLOC, tables.dynsym, 3, 1, 24),
        (".dynstr", 3, SHF_ALLOC, tables.dynstr, 0, 0, 0),
        (
            ".gnu.version",
            0x6fff_ffff,
            SHF_ALLOC,
            tables.versym,
            2,
            0,
            2,
        ),
        (
            ".gnu.version_d",
            0x6fff_fffd,
            SHF_ALLOC,
            tables.verdef,
            3,
            2,
            0,
        ),
        (".dynamic", 6, SHF_ALLOC, tables.dynamic, 3, 0, 16),
        (".text", 1, exec, text, 0, 0, 0),
    ] {
        headers.push(Shdr {
            name: names.add(name),
            kind,
            flags,
            addr: place.at,
            offset: place.at,
            size: place.size,
            link,
            info,
            addralign: 8,
            entsize,
        });
    }
    let name = names.add(".shstrtab");
    let strings = add_table(page, &names.0);
    headers.push(Shdr {
        name,
        kind: 3,
        offset: strings.at,
        size: strings.size,
        addralign: 1,
        ..Shdr::default()
    });
    let at = page.add(headers.as_bytes());
    (low16(u64_of(headers.len())), at)
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
