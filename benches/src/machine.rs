//! What kind of machine this is, in words that name nobody.

use std::fs;
use std::num::NonZeroUsize;

/// Architecture, CPUs, virtualised or not, memory, kernel version.
#[must_use]
pub fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let virtual_machine = read("/proc/cpuinfo")
        .lines()
        .any(|line| line.starts_with("flags") && line.contains(" hypervisor"));
    let memory = read("/proc/meminfo")
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0);
    let release = read("/proc/sys/kernel/osrelease");
    // "6.1.0-13-amd64": what follows the numbers names a distribution or a builder.
    let mut numbers = release.trim().split(['.', '-']);
    let version = format!(
        "{}.{}",
        numbers.next().unwrap_or("?"),
        numbers.next().unwrap_or("?")
    );
    format!(
        "{}, {cpus} CPUs{}, {} GiB of memory, Linux {version}; load average at the start {}",
        std::env::consts::ARCH,
        if virtual_machine { ", virtualised" } else { "" },
        memory.div_ceil(1 << 20),
        load(),
    )
}

/// Tasks that wanted to run in the last minute: with more than there are CPUs, figures tell little.
#[must_use]
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}
