//! The host's error numbers as the ABI's.

use arch::abi::Errno;

/// nix's error as ours. A number that does not fit (there is none) becomes EIO.
pub(crate) fn from_nix(errno: nix::errno::Errno) -> Errno {
    #[expect(clippy::as_conversions, reason = "the enum is a C int and has no From")]
    let number = errno as i32;
    u16::try_from(number).map_or(Errno::EIO, Errno)
}

/// The calling thread's errno.
pub(crate) fn last() -> Errno {
    from_nix(nix::errno::Errno::last())
}

/// A result of a call that returns a `ssize_t`: −1 means errno.
pub(crate) fn check_size(result: isize) -> Result<usize, Errno> {
    usize::try_from(result).map_err(|_| last())
}
