//! execve(2), execveat(2), exit(2), exit_group(2).

use base::{Addr, Errno, num};
use mem::{UserPtr, UserStr};
use vfs::{Fd, OnExec, WalkFlags};

use super::path::read_path;
use super::{Outcome, SysResult};
use crate::task::{ExecFile, ExecRequest, ExitStatus, RunState, Task};

/// Longest single string, the NUL included.
const STRING_MAX: usize = 32 * 4096;
/// Most bytes of all strings and pointers, whatever the stack's limit.
const STRINGS_MAX: usize = 6 << 20;
/// AT_EMPTY_PATH.
const EMPTY_PATH: u32 = 0x1000;
/// AT_SYMLINK_NOFOLLOW.
const NO_FOLLOW: u32 = 0x100;

/// execve(2).
pub fn execve(task: &mut Task, path: UserStr, argv: Addr, envp: Addr) -> SysResult {
    let path = read_path(task, path)?;
    let (argv, envp) = strings(task, argv, envp)?;
    task.execute(ExecRequest {
        argv,
        envp,
        file: ExecFile::Path(path),
    })
}

/// execveat(2).
pub fn execveat(
    task: &mut Task,
    dirfd: Fd,
    path: UserStr,
    argv: Addr,
    envp: Addr,
    flags: u32,
) -> SysResult {
    if flags & !(EMPTY_PATH | NO_FOLLOW) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let path = read_path(task, path)?;
    let file = name(task, dirfd, path, flags)?;
    let (argv, envp) = strings(task, argv, envp)?;
    task.execute(ExecRequest { argv, envp, file })
}

fn name(task: &Task, dirfd: Fd, path: Vec<u8>, flags: u32) -> Result<ExecFile, Errno> {
    if path.is_empty() && flags & EMPTY_PATH != 0 {
        let file = task.fds().get(dirfd)?;
        let reachable = task.fds().on_exec(dirfd)? == OnExec::Keep;
        let shown = format!("/dev/fd/{}", dirfd.0).into_bytes();
        return Ok(ExecFile::Open {
            file,
            shown,
            reachable,
        });
    }
    let mut walk = WalkFlags::empty();
    walk.set(WalkFlags::NO_FOLLOW, flags & NO_FOLLOW != 0);
    let (start, shown) = if path.first() == Some(&b'/') || dirfd == Fd::CWD {
        (task.fs().cwd(), path.clone())
    } else {
        let directory = task.fds().get(dirfd)?;
        let mut shown = format!("/dev/fd/{}/", dirfd.0).into_bytes();
        shown.extend_from_slice(&path);
        (directory.path().clone(), shown)
    };
    Ok(ExecFile::Below {
        start,
        path,
        shown,
        flags: walk,
    })
}

type Strings = (Vec<Vec<u8>>, Vec<Vec<u8>>);

/// Both arrays, bounded together before the stack's own limit is applied.
fn strings(task: &Task, argv: Addr, envp: Addr) -> Result<Strings, Errno> {
    let mut left = STRINGS_MAX;
    let argv = array(task, argv, &mut left)?;
    let envp = array(task, envp, &mut left)?;
    Ok((argv, envp))
}

/// The strings of a NULL-terminated array; NULL itself is an empty one. `E2BIG`, `EFAULT`.
fn array(task: &Task, at: Addr, left: &mut usize) -> Result<Vec<Vec<u8>>, Errno> {
    let mut strings = Vec::new();
    if at == Addr::NULL {
        return Ok(strings);
    }
    let mut place = at;
    loop {
        let pointer: u64 = UserPtr::new(place).read(task.user())?;
        if pointer == 0 {
            return Ok(strings);
        }
        let text = UserStr(Addr(pointer))
            .read(task.user(), STRING_MAX)
            .map_err(|errno| match errno {
                Errno::ENAMETOOLONG => Errno::E2BIG,
                other => other,
            })?;
        let size = text.len().saturating_add(1).saturating_add(8);
        *left = left.checked_sub(size).ok_or(Errno::E2BIG)?;
        strings.push(text);
        place = place
            .checked_add(num::u64_of(size_of::<u64>()))
            .ok_or(Errno::EFAULT)?;
    }
}

fn status(code: i32) -> ExitStatus {
    let [low, ..] = code.to_le_bytes();
    ExitStatus::Exited(low)
}

/// _exit(2) of this thread alone.
pub fn exit(_task: &mut Task, code: i32) -> SysResult {
    Ok(Outcome::Next(RunState::Exit(status(code))))
}

/// exit_group(2).
pub fn exit_group(task: &mut Task, code: i32) -> SysResult {
    let status = status(code);
    task.group().signals().end(status);
    Ok(Outcome::Next(RunState::Exit(status)))
}
