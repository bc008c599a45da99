//! Where things lie in the stub's pages and in data areas. Offsets and sizes in bytes.

use crate::stub::layout::PAGE;

/// Code page: the code of program threads and mappers, behind the keeper's.
pub(super) const CODE: usize = 2048;
/// Code page: the action of all signals, `struct sigaction` as the kernel has it.
pub(super) const ACTION: usize = 3456;
/// Code page: a signal mask with all signals.
pub(super) const MASK: usize = ACTION + 32;
/// Code page: the first address of data areas, and one past the last.
pub(super) const AREAS: usize = MASK + 8;
/// Code page: the filter of program threads, `struct sock_fprog`, and its instructions.
pub(super) const PROGRAM: usize = AREAS + 16;
/// Code page: the filter of mappers.
pub(super) const MAPPER_PROGRAM: usize = PROGRAM + 272;
/// The mapper's page, behind the control page, which it follows.
pub(super) const MAPPER_PAGE: usize = 2 * PAGE;

/// A data area: slots, a second frame, room for the machine's needs, alternate stack.
/// Aligned to its size.
pub(super) const AREA: usize = 1 << 15;
/// Slot: the thread pointer.
pub(super) const TLS: usize = 0;
/// Slot: where system calls are dispatched: see `mailbox`. A byte.
pub(super) const SELECTOR: usize = 24;
/// The mailbox: see there. What the two sides poll has a cache line of its own.
pub(super) const MAILBOX: usize = 512;
/// The second frame.
pub(super) const SECOND: usize = 1024;
/// The alternate stack, up to the end.
pub(super) const STACK: usize = 16384;

/// The mapper's request for operations: a number that no system call has.
pub(super) const REQUEST: u32 = 5000;
/// SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV.
pub(super) const FILTER_FLAGS: u32 = 8 | 32;
/// PR_SET_SYSCALL_USER_DISPATCH.
pub(super) const DISPATCH: u32 = 59;
