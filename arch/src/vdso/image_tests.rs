//! The image as another project's ELF reader sees it.

use super::*;
use object::read::elf::{FileHeader, SectionHeader};
use object::{Endianness, Object, ObjectSymbol};

#[test]
fn the_hash_is_that_of_the_system_v_abi() {
    assert_eq!(elf_hash("LINUX_2.6"), 0x03ae_75f6);
    assert_eq!(elf_hash("LINUX_2.6.39"), 0x075f_cb89);
}

#[test]
fn another_reader_finds_the_functions() {
    let code = crate::current::vdso_code::code();
    let image = image().unwrap();
    assert_eq!(u64_of(image.bytes.len()), PAGE_SIZE);
    let file = object::File::parse(&*image.bytes).unwrap();
    assert_eq!(file.dynamic_symbols().count(), code.functions.len());
    for function in &code.functions {
        let symbol = file
            .dynamic_symbols()
            .find(|symbol| symbol.name() == Ok(function.name))
            .unwrap();
        assert_eq!(symbol.address(), u64_of(TEXT_OFFSET + function.offset));
        assert!(symbol.size() > 0 && symbol.is_global());
    }
}

#[test]
fn another_reader_finds_the_versions_and_the_hash_table() {
    let image = image().unwrap();
    let code = crate::current::vdso_code::code();
    let header = object::elf::FileHeader64::<Endianness>::parse(&*image.bytes).unwrap();
    let endian = header.endian().unwrap();
    let sections = header.sections(endian, &*image.bytes).unwrap();
    let versions = sections.versions(endian, &*image.bytes).unwrap().unwrap();
    for index in 1..=code.functions.len() {
        let index = versions.version_index(endian, object::SymbolIndex(index));
        let version = versions.version(index.index()).unwrap().unwrap();
        assert_eq!(version.name(), code.version.as_bytes());
        assert_eq!(version.hash(), elf_hash(code.version));
    }
    let (_, dynsym) = sections
        .iter()
        .enumerate()
        .find(|(_, section)| section.sh_type(endian) == object::elf::SHT_DYNSYM)
        .unwrap();
    assert_eq!(dynsym.sh_info(endian), 1);
    let symbols = sections
        .symbols(endian, &*image.bytes, object::elf::SHT_DYNSYM)
        .unwrap();
    let hash = sections.hash(endian, &*image.bytes).unwrap().unwrap();
    for function in &code.functions {
        let name = function.name.as_bytes();
        let found = hash.0.find(
            endian,
            name,
            object::elf::hash(name),
            None,
            &symbols,
            &versions,
        );
        assert!(found.is_some(), "{}", function.name);
    }
}

#[test]
fn handlers_return_to_exactly_what_unwinders_look_for() {
    let image = image().unwrap();
    if let Some(at) = image.sigreturn {
        let at = crate::abi::num::usize_of(at);
        assert_eq!(
            image.bytes[at..at + 8],
            [0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4]
        );
    }
}
