//! What an arm64 CPU with paging finds in memory: tables that show a program's page to
//! EL0, a kernel's page to EL1, and the way out. Source: Arm ARM, D8.3.

use kvm_ioctls::VcpuFd;

use super::Result;
use super::memory::Memory;
use super::registers::set_system;

/// Where the machine has no memory, so that a store is an exit to us.
pub(crate) const WAY_OUT: u64 = 0x1000_0000;

/// Guest-physical pages: three tables, the program's page, the kernel's two.
const ROOT: u64 = 0x1000;
const SECOND: u64 = 0x2000;
const THIRD: u64 = 0x3000;
pub(crate) const PROGRAM: u64 = 0x8000;
pub(crate) const KERNEL: u64 = 0xa000;
/// The table for the way out, whose page is no memory.
pub(crate) const OUT: u64 = 0x4000;

/// Bits of an entry. A table or a page; it was accessed; inner shareable.
const VALID: u64 = 3;
pub(crate) const PAGE: u64 = VALID | 1 << 10 | 3 << 8;
/// EL0 may use it, nobody may store to it.
const USER_READ_ONLY: u64 = 3 << 6;
/// Only EL1 may use it, and nobody may store to it.
const KERNEL_READ_ONLY: u64 = 2 << 6;
/// No instructions of EL1's, or of EL0's, from it.
pub(crate) const EL1_NEVER: u64 = 1 << 53;
pub(crate) const EL0_NEVER: u64 = 1 << 54;
/// The second kind of memory in MAIR below: a device.
pub(crate) const DEVICE: u64 = 1 << 2;

/// Writes the tables.
pub(crate) fn write(memory: &Memory) -> Result<()> {
    // Three levels, 512 entries each: 1 GiB, 2 MiB and 4 KiB an entry. Everything is seen
    // where it lies.
    memory.write_words(ROOT, &[SECOND | VALID])?;
    memory.write_words(SECOND, &[THIRD | VALID])?;
    memory.write_words(SECOND + (WAY_OUT >> 21) * 8, &[OUT | VALID])?;
    let entry = |page: u64| THIRD + (page >> 12) * 8;
    let program = PROGRAM | PAGE | USER_READ_ONLY | EL1_NEVER;
    memory.write_words(entry(PROGRAM), &[program])?;
    let kernel = KERNEL | PAGE | KERNEL_READ_ONLY | EL0_NEVER;
    memory.write_words(entry(KERNEL), &[kernel])?;
    memory.write_words(OUT, &[WAY_OUT | PAGE | DEVICE | EL1_NEVER | EL0_NEVER])?;
    Ok(())
}

/// Turns paging on, and says where the kernel is.
pub(crate) fn paging(cpu: &VcpuFd) -> Result<()> {
    // MAIR_EL1: kind 0 is ordinary memory, kind 1 a device.
    set_system(cpu, [0, 10, 2, 0], 0x04ff)?;
    // TCR_EL1: 39-bit addresses, 4 KiB pages, shareable, cached; no upper half.
    let tcr = 25 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23;
    set_system(cpu, [0, 2, 0, 2], tcr)?;
    set_system(cpu, [0, 2, 0, 0], ROOT)?; // TTBR0_EL1
    set_system(cpu, [0, 12, 0, 0], KERNEL)?; // VBAR_EL1: where the vectors are
    // SCTLR_EL1: what has to be one, caches, and paging on.
    set_system(cpu, [0, 1, 0, 0], 0x30d0_0800 | 1 << 12 | 1 << 2 | 1)?;
    Ok(())
}
