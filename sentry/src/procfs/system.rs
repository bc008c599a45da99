//! The root of /proc: processes, and files about the system as a whole.

use std::fmt::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use base::time::Time;
use base::{Errno, Pid};
use fs::pseudo::{DynDir, ListedEntry, PseudoFs, PseudoNode, Spec, task_number};
use platform::host::{self, CpuSet};
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

/// Bytes of the host's /proc/cpuinfo that are read at most: room for 1,024 CPUs.
const CPUINFO_MAX: usize = 4 << 20;

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
        entry("cpuinfo", cpuinfo(fs, source)),
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

/// What the host says of the sandbox's CPUs: the machine's kernel knows their names and
/// features, and programs run on these very CPUs.
fn cpuinfo(fs: &PseudoFs, source: &Source) -> Arc<PseudoNode> {
    let source = source.clone();
    fs.file(Spec::mode(0o444), move |_: &Caller| {
        let all = source.kernel()?.cpus;
        let host = source.processors.as_ref().map(|file| read(file.as_fd()));
        let text = host.and_then(|text| of_cpus(&text.ok()?, &all));
        Ok(text.unwrap_or_else(|| plain(&all)).into_bytes())
    })
}

/// The paragraphs of `text` about `cpus`. `None`: not all of them are there.
fn of_cpus(text: &str, cpus: &CpuSet) -> Option<String> {
    let mut shown = String::new();
    let mut missing = cpus::numbers(cpus).peekable();
    for paragraph in text.split_inclusive("\n\n") {
        let number = paragraph.strip_prefix("processor")?.split('\n').next();
        let number = number.and_then(|line| line.trim_start_matches([' ', '\t', ':']).parse().ok());
        if number.is_some() && missing.peek() == number.as_ref() {
            shown.push_str(paragraph);
            missing.next();
        }
    }
    missing.peek().is_none().then_some(shown)
}

/// One paragraph for each CPU that says little.
fn plain(cpus: &CpuSet) -> String {
    let machine = arch::layout::UTS_MACHINE;
    let paragraph = |cpu| format!("processor\t: {cpu}\nmodel name\t: {machine}\n\n");
    cpus::numbers(cpus).map(paragraph).collect()
}

/// All of a host file, at most [`CPUINFO_MAX`] bytes of it.
fn read(file: BorrowedFd<'_>) -> Result<String, Errno> {
    let mut text = Vec::new();
    let mut part = [0; 4096];
    while text.len() < CPUINFO_MAX {
        let done = host::pread(file, &mut part, base::num::u64_of(text.len()))?;
        if done == 0 {
            break;
        }
        text.extend_from_slice(part.get(..done).unwrap_or(&part));
    }
    String::from_utf8(text).map_err(|_| Errno::EINVAL)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpuinfo_is_cut_to_the_cpus_there_are() {
        let host = "processor\t: 0\nmodel\t: a\n\nprocessor\t: 1\nmodel\t: b\n\n\
                    processor       : 2\nmodel\t: c\n\n";
        let two = CpuSet::from_words(&[0b110]);
        let shown = "processor\t: 1\nmodel\t: b\n\nprocessor       : 2\nmodel\t: c\n\n";
        assert_eq!(of_cpus(host, &two).as_deref(), Some(shown));
        assert_eq!(of_cpus(host, &CpuSet::one(3)), None);
        assert_eq!(of_cpus("cpu: Alpha\n", &CpuSet::one(0)), None);
    }
}
