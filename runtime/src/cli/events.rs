//! `ringfence events`: what a container uses.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::{Failure, Globals, show};
use crate::container::{Record, Status};

/// Tells what a container uses, as JSON.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Once only.
    #[arg(long)]
    stats: bool,

    /// Time between two reports, as in 5s or 100ms.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse)]
    interval: Duration,

    /// The container's name.
    #[arg(value_name = "ID")]
    id: String,
}

fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time: 5s, 100ms, 1m");
    let unit = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (count, unit) = text.split_at(unit);
    let count: u64 = count.parse().map_err(|_| wrong())?;
    let duration = match unit {
        "ms" => Duration::from_millis(count),
        "s" | "" => Duration::from_secs(count),
        "m" => Duration::from_secs(count.saturating_mul(60)),
        _ => return Err(wrong()),
    };
    if duration.is_zero() {
        return Err(wrong());
    }
    Ok(duration)
}

/// Runs the verb.
pub(super) fn run(arguments: &Arguments, globals: &Globals) -> Result<u8, Failure> {
    let container = globals.container(&arguments.id)?;
    let record = container.record()?.ok_or_else(|| container.missing())?;
    loop {
        let status = record.status(&container);
        if status == Status::Stopped {
            return if arguments.stats {
                Err(Failure::own(format!(
                    "container with id {} is not running",
                    record.id
                )))
            } else {
                Ok(0)
            };
        }
        let event = json!({"type": "stats", "id": record.id, "data": stats(&record)});
        show(&format!("{event}\n"));
        if arguments.stats {
            return Ok(0);
        }
        std::thread::sleep(arguments.interval);
    }
}

/// The counters that runc tells, of either version of cgroups; those that are not there are 0.
fn stats(record: &Record) -> Value {
    let cgroups = &record.cgroups;
    let text = |controller: &str, v1: &str, v2: &str| {
        let file = if cgroups.is_unified() { v2 } else { v1 };
        cgroups.read(controller, file).unwrap_or_default()
    };
    let number = |controller: &str, v1: &str, v2: &str| -> u64 {
        match text(controller, v1, v2).trim() {
            "max" => u64::MAX,
            number => number.parse().unwrap_or(0),
        }
    };
    let (total, user, system) = processor_time(record);
    let memory = text("memory", "memory.stat", "memory.stat");
    json!({
        "cpu": {
            "usage": {"total": total, "kernel": system, "user": user},
            "throttling": {},
        },
        "memory": {
            "cache": line(&memory, if cgroups.is_unified() { "file" } else { "cache" }),
            "usage": {
                "limit": number("memory", "memory.limit_in_bytes", "memory.max"),
                "usage": number("memory", "memory.usage_in_bytes", "memory.current"),
                "max": number("memory", "memory.max_usage_in_bytes", "memory.peak"),
                "failcnt": number("memory", "memory.failcnt", ""),
            },
            "swap": {"limit": 0, "failcnt": 0},
            "kernel": {"limit": 0, "failcnt": 0},
            "kernelTCP": {"limit": 0, "failcnt": 0},
        },
        "pids": {
            "current": number("pids", "pids.current", "pids.current"),
            "limit": number("pids", "pids.max", "pids.max"),
        },
        "blkio": {},
        "hugetlb": {},
        "intel_rdt": {},
        "network_interfaces": Value::Null,
    })
}

/// Nanoseconds of processor time: all, in programs, in the host's kernel.
fn processor_time(record: &Record) -> (u64, u64, u64) {
    let read = |file| record.cgroups.read("cpuacct", file).unwrap_or_default();
    if record.cgroups.is_unified() {
        let all = read("cpu.stat");
        let micros = |name| line(&all, name).saturating_mul(1000);
        return (
            micros("usage_usec"),
            micros("user_usec"),
            micros("system_usec"),
        );
    }
    // In ticks of a hundredth of a second.
    let parts = read("cpuacct.stat");
    let ticks = |name| line(&parts, name).saturating_mul(10_000_000);
    let total = read("cpuacct.usage").trim().parse().unwrap_or(0);
    (total, ticks("user"), ticks("system"))
}

/// The number behind a name at the beginning of a line.
fn line(text: &str, name: &str) -> u64 {
    let mut found = text
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found
        .next()
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(parse("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(parse("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "0s", "s", "5h", "-1s"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
