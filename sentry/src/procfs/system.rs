//! The root of /proc: processes, and files about the system as a whole.

use std::fmt::Write;
use std::sync::Arc;

use base::time::Time;
use base::{Errno, Pid};
use fs::pseudo::{DynDir, ListedEntry, PseudoFs, PseudoNode, Spec, task_number};
use platform::host;
use vfs::{Caller, FileKind, Inode, Link, Name};

use super::memory::kib;
use super::subject::Subject;
use super::{Source, entry, number, process, settings, stat};
use crate::cpus;
use crate::kernel::Kernel;
use crate::syscalls::system::{RELEASE, VERSION};
use crate::task::CpuTimes;
use crate::time::ClockId;

/// The kinds of file systems that there are: /proc/filesystems.
const FILE_SYSTEMS: &str = "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tpipefs\nnodev\tsockfs\n\
                            nodev\toverlay\n";

/// Makes the root directory.
pub(super) fn root(fs: &PseudoFs, source: &Source) -> Arc<PseudoNode> {
    let text = |make: fn(&Kernel) -> Result<String, Errno>| {
        let source = source.clone();
        fs.file(Spec::mode(0o444), move |_: &Caller| {
            Ok(make(&*source.kernel()?)?.into_bytes())
        })
    };
    let fixed = |text: &str| fs.constant(Spec::mode(0o444), text);
    let own = |make: fn(&Caller) -> String| {
        fs.link(Spec::mode(0o777), move |caller: &Caller| {
            Ok(Link::Text(make(caller).into_bytes()))
        })
    };
    let version = format!("Linux version {RELEASE} (ringfence) {VERSION}\n");
    let entries = [
        entry("self", own(|caller| caller.tgid.0.to_string())),
        entry(
            "thread-self",
            own(|caller| format!("{}/task/{}", caller.tgid.0, caller.tid.0)),
        ),
        entry("mounts", fs.text_link("self/mounts")),
        entry("cmdline", fixed("\n")),
        entry("version", fixed(&version)),
        entry("filesystems", fixed(FILE_SYSTEMS)),
        entry(
            "swaps",
            fixed("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
        ),
        entry("uptime", text(uptime)),
        entry("loadavg", text(load)),
        entry("meminfo", text(memory)),
        entry("cpuinfo", text(processors)),
        entry("stat", text(counters)),
        entry("sys", settings::directory(fs, source)),
    ];
    fs.dyn_directory(Spec::mode(0o555), entries, Processes(source.clone()))
}

struct Processes(Source);

impl DynDir for Processes {
    fn lookup(&self, name: &Name) -> Result<Arc<dyn Inode>, Errno> {
        let id = number(name.as_bytes()).ok_or(Errno::ENOENT)?;
        let subject = Subject::process(&self.0, Pid(id))?;
        Ok(process::directory(&*self.0.fs()?, subject))
    }

    fn list(&self, from: u64, add: &mut dyn FnMut(ListedEntry<'_>) -> bool) -> Result<(), Errno> {
        let kernel = self.0.kernel()?;
        let ids: Vec<Pid> = kernel.tree().nodes().map(|(pid, _)| pid).collect();
        for id in ids {
            let id = id.0.unsigned_abs();
            if u64::from(id) < from {
                continue;
            }
            let more = add(ListedEntry {
                key: id.into(),
                name: id.to_string().as_bytes(),
                inode: task_number(id, 0),
                kind: FileKind::Directory,
            });
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn directories(&self) -> u32 {
        let kernel = self.0.kernel();
        let count = kernel.map_or(0, |kernel| kernel.tree().nodes().count());
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

/// Seconds since the start; what was idle is not counted.
fn uptime(kernel: &Kernel) -> Result<String, Errno> {
    let up = kernel.clocks.now(ClockId::Monotonic).since(Time(0));
    Ok(format!(
        "{}.{:02} 0.00\n",
        up.as_secs(),
        up.subsec_millis() / 10
    ))
}

/// The host's load averages, and the sandbox's tasks.
fn load(kernel: &Kernel) -> Result<String, Errno> {
    let mut text = String::new();
    for scaled in host::sysinfo()?.loads {
        let hundredths = scaled.saturating_mul(100) >> 16;
        // Writing to a String cannot fail.
        let _ = write!(text, "{}.{:02} ", hundredths / 100, hundredths % 100);
    }
    let (running, all) = stat::running(kernel);
    let _ = writeln!(text, "{running}/{all} {}", kernel.pids.last().0);
    Ok(text)
}

/// The sandbox's memory: what its limit leaves, as far as the host has it.
fn memory(kernel: &Kernel) -> Result<String, Errno> {
    let usage = kernel.memory.usage();
    let machine = host::sysinfo()?;
    let total = usage.limit.min(machine.total_memory);
    let free = total.saturating_sub(usage.used).min(machine.free_memory);
    let rows = [
        ("MemTotal", total),
        ("MemFree", free),
        ("MemAvailable", free),
        ("Buffers", 0),
        ("Cached", 0),
        ("SwapCached", 0),
        ("Active", usage.used.min(total)),
        ("Inactive", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("AnonPages", usage.used.min(total)),
        ("Mapped", 0),
        ("Shmem", 0),
        ("Slab", 0),
        ("PageTables", 0),
        ("CommitLimit", total),
        ("Committed_AS", usage.used.min(total)),
    ];
    let mut text = String::new();
    for (name, bytes) in rows {
        let name = format!("{name}:");
        let _ = writeln!(text, "{name:<15} {:8} kB", kib(bytes));
    }
    Ok(text)
}

/// One paragraph for each CPU. What kind of CPU it is, programs ask the CPU.
fn processors(kernel: &Kernel) -> Result<String, Errno> {
    let mut text = String::new();
    for cpu in cpus::numbers(&kernel.cpus) {
        let _ = writeln!(
            text,
            "processor\t: {cpu}\nmodel name\t: {}\n",
            arch::layout::UTS_MACHINE
        );
    }
    Ok(text)
}

/// CPU time since the start, of all tasks together, and counts.
fn counters(kernel: &Kernel) -> Result<String, Errno> {
    let (running, _) = stat::running(kernel);
    let groups: Vec<_> = {
        let tree = kernel.tree();
        tree.nodes()
            .map(|(_, node)| Arc::clone(&node.group))
            .collect()
    };
    let times = groups
        .iter()
        .map(|group| group.times().plus(group.children_times()))
        .fold(CpuTimes::default(), CpuTimes::plus);
    let count = super::memory::count(kernel.cpus.len());
    let up = kernel.clocks.now(ClockId::Monotonic).since(Time(0));
    let all = stat::ticks(up).saturating_mul(count);
    let (user, system) = (stat::ticks(times.user), stat::ticks(times.system));
    let idle = all.saturating_sub(user.saturating_add(system));
    let mut text = format!("cpu  {user} 0 {system} {idle} 0 0 0 0 0 0\n");
    let share = |ticks: u64| ticks / count.max(1);
    for cpu in cpus::numbers(&kernel.cpus) {
        let (user, system, idle) = (share(user), share(system), share(idle));
        let _ = writeln!(text, "cpu{cpu} {user} 0 {system} {idle} 0 0 0 0 0 0");
    }
    let started = kernel.clocks.started_at().seconds();
    let _ = writeln!(
        text,
        "intr 0\nctxt {}\nbtime {started}\nprocesses {}\nprocs_running {running}\nprocs_blocked 0",
        times.waits.saturating_add(times.preemptions),
        kernel.pids.last().0,
    );
    Ok(text)
}
