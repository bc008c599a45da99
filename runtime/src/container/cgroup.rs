//! Cgroups of the host, for sandboxes: cgroups(7), both versions.
//!
//! What a program may use is bounded in the sandbox itself; the host's limits are the second
//! line, and have room for what the sentry and its stubs use beside.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxResources, Spec};
use serde::{Deserialize, Serialize};

use crate::cli::Failure;
use crate::log::Log;

const MOUNTS: &str = "/sys/fs/cgroup";

/// Bytes beside the program's that the sandbox may use.
const OVERHEAD: i64 = 64 << 20;

/// A container's cgroups: directories, one for each hierarchy that is used.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cgroups {
    /// Absolute.
    directories: Vec<PathBuf>,
    /// Of the one hierarchy, whose controllers are all.
    unified: bool,
    /// They were the bundle's wish: not to be able to make them is a failure.
    wanted: bool,
}

/// Controllers of version 1 that limits are set with, or by which processes are found.
const CONTROLLERS: [&str; 8] = [
    "memory", "cpu", "cpuacct", "cpuset", "pids", "blkio", "freezer", "hugetlb",
];

impl Cgroups {
    /// Where the container's cgroups will be. Reads /sys and /proc.
    pub(crate) fn plan(spec: &Spec, id: &str, log: &Log) -> Result<Self, Failure> {
        let linux = spec.linux().as_ref();
        let asked = linux.and_then(|linux| linux.cgroups_path().as_ref());
        let limits = linux
            .and_then(|linux| linux.resources().as_ref())
            .is_some_and(has_limits);
        let path = match asked {
            // Another state directory may have a container of this name.
            None => Path::new("ringfence").join(format!("{id}-{}", std::process::id())),
            Some(path) => {
                let clean = path.strip_prefix("/").unwrap_or(path);
                let text = clean.to_string_lossy();
                if text.matches(':').count() == 2 && !path.is_absolute() {
                    return Err(Failure::own(format!(
                        "`linux.cgroupsPath`: `{text}` is for systemd, which ringfence does not \
                         speak to; have the client use cgroupfs (podman: \
                         --cgroup-manager=cgroupfs)"
                    )));
                }
                if clean
                    .components()
                    .any(|part| !matches!(part, std::path::Component::Normal(_)))
                {
                    return Err(Failure::own(
                        "`linux.cgroupsPath`: there is `.` or `..` in it",
                    ));
                }
                clean.to_owned()
            }
        };
        let wanted = asked.is_some() || limits;
        let unified = Path::new(MOUNTS).join("cgroup.controllers").exists();
        let own = own_cgroups();
        let below = |controller: &str| {
            // Relative paths are below the caller's own.
            let parent = own.iter().find(|(name, _)| name == controller);
            match (asked.is_some_and(|path| path.is_absolute()), parent) {
                (false, Some((_, parent))) => Path::new(parent.trim_start_matches('/')).join(&path),
                _ => path.clone(),
            }
        };
        let directories = if unified {
            vec![Path::new(MOUNTS).join(if asked.is_some() {
                path.clone()
            } else {
                below("")
            })]
        } else {
            let mounted = |name: &&&str| Path::new(MOUNTS).join(name).join("cgroup.procs").exists();
            let there = CONTROLLERS.iter().filter(mounted);
            there
                .map(|name| Path::new(MOUNTS).join(name).join(below(name)))
                .collect()
        };
        if directories.is_empty() {
            log.info("no cgroups are mounted here");
        }
        Ok(Self {
            directories,
            unified,
            wanted,
        })
    }

    /// Makes them, puts process `pid` into them and sets limits. Without rights to do so it is
    /// a warning, unless limits are asked for.
    pub(crate) fn enter(
        &self,
        pid: i32,
        resources: Option<&LinuxResources>,
        log: &Log,
    ) -> Result<(), Failure> {
        for directory in &self.directories {
            let entered = self
                .make(directory)
                .and_then(|()| fs::write(directory.join("cgroup.procs"), pid.to_string()));
            match entered {
                Ok(()) => log.info(&format!("in cgroup {}", directory.display())),
                Err(error) if !self.wanted || is_refused(&error) => log.info(&format!(
                    "cannot use the cgroup {}: {error}; the host bounds the sandbox no further",
                    directory.display()
                )),
                Err(error) => {
                    return Err(Failure::own(format!(
                        "cannot use the cgroup `{}`: {error}",
                        directory.display()
                    )));
                }
            }
        }
        resources.map_or(Ok(()), |resources| self.limit(resources, log))
    }

    fn make(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        if self.unified {
            enable_controllers(directory);
        } else if directory.starts_with(Path::new(MOUNTS).join("cpuset")) {
            inherit_cpuset(directory);
        }
        Ok(())
    }

    /// Sets limits; what the bundle does not say stays as it is.
    pub(crate) fn limit(&self, resources: &LinuxResources, log: &Log) -> Result<(), Failure> {
        for (controller, file, value) in settings(resources, self.unified) {
            let Some(directory) = self.of(controller) else {
                log.warn(&format!(
                    "`linux.resources`: no cgroup here bounds {controller}"
                ));
                continue;
            };
            let path = directory.join(file);
            match fs::write(&path, &value) {
                Ok(()) => log.info(&format!("{} = {value}", path.display())),
                Err(error) if is_refused(&error) => log.warn(&format!(
                    "`linux.resources`: cannot set {}: {error}",
                    path.display()
                )),
                Err(error) => {
                    return Err(Failure::own(format!(
                        "`linux.resources`: cannot set `{}` to `{value}`: {error}",
                        path.display()
                    )));
                }
            }
        }
        Ok(())
    }

    /// The directory of a controller.
    fn of(&self, controller: &str) -> Option<&Path> {
        let mount = Path::new(MOUNTS).join(controller);
        let mut all = self.directories.iter().map(PathBuf::as_path);
        all.find(|directory| self.unified || directory.starts_with(&mount))
            .filter(|directory| directory.is_dir())
    }

    /// Stops all processes, or has them go on. `None`: there is no cgroup to do it with.
    pub(crate) fn freeze(&self, frozen: bool) -> Option<io::Result<()>> {
        let directory = self.of("freezer")?;
        let (file, value) = match (self.unified, frozen) {
            (true, true) => ("cgroup.freeze", "1"),
            (true, false) => ("cgroup.freeze", "0"),
            (false, true) => ("freezer.state", "FROZEN"),
            (false, false) => ("freezer.state", "THAWED"),
        };
        Some(fs::write(directory.join(file), value))
    }

    /// Whether the processes are stopped, or about to be.
    pub(crate) fn is_frozen(&self) -> bool {
        let Some(directory) = self.of("freezer") else {
            return false;
        };
        let file = if self.unified {
            "cgroup.freeze"
        } else {
            "freezer.state"
        };
        let text = fs::read_to_string(directory.join(file)).unwrap_or_default();
        matches!(text.trim(), "1" | "FROZEN" | "FREEZING")
    }

    /// The host's processes in them.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let Some(directory) = self.directories.first() else {
            return Vec::new();
        };
        let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Removes them once nothing is in them any more. What was never made is no matter.
    pub(crate) fn remove(&self) -> Result<(), Failure> {
        const TRIES: u32 = 200;
        for directory in &self.directories {
            let mut tries = 0;
            loop {
                match fs::remove_dir(directory) {
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy && tries < TRIES => {
                        // Processes that were killed take a moment to go.
                        tries += 1;
                        std::thread::sleep(std::time::Duration::from_millis(10));
                    }
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                        return Err(Failure::own(format!(
                            "cannot remove the cgroup `{}`: {error}",
                            directory.display()
                        )));
                    }
                    _ => break,
                }
            }
            // The parent that was made for it, if it was the last one there.
            if let Some(parent) = directory.parent()
                && parent.file_name().is_some_and(|name| name == "ringfence")
            {
                let _ = fs::remove_dir(parent);
            }
        }
        Ok(())
    }

    /// A counter of the container; `None` if there is none.
    pub(crate) fn read(&self, controller: &str, file: &str) -> Option<String> {
        fs::read_to_string(self.of(controller)?.join(file)).ok()
    }

    /// Whether all controllers are in one hierarchy.
    pub(crate) fn is_unified(&self) -> bool {
        self.unified
    }
}

fn is_refused(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

fn has_limits(resources: &LinuxResources) -> bool {
    !settings(resources, true).is_empty()
}

/// Names of controllers (version 1; the empty one is version 2) and the caller's cgroups.
fn own_cgroups() -> Vec<(String, String)> {
    let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut all = Vec::new();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        if let (Some(names), Some(path)) = (fields.next(), fields.next()) {
            all.extend(
                names
                    .split(',')
                    .map(|name| (name.to_owned(), path.to_owned())),
            );
        }
    }
    all
}

/// Hands all controllers down from the root to the parent of `directory`, as far as it goes.
fn enable_controllers(directory: &Path) {
    let mut path = PathBuf::from(MOUNTS);
    let below = directory.strip_prefix(MOUNTS).unwrap_or(directory);
    for part in below {
        let there = fs::read_to_string(path.join("cgroup.controllers")).unwrap_or_default();
        for controller in there.split_whitespace() {
            // One that is refused is told of when its limit is set.
            let _ = fs::write(
                path.join("cgroup.subtree_control"),
                format!("+{controller}"),
            );
        }
        path.push(part);
    }
}

/// A new cpuset has no processors at all before it is told.
fn inherit_cpuset(directory: &Path) {
    let mut path = Path::new(MOUNTS).join("cpuset");
    let below = directory
        .strip_prefix(&path)
        .unwrap_or(directory)
        .to_owned();
    for part in &below {
        let parent = path.clone();
        path.push(part);
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let own = fs::read_to_string(path.join(file)).unwrap_or_default();
            if own.trim().is_empty() {
                let inherited = fs::read_to_string(parent.join(file)).unwrap_or_default();
                // If it cannot be set, no process can enter, which is told.
                let _ = fs::write(path.join(file), inherited.trim());
            }
        }
    }
}

/// Controllers, files and values of the limits that are asked for.
fn settings(resources: &LinuxResources, unified: bool) -> Vec<(&'static str, String, String)> {
    let mut all = Settings {
        all: Vec::new(),
        unified,
    };
    all.memory(resources);
    all.processors(resources);
    if let Some(pids) = resources.pids() {
        let value = match pids.limit() {
            // Each task is a thread of the sentry and one of a stub.
            limit @ 1.. => limit.saturating_mul(2).saturating_add(32).to_string(),
            _ => "max".to_owned(),
        };
        all.add("pids", "pids.max", "pids.max", value);
    }
    if let Some(weight) = resources
        .block_io()
        .as_ref()
        .and_then(|block| block.weight())
        && weight > 0
    {
        if unified {
            all.add("io", "", "io.bfq.weight", weight.to_string());
        } else {
            all.add("blkio", "blkio.weight", "", weight.to_string());
        }
    }
    for limit in resources.hugepage_limits().iter().flatten() {
        let (v1, v2) = (
            format!("hugetlb.{}.limit_in_bytes", limit.page_size()),
            format!("hugetlb.{}.max", limit.page_size()),
        );
        all.add("hugetlb", &v1, &v2, limit.limit().to_string());
    }
    for (file, value) in resources.unified().iter().flatten() {
        if unified && !file.contains('/') {
            all.all.push(("unified", file.clone(), value.clone()));
        }
    }
    all.all
}

struct Settings {
    all: Vec<(&'static str, String, String)>,
    unified: bool,
}

impl Settings {
    /// `v1`, `v2`: the file's name in either version; empty: there is none.
    fn add(&mut self, controller: &'static str, v1: &str, v2: &str, value: String) {
        let file = if self.unified { v2 } else { v1 };
        if !file.is_empty() {
            self.all.push((controller, file.to_owned(), value));
        }
    }

    fn memory(&mut self, resources: &LinuxResources) {
        let Some(memory) = resources.memory() else {
            return;
        };
        let text = |bytes: i64| match bytes {
            -1 => if self.unified { "max" } else { "-1" }.to_owned(),
            bytes => bytes.to_string(),
        };
        let with_room = |bytes: i64| match bytes {
            1.. => bytes.saturating_add(OVERHEAD),
            other => other,
        };
        let limit = memory.limit().filter(|limit| *limit != 0).map(with_room);
        let swap = memory.swap().filter(|swap| *swap != 0).map(with_room);
        let reservation = memory.reservation().filter(|bytes| *bytes != 0);
        let (limit, swap, reservation) = (limit.map(text), swap.map(text), reservation.map(text));
        if let Some(limit) = limit {
            self.add("memory", "memory.limit_in_bytes", "memory.max", limit);
        }
        if let Some(reservation) = reservation {
            self.add(
                "memory",
                "memory.soft_limit_in_bytes",
                "memory.low",
                reservation,
            );
        }
        // Version 2 counts swap alone; memory of sandboxes is a file that swaps with it.
        if let Some(swap) = swap {
            self.add("memory", "memory.memsw.limit_in_bytes", "", swap);
        }
        if let Some(swappiness) = memory.swappiness().filter(|value| *value <= 100) {
            self.add("memory", "memory.swappiness", "", swappiness.to_string());
        }
    }

    fn processors(&mut self, resources: &LinuxResources) {
        let Some(cpu) = resources.cpu() else {
            return;
        };
        if let Some(shares) = cpu.shares().filter(|shares| *shares > 0) {
            // The kernel's own conversion from 2..262144 to 1..10000.
            let weight = 1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142;
            let value = if self.unified { weight } else { shares };
            self.add("cpu", "cpu.shares", "cpu.weight", value.to_string());
        }
        let period = cpu.period().filter(|period| *period > 0);
        let quota = cpu.quota().filter(|quota| *quota != 0);
        if self.unified {
            if quota.is_some() || period.is_some() {
                let quota = quota.filter(|quota| *quota > 0);
                let quota = quota.map_or_else(|| "max".to_owned(), |quota| quota.to_string());
                let value = format!("{quota} {}", period.unwrap_or(100_000));
                self.add("cpu", "", "cpu.max", value);
            }
        } else {
            if let Some(period) = period {
                self.add("cpu", "cpu.cfs_period_us", "", period.to_string());
            }
            if let Some(quota) = quota {
                self.add("cpu", "cpu.cfs_quota_us", "", quota.to_string());
            }
        }
        if let Some(burst) = cpu.burst() {
            self.add(
                "cpu",
                "cpu.cfs_burst_us",
                "cpu.max.burst",
                burst.to_string(),
            );
        }
        for (value, file) in [(cpu.cpus(), "cpuset.cpus"), (cpu.mems(), "cpuset.mems")] {
            if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
                self.add("cpuset", file, file, value.clone());
            }
        }
    }
}
