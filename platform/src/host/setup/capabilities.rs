//! What the sentry gives up: capabilities(7), prctl(2).

use arch::abi::Errno;

use super::super::errors::{check_int, check_long};

/// _LINUX_CAPABILITY_VERSION_3.
const VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Keeps only the capabilities in `kept` (bit numbers as in capabilities(7)) that the
/// process has, empties ambient and inheritable sets, and takes all others from the
/// bounding set where that is allowed.
pub fn drop_capabilities(kept: u64) -> Result<(), Errno> {
    const LAST: u64 = 63;
    for capability in 0..=LAST {
        if kept >> capability & 1 == 1 {
            continue;
        }
        // SAFETY: no pointers. EPERM (not privileged, so there is nothing to gain from the
        // set either) leaves nothing to do.
        let dropped = check_int(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) });
        if dropped == Err(Errno::EINVAL) {
            // No such capability, and none above.
            break;
        }
    }
    // SAFETY: no pointers. Fails only before Linux 4.3.
    unsafe {
        libc::prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_CLEAR_ALL,
            0,
            0,
            0,
        )
    };
    let permitted = permitted()? & kept;
    let half = |shift: u32| {
        let bits = arch::abi::num::low32(permitted >> shift);
        Data {
            effective: bits,
            permitted: bits,
            inheritable: 0,
        }
    };
    let header = Header {
        version: VERSION,
        pid: 0,
    };
    let data = [half(0), half(32)];
    // SAFETY: [buffer] live structures of the version's layout.
    check_long(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) })?;
    Ok(())
}

/// The permitted set.
fn permitted() -> Result<u64, Errno> {
    let mut header = Header {
        version: VERSION,
        pid: 0,
    };
    let mut data = [const {
        Data {
            effective: 0,
            permitted: 0,
            inheritable: 0,
        }
    }; 2];
    // SAFETY: [buffer] live structures of the version's layout.
    check_long(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) })?;
    let [low, high] = data;
    Ok(u64::from(low.permitted) | u64::from(high.permitted) << 32)
}

/// No exec gains privileges from here on: PR_SET_NO_NEW_PRIVS.
pub fn no_new_privs() -> Result<(), Errno> {
    // SAFETY: no pointers.
    check_int(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }).map(drop)
}
