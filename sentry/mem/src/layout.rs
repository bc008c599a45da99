//! Where things lie in an address space, and how much of it there may be.

use arch::abi::Addr;

/// The places that exec chooses; random offsets are in them already. All of them
/// are page-aligned except `stack_top`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Lowest address that may be mapped (`vm.mmap_min_addr`).
    pub min: Addr,
    /// One past the highest address that may be mapped: `TASK_SIZE`.
    pub max: Addr,
    /// Where the search for room begins, downwards.
    pub mmap_top: Addr,
    /// Where it begins, upwards, when there is none below `mmap_top`.
    pub mmap_bottom: Addr,
    /// One past the highest byte of the first stack.
    pub stack_top: Addr,
    /// Where the heap of brk(2) begins.
    pub brk_start: Addr,
    /// Resource limits at the start; later ones by `Mm::set_limits`.
    pub limits: MemLimits,
}

/// Resource limits as far as memory is concerned: soft limits in bytes,
/// `u64::MAX` for none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemLimits {
    /// RLIMIT_AS.
    pub address_space: u64,
    /// RLIMIT_DATA.
    pub data: u64,
    /// RLIMIT_STACK.
    pub stack: u64,
    /// RLIMIT_MEMLOCK; `u64::MAX` also for who has CAP_IPC_LOCK.
    pub locked: u64,
}

impl MemLimits {
    /// Linux's defaults: 8 MiB of stack, 8 MiB locked, no other limits.
    pub const DEFAULT: Self = Self {
        address_space: u64::MAX,
        data: u64::MAX,
        stack: 8 << 20,
        locked: 8 << 20,
    };
}

impl Default for MemLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What exec laid out, for /proc/pid/{cmdline,environ,auxv,stat}. Half-open ranges.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExecInfo {
    /// The text of the program.
    pub code: (Addr, Addr),
    /// Its initialized data.
    pub data: (Addr, Addr),
    /// The stack pointer at its first instruction.
    pub stack: Addr,
    /// The argument strings.
    pub args: (Addr, Addr),
    /// The environment strings.
    pub env: (Addr, Addr),
    /// The auxiliary vector, as it lies on the stack.
    pub auxv: Vec<u8>,
}
