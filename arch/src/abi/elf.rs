//! 64-bit ELF and the auxiliary vector: elf(5), getauxval(3).

use super::macros::{abi_struct, flags, numbers};

/// The first four bytes of every ELF file.
pub const ELF_MAGIC: [u8; 4] = *b"\x7fELF";

abi_struct! {
    /// `Elf64_Ehdr`: the file header.
    pub struct Ehdr {
        /// Magic number, class, data encoding, version, OS.
        pub ident: [u8; 16],
        /// `ET_` kind.
        pub kind: u16,
        /// `EM_` machine.
        pub machine: u16,
        /// 1.
        pub version: u32,
        /// First instruction.
        pub entry: u64,
        /// Offset of the program headers.
        pub phoff: u64,
        /// Offset of the section headers.
        pub shoff: u64,
        /// Machine's flags.
        pub flags: u32,
        /// Bytes of this header.
        pub ehsize: u16,
        /// Bytes of a program header.
        pub phentsize: u16,
        /// Program headers.
        pub phnum: u16,
        /// Bytes of a section header.
        pub shentsize: u16,
        /// Section headers.
        pub shnum: u16,
        /// The section with the section names.
        pub shstrndx: u16,
    }
}

abi_struct! {
    /// `Elf64_Phdr`: a program header.
    pub struct Phdr {
        /// `PT_` kind.
        pub kind: u32,
        /// `PF_` flags.
        pub flags: SegmentFlags,
        /// Offset in the file.
        pub offset: u64,
        /// Address.
        pub vaddr: u64,
        /// Physical address; unused.
        pub paddr: u64,
        /// Bytes in the file.
        pub filesz: u64,
        /// Bytes in memory.
        pub memsz: u64,
        /// Alignment in bytes.
        pub align: u64,
    }
}

abi_struct! {
    /// `Elf64_Shdr`: a section header.
    pub struct Shdr {
        /// Offset of the name.
        pub name: u32,
        /// `SHT_` kind.
        pub kind: u32,
        /// `SHF_` flags.
        pub flags: u64,
        /// Address.
        pub addr: u64,
        /// Offset in the file.
        pub offset: u64,
        /// Bytes.
        pub size: u64,
        /// A related section.
        pub link: u32,
        /// More, depending on the kind.
        pub info: u32,
        /// Alignment in bytes.
        pub addralign: u64,
        /// Bytes of an entry.
        pub entsize: u64,
    }
}

abi_struct! {
    /// `Elf64_Sym`: a symbol.
    pub struct Sym {
        /// Offset of the name.
        pub name: u32,
        /// Binding and kind.
        pub info: u8,
        /// Visibility.
        pub other: u8,
        /// Section.
        pub shndx: u16,
        /// Address.
        pub value: u64,
        /// Bytes.
        pub size: u64,
    }
}

abi_struct! {
    /// `Elf64_Dyn`: an entry of the dynamic section.
    pub struct Dyn {
        /// `DT_` tag.
        pub tag: i64,
        /// Number or address.
        pub value: u64,
    }
}

flags! {
    /// `p_flags`.
    SegmentFlags: u32, segment_flags = libc;
    X PF_X 1, "Executable.";
    W PF_W 2, "Writable.";
    R PF_R 4, "Readable.";
}

numbers! {
    u8, ident_bytes = libc;
    ELFCLASS32 1 "`ident[4]`: 32 bits.";
    ELFCLASS64 2 "`ident[4]`: 64 bits.";
    ELFDATA2LSB 1 "`ident[5]`: little endian.";
    EV_CURRENT 1 "`ident[6]`: the only version.";
}

numbers! {
    u16, elf_kinds = libc;
    ET_REL 1 "Relocatable.";
    ET_EXEC 2 "Executable at fixed addresses.";
    ET_DYN 3 "Shared object or position-independent executable.";
    ET_CORE 4 "Core dump.";
    EM_386 3 "32-bit x86.";
    EM_ARM 40 "32-bit Arm.";
    EM_X86_64 62 "x86-64.";
    EM_AARCH64 183 "arm64.";
}

/// `phnum` when the number of program headers stands elsewhere; Linux does not load such files.
pub const PN_XNUM: u16 = 0xffff;

numbers! {
    u32, segment_kinds = libc;
    PT_NULL 0 "Unused.";
    PT_LOAD 1 "To be mapped.";
    PT_DYNAMIC 2 "Dynamic linking.";
    PT_INTERP 3 "Path of the interpreter.";
    PT_NOTE 4 "Notes.";
    PT_PHDR 6 "The program headers themselves.";
    PT_TLS 7 "Thread-local storage.";
    PT_GNU_EH_FRAME 0x6474_e550 "Exception handling.";
    PT_GNU_STACK 0x6474_e551 "Whether the stack is executable.";
    PT_GNU_RELRO 0x6474_e552 "Read-only after relocation.";
}

numbers! {
    u32;
    PT_GNU_PROPERTY 0x6474_e553 "Properties, such as BTI.";
    NT_GNU_PROPERTY_TYPE_0 5 "Note with properties.";
    GNU_PROPERTY_AARCH64_FEATURE_1_AND 0xc000_0000 "Property: BTI (bit 0) and PAC (bit 1).";
    NT_PRSTATUS 1 "General registers.";
    NT_FPREGSET 2 "FP registers.";
    NT_X86_XSTATE 0x202 "XSAVE area.";
    NT_ARM_TLS 0x401 "Thread pointer.";
    NT_ARM_SYSTEM_CALL 0x404 "System call number.";
    NT_ARM_SVE 0x405 "SVE registers.";
}

numbers! {
    u64, aux_types = linux_raw_sys::auxvec;
    AT_NULL 0 "End of the vector.";
    AT_IGNORE 1 "Nothing.";
    AT_EXECFD 2 "Descriptor of the program.";
    AT_PHDR 3 "Address of the program headers.";
    AT_PHENT 4 "Bytes of a program header.";
    AT_PHNUM 5 "Program headers.";
    AT_PAGESZ 6 "Page size.";
    AT_BASE 7 "Address of the interpreter.";
    AT_FLAGS 8 "Flags; zero.";
    AT_ENTRY 9 "First instruction of the program.";
    AT_NOTELF 10 "Not ELF.";
    AT_UID 11 "Real uid.";
    AT_EUID 12 "Effective uid.";
    AT_GID 13 "Real gid.";
    AT_EGID 14 "Effective gid.";
    AT_PLATFORM 15 "Address of the platform's name.";
    AT_HWCAP 16 "Features of the machine.";
    AT_CLKTCK 17 "Ticks a second of times(2).";
    AT_SECURE 23 "Whether the program is privileged.";
    AT_BASE_PLATFORM 24 "Address of the real platform's name.";
    AT_RANDOM 25 "Address of 16 random bytes.";
    AT_HWCAP2 26 "More features.";
    AT_RSEQ_FEATURE_SIZE 27 "Bytes of `struct rseq` in use.";
    AT_RSEQ_ALIGN 28 "Alignment of `struct rseq`.";
    AT_EXECFN 31 "Address of the program's path.";
    AT_SYSINFO_EHDR 33 "Address of the vDSO.";
    AT_MINSIGSTKSZ 51 "Least size of a signal stack.";
}

#[cfg(test)]
mod tests {
    use super::super::macros::same_layout;
    use super::*;

    same_layout!(ehdr: Ehdr = libc::Elf64_Ehdr {
        ident = e_ident, kind = e_type, machine = e_machine, entry = e_entry, phoff = e_phoff,
        shoff = e_shoff, flags = e_flags, phentsize = e_phentsize, phnum = e_phnum,
        shstrndx = e_shstrndx,
    });
    same_layout!(phdr: Phdr = libc::Elf64_Phdr {
        kind = p_type, flags = p_flags, offset = p_offset, vaddr = p_vaddr, filesz = p_filesz,
        memsz = p_memsz, align = p_align,
    });
    same_layout!(shdr: Shdr = libc::Elf64_Shdr {
        name = sh_name, kind = sh_type, addr = sh_addr, offset = sh_offset, size = sh_size,
        link = sh_link, info = sh_info, addralign = sh_addralign, entsize = sh_entsize,
    });
    same_layout!(sym: Sym = libc::Elf64_Sym {
        name = st_name, info = st_info, other = st_other, shndx = st_shndx, value = st_value,
        size = st_size,
    });
}
