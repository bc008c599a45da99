//! Memory of a sandbox that does nothing.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::{Measured, Nullify, Programs, Side};

/// How long what was needed for the start may take to be given back.
const SETTLE: Duration = Duration::from_millis(300);

/// Bytes of a sandbox around `sleep`: the PSS of all its processes, that of the program included.
pub fn resident(programs: &Programs) -> Measured<u64> {
    of(programs.command(Side::Inside(Nullify::Sysemu), "/bin/sh"))
}

/// Bytes of the same program on this machine's kernel.
pub fn resident_native(programs: &Programs) -> Measured<u64> {
    of(programs.command(Side::Native, "/bin/sh"))
}

fn of(mut shell: Command) -> Measured<u64> {
    let mut child = shell
        .args(["-c", "echo; exec sleep 60"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let bytes = settled(&mut child);
    // Whatever it is, it goes; a sandbox goes with the process that was started.
    child.kill()?;
    child.wait()?;
    bytes
}

fn settled(child: &mut Child) -> Measured<u64> {
    let output = child.stdout.take().ok_or("no output")?;
    BufReader::new(output).read_line(&mut String::new())?;
    sleep(SETTLE);
    family(child.id())?.into_iter().map(pss).sum()
}

/// A process and all that descend from it.
fn family(first: u32) -> Measured<HashSet<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // It may have ended meanwhile.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let parent = after_name.split(' ').nth(1);
        if let Some(parent) = parent.and_then(|parent| parent.parse::<u32>().ok()) {
            parents.push((pid, parent));
        }
    }
    let mut family = HashSet::from([first]);
    loop {
        let before = family.len();
        for (pid, parent) in &parents {
            if family.contains(parent) {
                family.insert(*pid);
            }
        }
        if family.len() == before {
            return Ok(family);
        }
    }
}

/// Bytes; none if the process has ended meanwhile.
fn pss(pid: u32) -> Measured<u64> {
    let Ok(rollup) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else {
        return Ok(0);
    };
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib: u64 = kib.ok_or("no Pss in smaps_rollup")?.parse()?;
    Ok(kib.saturating_mul(1024))
}
