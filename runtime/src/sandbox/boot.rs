//! The sentry's process, from its first moment in new namespaces to the program's end.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use base::Errno;
use fs::dev::Devices;
use fs::host_stdio::{Terminals, Watcher};
use fs::hostfs::Descriptors;
use fs::pipe::Pipes;
use platform::Platform;
use platform::host::setup::{self, Namespaces};
use platform::host::{self, CONTROL_RULES, HostRule, SENTRY_RULES};
use platform::memory::MemoryFile;
use sentry::kernel::{Config, Kernel};
use sentry::procfs::ProcFs;
use sentry::task::{ExitStatus, Sessions, TASK_STACK};
use sentry::trace::TraceSink;
use vfs::{Caller, Capabilities, install_special};

use super::commands::{Command, Commands, Go};
use super::control::{Child, Reports};
use super::mounts::Builder;
use super::plan::{Changes, MountPlan, Plan, What};
use super::program::Role;
use super::programs::Programs;
use super::roots::Roots;
use super::{choice, device, stdio, trace};
use crate::cli::{Failure, OWN_FAILURE};
use crate::log::Log;

/// Bytes of its own objects that the sentry has room for in any case.
const HEAP_LEAST: u64 = 256 << 20;

/// Heaps of the sentry's allocator: as many threads allocate without waiting.
const ARENAS: i32 = 4;

/// What the sentry has when it is confined and can need nothing more of the host.
struct Confined {
    platform: Arc<dyn Platform>,
    memory: Arc<MemoryFile>,
    /// How many descriptors the process may have open.
    descriptors: u64,
    /// The caller's.
    umask: u16,
    /// The host's /proc/cpuinfo, to be read when a program asks.
    processors: Option<File>,
}

/// What the sandbox's process has from who started it.
pub(super) struct Outside {
    /// The two pipes.
    pub(super) control: Child,
    /// The program's descriptors.
    pub(super) stdio: stdio::Opened,
    /// Whether the sandbox is a job of the caller's shell.
    pub(super) is_job: bool,
    /// How it is commanded by verbs that come later; `None`: the program starts at once, and
    /// the sandbox ends with its parent.
    pub(super) commands: Option<Commands>,
}

/// The child's whole life; the program's exit status.
pub(super) fn boot(plan: &Plan, mut outside: Outside, log: &Log) -> Result<u8, Failure> {
    let failed = |errno| Failure::own(format!("cannot prepare the sandbox's process: {errno}"));
    setup::block_signals().map_err(failed)?;
    setup::limit_arenas(ARENAS).map_err(failed)?;
    let alive = match &mut outside.commands {
        None => setup::die_with_parent(outside.control.parent()).map_err(failed)?,
        Some(commands) => {
            commands.lead(&mut outside.stdio).map_err(failed)?;
            true
        }
    };
    if !alive || !outside.control.wait_for_go() {
        // The parent is gone, or says itself what is wrong.
        return Ok(OWN_FAILURE);
    }
    let confined = confine(plan, outside.commands.is_some(), log)?;
    let status = run(plan, confined, outside, log)?;
    log.info(&format!("the program ended with status {status}"));
    Ok(status)
}

/// Takes hold of what the sandbox needs, then gives up the rest of the host.
fn confine(plan: &Plan, commanded: bool, log: &Log) -> Result<(Confined, Roots), Failure> {
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
    let more = if commanded { CONTROL_RULES } else { &[] };
    filter(&*platform, more, log)?;
    let confined = Confined {
        platform,
        memory,
        descriptors,
        umask,
        processors,
    };
    Ok((confined, roots))
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
    let writable = |mount: &MountPlan| matches!(&mount.what, What::Bind(bind) if !bind.read_only);
    if plan.root.changes != Changes::Through && !plan.mounts.iter().any(writable) {
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
fn filter(platform: &dyn Platform, more: &'static [HostRule], log: &Log) -> Result<(), Failure> {
    let failed = |error: setup::seccomp::FilterError| {
        Failure::own(format!("cannot confine the sentry's host calls: {error}"))
    };
    let mut rules = SENTRY_RULES.to_vec();
    rules.extend(platform.host_rules());
    rules.push(more);
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
    confined: (Confined, Roots),
    outside: Outside,
    log: &Log,
) -> Result<u8, Failure> {
    let failed = |errno: Errno| Failure::own(format!("cannot prepare the program: {errno}"));
    let (mut confined, roots) = confined;
    let control = outside.control;
    let kernel = kernel(plan, &mut confined, roots)?;
    let terminals = terminals(&kernel, &control, outside.is_job);
    devices(&confined.memory, &kernel, &terminals);
    let watcher = Watcher::new().map_err(failed)?;
    let programs = Arc::new(Programs {
        kernel: Arc::clone(&kernel),
        terminals: Arc::clone(&terminals),
        watcher: Arc::clone(&watcher),
        umask: confined.umask,
        log: log.clone(),
    });
    let found = programs.look(&plan.process)?;
    let (fds, tty) = programs.descriptors(&plan.process, outside.stdio)?;
    spawn("watcher", move || watcher.run())?;
    let (signalled, waiting) = (Arc::clone(&kernel), Arc::clone(&terminals));
    spawn("control", move || control.serve(&signalled, &waiting))?;
    let go = match outside.commands {
        None => Go::default(),
        Some(commands) => match commands.serve(&programs)? {
            Command::Start(go) => go,
            Command::End(signal) => return Ok(ExitStatus::Killed(signal).shell_status()),
        },
    };
    let started = programs.start((&plan.process, found), (fds, tty), Role::Main);
    go.answer(&started);
    started?;
    let status = kernel.wait_exit();
    report(&kernel, plan, log);
    Ok(status.shell_status())
}

/// Makes the kernel with its file systems.
fn kernel(plan: &Plan, confined: &mut Confined, roots: Roots) -> Result<Arc<Kernel>, Failure> {
    let caller = Caller::kernel();
    let limit = usize::try_from(confined.descriptors).unwrap_or(usize::MAX);
    let proc = ProcFs::new(device::PROC, confined.processors.take().map(OwnedFd::from));
    let builder = Builder {
        plan,
        memory: &confined.memory,
        descriptors: &Descriptors::new(limit),
        proc: &proc,
        kernel: &caller,
    };
    let mounts = builder.build(roots)?;
    let trace = plan
        .strace
        .then(|| -> Arc<dyn TraceSink> { Arc::new(trace::Stderr) });
    let kernel = Kernel::new(Config {
        platform: Arc::clone(&confined.platform),
        memory: Arc::clone(&confined.memory),
        pipes: Pipes::new(device::PIPES),
        mounts,
        hostname: plan.hostname.clone(),
        tasks_max: plan.tasks,
        init: plan.init,
        trace,
    });
    if let Some(name) = &plan.domainname {
        kernel.set_domainname(name.clone());
    }
    proc.attach(&kernel);
    Ok(kernel)
}

/// The caller's terminals, and the sandbox as a job of his shell.
fn terminals(kernel: &Arc<Kernel>, control: &Child, is_job: bool) -> Arc<Terminals> {
    let mut outside: Option<Arc<dyn fs::host_stdio::Outside>> = None;
    if is_job {
        let reports = control.reports();
        kernel.set_outside(Arc::<Reports>::clone(reports));
        outside = Some(Arc::<Reports>::clone(reports));
    }
    Terminals::new(Some(Sessions::new(kernel)), outside)
}

/// What device numbers stand for in the sandbox.
fn devices(memory: &Arc<MemoryFile>, kernel: &Arc<Kernel>, terminals: &Arc<Terminals>) {
    let mut devices = Devices::new(memory, &kernel.pipes);
    stdio::register(&mut devices, terminals);
    let sessions = Sessions::new(kernel);
    // New devices: nobody has said it before.
    devices.set_tty(Arc::new(move |caller| sessions.tty_of(caller)));
    install_special(Arc::new(devices));
}

pub(super) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    const STACK: usize = 256 << 10;
    std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK)
        .spawn(body)
        .map(drop)
        .map_err(|error| Failure::own(format!("cannot start the thread `{name}`: {error}")))
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
