//! /proc/pid/limits.

use std::fmt::Write;

use arch::abi::process::RLIM_INFINITY;
use base::Errno;
use vfs::Caller;

use super::subject::Subject;
use crate::task::RESOURCES;

fn shown(value: u64) -> String {
    if value == RLIM_INFINITY {
        "unlimited".to_owned()
    } else {
        value.to_string()
    }
}

/// A line for each resource.
pub(super) fn text(subject: &Subject, _caller: &Caller) -> Result<Vec<u8>, Errno> {
    let limits = subject.group.limits();
    let mut text = format!(
        "{:<25} {:<20} {:<20} {:<10}\n",
        "Limit", "Soft Limit", "Hard Limit", "Units"
    );
    for resource in RESOURCES {
        let limit = limits.get(resource);
        let (name, unit) = resource.name_and_unit();
        let (soft, hard) = (shown(limit.cur), shown(limit.max));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<25} {soft:<20} {hard:<20} {unit:<10}");
    }
    Ok(text.into_bytes())
}
