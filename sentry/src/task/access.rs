//! Who may look into another process: ptrace(2), "Ptrace access mode checking".

use vfs::{Caller, Capabilities, Credentials};

use super::ThreadGroup;

/// Which of the caller's ids count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccessBy {
    /// PTRACE_MODE_FSCREDS: files of /proc.
    FsIds,
    /// PTRACE_MODE_REALCREDS: calls.
    RealIds,
}

/// Whether `caller` may look into the process `group`, one of whose threads has the
/// credentials `of`.
pub fn may_look_into(
    caller: &Caller,
    (group, of): (&ThreadGroup, &Credentials),
    by: AccessBy,
) -> bool {
    if caller.tgid == group.id {
        return true;
    }
    let who = &caller.credentials;
    let (uid, gid, capabilities) = match by {
        AccessBy::FsIds => (who.fsuid, who.fsgid, who.effective),
        AccessBy::RealIds => (who.uid, who.gid, who.permitted),
    };
    let same_user = [of.uid, of.euid, of.suid].iter().all(|of| *of == uid);
    let same_group = [of.gid, of.egid, of.sgid].iter().all(|of| *of == gid);
    let ordinary =
        same_user && same_group && group.dumpable() == 1 && capabilities.contains(of.permitted);
    ordinary || who.capable(Capabilities::SYS_PTRACE)
}
