//! /sys: what programs ask of it to find out about the machine, which is how many CPUs and
//! memory nodes there are and what memory can be had in huge pages. There are no devices.
//! Source: sysfs(5), Documentation/ABI/stable/sysfs-devices-system-cpu.

use std::sync::Arc;

use arch::abi::stat::SYSFS_MAGIC;
use fs::pseudo::{PseudoFs, Spec};
use platform::host::{CpuSet, MAX_CPUS};
use platform::memory::HUGE_PAGE;
use vfs::{DeviceId, FileSystem, Inode};

use crate::cpus;

/// An entry of a directory.
type Entry = (String, Arc<dyn Inode>);

/// The file system of /sys on a machine of these CPUs; `device` is a "nodev" number.
#[must_use]
pub fn file_system(device: DeviceId, all: &CpuSet) -> Arc<dyn FileSystem> {
    let fs = PseudoFs::new("sysfs", SYSFS_MAGIC.cast_unsigned(), device);
    let tree = Tree(&fs);
    let root = [
        tree.empty("block"),
        tree.empty("bus"),
        tree.directory("class", [tree.empty("net")]),
        tree.directory("dev", [tree.empty("block"), tree.empty("char")]),
        tree.directory("devices", [tree.system(all), tree.empty("virtual")]),
        tree.empty("firmware"),
        tree.directory("fs", [tree.empty("cgroup")]),
        tree.directory("kernel", [tree.memory()]),
        tree.empty("module"),
        tree.empty("power"),
    ];
    fs.set_root(fs.directory(Spec::mode(0o555), root));
    fs
}

/// Makes entries.
struct Tree<'a>(&'a PseudoFs);

impl Tree<'_> {
    fn directory(&self, name: &str, entries: impl IntoIterator<Item = Entry>) -> Entry {
        let node = self.0.directory(Spec::mode(0o755), entries);
        (name.to_owned(), node)
    }

    fn empty(&self, name: &str) -> Entry {
        self.directory(name, [])
    }

    /// A file of one line.
    fn line(&self, name: &str, text: impl Into<String>) -> Entry {
        let mut text = text.into();
        text.push('\n');
        // Their size is said to be a page, whatever is in them.
        let spec = Spec::mode(0o444).size(base::PAGE_SIZE);
        (name.to_owned(), self.0.constant(spec, text))
    }

    fn system(&self, all: &CpuSet) -> Entry {
        let node = [
            self.line("cpulist", cpus::list(all)),
            self.line("cpumap", cpus::mask(all)),
            self.line("distance", "10"),
        ];
        let nodes = [
            self.line("has_cpu", "0"),
            self.line("has_memory", "0"),
            self.line("online", "0"),
            self.line("possible", "0"),
            self.directory("node0", node),
        ];
        let entries = [self.cpus(all), self.directory("node", nodes)];
        self.directory("system", entries)
    }

    fn cpus(&self, all: &CpuSet) -> Entry {
        let list = cpus::list(all);
        let mut entries = vec![
            self.line("online", &*list),
            self.line("possible", &*list),
            self.line("present", &*list),
            self.line("offline", ""),
            self.line("isolated", ""),
            self.line("kernel_max", (MAX_CPUS - 1).to_string()),
        ];
        for cpu in cpus::numbers(all) {
            let name = format!("cpu{cpu}");
            entries.push(self.directory(&name, [self.topology(cpu, all)]));
        }
        self.directory("cpu", entries)
    }

    /// Each CPU is a core of its own, all are one package: what siblings really share is the
    /// host's matter.
    fn topology(&self, cpu: usize, all: &CpuSet) -> Entry {
        let own = CpuSet::one(cpu);
        let mut entries = vec![
            self.line("core_id", cpu.to_string()),
            self.line("physical_package_id", "0"),
            self.line("die_id", "0"),
        ];
        for (name, set) in [
            ("thread_siblings", &own),
            ("core_cpus", &own),
            ("core_siblings", all),
            ("package_cpus", all),
            ("die_cpus", all),
        ] {
            entries.push(self.line(name, cpus::mask(set)));
            entries.push(self.line(&format!("{name}_list"), cpus::list(set)));
        }
        self.directory("topology", entries)
    }

    fn memory(&self) -> Entry {
        let huge = [
            self.line("enabled", "always [madvise] never"),
            self.line(
                "shmem_enabled",
                "always within_size advise [never] deny force",
            ),
            self.line("defrag", "always defer defer+madvise [madvise] never"),
            self.line("hpage_pmd_size", HUGE_PAGE.to_string()),
            self.line("use_zero_page", "0"),
        ];
        let entries = [
            self.empty("hugepages"),
            self.directory("transparent_hugepage", huge),
        ];
        self.directory("mm", entries)
    }
}
