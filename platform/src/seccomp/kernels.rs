//! What kernels have and lack of what this platform uses.

use arch::abi::Errno;

use super::layout::FILTER_FLAGS;
use crate::PlatformError;
use crate::host;

/// The first kernel on which the platform works: WAIT_KILLABLE_RECV.
pub const LEAST: (u32, u32) = (5, 19);

/// What later kernels brought, and what its lack means.
const LATER: [(u32, u32, &str); 4] = [
    (6, 6, "no synchronous wake-up: system calls take longer"),
    (6, 10, "no mseal(2): stubs' code is not sealed"),
    (
        6,
        11,
        "listeners do not tell their end: one more host call a stop",
    ),
    (
        6,
        17,
        "interrupted calls may be made twice: seen and made good",
    ),
];

/// What this kernel lacks that the platform can do without. To be called before confinement.
#[must_use]
pub fn lacks() -> Vec<&'static str> {
    lacks_at(host::kernel_release().unwrap_or(LEAST))
}

fn lacks_at(release: (u32, u32)) -> Vec<&'static str> {
    LATER
        .iter()
        .filter(|&&(major, minor, _)| release < (major, minor))
        .map(|&(.., what)| what)
        .collect()
}

/// `Unavailable`: this kernel is too old. One whose release can't be read is not.
pub(super) fn check() -> Result<(), PlatformError> {
    match host::kernel_release() {
        Some(release) if release < LEAST => Err(too_old()),
        _ => Ok(()),
    }
}

fn too_old() -> PlatformError {
    let (major, minor) = LEAST;
    PlatformError::Unavailable(format!(
        "user notification as it is needed came with Linux {major}.{minor}"
    ))
}

/// Why no stub process could be made: the kernel does not say it to the stub's maker, but
/// it does to one who tries the same.
pub(super) fn explain(error: PlatformError) -> PlatformError {
    match host::try_listener(FILTER_FLAGS) {
        Ok(()) => error,
        Err(Errno::EBUSY) => PlatformError::Unavailable(
            "a container runtime around has a seccomp listener of its own on this process, and \
             the kernel allows no second one"
                .to_owned(),
        ),
        Err(Errno::EINVAL | Errno::ENOSYS) => too_old(),
        Err(errno) => PlatformError::Unavailable(format!(
            "the host refuses a filter that hands over system calls: {errno}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_kernels_lack_more() {
        assert_eq!(lacks_at((6, 18)), [""; 0]);
        assert_eq!(lacks_at((6, 12)).len(), 1);
        assert_eq!(lacks_at((6, 6)).len(), 3);
        assert_eq!(lacks_at((6, 1)).len(), 4);
        assert_eq!(lacks_at(LEAST).len(), 4);
    }

    #[test]
    fn a_listener_can_be_tried() {
        // Whatever the verdict, this process stays as it is and can try again.
        assert_eq!(
            host::try_listener(FILTER_FLAGS),
            host::try_listener(FILTER_FLAGS)
        );
        assert_eq!(host::try_listener(1 << 31), Err(Errno::EINVAL));
    }
}
