//! Path resolution: path_resolution(7), openat2(2).
//!
//! No lock is held from one component to the next. What is cached costs one look into
//! the directory's map and no allocation.

mod walker;

use base::Errno;

use crate::{Caller, Path};

pub(crate) use walker::{Component, Walker};

bitflags::bitflags! {
    /// What a walk may do on its way.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct WalkFlags: u32 {
        /// A symbolic link at the end is the result, not its target: AT_SYMLINK_NOFOLLOW,
        /// O_NOFOLLOW.
        const NO_FOLLOW = 1;
        /// The result must be a directory: O_DIRECTORY.
        const DIRECTORY = 2;
        /// RESOLVE_NO_XDEV: `EXDEV` at the border of a mount.
        const NO_XDEV = 0x10;
        /// RESOLVE_NO_MAGICLINKS: `ELOOP` at a link of the kind of /proc/self/fd's.
        const NO_MAGICLINKS = 0x20;
        /// RESOLVE_NO_SYMLINKS: `ELOOP` at any symbolic link.
        const NO_SYMLINKS = 0x40;
        /// RESOLVE_BENEATH: `EXDEV` on the way out of the start.
        const BENEATH = 0x80;
        /// RESOLVE_IN_ROOT: the start is the root of everything.
        const IN_ROOT = 0x100;
        /// RESOLVE_CACHED: `EAGAIN` if a file system would have to be asked.
        const CACHED = 0x200;
    }
}

/// Where and for whom paths are resolved.
#[derive(Clone, Copy, Debug)]
pub struct Walk<'a> {
    /// The caller's root directory.
    pub root: &'a Path,
    /// Where relative paths start: the working directory, or a directory descriptor's.
    pub start: &'a Path,
    /// Who asks.
    pub caller: &'a Caller,
    /// What the walk may do.
    pub flags: WalkFlags,
}

/// Where a path's last component is to be looked up, created or removed.
#[derive(Clone, Debug)]
pub struct Parent<'p> {
    /// The directory, search permission on it checked.
    pub directory: Path,
    /// The last component.
    pub last: Last<'p>,
    /// Slashes followed it.
    pub trailing_slash: bool,
}

/// The last component of a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Last<'p> {
    /// A name.
    Name(&'p [u8]),
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// None: the path is nothing but slashes.
    Root,
}

impl<'a> Walk<'a> {
    /// The same walk with more flags.
    #[must_use]
    pub fn with(self, flags: WalkFlags) -> Self {
        Self {
            flags: self.flags | flags,
            ..self
        }
    }

    /// The place that `path` names. `ENOENT` for an empty path. A symbolic link at the
    /// end is followed unless [`WalkFlags::NO_FOLLOW`] says otherwise; slashes behind it have
    /// it followed in any case and demand a directory.
    pub fn resolve(&self, path: &[u8]) -> Result<Path, Errno> {
        let mut walker = Walker::start(self, path)?;
        loop {
            let component = walker.go_to_last()?;
            match component {
                Component::Done => break,
                Component::Last { .. } => {
                    let follow = !self.flags.contains(WalkFlags::NO_FOLLOW);
                    walker.step(component, follow)?;
                }
            }
        }
        let must_be_directory =
            walker.must_be_directory() || self.flags.contains(WalkFlags::DIRECTORY);
        let place = walker.finish()?;
        if must_be_directory && !place.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        Ok(place)
    }

    /// The directory that holds, or would hold, the last component of `path`; that one is
    /// not looked up.
    pub fn resolve_parent<'p>(&self, path: &'p [u8]) -> Result<Parent<'p>, Errno> {
        let mut walker = Walker::start(self, path)?;
        let component = walker.go_to_last()?;
        // The last component is the path's own: links on the way have been walked whole.
        let trimmed = path.trim_ascii_end_slashes();
        let last = match trimmed.rsplit(|byte| *byte == b'/').next() {
            None | Some([]) => Last::Root,
            Some(b".") => Last::Dot,
            Some(b"..") => Last::DotDot,
            Some(name) => Last::Name(name),
        };
        debug_assert!((last == Last::Root) == matches!(component, Component::Done));
        Ok(Parent {
            directory: walker.finish()?,
            last,
            trailing_slash: trimmed.len() < path.len(),
        })
    }
}

trait TrimSlashes {
    fn trim_ascii_end_slashes(&self) -> &[u8];
}

impl TrimSlashes for [u8] {
    fn trim_ascii_end_slashes(&self) -> &[u8] {
        let end = self
            .iter()
            .rposition(|byte| *byte != b'/')
            .map_or(0, |last| last + 1);
        self.get(..end).unwrap_or_default()
    }
}
