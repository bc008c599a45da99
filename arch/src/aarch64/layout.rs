//! Names and numbers of the machine, and how Linux lays out an address space on it.

/// `SVC #0`.
pub const SYSCALL_INSN: [u8; 4] = [0x01, 0x00, 0x00, 0xd4];
/// The ELF machine: `EM_AARCH64`.
pub const MACHINE: u16 = 183;
/// `machine` of uname(2).
pub const UTS_MACHINE: &str = "aarch64";
/// What `AT_PLATFORM` points to.
pub const PLATFORM: &str = "aarch64";
/// The first address beyond what a program can map: `TASK_SIZE_64` with 48 bits.
pub const USER_END: u64 = 1 << 48;
/// Where a position-independent program with an interpreter goes, before randomisation.
pub const ELF_ET_DYN_BASE: u64 = 0xaaaa_aaaa_a000;
/// Random bits (in pages) of mmap(2)'s base: the kernel's default.
pub const MMAP_RND_BITS: u32 = 18;
/// The most random bits of mmap(2)'s base that the kernel can be told to use.
pub const MMAP_RND_BITS_MAX: u32 = 33;
/// Random bits (in pages) of the stack's top.
pub const STACK_RND_BITS: u32 = 18;
/// Bytes below which the stack pointer moves within its page range at start.
pub const STACK_ALIGN_RANDOM: u64 = 4096;
/// Bytes over which the start of brk(2)'s area is random.
pub const BRK_RANDOM: u64 = 1 << 30;
/// Bytes below the stack pointer that belong to the running function: none.
pub const RED_ZONE: u64 = 0;
/// `restart_syscall(2)`.
pub const NR_RESTART_SYSCALL: u32 = 128;
/// `getpid(2)`, `gettid(2)`, `getuid(2)`, `geteuid(2)`, `getgid(2)`, `getegid(2)`.
pub const NR_IDS: [u32; 6] = [172, 178, 174, 175, 176, 177];
/// `rt_sigreturn(2)`.
pub const NR_RT_SIGRETURN: u32 = 139;
