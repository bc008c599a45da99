//! `ringfence update`: other limits for a container that runs.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value, json};

use super::{Failure, Globals};
use crate::container::Status;
use crate::spec;

/// Changes a container's limits on the host; those that the sandbox keeps itself stay.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A file with the limits, as in a configuration's linux.resources; `-` is stdin.
    #[arg(short, long, value_name = "FILE")]
    resources: Option<PathBuf>,

    /// Bytes of memory.
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory: Option<i64>,

    /// Bytes of memory that are kept from reclaim.
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory_reservation: Option<i64>,

    /// Bytes of memory and swap.
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory_swap: Option<i64>,

    /// Microseconds of a period of processor time.
    #[arg(long, value_name = "US")]
    cpu_period: Option<u64>,

    /// Microseconds of processor time in a period.
    #[arg(long, value_name = "US", allow_hyphen_values = true)]
    cpu_quota: Option<i64>,

    /// Weight among others.
    #[arg(long, visible_alias = "cpu-shares", value_name = "N")]
    cpu_share: Option<u64>,

    /// Processors, as in 0-3,5.
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,

    /// Memory nodes.
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,

    /// Weight of block I/O among others.
    #[arg(long, value_name = "N")]
    blkio_weight: Option<u16>,

    /// Tasks.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pids_limit: Option<i64>,

    /// The container's name.
    #[arg(value_name = "ID")]
    id: String,
}

/// Runs the verb.
pub(super) fn run(arguments: &Arguments, globals: &Globals) -> Result<u8, Failure> {
    let log = globals.log("update")?;
    let container = globals.container(&arguments.id)?;
    let missing = container.missing();
    let held = container.must_lock()?;
    let record = held.container.record()?.ok_or(missing)?;
    if record.status(&held.container) == Status::Stopped {
        return Err(Failure::own("container not running"));
    }
    let resources = match &arguments.resources {
        Some(path) => from_file(path)?,
        None => from_options(arguments)?,
    };
    record.cgroups.limit(&resources, &log)?;
    Ok(0)
}

fn from_file(path: &PathBuf) -> Result<LinuxResources, Failure> {
    const LONGEST: u64 = 1 << 20;
    let failed = |why: String| {
        Failure::own(format!(
            "cannot read limits from `{}`: {why}",
            path.display()
        ))
    };
    let mut text = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().take(LONGEST).read_to_end(&mut text)
    } else {
        let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
        file.take(LONGEST).read_to_end(&mut text)
    };
    read.map_err(|error| failed(error.to_string()))?;
    spec::from_json(&text, drop).map_err(failed)
}

fn from_options(arguments: &Arguments) -> Result<LinuxResources, Failure> {
    let mut all = Map::new();
    let mut add = |group: &str, name: &str, value: Option<Value>| {
        if let Some(value) = value {
            let group = all.entry(group).or_insert_with(|| json!({}));
            if let Some(members) = group.as_object_mut() {
                members.insert(name.to_owned(), value);
            }
        }
    };
    add("memory", "limit", arguments.memory.map(Value::from));
    add(
        "memory",
        "reservation",
        arguments.memory_reservation.map(Value::from),
    );
    add("memory", "swap", arguments.memory_swap.map(Value::from));
    add("cpu", "period", arguments.cpu_period.map(Value::from));
    add("cpu", "quota", arguments.cpu_quota.map(Value::from));
    add("cpu", "shares", arguments.cpu_share.map(Value::from));
    add(
        "cpu",
        "cpus",
        arguments.cpuset_cpus.clone().map(Value::from),
    );
    add(
        "cpu",
        "mems",
        arguments.cpuset_mems.clone().map(Value::from),
    );
    add("blockIO", "weight", arguments.blkio_weight.map(Value::from));
    add("pids", "limit", arguments.pids_limit.map(Value::from));
    serde_json::from_value(Value::Object(all))
        .map_err(|error| Failure::own(format!("these limits are not right: {error}")))
}
