//! User and group ids, capabilities: credentials(7), capabilities(7).

use std::sync::Arc;

use arch::abi::prctl::{
    _LINUX_CAPABILITY_VERSION_1, _LINUX_CAPABILITY_VERSION_2, _LINUX_CAPABILITY_VERSION_3, CapData,
    CapHeader,
};
use base::{Errno, Gid, Pid, Uid, num};
use mem::{UserPtr, UserSlice};
use vfs::{Capabilities, Credentials};

use super::{Outcome, SysResult};
use crate::task::Task;

/// NGROUPS_MAX.
const GROUPS_MAX: usize = 65_536;
/// "Leave it": (uid_t) -1.
const KEEP: u32 = u32::MAX;
/// SECBIT_NO_SETUID_FIXUP.
const NO_FIXUP: u32 = 1 << 2;
/// SECBIT_KEEP_CAPS.
pub(super) const KEEP_CAPS: u32 = 1 << 4;

fn id(value: u32) -> SysResult {
    Ok(Outcome::Return(value.into()))
}

/// getuid(2).
pub fn getuid(task: &mut Task) -> SysResult {
    id(task.credentials().uid.0)
}

/// geteuid(2).
pub fn geteuid(task: &mut Task) -> SysResult {
    id(task.credentials().euid.0)
}

/// getgid(2).
pub fn getgid(task: &mut Task) -> SysResult {
    id(task.credentials().gid.0)
}

/// getegid(2).
pub fn getegid(task: &mut Task) -> SysResult {
    id(task.credentials().egid.0)
}

/// getresuid(2). `EFAULT`.
pub fn getresuid(
    task: &mut Task,
    real: UserPtr<u32>,
    effective: UserPtr<u32>,
    saved: UserPtr<u32>,
) -> SysResult {
    let who = task.credentials();
    real.write(task.user(), &who.uid.0)?;
    effective.write(task.user(), &who.euid.0)?;
    saved.write(task.user(), &who.suid.0)?;
    Ok(Outcome::ZERO)
}

/// getresgid(2). `EFAULT`.
pub fn getresgid(
    task: &mut Task,
    real: UserPtr<u32>,
    effective: UserPtr<u32>,
    saved: UserPtr<u32>,
) -> SysResult {
    let who = task.credentials();
    real.write(task.user(), &who.gid.0)?;
    effective.write(task.user(), &who.egid.0)?;
    saved.write(task.user(), &who.sgid.0)?;
    Ok(Outcome::ZERO)
}

/// What a change of user ids does to capabilities: capabilities(7), "Effect of user ID
/// changes on capabilities".
fn fix_capabilities(before: &Credentials, after: &mut Credentials) {
    if after.securebits & NO_FIXUP != 0 {
        return;
    }
    let root = Uid::ROOT;
    let had_root = [before.uid, before.euid, before.suid].contains(&root);
    let has_root = [after.uid, after.euid, after.suid].contains(&root);
    if had_root && !has_root {
        if after.securebits & KEEP_CAPS == 0 {
            after.permitted = Capabilities::empty();
            after.effective = Capabilities::empty();
        }
        after.ambient = Capabilities::empty();
    }
    if before.euid == root && after.euid != root {
        after.effective = Capabilities::empty();
    }
    if before.euid != root && after.euid == root {
        after.effective = after.permitted;
    }
}

fn install(task: &mut Task, mut after: Credentials) -> SysResult {
    let before = Arc::clone(task.credentials());
    fix_capabilities(&before, &mut after);
    let ids = before.euid != after.euid || before.egid != after.egid;
    if ids || before.fsuid != after.fsuid || before.fsgid != after.fsgid {
        task.group().set_dumpable(0);
        task.state.set_parent_death_signal(None);
    }
    task.set_credentials(Arc::new(after));
    Ok(Outcome::ZERO)
}

/// setuid(2). `EPERM`, `EINVAL`.
pub fn setuid(task: &mut Task, uid: u32) -> SysResult {
    let mut new = Credentials::clone(task.credentials());
    let uid = valid_uid(uid)?;
    if new.capable(Capabilities::SETUID) {
        (new.uid, new.suid) = (uid, uid);
    } else if uid != new.uid && uid != new.suid {
        return Err(Errno::EPERM.into());
    }
    (new.euid, new.fsuid) = (uid, uid);
    install(task, new)
}

/// setgid(2). `EPERM`, `EINVAL`.
pub fn setgid(task: &mut Task, gid: u32) -> SysResult {
    let mut new = Credentials::clone(task.credentials());
    let gid = valid_gid(gid)?;
    if new.capable(Capabilities::SETGID) {
        (new.gid, new.sgid) = (gid, gid);
    } else if gid != new.gid && gid != new.sgid {
        return Err(Errno::EPERM.into());
    }
    (new.egid, new.fsgid) = (gid, gid);
    install(task, new)
}

fn valid_uid(uid: u32) -> Result<Uid, Errno> {
    if uid == KEEP {
        Err(Errno::EINVAL)
    } else {
        Ok(Uid(uid))
    }
}

fn valid_gid(gid: u32) -> Result<Gid, Errno> {
    if gid == KEEP {
        Err(Errno::EINVAL)
    } else {
        Ok(Gid(gid))
    }
}

/// setreuid(2). `EPERM`.
pub fn setreuid(task: &mut Task, real: u32, effective: u32) -> SysResult {
    let old = Arc::clone(task.credentials());
    let mut new = Credentials::clone(&old);
    let able = old.capable(Capabilities::SETUID);
    if real != KEEP {
        new.uid = Uid(real);
        if !able && new.uid != old.uid && new.uid != old.euid {
            return Err(Errno::EPERM.into());
        }
    }
    if effective != KEEP {
        new.euid = Uid(effective);
        if !able && ![old.uid, old.euid, old.suid].contains(&new.euid) {
            return Err(Errno::EPERM.into());
        }
    }
    if real != KEEP || (effective != KEEP && new.euid != old.uid) {
        new.suid = new.euid;
    }
    new.fsuid = new.euid;
    install(task, new)
}

/// setregid(2). `EPERM`.
pub fn setregid(task: &mut Task, real: u32, effective: u32) -> SysResult {
    let old = Arc::clone(task.credentials());
    let mut new = Credentials::clone(&old);
    let able = old.capable(Capabilities::SETGID);
    if real != KEEP {
        new.gid = Gid(real);
        if !able && new.gid != old.gid && new.gid != old.egid {
            return Err(Errno::EPERM.into());
        }
    }
    if effective != KEEP {
        new.egid = Gid(effective);
        if !able && ![old.gid, old.egid, old.sgid].contains(&new.egid) {
            return Err(Errno::EPERM.into());
        }
    }
    if real != KEEP || (effective != KEEP && new.egid != old.gid) {
        new.sgid = new.egid;
    }
    new.fsgid = new.egid;
    install(task, new)
}

/// setresuid(2). `EPERM`.
pub fn setresuid(task: &mut Task, real: u32, effective: u32, saved: u32) -> SysResult {
    let mut new = Credentials::clone(task.credentials());
    let own = [new.uid, new.euid, new.suid];
    let able = new.capable(Capabilities::SETUID);
    let allowed = |uid: u32| uid == KEEP || able || own.contains(&Uid(uid));
    if ![real, effective, saved].into_iter().all(allowed) {
        return Err(Errno::EPERM.into());
    }
    let pick = |uid: u32, now: Uid| if uid == KEEP { now } else { Uid(uid) };
    new.uid = pick(real, new.uid);
    new.euid = pick(effective, new.euid);
    new.suid = pick(saved, new.suid);
    new.fsuid = new.euid;
    install(task, new)
}

/// setresgid(2). `EPERM`.
pub fn setresgid(task: &mut Task, real: u32, effective: u32, saved: u32) -> SysResult {
    let mut new = Credentials::clone(task.credentials());
    let own = [new.gid, new.egid, new.sgid];
    let able = new.capable(Capabilities::SETGID);
    let allowed = |gid: u32| gid == KEEP || able || own.contains(&Gid(gid));
    if ![real, effective, saved].into_iter().all(allowed) {
        return Err(Errno::EPERM.into());
    }
    let pick = |gid: u32, now: Gid| if gid == KEEP { now } else { Gid(gid) };
    new.gid = pick(real, new.gid);
    new.egid = pick(effective, new.egid);
    new.sgid = pick(saved, new.sgid);
    new.fsgid = new.egid;
    install(task, new)
}

/// setfsuid(2): gives the former id, whether it changed or not.
pub fn setfsuid(task: &mut Task, uid: u32) -> SysResult {
    /// What only root's file-access id has in its effective set.
    const FILES: Capabilities = Capabilities::CHOWN
        .union(Capabilities::DAC_OVERRIDE)
        .union(Capabilities::DAC_READ_SEARCH)
        .union(Capabilities::FOWNER)
        .union(Capabilities::FSETID)
        .union(Capabilities::LINUX_IMMUTABLE)
        .union(Capabilities::MKNOD)
        .union(Capabilities::MAC_OVERRIDE);
    let mut new = Credentials::clone(task.credentials());
    let before = new.fsuid;
    let own = [new.uid, new.euid, new.suid, new.fsuid];
    let able = new.capable(Capabilities::SETUID);
    if uid != KEEP && (able || own.contains(&Uid(uid))) && Uid(uid) != before {
        new.fsuid = Uid(uid);
        if new.securebits & NO_FIXUP == 0 {
            if before == Uid::ROOT {
                new.effective -= FILES;
            } else if new.fsuid == Uid::ROOT {
                new.effective |= new.permitted & FILES;
            }
        }
        task.set_credentials(Arc::new(new));
    }
    id(before.0)
}

/// setfsgid(2): gives the former id, whether it changed or not.
pub fn setfsgid(task: &mut Task, gid: u32) -> SysResult {
    let mut new = Credentials::clone(task.credentials());
    let before = new.fsgid;
    let own = [new.gid, new.egid, new.sgid, new.fsgid];
    let able = new.capable(Capabilities::SETGID);
    if gid != KEEP && (able || own.contains(&Gid(gid))) {
        new.fsgid = Gid(gid);
        task.set_credentials(Arc::new(new));
    }
    id(before.0)
}

/// getgroups(2). `EINVAL` if there are more than `size`, which 0 only asks for.
pub fn getgroups(task: &mut Task, size: i32, out: UserPtr<u32>) -> SysResult {
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    let groups = Arc::clone(&task.credentials().groups);
    if size > 0 {
        if groups.len() > size {
            return Err(Errno::EINVAL.into());
        }
        let bytes: Vec<u8> = groups.iter().flat_map(|gid| gid.0.to_le_bytes()).collect();
        task.write_all(out.addr(), &bytes)?;
    }
    Ok(Outcome::Return(num::u64_of(groups.len())))
}

/// setgroups(2). `EPERM`, `EINVAL`, `EFAULT`.
pub fn setgroups(task: &mut Task, size: i32, list: UserPtr<u32>) -> SysResult {
    if !task.credentials().capable(Capabilities::SETGID) {
        return Err(Errno::EPERM.into());
    }
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    if size > GROUPS_MAX {
        return Err(Errno::EINVAL.into());
    }
    let mut groups = UserSlice::new(list, size)?.read_vec(task.user(), GROUPS_MAX)?;
    if groups.contains(&KEEP) {
        return Err(Errno::EINVAL.into());
    }
    groups.sort_unstable();
    let mut new = Credentials::clone(task.credentials());
    new.groups = groups.into_iter().map(Gid).collect();
    task.set_credentials(Arc::new(new));
    Ok(Outcome::ZERO)
}

/// How many `CapData` a version has; an unknown one is answered with the preferred one.
fn version(task: &Task, header: UserPtr<CapHeader>, asked: &CapHeader) -> Result<usize, Errno> {
    match asked.version {
        _LINUX_CAPABILITY_VERSION_1 => Ok(1),
        _LINUX_CAPABILITY_VERSION_2 | _LINUX_CAPABILITY_VERSION_3 => Ok(2),
        _ => {
            let told = CapHeader {
                version: _LINUX_CAPABILITY_VERSION_3,
                ..*asked
            };
            header.write(task.user(), &told)?;
            Err(Errno::EINVAL)
        }
    }
}

/// The low and the high half of a set.
fn halves(set: Capabilities) -> [u32; 2] {
    [num::low32(set.bits()), num::low32(set.bits() >> 32)]
}

/// capget(2). `EINVAL`, `EFAULT`, `ESRCH`.
pub fn capget(task: &mut Task, header: UserPtr<CapHeader>, out: UserPtr<CapData>) -> SysResult {
    let asked = header.read(task.user())?;
    let count = match version(task, header, &asked) {
        Ok(count) => count,
        // A probe for the version.
        Err(Errno::EINVAL) if out.is_null() => return Ok(Outcome::ZERO),
        Err(errno) => return Err(errno.into()),
    };
    if asked.pid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let who = if asked.pid == 0 || Pid(asked.pid) == task.state.tid() {
        Arc::clone(task.credentials())
    } else {
        let tree = task.kernel.tree();
        tree.thread(Pid(asked.pid))
            .ok_or(Errno::ESRCH)?
            .credentials()
    };
    let sets = [
        halves(who.effective),
        halves(who.permitted),
        halves(who.inheritable),
    ];
    let [[e0, e1], [p0, p1], [i0, i1]] = sets;
    let words = [e0, p0, i0, e1, p1, i1];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let len = count.saturating_mul(size_of::<CapData>());
    task.write_all(out.addr(), bytes.get(..len).unwrap_or(&bytes))?;
    Ok(Outcome::ZERO)
}

/// capset(2). `EINVAL`, `EFAULT`, `EPERM`.
pub fn capset(task: &mut Task, header: UserPtr<CapHeader>, data: UserPtr<CapData>) -> SysResult {
    let asked = header.read(task.user())?;
    let count = version(task, header, &asked)?;
    if asked.pid != 0 && Pid(asked.pid) != task.state.tid() {
        return Err(Errno::EPERM.into());
    }
    let sets = UserSlice::new(data, count)?.read_vec(task.user(), 2)?;
    let join = |pick: fn(&CapData) -> u32| {
        let half = |at: usize| sets.get(at).map_or(0, |data| u64::from(pick(data)));
        Capabilities::from_bits_truncate(half(0) | half(1) << 32)
    };
    let effective = join(|data| data.effective);
    let permitted = join(|data| data.permitted);
    let inheritable = join(|data| data.inheritable);
    let mut new = Credentials::clone(task.credentials());
    let may_inherit = new.inheritable | new.permitted;
    if !new.capable(Capabilities::SETPCAP) && !may_inherit.contains(inheritable) {
        return Err(Errno::EPERM.into());
    }
    let in_bounds = (new.inheritable | new.bounding).contains(inheritable);
    if !in_bounds || !new.permitted.contains(permitted) || !permitted.contains(effective) {
        return Err(Errno::EPERM.into());
    }
    (new.effective, new.permitted, new.inheritable) = (effective, permitted, inheritable);
    new.ambient &= permitted & inheritable;
    task.set_credentials(Arc::new(new));
    Ok(Outcome::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Credentials {
        Credentials::new(Uid(0), Gid(0), Arc::from([]), Capabilities::all())
    }

    #[test]
    fn leaving_root_drops_capabilities() {
        let before = root();
        let mut after = before.clone();
        (after.uid, after.euid, after.suid) = (Uid(5), Uid(5), Uid(5));
        fix_capabilities(&before, &mut after);
        assert!(after.permitted.is_empty() && after.effective.is_empty());
    }

    #[test]
    fn keep_caps_keeps_the_permitted_set() {
        let mut before = root();
        before.securebits = KEEP_CAPS;
        let mut after = before.clone();
        (after.uid, after.euid, after.suid) = (Uid(5), Uid(5), Uid(5));
        fix_capabilities(&before, &mut after);
        assert_eq!(after.permitted, Capabilities::all());
        assert!(after.effective.is_empty());
    }

    #[test]
    fn an_effective_root_that_comes_and_goes() {
        let before = root();
        let mut after = before.clone();
        after.euid = Uid(5);
        fix_capabilities(&before, &mut after);
        assert!(after.effective.is_empty());
        assert_eq!(after.permitted, Capabilities::all());
        let mut again = after.clone();
        again.euid = Uid::ROOT;
        fix_capabilities(&after, &mut again);
        assert_eq!(again.effective, Capabilities::all());
    }
}
