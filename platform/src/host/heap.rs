//! The sentry's own memory: std's allocator, with an end to it.
//!
//! What a program has the sentry keep (open files, mappings, tasks, names in its caches) is
//! the sentry's heap, which the sandbox's memory limit does not count. RLIMIT_DATA bounds it;
//! beyond that nothing can be allocated, and half a kernel must not go on.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use arch::abi::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{from_nix, report};

/// Exit status of a sandbox that was ended for want of memory: as by SIGKILL.
const OUT_OF_MEMORY: i32 = 137;
/// Exit status of a process that is not a sandbox's.
const OWN_FAILURE: i32 = 125;

/// The limit in bytes; 0: there is none.
static LIMIT: AtomicU64 = AtomicU64::new(0);

/// std's allocator, but the process ends with a report when there is no more memory. To be
/// the sentry's `#[global_allocator]`.
#[derive(Clone, Copy, Debug)]
pub struct Heap;

/// Bounds this process's data to `bytes`, or to what is the limit already: RLIMIT_DATA, which
/// counts heaps, stacks of threads, and all else that is private and writable.
pub fn limit_heap(bytes: u64) -> Result<(), Errno> {
    let (_, hard) = getrlimit(Resource::RLIMIT_DATA).map_err(from_nix)?;
    let limit = bytes.min(hard);
    setrlimit(Resource::RLIMIT_DATA, limit, limit).map_err(from_nix)?;
    LIMIT.store(limit, Ordering::Relaxed);
    Ok(())
}

/// Ends the process: `size` bytes more are not to be had. Neither allocates nor locks.
fn exhausted(size: usize) -> ! {
    let status = match LIMIT.load(Ordering::Relaxed) >> 20 {
        0 => {
            report::line(format_args!(
                "ringfence: out of memory: the host gives no more, {size} bytes were asked for"
            ));
            OWN_FAILURE
        }
        limit => {
            report::line(format_args!(
                "ringfence: out of memory: what the sandbox's programs have opened, mapped and \
                 started takes more than {limit} MiB; the sandbox is ended"
            ));
            OUT_OF_MEMORY
        }
    };
    // SAFETY: [no-pointers] ends the process without any of its exit handlers.
    unsafe { libc::_exit(status) }
}

fn check(block: *mut u8, size: usize) -> *mut u8 {
    if block.is_null() {
        exhausted(size);
    }
    block
}

// SAFETY: every method is the system allocator's, whose contract is the trait's; null never
// reaches the caller.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise on `layout`.
        check(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise on `layout`.
        check(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise on all three.
        check(unsafe { System.realloc(block, layout, new_size) }, new_size)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise on both.
        unsafe { System.dealloc(block, layout) }
    }
}
