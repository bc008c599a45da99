//! Names and open files: inodes, dentries, mounts, path walk, permission checks,
//! file descriptions, descriptor tables, advisory locks.
//!
//! Owns what is the same for every file system. Leaves to `fs` and `net` what a
//! file does, and to the system-call layer every wait: no method of a file
//! sleeps, it answers `EAGAIN` and is waited for through [`Pollable`].
//! Lock order: fd table, mounts, rename, dentry, inode, file locks, description.

#![forbid(unsafe_code)]

mod anonymous;
mod attributes;
mod credentials;
mod file;
mod inode;
mod io;
mod name;

pub use anonymous::{AnonymousFs, AnonymousInode, Reopen};
pub use attributes::{Attributes, DeviceId, FileKind, FsInfo, SetAttributes, SetTime};
pub use base::{Pollable, Ready, Subscription};
pub use credentials::{Caller, Capabilities, Credentials};
pub use file::{DirEntry, DirSink, FileOps, Whence};
pub use inode::{Caching, Created, FileSystem, Inode, Link, NewNode, RenameMode, UnlinkKind};
pub use io::{ByteSink, ByteSource, Sink, Source, UserSink, UserSource};
pub use name::{NAME_MAX, Name};

/// A place in the tree of names.
#[derive(Clone, Debug)]
pub struct Path;

/// Advisory locks of one inode.
#[derive(Debug, Default)]
pub struct FileLocks;
