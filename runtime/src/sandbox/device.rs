//! The device numbers of file systems that programs see: major 0, as all that are on no
//! disk.

use fs::dev::number;
use vfs::DeviceId;

pub(super) const PIPES: DeviceId = DeviceId(12);
pub(super) const ROOT: DeviceId = DeviceId(32);
pub(super) const LOWER: DeviceId = DeviceId(33);
pub(super) const UPPER: DeviceId = DeviceId(34);
pub(super) const PROC: DeviceId = DeviceId(35);
pub(super) const MASK: DeviceId = DeviceId(36);
pub(super) const SHM: DeviceId = DeviceId(37);
pub(super) const STDIO: DeviceId = DeviceId(39);
/// The first mount's minor number; the others' follow.
pub(super) const MOUNTS: u32 = 64;

/// /dev/null's own number.
pub(super) fn null() -> DeviceId {
    DeviceId::new(number::NULL.0, number::NULL.1)
}
