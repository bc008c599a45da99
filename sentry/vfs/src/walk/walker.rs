//! The state of one walk.

use std::ops::Range;
use std::sync::Arc;

use base::Errno;

use super::{Walk, WalkFlags};
use crate::dentry::Reach;
use crate::permission::{Access, may};
use crate::{Dentry, FileKind, Link, MountFlags, Path};

/// Symbolic links followed in one walk at most: MAXSYMLINKS.
const LINKS_MAX: u32 = 40;

/// The text that is being walked.
enum Text<'a> {
    Given(&'a [u8]),
    Link(Vec<u8>),
}

impl Text<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Given(bytes) => bytes,
            Self::Link(bytes) => bytes,
        }
    }
}

/// One walk on its way.
pub(crate) struct Walker<'a> {
    walk: &'a Walk<'a>,
    /// The root for this walk: under BENEATH and IN_ROOT that is the start.
    root: &'a Path,
    at: Path,
    text: Text<'a>,
    /// Where in `text` the next component (or slashes before it) starts.
    next: usize,
    /// Texts whose end is still to be walked, once the link in them is.
    outer: Vec<(Text<'a>, usize)>,
    links: u32,
    must_be_directory: bool,
    /// A `..` was walked: under BENEATH and IN_ROOT the result is checked.
    went_up: bool,
}

/// What is to be walked next, when all before the last component is done.
pub(crate) enum Component {
    /// Nothing: the place is reached.
    Done,
    /// The last component, for [`Walker::name`].
    Last {
        /// Where it is in the text that is being walked.
        name: Range<usize>,
        /// Slashes follow it.
        trailing_slash: bool,
    },
}

impl<'a> Walker<'a> {
    /// `ENOENT` for an empty path; `EXDEV` for an absolute one under BENEATH.
    pub(crate) fn start(walk: &'a Walk<'a>, path: &'a [u8]) -> Result<Self, Errno> {
        let scoped = walk
            .flags
            .intersects(WalkFlags::BENEATH | WalkFlags::IN_ROOT);
        let root = if scoped { walk.start } else { walk.root };
        let absolute = match path.first() {
            None => return Err(Errno::ENOENT),
            Some(first) => *first == b'/',
        };
        if absolute && walk.flags.contains(WalkFlags::BENEATH) {
            return Err(Errno::EXDEV);
        }
        let at = if absolute { root } else { walk.start };
        if !absolute && !at.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        Ok(Self {
            walk,
            root,
            at: at.clone(),
            text: Text::Given(path),
            next: 0,
            outer: Vec::new(),
            links: 0,
            must_be_directory: false,
            went_up: false,
        })
    }

    /// Where it has come to.
    pub(crate) fn at(&self) -> &Path {
        &self.at
    }

    /// Whether slashes behind the end demand a directory.
    pub(crate) fn must_be_directory(&self) -> bool {
        self.must_be_directory
    }

    /// The text of a component.
    pub(crate) fn name(&self, component: &Range<usize>) -> &[u8] {
        self.text.bytes().get(component.clone()).unwrap_or_default()
    }

    /// The place reached. `EAGAIN` if renames meanwhile may have let `..` out of a scope.
    pub(crate) fn finish(self) -> Result<Path, Errno> {
        if self.went_up && self.is_scoped() && self.at.below(self.root).is_none() {
            return Err(Errno::EAGAIN);
        }
        Ok(self.at)
    }

    fn has(&self, flag: WalkFlags) -> bool {
        self.walk.flags.contains(flag)
    }

    fn is_scoped(&self) -> bool {
        self.walk
            .flags
            .intersects(WalkFlags::BENEATH | WalkFlags::IN_ROOT)
    }

    /// Walks all but the last component. Search permission on the directory that it is in
    /// has been checked.
    pub(crate) fn go_to_last(&mut self) -> Result<Component, Errno> {
        loop {
            let Some((name, rest)) = self.component() else {
                match self.outer.pop() {
                    Some((text, next)) => {
                        self.text = text;
                        self.next = next;
                        continue;
                    }
                    None => return Ok(Component::Done),
                }
            };
            self.may_search()?;
            let more = self.has_component_from(rest);
            if !more && self.outer.is_empty() {
                return Ok(Component::Last {
                    trailing_slash: rest > name.end,
                    name,
                });
            }
            self.next = rest;
            self.walk_component(&name, true)?;
            if !self.at.is_directory() {
                return Err(Errno::ENOTDIR);
            }
        }
    }

    /// Walks a component that [`Walker::go_to_last`] gave. `follow`: a symbolic link is entered
    /// (go on with `go_to_last`); slashes behind it have the same effect.
    pub(crate) fn step(&mut self, component: Component, follow: bool) -> Result<(), Errno> {
        let Component::Last {
            name,
            trailing_slash,
        } = component
        else {
            return Ok(());
        };
        self.must_be_directory |= trailing_slash;
        self.next = self.text.bytes().len();
        self.walk_component(&name, follow || self.must_be_directory)
    }

    /// [`Walker::step`] for a component that was looked up already.
    pub(crate) fn step_to(
        &mut self,
        component: Component,
        found: Arc<Dentry>,
        follow: bool,
    ) -> Result<(), Errno> {
        if let Component::Last { trailing_slash, .. } = component {
            self.must_be_directory |= trailing_slash;
        }
        self.next = self.text.bytes().len();
        self.go_to(found, follow)
    }

    /// The next component's place in the text, and where the text goes on behind it
    /// and the slashes that follow. `None` at the end.
    fn component(&self) -> Option<(Range<usize>, usize)> {
        let text = self.text.bytes();
        let start = skip(text, self.next, |byte| byte == b'/');
        let end = skip(text, start, |byte| byte != b'/');
        (start < end).then(|| (start..end, skip(text, end, |byte| byte == b'/')))
    }

    fn has_component_from(&self, at: usize) -> bool {
        at < self.text.bytes().len()
    }

    fn may_search(&self) -> Result<(), Errno> {
        let directory = self.at.inode().protection()?;
        let who = &self.walk.caller.credentials;
        may(FileKind::Directory, &directory, who, Access::EXEC)
    }

    fn walk_component(&mut self, name: &Range<usize>, follow: bool) -> Result<(), Errno> {
        let found = match self.name(name) {
            b"." => return Ok(()),
            b".." => return self.up(),
            name => self.at.dentry().lookup(name, self.reach())?,
        };
        self.go_to(found, follow)
    }

    fn go_to(&mut self, found: Arc<Dentry>, follow: bool) -> Result<(), Errno> {
        if found.kind() == FileKind::Symlink && follow {
            return self.enter_link(&found);
        }
        self.down(found)
    }

    fn reach(&self) -> Reach {
        if self.has(WalkFlags::CACHED) {
            Reach::Cached
        } else {
            Reach::FileSystem
        }
    }

    /// To a dentry in the present directory, or to what is mounted there.
    fn down(&mut self, found: Arc<Dentry>) -> Result<(), Errno> {
        let mounted = found.is_mount_point();
        let to = Path::new(Arc::clone(self.at.mount()), found);
        self.at = if mounted { self.cover(to)? } else { to };
        Ok(())
    }

    fn cover(&self, place: Path) -> Result<Path, Errno> {
        let before = Arc::clone(place.mount());
        let top = place.covered();
        if self.has(WalkFlags::NO_XDEV) && !Arc::ptr_eq(&before, top.mount()) {
            return Err(Errno::EXDEV);
        }
        Ok(top)
    }

    /// `..`: stays at the root, and at the top of a mount tree.
    fn up(&mut self) -> Result<(), Errno> {
        self.went_up = true;
        if self.at.is_same(self.root) {
            return if self.has(WalkFlags::BENEATH) {
                Err(Errno::EXDEV)
            } else {
                Ok(())
            };
        }
        let Some(outside) = self.at.uncovered(self.root) else {
            return if self.has(WalkFlags::BENEATH) {
                Err(Errno::EXDEV)
            } else {
                Ok(())
            };
        };
        let crossed = !Arc::ptr_eq(outside.mount(), self.at.mount());
        if crossed && self.has(WalkFlags::NO_XDEV) {
            return Err(Errno::EXDEV);
        }
        let parent = outside.dentry().parent();
        let to = match parent {
            Some(parent) => Path::new(Arc::clone(outside.mount()), parent),
            None => outside,
        };
        self.at = self.cover(to)?;
        Ok(())
    }

    /// Follows the symbolic link `link` of the present directory.
    fn enter_link(&mut self, link: &Arc<Dentry>) -> Result<(), Errno> {
        self.links += 1;
        let forbidden = self.has(WalkFlags::NO_SYMLINKS)
            || self.at.mount().flags().contains(MountFlags::NO_SYMFOLLOW);
        if self.links > LINKS_MAX || forbidden {
            return Err(Errno::ELOOP);
        }
        if self.has(WalkFlags::CACHED) {
            return Err(Errno::EAGAIN);
        }
        match link.inode().read_link(self.walk.caller)? {
            Link::Text(text) => self.enter_text(text),
            Link::Jump { to, .. } => self.jump(to),
        }
    }

    fn enter_text(&mut self, text: Vec<u8>) -> Result<(), Errno> {
        match text.first() {
            None => return Err(Errno::ENOENT),
            Some(b'/') => self.go_to_root()?,
            Some(_) => {}
        }
        let outer = std::mem::replace(&mut self.text, Text::Link(text));
        if self.next < outer.bytes().len() {
            self.outer.push((outer, self.next));
        }
        self.next = 0;
        Ok(())
    }

    fn go_to_root(&mut self) -> Result<(), Errno> {
        if self.has(WalkFlags::BENEATH) {
            return Err(Errno::EXDEV);
        }
        if self.has(WalkFlags::NO_XDEV) && !Arc::ptr_eq(self.root.mount(), self.at.mount()) {
            return Err(Errno::EXDEV);
        }
        self.at = self.root.clone();
        Ok(())
    }

    /// A link that leads to a place, not a path.
    fn jump(&mut self, to: Path) -> Result<(), Errno> {
        if self.has(WalkFlags::NO_MAGICLINKS) {
            return Err(Errno::ELOOP);
        }
        let other_mount = !Arc::ptr_eq(to.mount(), self.at.mount());
        if self.is_scoped() || (other_mount && self.has(WalkFlags::NO_XDEV)) {
            return Err(Errno::EXDEV);
        }
        self.at = to;
        Ok(())
    }
}

/// The first place from `from` on whose byte is not `like`.
fn skip(text: &[u8], from: usize, like: impl Fn(u8) -> bool) -> usize {
    text.get(from..)
        .unwrap_or_default()
        .iter()
        .position(|byte| !like(*byte))
        .map_or(text.len(), |count| from + count)
}
