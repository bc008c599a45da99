//! The host's error numbers as the ABI's.

use arch::abi::Errno;
use arch::abi::num::usize_of;

/// nix's error as ours. A number that does not fit (there is none) becomes EIO.
pub(crate) fn from_nix(errno: nix::errno::Errno) -> Errno {
    #[expect(clippy::as_conversions, reason = "the enum is a C int and has no From")]
    let number = errno as i32;
    u16::try_from(number).map_or(Errno::EIO, Errno)
}

/// An error of std as ours. One that the host did not give becomes EIO.
#[must_use]
pub fn errno_of(error: &std::io::Error) -> Errno {
    error
        .raw_os_error()
        .and_then(|number| u16::try_from(number).ok())
        .map_or(Errno::EIO, Errno)
}

/// The calling thread's errno.
pub(crate) fn last() -> Errno {
    from_nix(nix::errno::Errno::last())
}

/// A result of a call that returns a `long`: −1 means errno.
pub(crate) fn check_long(result: i64) -> Result<u64, Errno> {
    u64::try_from(result).map_err(|_| last())
}

/// [`check_long`] for calls that return an `int`.
pub(crate) fn check_int(result: i32) -> Result<u32, Errno> {
    u32::try_from(result).map_err(|_| last())
}

/// [`check_long`] for calls that return a `ssize_t`.
pub(crate) fn check_size(result: isize) -> Result<usize, Errno> {
    check_long(i64::try_from(result).unwrap_or(-1)).map(usize_of)
}
