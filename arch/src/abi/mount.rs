//! Mounts: mount(2), umount(2), mount_setattr(2), unshare(2)'s partner setns(2).

use super::macros::{abi_struct, flags};

flags! {
    /// Flags of mount(2).
    MountFlags: u64, mount_flags = libc;
    RDONLY MS_RDONLY 0x1, "Read-only.";
    NOSUID MS_NOSUID 0x2, "Ignore set-id bits.";
    NODEV MS_NODEV 0x4, "Device files cannot be opened.";
    NOEXEC MS_NOEXEC 0x8, "Nothing can be executed.";
    SYNCHRONOUS MS_SYNCHRONOUS 0x10, "Synchronous writes.";
    REMOUNT MS_REMOUNT 0x20, "Change a mount.";
    MANDLOCK MS_MANDLOCK 0x40, "Mandatory locks.";
    DIRSYNC MS_DIRSYNC 0x80, "Synchronous directories.";
    NOSYMFOLLOW MS_NOSYMFOLLOW 0x100, "Symbolic links are not followed.";
    NOATIME MS_NOATIME 0x400, "No access times.";
    NODIRATIME MS_NODIRATIME 0x800, "No access times of directories.";
    BIND MS_BIND 0x1000, "Show a directory at a second place.";
    MOVE MS_MOVE 0x2000, "Move a mount.";
    REC MS_REC 0x4000, "With sub-mounts.";
    SILENT MS_SILENT 0x8000, "No messages.";
    POSIXACL MS_POSIXACL 0x1_0000, "Access control lists.";
    UNBINDABLE MS_UNBINDABLE 0x2_0000, "Cannot be bound.";
    PRIVATE MS_PRIVATE 0x4_0000, "No propagation.";
    SLAVE MS_SLAVE 0x8_0000, "Propagation one way.";
    SHARED MS_SHARED 0x10_0000, "Propagation both ways.";
    RELATIME MS_RELATIME 0x20_0000, "Access times relative to modification.";
    I_VERSION MS_I_VERSION 0x80_0000, "Count changes.";
    STRICTATIME MS_STRICTATIME 0x100_0000, "Exact access times.";
    LAZYTIME MS_LAZYTIME 0x200_0000, "Times are written late.";
}

/// What programs of old put into the upper half of mount(2)'s flags: `MS_MGC_VAL`.
pub const MS_MGC_VAL: u64 = 0xc0ed_0000;
/// The bits of `MS_MGC_VAL`.
pub const MS_MGC_MSK: u64 = 0xffff_0000;

flags! {
    /// Flags of umount2(2).
    UmountFlags: u32, umount_flags = libc;
    FORCE MNT_FORCE 1, "Even if busy.";
    DETACH MNT_DETACH 2, "Now from the tree, later for good.";
    EXPIRE MNT_EXPIRE 4, "Mark, then unmount if unused.";
    NOFOLLOW UMOUNT_NOFOLLOW 8, "Do not follow a symbolic link.";
}

flags! {
    /// Attributes of mount_setattr(2).
    MountAttributes: u64, mount_attributes = linux_raw_sys::general;
    RDONLY MOUNT_ATTR_RDONLY 0x1, "Read-only.";
    NOSUID MOUNT_ATTR_NOSUID 0x2, "Ignore set-id bits.";
    NODEV MOUNT_ATTR_NODEV 0x4, "Device files cannot be opened.";
    NOEXEC MOUNT_ATTR_NOEXEC 0x8, "Nothing can be executed.";
    NOATIME MOUNT_ATTR_NOATIME 0x10, "No access times.";
    STRICTATIME MOUNT_ATTR_STRICTATIME 0x20, "Exact access times.";
    NODIRATIME MOUNT_ATTR_NODIRATIME 0x80, "No access times of directories.";
    IDMAP MOUNT_ATTR_IDMAP 0x10_0000, "Map ids.";
    NOSYMFOLLOW MOUNT_ATTR_NOSYMFOLLOW 0x20_0000, "Symbolic links are not followed.";
}

abi_struct! {
    /// `struct mount_attr`: mount_setattr(2).
    pub struct MountAttr {
        /// Attributes to set.
        pub attr_set: u64,
        /// Attributes to clear.
        pub attr_clr: u64,
        /// Propagation.
        pub propagation: u64,
        /// A user namespace.
        pub userns_fd: u64,
    }
}

#[cfg(test)]
mod tests {
    use super::super::macros::same_layout;
    use super::*;

    same_layout!(mount_attr: MountAttr = libc::mount_attr {
        attr_set = attr_set, attr_clr = attr_clr, propagation = propagation, userns_fd = userns_fd,
    });
}
