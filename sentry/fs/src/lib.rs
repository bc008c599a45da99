//! File systems and the objects that descriptors stand for: pipes, eventfd(2),
//! timerfd_create(2), epoll(7) and their kin.
//!
//! Owns: what each kind of file does. Leaves to `vfs` what is the same for all, to
//! the system-call layer every wait. Each folder's head comment has its lock order.

#![forbid(unsafe_code)]

mod buffer;
pub mod dev;
pub mod epoll;
pub mod eventfd;
pub mod host_stdio;
pub mod hostfs;
pub mod inotify;
pub mod overlay;
pub mod pipe;
pub mod poll;
pub mod pseudo;
#[cfg(test)]
mod scratch;
mod seek;
pub mod signalfd;
pub mod timerfd;
pub mod tmpfs;

use base::{Errno, Ready};
use vfs::Sink;

/// Gives a record that is not to be cut: `EFAULT` if not all of it could be stored.
fn put_whole(to: &mut dyn Sink, record: &[u8]) -> Result<usize, Errno> {
    let done = to.put(record)?;
    if done == record.len() {
        Ok(done)
    } else {
        Err(Errno::EFAULT)
    }
}

/// What files that never make anyone wait are ready for.
const ALWAYS: Ready = Ready::IN
    .union(Ready::OUT)
    .union(Ready::RDNORM)
    .union(Ready::WRNORM);

/// A path for layers' files that are opened without one.
fn nowhere(inode: &std::sync::Arc<dyn vfs::Inode>) -> vfs::Path {
    vfs::Path::anonymous(b"", std::sync::Arc::clone(inode))
}
