//! Memory: mmap(2), mremap(2), madvise(2), mlock(2), membarrier(2), getrandom(2).

use super::macros::{flags, numbers};

flags! {
    /// Protection of mmap(2) and mprotect(2).
    Prot: u32, prot = linux_raw_sys::general;
    READ PROT_READ 1, "Readable.";
    WRITE PROT_WRITE 2, "Writable.";
    EXEC PROT_EXEC 4, "Executable.";
    SEM PROT_SEM 8, "Fit for atomic operations; without effect.";
    GROWSDOWN PROT_GROWSDOWN 0x0100_0000, "mprotect(2): extend to the start of a growing mapping.";
    GROWSUP PROT_GROWSUP 0x0200_0000, "mprotect(2): extend to the end of a growing mapping.";
}

flags! {
    /// Flags of mmap(2). The low four bits are the kind: see `kind`.
    MapFlags: u32, map_flags = linux_raw_sys::general;
    SHARED_VALIDATE MAP_SHARED_VALIDATE 0x3, "Shared, and unknown flags are EOPNOTSUPP.";
    SHARED MAP_SHARED 0x1, "Writes are seen by all.";
    PRIVATE MAP_PRIVATE 0x2, "Copy on write.";
    FIXED MAP_FIXED 0x10, "Exactly there, replacing what was there.";
    ANONYMOUS MAP_ANONYMOUS 0x20, "No file.";
    GROWSDOWN MAP_GROWSDOWN 0x100, "Grows on faults below.";
    DENYWRITE MAP_DENYWRITE 0x800, "Ignored.";
    EXECUTABLE MAP_EXECUTABLE 0x1000, "Ignored.";
    LOCKED MAP_LOCKED 0x2000, "As mlock(2).";
    NORESERVE MAP_NORESERVE 0x4000, "Do not account for.";
    POPULATE MAP_POPULATE 0x8000, "Fault all in now.";
    NONBLOCK MAP_NONBLOCK 0x1_0000, "With POPULATE: no I/O.";
    STACK MAP_STACK 0x2_0000, "Will be a stack; without effect.";
    HUGETLB MAP_HUGETLB 0x4_0000, "Huge pages; the size sits in the top six bits.";
    SYNC MAP_SYNC 0x8_0000, "Synchronous faults, of DAX files.";
    FIXED_NOREPLACE MAP_FIXED_NOREPLACE 0x10_0000, "Exactly there, or EEXIST.";
}

impl MapFlags {
    /// Whether an address below 2 GiB is asked for: MAP_32BIT, on x86-64 alone.
    #[must_use]
    pub const fn asks_low(self) -> bool {
        self.bits() & crate::current::abi::MAP_LOW != 0
    }
}

/// Bits of the kind in mmap(2)'s flags: `MAP_TYPE`.
pub const MAP_TYPE: u32 = 0xf;

flags! {
    /// Flags of mremap(2).
    MremapFlags: u32, mremap_flags = linux_raw_sys::general;
    MAYMOVE MREMAP_MAYMOVE 1, "It may move.";
    FIXED MREMAP_FIXED 2, "Move exactly there; with MAYMOVE.";
    DONTUNMAP MREMAP_DONTUNMAP 4, "Leave an empty mapping behind; with MAYMOVE.";
}

flags! {
    /// Flags of msync(2).
    MsyncFlags: u32, msync_flags = linux_raw_sys::general;
    ASYNC MS_ASYNC 1, "Write at some time.";
    INVALIDATE MS_INVALIDATE 2, "Other mappings see it.";
    SYNC MS_SYNC 4, "Write now.";
}

flags! {
    /// Flags of mlockall(2).
    MlockallFlags: u32, mlockall_flags = linux_raw_sys::general;
    CURRENT MCL_CURRENT 1, "What is mapped now.";
    FUTURE MCL_FUTURE 2, "What will be mapped.";
    ONFAULT MCL_ONFAULT 4, "Only once faulted in.";
}

numbers! {
    u32, memory_numbers = linux_raw_sys::general;
    MADV_NORMAL 0 "madvise(2): nothing special.";
    MADV_RANDOM 1 "madvise(2): random access.";
    MADV_SEQUENTIAL 2 "madvise(2): sequential access.";
    MADV_WILLNEED 3 "madvise(2): read ahead.";
    MADV_DONTNEED 4 "madvise(2): drop the pages.";
    MADV_FREE 8 "madvise(2): may drop the pages.";
    MADV_REMOVE 9 "madvise(2): punch a hole into the backing.";
    MADV_DONTFORK 10 "madvise(2): not for children.";
    MADV_DOFORK 11 "madvise(2): for children again.";
    MADV_MERGEABLE 12 "madvise(2): same-page merging.";
    MADV_UNMERGEABLE 13 "madvise(2): no same-page merging.";
    MADV_HUGEPAGE 14 "madvise(2): huge pages are welcome.";
    MADV_NOHUGEPAGE 15 "madvise(2): no huge pages.";
    MADV_DONTDUMP 16 "madvise(2): not in core dumps.";
    MADV_DODUMP 17 "madvise(2): in core dumps.";
    MADV_WIPEONFORK 18 "madvise(2): zeros for children.";
    MADV_KEEPONFORK 19 "madvise(2): contents for children again.";
    MADV_COLD 20 "madvise(2): reclaim early.";
    MADV_PAGEOUT 21 "madvise(2): reclaim now.";
    MADV_POPULATE_READ 22 "madvise(2): fault in, readable.";
    MADV_POPULATE_WRITE 23 "madvise(2): fault in, writable.";
    MADV_DONTNEED_LOCKED 24 "madvise(2): MADV_DONTNEED, also for locked pages.";
    MADV_COLLAPSE 25 "madvise(2): make huge pages now.";
    MADV_HWPOISON 100 "madvise(2): poison; privileged.";
    MLOCK_ONFAULT 1 "mlock2(2): lock once faulted in.";
}

flags! {
    /// Commands of membarrier(2), which are bits so that a query can list them.
    MembarrierCommands: u32;
    GLOBAL MEMBARRIER_CMD_GLOBAL 1, "All threads of the machine.";
    GLOBAL_EXPEDITED MEMBARRIER_CMD_GLOBAL_EXPEDITED 2, "Registered processes, at once.";
    REGISTER_GLOBAL_EXPEDITED MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED 4, "Register.";
    PRIVATE_EXPEDITED MEMBARRIER_CMD_PRIVATE_EXPEDITED 8, "This process's threads, at once.";
    REGISTER_PRIVATE_EXPEDITED MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED 0x10, "Register.";
    PRIVATE_EXPEDITED_SYNC_CORE MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE 0x20, "With instruction fetch.";
    REGISTER_PRIVATE_EXPEDITED_SYNC_CORE MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE 0x40, "Register.";
    PRIVATE_EXPEDITED_RSEQ MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ 0x80, "With restart of rseq(2) sections.";
    REGISTER_PRIVATE_EXPEDITED_RSEQ MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ 0x100, "Register.";
}

flags! {
    /// Flags of getrandom(2).
    GetrandomFlags: u32, getrandom_flags = linux_raw_sys::general;
    NONBLOCK GRND_NONBLOCK 1, "Do not wait.";
    RANDOM GRND_RANDOM 2, "As from /dev/random.";
    INSECURE GRND_INSECURE 4, "Even if not yet seeded.";
}
