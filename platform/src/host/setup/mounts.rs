//! Detached mount trees, the empty root and a file on huge pages: open_tree(2),
//! mount_setattr(2), fsopen(2), pivot_root(2).

use std::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use arch::abi::Errno;
use nix::fcntl::{OFlag, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;

use super::super::errors::{check_long, from_nix};

/// How a tree may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TreeAccess {
    /// Writes give EROFS on the host.
    ReadOnly,
    /// Writes reach the host's files.
    ReadWrite,
}

/// Whether mounts below a directory belong to its tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Below {
    /// Yes, all.
    Too,
    /// No: what they cover shows.
    Without,
}

/// struct mount_attr of mount_setattr(2).
#[repr(C)]
#[derive(Debug, Default)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

const MOUNT_ATTR_RDONLY: u64 = 0x1;
const MOUNT_ATTR_NOSUID: u64 = 0x2;
const MOUNT_ATTR_NODEV: u64 = 0x4;
const MOUNT_ATTR_NOEXEC: u64 = 0x8;
/// MS_PRIVATE, as a propagation type.
const PRIVATE: u64 = 1 << 18;
const OPEN_TREE_CLONE: u32 = 1;
const CLOEXEC: u32 = 0o2_000_000;
const AT_RECURSIVE: u32 = 0x8000;
const AT_EMPTY_PATH: u32 = 0x1000;
const FSOPEN_CLOEXEC: u32 = 1;
const FSMOUNT_CLOEXEC: u32 = 1;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 4;

/// A copy of the mount tree at `path`, attached nowhere: what `..` and absolute links below
/// it lead to stays inside, and what the host mounts later does not appear. Device nodes and
/// set-id bits have no effect there. `EINVAL` for [`Below::Without`] where mounts below it
/// came from another user namespace, and must not be taken off what they cover.
pub fn clone_tree(path: &CStr, access: TreeAccess, below: Below) -> Result<OwnedFd, Errno> {
    let recursive = match below {
        Below::Too => AT_RECURSIVE,
        Below::Without => 0,
    };
    let flags = OPEN_TREE_CLONE | CLOEXEC | recursive;
    // SAFETY: [buffer] a live C string.
    let tree =
        own(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) })?;
    let read_only = match access {
        TreeAccess::ReadOnly => MOUNT_ATTR_RDONLY,
        TreeAccess::ReadWrite => 0,
    };
    set_attributes(
        &tree,
        &MountAttr {
            set: read_only | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
            propagation: PRIVATE,
            ..MountAttr::default()
        },
    )?;
    Ok(tree)
}

/// Cuts this mount namespace off: nothing mounted here shows elsewhere or the other
/// way round.
pub fn make_mounts_private() -> Result<(), Errno> {
    mount(
        None::<&CStr>,
        c"/",
        None::<&CStr>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&CStr>,
    )
    .map_err(from_nix)
}

/// Makes an empty, read-only directory the root and working directory of this mount
/// namespace, with nothing else mounted: pivot_root(2). To be called in a mount
/// namespace of the process's own, after [`make_mounts_private`].
pub fn empty_root() -> Result<(), Errno> {
    let root = tmpfs(&[(c"size", c"4096")])?;
    // Anywhere that exists will do: the old tree goes away with its mounts.
    attach(&root, c"/proc")?;
    nix::unistd::fchdir(&root).map_err(from_nix)?;
    nix::unistd::pivot_root(c".", c".").map_err(from_nix)?;
    // The old root now lies on top of the new one.
    umount2(c".", MntFlags::MNT_DETACH).map_err(from_nix)?;
    nix::unistd::chdir(c"/").map_err(from_nix)?;
    set_attributes(
        &root,
        &MountAttr {
            set: MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
            ..MountAttr::default()
        },
    )
}

/// A file without a name that takes its memory in huge pages where a mapping of it asks
/// for them: MADV_HUGEPAGE. To be called in a mount namespace of the process's own, before
/// [`empty_root`]. `EINVAL` if the host's kernel knows no such files.
pub fn huge_page_file() -> Result<OwnedFd, Errno> {
    let tree = tmpfs(&[(c"huge", c"advise"), (c"size", c"0")])?;
    let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
    let file = openat(&tree, c".", flags, Mode::S_IRUSR | Mode::S_IWUSR).map_err(from_nix)?;
    // The end of a mount that was attached nowhere keeps its owner waiting for all CPUs, for
    // milliseconds where they are busy. This one goes away with the old root. Nobody sees it:
    // paths start below it, at the root that this process has.
    attach(&tree, c"/")?;
    Ok(file)
}

/// Attaches a detached mount at `place`.
fn attach(tree: &OwnedFd, place: &CStr) -> Result<(), Errno> {
    // SAFETY: [buffer] live C strings.
    let done = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            place.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    check_long(done).map(drop)
}

/// A new tmpfs with nothing in it, attached nowhere.
fn tmpfs(options: &[(&CStr, &CStr)]) -> Result<OwnedFd, Errno> {
    // SAFETY: [buffer] a live C string.
    let context =
        own(unsafe { libc::syscall(libc::SYS_fsopen, c"tmpfs".as_ptr(), FSOPEN_CLOEXEC) })?;
    for option in options {
        configure(&context, FSCONFIG_SET_STRING, Some(*option))?;
    }
    configure(&context, FSCONFIG_CMD_CREATE, None)?;
    // SAFETY: no pointers.
    own(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, 0) })
}

/// fsconfig(2).
fn configure(context: &OwnedFd, command: u32, option: Option<(&CStr, &CStr)>) -> Result<(), Errno> {
    let (key, value) = option.map_or((std::ptr::null(), std::ptr::null()), |(key, value)| {
        (key.as_ptr(), value.as_ptr())
    });
    // SAFETY: [buffer] live C strings, or null where the command takes none.
    let done = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            command,
            key,
            value,
            0,
        )
    };
    check_long(done).map(drop)
}

/// mount_setattr(2) on a whole detached tree or mount.
fn set_attributes(tree: &OwnedFd, attributes: &MountAttr) -> Result<(), Errno> {
    // SAFETY: [buffer] a live C string and a live structure of the size given.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            AT_EMPTY_PATH | AT_RECURSIVE,
            std::ptr::from_ref(attributes),
            size_of::<MountAttr>(),
        )
    };
    check_long(done).map(drop)
}

/// Takes over the descriptor that a call returned.
fn own(result: i64) -> Result<OwnedFd, Errno> {
    let fd = i32::try_from(check_long(result)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the host has just opened it for this process; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
