//! /proc/pid/status.

use std::fmt::Write;

use base::Errno;
use vfs::Caller;

use super::memory::kib;
use super::subject::Subject;
use crate::cpus;
use crate::signal::SigSet;
use crate::task::Resource;

/// Everything about a process, a line each.
pub(super) fn text(subject: &Subject, _caller: &Caller) -> Result<Vec<u8>, Errno> {
    let mut text = Vec::from(b"Name:\t");
    for byte in subject.comm() {
        match byte {
            b'\n' => text.extend_from_slice(b"\\n"),
            b'\\' => text.extend_from_slice(b"\\\\"),
            byte => text.push(byte),
        }
    }
    let mut rest = String::from("\n");
    // Writing to a String cannot fail.
    let _ = identity(subject, &mut rest)
        .and_then(|()| memory(subject, &mut rest))
        .and_then(|()| signals(subject, &mut rest))
        .and_then(|()| privileges(subject, &mut rest))
        .and_then(|()| scheduling(subject, &mut rest));
    text.extend_from_slice(rest.as_bytes());
    Ok(text)
}

fn identity(subject: &Subject, out: &mut String) -> std::fmt::Result {
    let letter = subject.state();
    let state = match letter {
        'R' => "running",
        'S' => "sleeping",
        'T' => "stopped",
        _ => "zombie",
    };
    let thread = subject.any_thread();
    if let Some(thread) = &thread {
        writeln!(out, "Umask:\t{:04o}", thread.fs().umask())?;
    }
    let (tgid, id) = (subject.group.id.0, subject.id.0);
    writeln!(out, "State:\t{letter} ({state})\nTgid:\t{tgid}\nNgid:\t0")?;
    writeln!(
        out,
        "Pid:\t{id}\nPPid:\t{}\nTracerPid:\t0",
        subject.kin().parent
    )?;
    if let Some(held) = subject.credentials() {
        let [a, b, c, d] = [held.uid, held.euid, held.suid, held.fsuid].map(|uid| uid.0);
        writeln!(out, "Uid:\t{a}\t{b}\t{c}\t{d}")?;
        let [a, b, c, d] = [held.gid, held.egid, held.sgid, held.fsgid].map(|gid| gid.0);
        writeln!(out, "Gid:\t{a}\t{b}\t{c}\t{d}")?;
        let size = thread
            .and_then(|thread| thread.fds())
            .map_or(0, |fds| fds.size());
        write!(out, "FDSize:\t{size}\nGroups:\t")?;
        for group in held.groups.iter() {
            write!(out, "{} ", group.0)?;
        }
        out.push('\n');
    } else {
        writeln!(
            out,
            "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t0\nGroups:\t"
        )?;
    }
    let kin = subject.kin();
    writeln!(out, "NStgid:\t{tgid}\nNSpid:\t{id}")?;
    writeln!(
        out,
        "NSpgid:\t{}\nNSsid:\t{}\nKthread:\t0",
        kin.pgrp, kin.session
    )
}

/// Sizes, which a process has as long as it has memory.
fn memory(subject: &Subject, out: &mut String) -> std::fmt::Result {
    let Some(memory) = subject.memory() else {
        return Ok(());
    };
    let usage = memory.usage();
    let of_files = usage.file.saturating_sub(usage.shared);
    let rows = [
        ("VmPeak", usage.total_peak.max(usage.total)),
        ("VmSize", usage.total),
        ("VmLck", usage.locked),
        ("VmPin", 0),
        ("VmHWM", usage.resident_peak.max(usage.resident)),
        ("VmRSS", usage.resident),
        ("RssAnon", usage.anonymous),
        ("RssFile", of_files),
        ("RssShmem", usage.file.saturating_sub(of_files)),
        ("VmData", usage.data),
        ("VmStk", usage.stack),
        ("VmExe", usage.text),
        ("VmLib", 0),
        ("VmPTE", 0),
        ("VmSwap", 0),
    ];
    for (name, bytes) in rows {
        writeln!(out, "{name}:\t{:8} kB", kib(bytes))?;
    }
    writeln!(out, "CoreDumping:\t0\nTHP_enabled:\t0")
}

fn signals(subject: &Subject, out: &mut String) -> std::fmt::Result {
    let (ignored, caught) = subject.group.actions().ignored_and_caught();
    let limit = subject.group.limits().get(Resource::Sigpending).cur;
    let (threads, queued, sets) = {
        let mut signals = subject.group.signals();
        let shared = signals.shared.set();
        let charges = subject
            .group
            .signal_charges(crate::signal::Scope::Group, &signals);
        let threads = signals.threads.len();
        let own = signals.thread(subject.id);
        let (pending, blocked) = own.map_or((SigSet::EMPTY, SigSet::EMPTY), |thread| {
            (thread.pending.set(), thread.mask)
        });
        (threads, charges.count(), [pending, shared, blocked])
    };
    let [pending, shared, blocked] = sets.map(|set| set.0);
    writeln!(out, "Threads:\t{}", threads.max(1))?;
    writeln!(out, "SigQ:\t{queued}/{limit}")?;
    writeln!(out, "SigPnd:\t{pending:016x}\nShdPnd:\t{shared:016x}")?;
    writeln!(out, "SigBlk:\t{blocked:016x}")?;
    writeln!(
        out,
        "SigIgn:\t{:016x}\nSigCgt:\t{:016x}",
        ignored.0, caught.0
    )
}

fn privileges(subject: &Subject, out: &mut String) -> std::fmt::Result {
    let Some(held) = subject.credentials() else {
        return Ok(());
    };
    let rows = [
        ("CapInh", held.inheritable),
        ("CapPrm", held.permitted),
        ("CapEff", held.effective),
        ("CapBnd", held.bounding),
        ("CapAmb", held.ambient),
    ];
    for (name, set) in rows {
        writeln!(out, "{name}:\t{:016x}", set.bits())?;
    }
    let (mode, filters, never_gains) = subject.any_thread().map_or((0, 0, false), |thread| {
        let seccomp = &thread.seccomp;
        (seccomp.mode(), seccomp.count(), seccomp.must_not_gain())
    });
    let no_new = u8::from(held.no_new_privs || never_gains);
    writeln!(
        out,
        "NoNewPrivs:\t{no_new}\nSeccomp:\t{mode}\nSeccomp_filters:\t{filters}"
    )
}

fn scheduling(subject: &Subject, out: &mut String) -> std::fmt::Result {
    let Some(thread) = subject.any_thread() else {
        return Ok(());
    };
    let allowed = thread.sched.lock().affinity;
    let times = thread.usage.times();
    writeln!(out, "Cpus_allowed:\t{}", cpus::mask(&allowed))?;
    writeln!(out, "Cpus_allowed_list:\t{}", cpus::list(&allowed))?;
    writeln!(out, "Mems_allowed:\t1\nMems_allowed_list:\t0")?;
    writeln!(out, "voluntary_ctxt_switches:\t{}", times.waits)?;
    writeln!(out, "nonvoluntary_ctxt_switches:\t{}", times.preemptions)
}
