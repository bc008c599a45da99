//! The stub: all code that runs in EL1. One page, the same in every sandbox, at another
//! place in each. It does three things. At an exception from a program it puts the
//! program's registers into the virtual CPU's page, sets a table of programs' addresses
//! that leads nowhere, and leaves the machine. Where the host runs it again it carries
//! out orders (`ORDER`), takes registers and the program's table from the page, and goes
//! back. At an exception of its own it says so and leaves for good.
//!
//! Its stack pointer is the page's address and never changes; there is no stack. While it
//! runs no page of any program can be reached, not even by speculation.

/// The virtual CPU's page, which the host shares.
#[repr(C)]
#[derive(Debug)]
pub struct Page {
    /// `x0` to `x30`.
    pub x: [u64; 31],
    /// `sp_el0`.
    pub sp: u64,
    /// `elr_el1`.
    pub pc: u64,
    /// `spsr_el1`.
    pub pstate: u64,
    /// `tpidr_el0`.
    pub tpidr: u64,
    /// `ttbr0_el1` of the program: its root table and its address space's number.
    pub table: u64,
    /// Bits of [`order`].
    pub orders: u64,
    /// The number of the vector that led here.
    pub vector: u64,
    /// `esr_el1`.
    pub esr: u64,
    /// `far_el1`.
    pub far: u64,
    /// `ttbr0_el1` while the stub runs.
    pub nowhere: u64,
    /// An address whose store leaves the machine; 0: leave by HVC.
    pub way_out: u64,
    /// Pointer authentication keys IA, IB, DA, DB, GA, lower half first.
    pub keys: [u64; 10],
    /// Status and control of floating point.
    pub fpsr: u64,
    #[doc(hidden)]
    pub fpcr: u64,
    /// `q0` to `q31`.
    pub vectors: [[u64; 2]; 32],
}

/// What the stub is to do before the program runs.
pub mod order {
    /// Bit 0: forget all translations of the address space in `table`.
    pub const FLUSH: u32 = 0;
    /// Bit 1: load the keys.
    pub const LOAD_KEYS: u32 = 1;
    /// Bit 2: load FP and vector registers.
    pub const LOAD_FP: u32 = 2;
    /// Bit 3: store FP and vector registers, then leave without running the program.
    pub const STORE_FP: u32 = 3;
}

/// Why the stub left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stopped {
    /// A synchronous exception of the program's; `esr` tells which.
    Program,
    /// An interrupt while the program ran.
    Interrupt,
    /// Vectors were stored, as ordered.
    Stored,
    /// Something that cannot be: an exception of the stub's, or of a kind that no
    /// program can cause.
    Broken,
}

/// What `Page::vector` is after [`order::STORE_FP`].
pub const STORED: u16 = 16;

/// What a number in `Page::vector` means. Source: Arm ARM, D1.4.2.
#[must_use]
pub const fn stopped(vector: u64) -> Stopped {
    match vector {
        8 => Stopped::Program,
        9 => Stopped::Interrupt,
        16 => Stopped::Stored,
        _ => Stopped::Broken,
    }
}

/// The function that the stub calls by HVC, and how many from there on are the host's
/// process's to answer. Source: SMC Calling Convention (Arm DEN 0028), 2.5: 32-bit fast
/// calls of a hypervisor's vendor.
pub const CALL: u32 = 0x8600_0000;
/// See [`CALL`].
pub const CALLS: u32 = 0x100;

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{align_of, offset_of};

    #[test]
    fn the_page_suits_its_instructions() {
        // Pairs of 64-bit registers reach 504 bytes, of vectors 1008, which are aligned.
        assert!(offset_of!(Page, fpcr) <= 504);
        assert!(offset_of!(Page, vectors) + 30 * 16 <= 1008);
        assert!(offset_of!(Page, vectors).is_multiple_of(16));
        assert!(size_of::<Page>() <= 4096 && align_of::<Page>() == 8);
        // The beginning is that of the registers.
        assert_eq!(
            offset_of!(Page, table),
            offset_of!(super::super::super::regs::Regs, syscallno)
        );
    }

    #[test]
    fn vectors_of_el1_and_of_32_bits_are_broken() {
        for vector in 0..20 {
            let fine = matches!(vector, 8 | 9 | 16);
            assert_eq!(stopped(vector) != Stopped::Broken, fine, "{vector}");
        }
        assert_eq!(stopped(u64::from(STORED)), Stopped::Stored);
    }
}
