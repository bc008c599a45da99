//! The bundle's process: who it is, what it may, what it gets.

use std::path::PathBuf;

use arch::abi::process::Rlimit;
use base::{Gid, Uid};
use oci_spec::runtime::{self, Capability, LinuxCapabilities, PosixRlimit, PosixRlimitType};
use sentry::task::{Limits, Resource};
use vfs::{Capabilities, Credentials};

use super::check;
use super::check::wrong;
use crate::cli::Failure;
use crate::log::Log;
use crate::sandbox::{Cwd, Process};

/// Most supplementary groups: NGROUPS_MAX.
const GROUPS_MAX: usize = 65_536;

/// What a process of a configuration is in the sandbox; its filter is the configuration's.
pub(crate) fn process(process: &runtime::Process, log: &Log) -> Result<Process, Failure> {
    check::process(process, log)?;
    let umask = match process.user().umask() {
        None => None,
        Some(umask) => {
            let umask = u16::try_from(umask).ok().filter(|umask| *umask <= 0o777);
            Some(umask.ok_or_else(|| wrong("process.user.umask", "it is more than 0777"))?)
        }
    };
    let args = process.args().iter().flatten();
    let command: Vec<Vec<u8>> = args.map(|text| text.clone().into_bytes()).collect();
    if command.iter().any(|text| text.contains(&0)) {
        return Err(wrong("process.args", "there is a NUL in it"));
    }
    let cwd: PathBuf = process.cwd().clone();
    Ok(Process {
        credentials: credentials(process)?,
        umask,
        limits: limits(process.rlimits().as_deref().unwrap_or_default(), log)?,
        cwd: Cwd::Made(cwd),
        environment: environment(process)?,
        command,
        filter: Vec::new(),
    })
}

/// The variables, and HOME if there is none, for programs count on it.
fn environment(process: &runtime::Process) -> Result<Vec<Vec<u8>>, Failure> {
    let mut all = Vec::new();
    for (index, line) in process.env().iter().flatten().enumerate() {
        let field = || format!("process.env[{index}]");
        if line.contains('\0') {
            return Err(wrong(&field(), "there is a NUL in it"));
        }
        match line.split_once('=') {
            Some((name, _)) if !name.is_empty() => all.push(line.clone().into_bytes()),
            _ => return Err(wrong(&field(), &format!("`{line}` is not NAME=VALUE"))),
        }
    }
    if !all.iter().any(|line| line.starts_with(b"HOME=")) {
        let home: &[u8] = match process.user().uid() {
            0 => b"HOME=/root",
            _ => b"HOME=/",
        };
        all.push(home.to_vec());
    }
    Ok(all)
}

fn credentials(process: &runtime::Process) -> Result<Credentials, Failure> {
    let user = process.user();
    let groups = user.additional_gids().as_deref().unwrap_or_default();
    if groups.len() > GROUPS_MAX {
        return Err(wrong("process.user.additionalGids", "there are too many"));
    }
    let mut groups: Vec<Gid> = groups.iter().copied().map(Gid).collect();
    groups.sort_unstable_by_key(|gid| gid.0);
    let ids = [user.uid(), user.gid()];
    // (uid_t) -1 means "no change" to system calls.
    if ids.contains(&u32::MAX) || groups.contains(&Gid(u32::MAX)) {
        return Err(wrong("process.user", "4294967295 is not an id"));
    }
    let sets = Sets::of(process.capabilities().as_ref());
    let mut credentials = Credentials::new(
        Uid(user.uid()),
        Gid(user.gid()),
        groups.into(),
        sets.bounding,
    );
    credentials.permitted = sets.permitted;
    credentials.effective = sets.effective & sets.permitted;
    credentials.inheritable = sets.inheritable;
    credentials.ambient = sets.ambient & sets.permitted & sets.inheritable;
    credentials.no_new_privs = process.no_new_privileges().unwrap_or(false);
    Ok(credentials)
}

/// The five sets; all are empty if nothing is said of them.
#[derive(Default)]
struct Sets {
    bounding: Capabilities,
    effective: Capabilities,
    inheritable: Capabilities,
    permitted: Capabilities,
    ambient: Capabilities,
}

impl Sets {
    fn of(asked: Option<&LinuxCapabilities>) -> Self {
        let Some(asked) = asked else {
            return Self::default();
        };
        let set = |set: &Option<runtime::Capabilities>| {
            let all = set.iter().flatten().copied();
            all.map(bit)
                .fold(Capabilities::empty(), |sum, one| sum | one)
        };
        Self {
            bounding: set(asked.bounding()),
            effective: set(asked.effective()),
            inheritable: set(asked.inheritable()),
            permitted: set(asked.permitted()),
            ambient: set(asked.ambient()),
        }
    }
}

/// A capability's bit; both lists have the names of capabilities(7).
fn bit(capability: Capability) -> Capabilities {
    Capabilities::from_name(&capability.to_string()).unwrap_or_default()
}

fn limits(asked: &[PosixRlimit], log: &Log) -> Result<Limits, Failure> {
    let mut limits = Limits::default();
    let mut seen = Vec::new();
    for (index, limit) in asked.iter().enumerate() {
        let field = format!("process.rlimits[{index}]");
        let kind = limit.typ();
        if seen.contains(&kind) {
            return Err(wrong(&field, "there is one of this type before"));
        }
        seen.push(kind);
        if limit.soft() > limit.hard() {
            return Err(wrong(&field, "the soft limit is above the hard one"));
        }
        let resource = resource(kind);
        let mut value = Rlimit {
            cur: limit.soft(),
            max: limit.hard(),
        };
        if resource == Resource::Nofile {
            let most = Limits::default().get(resource).max;
            if value.max > most {
                log.info(&format!("`{field}`: {} descriptors are the most", most));
                value.max = most;
                value.cur = value.cur.min(most);
            }
        }
        limits.set(resource, value);
    }
    Ok(limits)
}

fn resource(kind: PosixRlimitType) -> Resource {
    match kind {
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitStack => Resource::Stack,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
    }
}
