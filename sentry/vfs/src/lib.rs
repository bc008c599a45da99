//! Names and open files: inodes, dentries, mounts, path walk, permission checks,
//! file descriptions, descriptor tables, advisory locks.
//!
//! Owns what is the same for every file system. Leaves to `fs` and `net` what a
//! file does, and to the system-call layer every wait: no method of a file
//! sleeps, it answers `EAGAIN` and is waited for through [`Pollable`].
//! Lock order: a description's position outermost of all, fd table, mounts, rename,
//! dentry, inode, file locks; places of dentries and mounts one at a time, under anything.

#![forbid(unsafe_code)]

mod anonymous;
mod attributes;
mod credentials;
mod dentry;
mod description;
mod fd_table;
mod file;
mod inode;
mod io;
mod locks;
mod mount;
mod name;
mod notify;
pub mod ops;
mod path;
pub mod permission;
mod special;
mod state;
mod terminal;
#[cfg(test)]
mod testing;
mod walk;

pub use anonymous::{AnonymousFs, AnonymousInode, Reopen};
pub use attributes::{
    Attributes, DeviceId, FileKind, FsInfo, Protection, SetAttributes, SetTime, now,
};
pub use base::{Pollable, Ready, Subscription};
pub use credentials::{Caller, Capabilities, Credentials};
pub use dentry::Dentry;
pub use description::{FILES_MAX, FileDescription, OFFSET_MAX, Writer};
pub use fd_table::{Fd, FdTable, NR_OPEN, OnExec, Reservation};
pub use file::{DirEntry, DirSink, FileOps, Whence};
pub use inode::{Caching, Created, FileSystem, Inode, Link, NewNode, RenameMode, UnlinkKind};
pub use io::{ByteSink, ByteSource, Sink, Source, UserSink, UserSource};
pub use locks::{FileLocks, LockKind, LockOwner, LockWait, RangeLock};
pub use mount::{Mount, MountFlags, MountNamespace, MountRecord, Recursive, Unmount};
pub use name::{NAME_MAX, Name};
pub use notify::{Event, Events, Watcher, Watches};
pub use path::Path;
pub use permission::Access;
pub use special::{SpecialFiles, install_special, open_special};
pub use state::{Executing, InodeState};
pub use terminal::{Acquire, Terminal};
pub use walk::{Last, Parent, Walk, WalkFlags};
