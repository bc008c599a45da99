//! What /proc/self/mountinfo, /proc/self/mounts and statmount(2) show.

use std::sync::Arc;

use super::{Mount, MountFlags};
use crate::{Path, dentry::Place};

/// One mount, as a process sees it.
#[derive(Clone, Debug)]
pub struct MountRecord {
    /// The mount.
    pub mount: Arc<Mount>,
    /// The id of the mount it hangs on; its own at the top.
    pub parent: u32,
    /// Path of its root within its file system.
    pub root: Vec<u8>,
    /// Where it is mounted, from the reader's root directory on.
    pub point: Vec<u8>,
}

impl MountRecord {
    /// `None` if `root` (the reader's root directory) is not above it.
    pub(super) fn of(mount: &Arc<Mount>, root: &Path) -> Option<Self> {
        let at = Path::new(Arc::clone(mount), Arc::clone(mount.root()));
        Some(Self {
            point: at.below(root)?,
            mount: Arc::clone(mount),
            parent: mount.position().map_or(mount.id(), |at| at.mount().id()),
            root: path_in_file_system(mount),
        })
    }

    /// Its line in /proc/self/mountinfo, with the newline.
    #[must_use]
    pub fn mountinfo_line(&self) -> Vec<u8> {
        let device = self.mount.file_system().device();
        let mut line = format!(
            "{} {} {}:{} ",
            self.mount.id(),
            self.parent,
            device.major(),
            device.minor()
        )
        .into_bytes();
        escape(&self.root, &mut line);
        line.push(b' ');
        escape(&self.point, &mut line);
        line.push(b' ');
        line.extend_from_slice(flag_text(self.mount.flags()).as_bytes());
        line.extend_from_slice(b" - ");
        escape(self.mount.file_system().kind().as_bytes(), &mut line);
        line.push(b' ');
        escape(self.mount.source(), &mut line);
        line.extend_from_slice(b" rw");
        self.own_options(&mut line);
        line.push(b'\n');
        line
    }

    /// Its line in /proc/self/mounts, with the newline.
    #[must_use]
    pub fn mounts_line(&self) -> Vec<u8> {
        let mut line = Vec::new();
        escape(self.mount.source(), &mut line);
        line.push(b' ');
        escape(&self.point, &mut line);
        line.push(b' ');
        escape(self.mount.file_system().kind().as_bytes(), &mut line);
        line.push(b' ');
        line.extend_from_slice(flag_text(self.mount.flags()).as_bytes());
        self.own_options(&mut line);
        line.extend_from_slice(b" 0 0\n");
        line
    }

    /// Its line in /proc/self/mountstats, with the newline.
    #[must_use]
    pub fn mountstats_line(&self) -> Vec<u8> {
        let mut line = b"device ".to_vec();
        escape(self.mount.source(), &mut line);
        line.extend_from_slice(b" mounted on ");
        escape(&self.point, &mut line);
        line.extend_from_slice(b" with fstype ");
        escape(self.mount.file_system().kind().as_bytes(), &mut line);
        line.push(b'\n');
        line
    }

    fn own_options(&self, line: &mut Vec<u8>) {
        let options = self.mount.file_system().options();
        if !options.is_empty() {
            line.push(b',');
            escape(&options, line);
        }
    }
}

/// The names from a mount's root dentry up to its file system's root.
fn path_in_file_system(mount: &Arc<Mount>) -> Vec<u8> {
    let mut names = Vec::new();
    let mut at = Arc::clone(mount.root());
    while let Place::Child(parent, name) = at.place() {
        names.push(name);
        at = parent;
    }
    if names.is_empty() {
        return b"/".to_vec();
    }
    let mut text: Vec<u8> = names
        .iter()
        .rev()
        .flat_map(|name| [b"/".as_slice(), name.as_bytes()].concat())
        .collect();
    if mount.root().is_deleted() {
        text.extend_from_slice(b"//deleted");
    }
    text
}

/// Blank, tab, newline, backslash and `#` in octal, as mount tables have them.
fn escape(text: &[u8], line: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' | b'#' => {
                line.extend_from_slice(format!("\\{byte:03o}").as_bytes());
            }
            _ => line.push(*byte),
        }
    }
}

fn flag_text(flags: MountFlags) -> String {
    const NAMES: [(MountFlags, &str); 7] = [
        (MountFlags::NO_SUID, ",nosuid"),
        (MountFlags::NO_DEV, ",nodev"),
        (MountFlags::NO_EXEC, ",noexec"),
        (MountFlags::NO_ATIME, ",noatime"),
        (MountFlags::NO_DIR_ATIME, ",nodiratime"),
        (MountFlags::RELATIME, ",relatime"),
        (MountFlags::NO_SYMFOLLOW, ",nosymfollow"),
    ];
    let mut text = if flags.contains(MountFlags::READ_ONLY) {
        "ro".to_owned()
    } else {
        "rw".to_owned()
    };
    for (flag, name) in NAMES {
        if flags.contains(flag) {
            text.push_str(name);
        }
    }
    text
}
