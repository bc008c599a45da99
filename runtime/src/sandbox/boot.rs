//! The sentry's process, from its first moment in new namespaces to the program's end.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use base::{Errno, Pid};
use fs::dev::Devices;
use fs::host_stdio::{Outside, Terminals, Watcher};
use fs::hostfs::Descriptors;
use fs::pipe::Pipes;
use platform::Platform;
use platform::host::setup::{self, Namespaces};
use platform::host::{self, SENTRY_RULES};
use platform::memory::MemoryFile;
use sentry::kernel::{Config, Init, Kernel};
use sentry::procfs::ProcFs;
use sentry::task::{FirstProgram, FsContext, Limits, Sessions, StartError, TASK_STACK};
use sentry::trace::TraceSink;
use vfs::{Caller, Capabilities, DeviceId, Walk, WalkFlags, Writer, install_special};

use super::control::{Child, Reports};
use super::mounts::Builder;
use super::roots::Roots;
use super::{Plan, choice, device, program, stdio, trace};
use crate::cli::{Failure, OWN_FAILURE};
use crate::log::Log;

/// Bytes of its own objects that the sentry has room for in any case.
const HEAP_LEAST: u64 = 256 << 20;

/// Heaps of the sentry's allocator: as many threads allocate without waiting.
const ARENAS: i32 = 4;

/// The sandbox's host name.
const HOSTNAME: &[u8] = b"ringfence";

/// What the sentry has when it is confined and can need nothing more of the host.
struct Confined {
    platform: Arc<dyn Platform>,
    memory: Arc<MemoryFile>,
    roots: Roots,
    /// How many descriptors the process may have open.
    descriptors: u64,
    /// The caller's.
    umask: u16,
    /// The host's /proc/cpuinfo, to be read when a program asks.
    processors: Option<File>,
}

/// The child's whole life; the program's exit status. `outside` is the caller's terminals,
/// and whether the sandbox is a job of his shell.
pub(super) fn boot(
    plan: &Plan,
    outside: (stdio::Opened, bool),
    control: Child,
    log: &Log,
) -> Result<u8, Failure> {
    let failed = |errno| Failure::own(format!("cannot prepare the sandbox's process: {errno}"));
    setup::block_signals().map_err(failed)?;
    setup::limit_arenas(ARENAS).map_err(failed)?;
    if !setup::die_with_parent(control.parent()).map_err(failed)? || !control.wait_for_go() {
        // The parent is gone, or says itself what is wrong.
        return Ok(OWN_FAILURE);
    }
    let confined = confine(plan, log)?;
    let status = run(plan, confined, outside, control, log)?;
    log.info(&format!("the program ended with status {status}"));
    Ok(status)
}

/// Takes hold of what the sandbox needs, then gives up the rest of the host.
fn confine(plan: &Plan, log: &Log) -> Result<Confined, Failure> {
    let failed = |what: &'static str| {
        move |errno: Errno| Failure::own(format!("cannot {what}: {errno}; see `ringfence doctor`"))
    };
    say_namespaces(plan.namespaces, log);
    let own_mounts = plan.namespaces.contains(Namespaces::MOUNT);
    if own_mounts {
        setup::make_mounts_private().map_err(failed("make the mounts private"))?;
    }
    let roots = Roots::open(plan, log)?;
    let memory = memory(plan, log)?;
    let platform = choice::start(plan.platform, &memory, log)?;
    let processors = File::open("/proc/cpuinfo").ok();
    if own_mounts {
        setup::empty_root().map_err(failed("enter an empty root"))?;
        log.info("in minimal root: empty, read-only, nothing else mounted");
    }
    setup::no_new_privs().map_err(failed("give up gaining privileges"))?;
    let descriptors = setup::limit_resources().map_err(failed("set resource limits"))?;
    log.info(&format!(
        "no core files, at most {descriptors} descriptors, no new privileges"
    ));
    let heap = heap_limit(plan.tasks, memory.usage().limit);
    host::limit_heap(heap).map_err(failed("limit the sentry's memory"))?;
    log.info(&format!("at most {heap} bytes for the sentry itself"));
    let umask = setup::take_umask();
    let kept = capabilities(plan);
    setup::drop_capabilities(kept.bits()).map_err(failed("drop capabilities"))?;
    log.info(&format!("capabilities kept: {}", names(kept)));
    filter(&*platform, log)?;
    Ok(Confined {
        platform,
        memory,
        roots,
        descriptors,
        umask,
        processors,
    })
}

fn say_namespaces(namespaces: Namespaces, log: &Log) {
    let has = |one| namespaces.contains(one);
    let say = |one, name: &str| {
        if has(one) {
            log.info(&format!("in new {name} namespace"));
        } else {
            log.warn(&format!("in the caller's {name} namespace, as asked for"));
        }
    };
    say(Namespaces::USER, "user");
    let three = Namespaces::MOUNT | Namespaces::IPC | Namespaces::UTS;
    if has(three) {
        log.info("in new mount, IPC and UTS namespaces");
    } else {
        say(Namespaces::MOUNT, "mount");
        say(Namespaces::IPC, "IPC");
        say(Namespaces::UTS, "UTS");
    }
    say(Namespaces::PID, "PID");
    say(Namespaces::NET, "network");
}

/// All memory of the sandbox.
fn memory(plan: &Plan, log: &Log) -> Result<Arc<MemoryFile>, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::own(format!("cannot make the sandbox's memory: {error}"))
    };
    let limit = match plan.memory {
        Some(limit) => limit,
        None => {
            host::sysinfo()
                .map_err(|errno| failed(&errno))?
                .total_memory
                / 2
        }
    };
    log.info(&format!("memory limit {limit} bytes"));
    if plan.namespaces.contains(Namespaces::MOUNT) {
        let made = setup::huge_page_file()
            .map_err(|errno| errno.to_string())
            .and_then(|file| {
                MemoryFile::create_huge(file, limit).map_err(|error| error.to_string())
            });
        match made {
            Ok(memory) => {
                log.info("memory in huge pages where that is possible");
                return Ok(memory);
            }
            Err(why) => log.info(&format!("no memory in huge pages: {why}")),
        }
    }
    MemoryFile::create(limit).map_err(|error| failed(&error))
}

/// How much the sentry may use for itself, in bytes, beside `memory` for its programs: the
/// stacks of the threads of `tasks`, and room for what it keeps for them.
fn heap_limit(tasks: usize, memory: u64) -> u64 {
    let stacks = TASK_STACK.saturating_mul(tasks);
    let objects = (memory / 4).max(HEAP_LEAST);
    base::num::u64_of(stacks).saturating_add(objects)
}

/// What host files are served with, besides their owners' rights.
fn capabilities(plan: &Plan) -> Capabilities {
    let reading = Capabilities::DAC_READ_SEARCH;
    if plan.volumes.iter().all(|volume| volume.read_only) {
        return reading;
    }
    reading
        | Capabilities::CHOWN
        | Capabilities::DAC_OVERRIDE
        | Capabilities::FOWNER
        | Capabilities::FSETID
        | Capabilities::SETFCAP
}

fn names(capabilities: Capabilities) -> String {
    let names: Vec<_> = capabilities.iter_names().map(|(name, _)| name).collect();
    names.join(", ")
}

/// From here on, any host call that is not on the list kills the sentry.
fn filter(platform: &dyn Platform, log: &Log) -> Result<(), Failure> {
    let failed = |error: setup::seccomp::FilterError| {
        Failure::own(format!("cannot confine the sentry's host calls: {error}"))
    };
    let mut rules = SENTRY_RULES.to_vec();
    rules.extend(platform.host_rules());
    let count: usize = rules.iter().map(|rules| rules.len()).sum();
    let program = setup::seccomp::compile(&rules).map_err(failed)?;
    setup::seccomp::install(&program).map_err(failed)?;
    log.info(&format!(
        "seccomp filter installed: {count} rules, {} instructions, death for the rest",
        program.len()
    ));
    Ok(())
}

/// Makes the kernel and the program in it, and waits for the end.
fn run(
    plan: &Plan,
    confined: Confined,
    (opened, is_job): (stdio::Opened, bool),
    control: Child,
    log: &Log,
) -> Result<u8, Failure> {
    let failed = |errno: Errno| Failure::own(format!("cannot prepare the program: {errno}"));
    let caller = Caller::kernel();
    let limit = usize::try_from(confined.descriptors).unwrap_or(usize::MAX);
    let proc = ProcFs::new(device::PROC, confined.processors.map(OwnedFd::from));
    let builder = Builder {
        plan,
        memory: &confined.memory,
        descriptors: &Descriptors::new(limit),
        proc: &proc,
        kernel: &caller,
    };
    let pipes = Pipes::new(device::PIPES);
    let mounts = builder.build(confined.roots)?;
    let trace = plan
        .strace
        .then(|| -> Arc<dyn TraceSink> { Arc::new(trace::Stderr) });
    let kernel = Kernel::new(Config {
        platform: confined.platform,
        memory: Arc::clone(&confined.memory),
        pipes: Arc::clone(&pipes),
        mounts: Arc::clone(&mounts),
        hostname: HOSTNAME.to_vec(),
        tasks_max: plan.tasks,
        init: Init::Reaper,
        trace,
    });
    proc.attach(&kernel);
    let terminals = terminals(&kernel, &control, is_job);
    devices(&confined.memory, &pipes, &kernel, &terminals);
    let watcher = Watcher::new().map_err(failed)?;
    let stdio = stdio::Builder {
        watcher: &watcher,
        terminals: &terminals,
        plan,
        root: &mounts.root(),
        writer: Writer {
            caller: &caller,
            size_limit: u64::MAX,
        },
        log,
    };
    let fds = stdio.table(opened).map_err(failed)?;
    spawn("watcher", move || watcher.run())?;
    let (signalled, waiting) = (Arc::clone(&kernel), Arc::clone(&terminals));
    spawn("control", move || control.serve(&signalled, &waiting))?;
    start(&kernel, plan, (fds, terminals.first()), confined.umask, log)?;
    let status = kernel.wait_exit();
    report(&kernel, plan, log);
    Ok(status.shell_status())
}

/// The caller's terminals, and the sandbox as a job of his shell.
fn terminals(kernel: &Arc<Kernel>, control: &Child, is_job: bool) -> Arc<Terminals> {
    let mut outside: Option<Arc<dyn Outside>> = None;
    if is_job {
        let reports = control.reports();
        kernel.set_outside(Arc::<Reports>::clone(reports));
        outside = Some(Arc::<Reports>::clone(reports));
    }
    Terminals::new(Some(Sessions::new(kernel)), outside)
}

/// What device numbers stand for in the sandbox.
fn devices(
    memory: &Arc<MemoryFile>,
    pipes: &Arc<Pipes>,
    kernel: &Arc<Kernel>,
    terminals: &Arc<Terminals>,
) {
    let mut devices = Devices::new(memory, pipes);
    stdio::register(&mut devices, terminals);
    let sessions = Sessions::new(kernel);
    // New devices: nobody has said it before.
    devices.set_tty(Arc::new(move |caller| sessions.tty_of(caller)));
    install_special(Arc::new(devices));
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    const STACK: usize = 256 << 10;
    std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK)
        .spawn(body)
        .map(drop)
        .map_err(|error| Failure::own(format!("cannot start the thread `{name}`: {error}")))
}

/// Starts the program with its descriptors and its controlling terminal.
fn start(
    kernel: &Arc<Kernel>,
    plan: &Plan,
    (fds, tty): (Arc<vfs::FdTable>, Option<DeviceId>),
    umask: u16,
    log: &Log,
) -> Result<(), Failure> {
    let caller = Caller {
        credentials: program::credentials(&plan.identity),
        tid: Pid(0),
        tgid: Pid(0),
    };
    let root = kernel.mounts.root();
    let cwd = program::directory(plan, &root, &caller, log)?;
    let bytes = |text: &std::ffi::OsString| text.clone().into_encoded_bytes();
    let argv: Vec<_> = plan.command.iter().map(bytes).collect();
    let name = argv.first().cloned().unwrap_or_default();
    let walk = Walk {
        root: &root,
        start: &cwd,
        caller: &caller,
        flags: WalkFlags::empty(),
    };
    let path = program::find(&name, plan, &walk)
        .map_err(|errno| program::not_started(plan, StartError::Exec(errno)))?;
    log.info(&format!("starting {}", path.escape_ascii()));
    let context = FsContext::new(root.clone(), cwd.clone());
    context.set_umask(umask);
    kernel
        .start_init(FirstProgram {
            path,
            argv,
            envp: program::environment(plan),
            fds,
            fs: context,
            credentials: caller.credentials.clone(),
            limits: Limits::default(),
            tty,
        })
        .map(drop)
        .map_err(|why| program::not_started(plan, why))
}

/// What the program called that is not there: into the log, and after a trace.
fn report(kernel: &Kernel, plan: &Plan, log: &Log) {
    log.info(&format!(
        "{} system calls, {} page faults, {} requests to stubs",
        kernel.calls(),
        kernel.faults(),
        kernel.platform.requests()
    ));
    if let killed @ 1.. = kernel.oom_kills() {
        let limit = kernel.memory.usage().limit >> 20;
        let processes = if killed == 1 { "process" } else { "processes" };
        let line = format!(
            "out of memory: {killed} {processes} ended at the sandbox's limit of {limit} MiB; see --memory"
        );
        log.warn(&line);
        crate::cli::say(&line);
    }
    if let (lost @ 1.., why) = kernel.losses() {
        let why = why.unwrap_or("for no reason that is known");
        let line = format!(
            "platform: {lost} threads were lost, a defect of ringfence or of this host: {why}"
        );
        log.warn(&line);
        crate::cli::say(&line);
    }
    for (name, count) in kernel.unsupported() {
        let line = format!("unsupported: {name}, {count} times");
        log.warn(&line);
        if plan.strace {
            crate::cli::say(&line);
        }
    }
}
