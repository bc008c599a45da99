//! Sessions, standard descriptors and signals of processes that are not confined.

use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use arch::abi::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use super::super::errors::{check_int, from_nix};

/// Makes this process the leader of a new session: setsid(2). `EPERM` if it leads a process
/// group.
pub fn new_session() -> Result<(), Errno> {
    nix::unistd::setsid().map(drop).map_err(from_nix)
}

/// Makes `terminal` the controlling terminal of this process, which leads a session without
/// one, and puts it into the terminal's foreground: TIOCSCTTY. `EPERM` if it is another
/// session's.
pub fn control_terminal(terminal: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: no pointers; the descriptor is borrowed, thus open during the call.
    check_int(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) }).map(drop)
}

/// Makes `files` the standard input, output and error: dup2(2).
pub fn replace_standard(files: [BorrowedFd<'_>; 3]) -> Result<(), Errno> {
    let [stdin, stdout, stderr] = files;
    nix::unistd::dup2_stdin(stdin).map_err(from_nix)?;
    nix::unistd::dup2_stdout(stdout).map_err(from_nix)?;
    nix::unistd::dup2_stderr(stderr).map_err(from_nix)
}

/// Sends descriptors with some bytes, at least one: SCM_RIGHTS of unix(7).
pub fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> Result<usize, Errno> {
    let numbers: Vec<_> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let rights = if numbers.is_empty() { &[][..] } else { &rights };
    let flags = MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(bytes)],
        rights,
        flags,
        None,
    )
    .map_err(from_nix)
}

/// kill(2). `ESRCH`, `EPERM`, `EINVAL`.
pub fn kill(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: no pointers.
    check_int(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// A descriptor of this number that was inherited, as a new one, close-on-exec; the inherited
/// one is closed. `EBADF` if there is none. To be called once for a number, before anything of
/// this process could have opened a file there.
pub fn inherited(number: u32) -> Result<OwnedFd, Errno> {
    let fd = i32::try_from(number).map_err(|_| Errno::EBADF)?;
    // SAFETY: no pointers; the descriptor stays open.
    let new = check_int(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: nobody in this process knows the inherited one; a failure changes nothing.
    unsafe { libc::close(fd) };
    // SAFETY: new, so it is ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(new.cast_signed()) })
}

/// Has the descriptor `file` name what `by` names, and no longer what it named: for one of a
/// forked process whose file is its parent's alone (a lock ends with its last descriptor).
pub fn replace(file: BorrowedFd<'_>, by: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: no pointers; both are borrowed, thus open during the call. The number stays open,
    // and whose it was.
    check_int(unsafe { libc::dup3(by.as_raw_fd(), file.as_raw_fd(), libc::O_CLOEXEC) }).map(drop)
}
