//! Names and numbers of the machine, and how Linux lays out an address space on it.

/// `SYSCALL`.
pub const SYSCALL_INSN: [u8; 2] = [0x0f, 0x05];
/// The ELF machine: `EM_X86_64`.
pub const MACHINE: u16 = 62;
/// `machine` of uname(2).
pub const UTS_MACHINE: &str = "x86_64";
/// What `AT_PLATFORM` points to.
pub const PLATFORM: &str = "x86_64";
/// The first address beyond what a program can map: `TASK_SIZE_MAX`, one page below 2^47,
/// so that no `SYSCALL` can end on the last canonical byte.
pub const USER_END: u64 = 0x7fff_ffff_f000;
/// Where a position-independent program with an interpreter goes, before randomisation.
pub const ELF_ET_DYN_BASE: u64 = 0x5555_5555_4000;
/// Random bits (in pages) of mmap(2)'s base: the kernel's default.
pub const MMAP_RND_BITS: u32 = 28;
/// The most random bits of mmap(2)'s base that the kernel can be told to use.
pub const MMAP_RND_BITS_MAX: u32 = 32;
/// Random bits (in pages) of the stack's top.
pub const STACK_RND_BITS: u32 = 22;
/// Bytes below which the stack pointer moves within its page range at start.
pub const STACK_ALIGN_RANDOM: u64 = 8192;
/// Bytes over which the start of brk(2)'s area is random.
pub const BRK_RANDOM: u64 = 0x200_0000;
/// Bytes below the stack pointer that belong to the running function: the red zone.
pub const RED_ZONE: u64 = 128;
/// `restart_syscall(2)`.
pub const NR_RESTART_SYSCALL: u32 = 219;
/// `getpid(2)`, `gettid(2)`, `getuid(2)`, `geteuid(2)`, `getgid(2)`, `getegid(2)`.
pub const NR_IDS: [u32; 6] = [39, 186, 102, 107, 104, 108];
/// `rt_sigreturn(2)`.
pub const NR_RT_SIGRETURN: u32 = 15;
