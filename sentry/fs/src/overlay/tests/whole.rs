//! Through the whole of `vfs`: path walk, dentry cache, permissions and their locks.

use arch::abi::OpenFlags;
use base::Errno;
use vfs::{FileDescription, MountFlags, MountNamespace, Path, RenameMode, Walk, WalkFlags, Writer};

use super::*;
use crate::scratch::*;

struct Program {
    root: Path,
    caller: vfs::Caller,
}

impl Program {
    fn new(overlay: Overlay) -> Self {
        let flags = MountFlags::empty();
        let namespace = MountNamespace::new(Arc::new(overlay), flags, b"overlay").unwrap();
        Self {
            root: namespace.root(),
            caller: caller(),
        }
    }

    fn walk(&self) -> Walk<'_> {
        Walk {
            root: &self.root,
            start: &self.root,
            caller: &self.caller,
            flags: WalkFlags::empty(),
        }
    }

    fn writer(&self) -> Writer<'_> {
        Writer {
            caller: &self.caller,
            size_limit: u64::MAX,
        }
    }

    fn open(&self, path: &str, flags: OpenFlags) -> Result<Arc<FileDescription>, Errno> {
        let how = vfs::ops::OpenHow {
            flags,
            permissions: 0o644,
        };
        vfs::ops::open(&self.walk(), path.as_bytes(), how, &self.writer())
    }

    fn write(&self, path: &str, flags: OpenFlags, text: &[u8]) -> Result<usize, Errno> {
        let file = self.open(path, flags | OpenFlags::WRONLY)?;
        file.write(&mut vfs::ByteSource(text), &self.writer())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, Errno> {
        let mut sink = vfs::ByteSink::new(10_000);
        self.open(path, OpenFlags::empty())?.read(&mut sink)?;
        Ok(sink.bytes)
    }

    fn rename(&self, old: &str, new: &str, mode: RenameMode) -> Result<(), Errno> {
        let walk = self.walk();
        vfs::ops::rename(&walk, old.as_bytes(), &walk, new.as_bytes(), mode)
    }
}

#[test]
fn a_program_works_in_an_overlay() {
    let laid = Laid::new();
    let program = Program::new(laid.overlay);
    assert_eq!(
        program.read("/b/a").unwrap(),
        b"lower a/f",
        "through a link"
    );
    let new = OpenFlags::CREAT | OpenFlags::EXCL;
    assert_eq!(program.read("/a/new"), Err(Errno::ENOENT));
    assert_eq!(program.write("/a/new", new, b"new"), Ok(3));
    assert_eq!(program.write("/a/new", new, b"new"), Err(Errno::EEXIST));
    assert_eq!(program.write("/a/f", OpenFlags::TRUNC, b"cut"), Ok(3));
    assert_eq!(program.write("/a/f", OpenFlags::APPEND, b"+"), Ok(1));
    assert_eq!(program.read("/b/d").unwrap(), b"cut+", "its other name");
    program
        .rename("/a", "/b/moved", RenameMode::NoReplace)
        .unwrap();
    assert_eq!(program.read("/b/moved/d/x").unwrap(), b"lower a/d/x");
    assert_eq!(program.read("/b/moved/new").unwrap(), b"new");
    assert_eq!(program.read("/a/f"), Err(Errno::ENOENT));
    let inside = program.rename("/b", "/b/moved/b", RenameMode::Replace);
    assert_eq!(inside, Err(Errno::EINVAL));
    let above = program.rename("/b/moved/f", "/b", RenameMode::Replace);
    assert_eq!(above, Err(Errno::ENOTEMPTY));
    program
        .rename("/b/moved/f", "/f", RenameMode::Exchange)
        .unwrap();
    assert_eq!(program.read("/f").unwrap(), b"cut+");
    assert_eq!(program.read("/b/moved/f").unwrap(), b"");
    vfs::ops::unlink(&program.walk(), b"/f").unwrap();
    vfs::ops::make_directory(&program.walk(), b"/f", 0o700).unwrap();
    program.rename("/d", "/f", RenameMode::Replace).unwrap();
    assert_eq!(
        vfs::ops::remove_directory(&program.walk(), b"/b"),
        Err(Errno::ENOTEMPTY)
    );
    vfs::ops::remove_directory(&program.walk(), b"/f").unwrap();
    assert_eq!(program.read("/f/x"), Err(Errno::ENOENT));
    let shown = program.open("/b/moved/new", OpenFlags::empty()).unwrap();
    assert_eq!(shown.path().display(&program.root), b"/b/moved/new");
    assert_eq!(laid.lower.read("a/f"), b"lower a/f");
}

#[test]
fn an_unnamed_file_gets_its_name() {
    let laid = Laid::new();
    let program = Program::new(laid.overlay);
    let file = program
        .open("/a", OpenFlags::TMPFILE | OpenFlags::RDWR)
        .unwrap();
    file.write(&mut vfs::ByteSource(b"text"), &program.writer())
        .unwrap();
    assert_eq!(file.inode().attributes().unwrap().links, 0);
    vfs::ops::link(file.path(), &program.walk(), b"/b/named").unwrap();
    assert_eq!(program.read("/b/named").unwrap(), b"text");
}

#[test]
fn programs_on_several_threads_do_not_lock_each_other_out() {
    let laid = Laid::new();
    let program = Program::new(laid.overlay);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let program = &program;
            scope.spawn(move || {
                let create = OpenFlags::CREAT;
                for n in 0..60 {
                    let (one, two) = (format!("/a/d/{thread}.{n}"), format!("/b/x/{thread}.{n}"));
                    program.write(&one, create, b"x").unwrap();
                    program.rename(&one, &two, RenameMode::Replace).unwrap();
                    program.write(&one, create, b"y").unwrap();
                    program.rename(&one, &two, RenameMode::Exchange).unwrap();
                    assert_eq!(program.read(&two).unwrap(), b"y");
                    vfs::ops::unlink(&program.walk(), one.as_bytes()).unwrap();
                    // Copied up by whoever is first.
                    program.write("/b/f", OpenFlags::APPEND, b"z").unwrap();
                }
            });
        }
    });
    let size = program.open("/b/f", OpenFlags::empty()).unwrap();
    assert_eq!(size.inode().attributes().unwrap().size, 5000 + 240);
}
