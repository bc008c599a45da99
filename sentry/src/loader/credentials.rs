//! What execve(2) does to credentials: set-id files, capabilities(7).

use std::sync::Arc;

use base::{Errno, Uid};
use vfs::permission::{SET_GID, SET_UID};
use vfs::{Capabilities, Credentials, MountFlags, Path};

/// Credentials after an exec, and what follows from the change.
pub(super) struct Change {
    pub(super) credentials: Arc<Credentials>,
    /// AT_SECURE: the program has more rights than who executed it.
    pub(super) secure: bool,
}

/// Group execution: set-group-id means something only with it.
const GROUP_EXEC: u16 = 0o010;
/// SECBIT_NOROOT.
const NO_ROOT: u32 = 1;
/// SECBIT_KEEP_CAPS, which never outlives an exec.
const KEEP_CAPS: u32 = 1 << 4;

/// The credentials with which the file at `place` runs.
pub(super) fn at_exec(now: &Arc<Credentials>, place: &Path) -> Result<Change, Errno> {
    let honoured = !now.no_new_privs && !place.mount().flags().contains(MountFlags::NO_SUID);
    let attributes = place.attributes()?;
    let mut new = Credentials::clone(now);
    if honoured {
        if attributes.permissions & SET_UID != 0 {
            new.euid = attributes.uid;
        }
        let set_gid = SET_GID | GROUP_EXEC;
        if attributes.permissions & set_gid == set_gid {
            new.egid = attributes.gid;
        }
    }
    Ok(transform(now, new))
}

/// capabilities(7), "Transformation of capabilities during execve()", for files without
/// capabilities of their own.
fn transform(now: &Credentials, mut new: Credentials) -> Change {
    let id_change = new.euid != now.uid || new.egid != now.gid;
    let gained_ids = new.euid != now.euid || new.egid != now.egid;
    if gained_ids {
        new.ambient = Capabilities::empty();
    }
    let root = new.securebits & NO_ROOT == 0;
    let as_root = root && (new.euid == Uid::ROOT || new.uid == Uid::ROOT);
    let effective = root && new.euid == Uid::ROOT;
    new.permitted = if as_root {
        now.inheritable | now.bounding
    } else {
        new.ambient
    };
    new.effective = if effective {
        new.permitted
    } else {
        new.ambient
    };
    (new.suid, new.fsuid) = (new.euid, new.euid);
    (new.sgid, new.fsgid) = (new.egid, new.egid);
    new.securebits &= !KEEP_CAPS;
    let more = !now.permitted.contains(new.permitted) && new.uid != Uid::ROOT;
    Change {
        secure: id_change || more,
        credentials: Arc::new(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Gid;

    fn user(uid: u32) -> Credentials {
        Credentials::new(Uid(uid), Gid(uid), Arc::from([]), Capabilities::all())
    }

    #[test]
    fn an_ordinary_file_changes_nothing() {
        let now = user(1000);
        let change = transform(&now, now.clone());
        assert_eq!(*change.credentials, now);
        assert!(!change.secure);
        let root = user(0);
        let change = transform(&root, root.clone());
        assert_eq!(change.credentials.effective, Capabilities::all());
        assert!(!change.secure);
    }

    #[test]
    fn set_user_id_root_gives_the_bounding_set() {
        let mut now = user(1000);
        now.bounding = Capabilities::CHOWN;
        let mut new = now.clone();
        new.euid = Uid::ROOT;
        let change = transform(&now, new);
        assert_eq!(change.credentials.effective, Capabilities::CHOWN);
        assert_eq!(change.credentials.suid, Uid::ROOT);
        assert!(change.secure);
    }

    #[test]
    fn a_root_that_became_a_user_keeps_ambient_only() {
        let mut now = user(0);
        (now.uid, now.euid, now.suid) = (Uid(5), Uid(5), Uid(5));
        now.ambient = Capabilities::KILL;
        let change = transform(&now, now.clone());
        assert_eq!(change.credentials.permitted, Capabilities::KILL);
        assert_eq!(change.credentials.effective, Capabilities::KILL);
    }

    #[test]
    fn real_root_without_effective_root_gets_permitted_only() {
        let mut now = user(0);
        (now.euid, now.suid) = (Uid(5), Uid(5));
        let change = transform(&now, now.clone());
        assert_eq!(change.credentials.permitted, Capabilities::all());
        assert!(change.credentials.effective.is_empty());
    }
}
