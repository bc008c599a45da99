//! The sentry's process, from its first instruction to its exit status.

use std::io::{PipeReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use arch::abi::{OpenFlags, SigInfo, Signal};
use base::{Errno, Gid, Pid, Uid};
use fs::host_stdio::{Stdio, Watcher};
use platform::Platform;
use platform::host::setup::{Namespaces, current_ids, die_with_parent, ignore_signals};
use platform::memory::MemoryFile;
use platform::ptrace::{Options, Ptrace};
use sentry::kernel::{Config, Init, Kernel};
use sentry::signal::Scope;
use sentry::task::{FirstProgram, FsContext, Limits, StartError};
use sentry::trace::TraceSink;
use vfs::{
    Caller, Capabilities, Credentials, DeviceId, FdTable, FileDescription, MountNamespace, OnExec,
    Path, Walk, WalkFlags, Writer, ops,
};

use super::Plan;
use super::confine::{confine, take_trees};
use super::files::lay_out;
use crate::cli::{Failure, NOT_EXECUTABLE, NOT_FOUND};

/// Most tasks of a sandbox: each is a thread of the sentry and a process of the host.
const TASKS_MAX: usize = 4096;
/// The device of files that the sandbox got from its caller.
const STDIO_DEVICE: DeviceId = DeviceId(12);

/// `--strace`: one write to stderr a line.
struct Stderr;

impl TraceSink for Stderr {
    fn line(&self, line: &str) {
        // A closed stderr is no reason to stop.
        let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
    }
}

/// Confines this process and runs the program in it; its exit status.
pub(super) fn run(
    plan: &Plan,
    namespaces: Namespaces,
    mut control: PipeReader,
) -> Result<u8, Failure> {
    let mut go = [1];
    if control.read_exact(&mut go).is_err() {
        // The parent has said why.
        return Err(Failure::own("the start was given up"));
    }
    let own = |what: &str, errno: Errno| Failure::own(format!("cannot {what}: {errno}"));
    ignore_signals().map_err(|errno| own("ignore signals", errno))?;
    if !die_with_parent(control.as_fd()).map_err(|errno| own("follow its caller", errno))? {
        return Err(Failure::own("the caller is gone"));
    }
    let (uid, gid, _) = current_ids();
    let owner = if plan.as_root {
        (Uid::ROOT, Gid::ROOT)
    } else {
        (Uid(uid), Gid(gid))
    };
    let trees = take_trees(plan, namespaces)?;
    let failed = |error: platform::PlatformError| Failure::own(format!("cannot start: {error}"));
    let memory = MemoryFile::create(plan.memory).map_err(failed)?;
    let options = Options {
        nullify: plan.nullify,
    };
    let platform: Arc<dyn Platform> = Ptrace::start(&memory, options).map_err(failed)?;
    plan.log.info("program on the ptrace platform");
    let descriptors = confine(plan, namespaces, &*platform)?;
    let files = lay_out(plan, trees, &memory, descriptors)?;
    let kernel = Kernel::new(Config {
        platform,
        memory,
        pipes: files.pipes,
        mounts: Arc::clone(&files.mounts),
        hostname: b"ringfence".to_vec(),
        tasks_max: TASKS_MAX,
        init: Init::Reaper,
        trace: plan.strace.then(|| {
            let sink: Arc<dyn TraceSink> = Arc::new(Stderr);
            sink
        }),
    });
    forward(&kernel, control)?;
    let program = first_program(plan, &files.mounts, owner)?;
    kernel
        .start_init(program)
        .map_err(|error| refused(plan, error))?;
    let status = kernel.wait_exit();
    for (name, count) in kernel.unsupported() {
        plan.log
            .warn(&format!("{name} is not there; was called {count} times"));
    }
    plan.log.info(&format!(
        "ended: {status:?} after {} system calls",
        kernel.calls()
    ));
    Ok(status.shell_status())
}

/// Why the program did not start, with a shell's statuses.
fn refused(plan: &Plan, error: StartError) -> Failure {
    let name = plan
        .argv
        .first()
        .map(|name| name.escape_ascii().to_string())
        .unwrap_or_default();
    let (status, reason) = match error {
        StartError::Exec(errno @ (Errno::ENOENT | Errno::ENOTDIR)) => (NOT_FOUND, errno),
        StartError::Exec(errno) => (NOT_EXECUTABLE, errno),
        StartError::Host(errno) => {
            return Failure::own(format!("the host gives no process or thread: {errno}"));
        }
    };
    Failure {
        message: format!("cannot execute `{name}` in the sandbox: {reason}"),
        status,
    }
}

/// Gives signals that the parent forwards to the program.
fn forward(kernel: &Arc<Kernel>, mut control: PipeReader) -> Result<(), Failure> {
    let kernel = Arc::downgrade(kernel);
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let mut number = [0];
            while control.read_exact(&mut number).is_ok() {
                let Some(kernel) = kernel.upgrade() else {
                    return;
                };
                let [number] = number;
                let group = kernel.main().and_then(|pid| kernel.tree().group_of(pid));
                if let (Some(signal), Some(group)) = (Signal::new(number.into()), group) {
                    // The program may be ending; then there is nobody to tell.
                    let _ = group.send(Scope::Group, SigInfo::kernel(signal));
                }
            }
        })
        .map(drop)
        .map_err(|error| Failure::own(format!("cannot make a thread: {error}")))
}

fn first_program(
    plan: &Plan,
    mounts: &Arc<MountNamespace>,
    owner: (Uid, Gid),
) -> Result<FirstProgram, Failure> {
    let (uid, gid) = owner;
    let groups = Arc::from([gid]);
    let credentials = Arc::new(Credentials::new(uid, gid, groups, Capabilities::all()));
    let caller = Caller {
        credentials: Arc::clone(&credentials),
        tid: Pid(0),
        tgid: Pid(0),
    };
    let root = mounts.root();
    let cwd = Walk {
        root: &root,
        start: &root,
        caller: &caller,
        flags: WalkFlags::DIRECTORY,
    }
    .resolve(&plan.cwd)
    .map_err(|errno| {
        Failure::own(format!(
            "cannot start in `{}`: {errno}; name another directory with --cwd",
            plan.cwd.escape_ascii()
        ))
    })?;
    let path = find(plan, &root, &cwd, &caller);
    let fds = stdio(&root, &caller, owner)
        .map_err(|errno| Failure::own(format!("cannot pass on stdin, stdout, stderr: {errno}")))?;
    Ok(FirstProgram {
        path,
        argv: plan.argv.clone(),
        envp: plan.envp.clone(),
        fds,
        fs: FsContext::new(root, cwd),
        credentials,
        limits: Limits::default(),
    })
}

/// Where execvp(3) would find the program; its name if nowhere.
fn find(plan: &Plan, root: &Path, cwd: &Path, caller: &Caller) -> Vec<u8> {
    let name = plan.argv.first().cloned().unwrap_or_default();
    if name.contains(&b'/') {
        return name;
    }
    let search = plan
        .envp
        .iter()
        .find_map(|variable| variable.strip_prefix(b"PATH="))
        .unwrap_or(b"/usr/local/bin:/usr/bin:/bin");
    let walk = Walk {
        root,
        start: cwd,
        caller,
        flags: WalkFlags::empty(),
    };
    search
        .split(|byte| *byte == b':')
        .map(|directory| [directory, b"/", &name].concat())
        .find(|path| {
            walk.resolve(path).is_ok_and(|place| {
                let attributes = place.inode().attributes();
                attributes.is_ok_and(|file| {
                    file.kind == vfs::FileKind::Regular && file.permissions & 0o111 != 0
                })
            })
        })
        .unwrap_or(name)
}

/// The first three descriptors; /dev/null for what is closed or a directory.
fn stdio(root: &Path, caller: &Caller, owner: (Uid, Gid)) -> Result<Arc<FdTable>, Errno> {
    let watcher = Watcher::new()?;
    let watched = Arc::clone(&watcher);
    std::thread::Builder::new()
        .name("stdio".to_owned())
        .spawn(move || watched.run())
        .map_err(|_| Errno::EAGAIN)?;
    let mut stdio = Stdio::new(&watcher, None, STDIO_DEVICE, owner);
    let fds = FdTable::new();
    let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    for fd in [input.as_fd(), output.as_fd(), error.as_fd()] {
        let host: Result<OwnedFd, Errno> = platform::host::duplicate(fd);
        let file = match host.and_then(|fd| stdio.adopt(fd)) {
            Ok(file) => file,
            Err(Errno::EBADF | Errno::EISDIR) => null(root, caller)?,
            Err(errno) => return Err(errno),
        };
        fds.add(file, OnExec::Keep, 0, 3)?;
    }
    Ok(fds)
}

fn null(root: &Path, caller: &Caller) -> Result<Arc<FileDescription>, Errno> {
    let walk = Walk {
        root,
        start: root,
        caller,
        flags: WalkFlags::empty(),
    };
    let how = ops::OpenHow {
        flags: OpenFlags::RDWR,
        permissions: 0,
    };
    let writer = Writer {
        caller,
        size_limit: u64::MAX,
    };
    ops::open(&walk, b"/dev/null", how, &writer)
}
