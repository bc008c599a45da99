//! From a file to an address space with a program in it: execve(2), elf(5).
//!
//! Everything read from the file is hostile. `elf`, `script` and `stack` are pure
//! functions over bytes and numbers; `map` gives what they found to the address space,
//! which checks every range again. Nothing here touches the calling task, so an error
//! leaves it as it was.

mod credentials;
mod elf;
mod image;
mod map;
mod script;
mod stack;
mod vdso;

use std::sync::Arc;

use arch::abi::OpenFlags;
use arch::layout;
use base::{Addr, Errno};
use mem::{Layout, Mm};
use platform::host;
use vfs::{Caller, Credentials, FileDescription, Path, Walk, WalkFlags};

use crate::kernel::Kernel;
use crate::task::{Exe, FsContext, Limits, Resource};

pub(crate) use image::Image;
pub(crate) use vdso::VdsoFrames;

/// What is to be executed.
pub(crate) struct Program<'a> {
    pub(crate) kernel: &'a Kernel,
    pub(crate) fs: &'a FsContext,
    pub(crate) caller: &'a Caller,
    pub(crate) limits: &'a Limits,
    pub(crate) place: Source<'a>,
    pub(crate) argv: Vec<Vec<u8>>,
    pub(crate) envp: Vec<Vec<u8>>,
}

/// How the file is named.
pub(crate) enum Source<'a> {
    /// By a path from the working directory: execve(2).
    Path(&'a [u8]),
    /// By a path from a directory: execveat(2); what is shown for it, and whether a
    /// symbolic link at the end is followed.
    Below {
        start: &'a Path,
        path: &'a [u8],
        shown: Vec<u8>,
        flags: WalkFlags,
    },
    /// By a descriptor: execveat(2) with AT_EMPTY_PATH. `reachable`: a script's
    /// interpreter could open `shown` (the descriptor is not close-on-exec).
    Open {
        file: &'a Arc<FileDescription>,
        shown: Vec<u8>,
        reachable: bool,
    },
}

/// An address space with a program in it, and how it starts.
pub(crate) struct Loaded {
    pub(crate) memory: Arc<Mm>,
    pub(crate) entry: Addr,
    pub(crate) stack: Addr,
    pub(crate) vdso: Addr,
    pub(crate) exe: Exe,
    pub(crate) comm: Vec<u8>,
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) privileged: bool,
}

/// Most interpreters of interpreters.
const SCRIPTS_MAX: usize = 5;

/// Loads a program. Errors as execve(2).
pub(crate) fn load(program: &Program<'_>) -> Result<Loaded, Errno> {
    let (place, shown, reachable) = program.find()?;
    let mut argv = program.argv.clone();
    if argv.is_empty() {
        // Since Linux 5.18 no program starts without a name.
        argv.push(Vec::new());
    }
    let comm = shown
        .rsplit(|byte| *byte == b'/')
        .next()
        .unwrap_or_default()
        .to_vec();
    let limit = stack::strings_limit(program.limits.get(Resource::Stack).cur);
    stack::check_strings(limit, &shown, &argv, &program.envp)?;
    let mut image = Image::open(&place, program.caller)?;
    let mut interpreter = shown.clone();
    let mut depth: usize = 0;
    while let Some(line) = script::parse(image.head())? {
        if !reachable {
            return Err(Errno::ENOENT);
        }
        if depth >= SCRIPTS_MAX {
            return Err(Errno::ELOOP);
        }
        depth = depth.saturating_add(1);
        argv = line.argv(&interpreter, &argv);
        stack::check_strings(limit, &shown, &argv, &program.envp)?;
        interpreter = line.interpreter.to_vec();
        let place = program.resolve(&interpreter)?;
        image = Image::open(&place, program.caller)?;
    }
    let change = credentials::at_exec(&program.caller.credentials, image.place())?;
    let (memory, random) = new_memory(program)?;
    let mapped = map::program(&memory, &image, program, &random)?;
    let vdso = match &program.kernel.vdso {
        Some(vdso) => vdso.map(&memory)?,
        None => Addr::NULL,
    };
    let stack = stack::Strings {
        execfn: &shown,
        argv: &argv,
        envp: &program.envp,
    };
    let sp = stack.build(&memory, &mapped, vdso, &change, &random)?;
    Ok(Loaded {
        entry: mapped.start,
        stack: sp,
        vdso,
        exe: image.exe(),
        comm,
        credentials: change.credentials,
        privileged: change.secure,
        memory,
    })
}

/// Random bits of one program's layout.
pub(crate) struct Random {
    stack: u64,
    sp: u64,
    mmap: u64,
    load: u64,
    brk: u64,
    bytes: [u8; 16],
}

impl Random {
    fn new() -> Result<Self, Errno> {
        let mut bytes = [0; 16];
        host::random(&mut bytes)?;
        let number = host::random_u64;
        Ok(Self {
            stack: number()?,
            sp: number()?,
            mmap: number()?,
            load: number()?,
            brk: number()?,
            bytes,
        })
    }
}

fn new_memory(program: &Program<'_>) -> Result<(Arc<Mm>, Random), Errno> {
    let random = Random::new()?;
    let kernel = program.kernel;
    let limits = kernel.platform.limits();
    let free_to_lock = program
        .caller
        .credentials
        .capable(vfs::Capabilities::IPC_LOCK);
    let memory_limits = program.limits.memory(free_to_lock);
    // A platform that keeps the top of the address space moves all of Linux's layout
    // down: stack and mappings stay as far apart as they are there.
    let kept = layout::USER_END.saturating_sub(limits.max_address.0);
    let lower = |at: Addr| Addr(at.0.saturating_sub(kept)).page_down();
    let stack_top = lower(layout::stack_top(random.stack));
    let min = Addr(layout::MMAP_MIN_ADDR).max(limits.min_address);
    let layout = Layout {
        min,
        max: limits.max_address,
        mmap_top: lower(layout::mmap_base(memory_limits.stack, random.mmap)),
        mmap_bottom: Addr(limits.max_address.0 / 3).page_down(),
        stack_top,
        brk_start: min,
        limits: memory_limits,
    };
    let memory = Mm::new(&kernel.platform, &kernel.memory, layout)?;
    Ok((memory, random))
}

impl Program<'_> {
    fn resolve_from(&self, start: &Path, path: &[u8], flags: WalkFlags) -> Result<Path, Errno> {
        let root = self.fs.root();
        let walk = Walk {
            root: &root,
            start,
            caller: self.caller,
            flags,
        };
        walk.resolve(path)
    }

    fn resolve(&self, path: &[u8]) -> Result<Path, Errno> {
        self.resolve_from(&self.fs.cwd(), path, WalkFlags::empty())
    }

    /// The file, what is shown for it, and whether an interpreter can open that.
    fn find(&self) -> Result<(Path, Vec<u8>, bool), Errno> {
        match &self.place {
            Source::Path(path) => Ok((self.resolve(path)?, path.to_vec(), true)),
            Source::Below {
                start,
                path,
                shown,
                flags,
            } => {
                let no_follow = flags.contains(WalkFlags::NO_FOLLOW);
                let place = self.resolve_from(start, path, *flags)?;
                if no_follow && place.kind() == vfs::FileKind::Symlink {
                    return Err(Errno::ELOOP);
                }
                Ok((place, shown.clone(), true))
            }
            Source::Open {
                file,
                shown,
                reachable,
            } => Ok((file.path().clone(), shown.clone(), *reachable)),
        }
    }
}

/// How the kernel opens what it executes.
const OPEN: OpenFlags = OpenFlags::LARGEFILE;
