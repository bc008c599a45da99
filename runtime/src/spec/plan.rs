//! From a bundle to a sandbox.

use std::path::PathBuf;

use base::Errno;
use oci_spec::runtime::{Linux, LinuxIdMapping, LinuxNamespaceType, Spec};
use platform::host::setup::{self, IdMaps, Namespaces};
use platform::ptrace::Nullify;
use platform::seccomp;
use sentry::kernel::Init;

use super::check::wrong;
use super::{Bundle, mounts, process};
use crate::cli::Failure;
use crate::log::Log;
use crate::sandbox::{Changes, Plan, PlatformKind, Root};

/// A container's annotation that asks for a root whose changes are kept in memory: `memory`.
const OVERLAY: &str = "dev.ringfence.overlay";

/// A container's annotation that names the platform.
const PLATFORM: &str = "dev.ringfence.platform";

/// Tasks that a sandbox may have if the bundle does not say.
const TASKS: usize = 4096;

/// Tasks that a sandbox may have at all, each with a host thread.
const TASKS_MAX: usize = 16_384;

/// What the command line says beside the bundle.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Choices {
    /// How system calls are caught.
    pub(crate) platform: Option<PlatformKind>,
    /// Changes in the root are kept in memory.
    pub(crate) in_memory: bool,
    /// Each system call is printed.
    pub(crate) strace: bool,
}

/// What the bundle's sandbox is to be.
pub(crate) fn plan(bundle: &Bundle, choices: Choices, log: &Log) -> Result<Plan, Failure> {
    let spec = &bundle.spec;
    let asked = spec.process().as_ref();
    let mut process = process(asked.ok_or_else(|| wrong("process", "it is missing"))?, log)?;
    let linux = spec.linux().clone().unwrap_or_default();
    let linux_given = spec.linux().is_some();
    if let Some(filter) = linux.seccomp() {
        process.filter = super::seccomp::compile(filter, log)?;
    }
    let root = root(bundle, choices)?;
    let paths = |paths: &Option<Vec<String>>| -> Vec<PathBuf> {
        let paths = paths.iter().flatten().filter(|_| linux_given);
        paths.map(PathBuf::from).collect()
    };
    let resources = linux.resources().as_ref();
    let memory = resources.and_then(|resources| resources.memory().as_ref()?.limit());
    let pids = resources.and_then(|resources| Some(resources.pids().as_ref()?.limit()));
    let tasks = pids.filter(|pids| *pids > 0);
    let tasks = tasks.map_or(TASKS, |pids| usize::try_from(pids).unwrap_or(TASKS_MAX));
    let hostname = spec
        .hostname()
        .clone()
        .unwrap_or_else(|| "localhost".to_owned());
    if hostname.len() > 64 {
        return Err(wrong("hostname", "it is longer than 64 bytes"));
    }
    Ok(Plan {
        platform: platform(spec, choices)?,
        memory: memory
            .and_then(|limit| u64::try_from(limit).ok())
            .filter(|limit| *limit > 0),
        // One for the kernel's own use, one for the program at least.
        tasks: tasks.clamp(2, TASKS_MAX),
        root,
        mounts: mounts::mounts(
            spec.mounts().as_deref().unwrap_or_default(),
            &bundle.path,
            log,
        )?,
        masked: paths(linux.masked_paths()),
        read_only: paths(linux.readonly_paths()),
        hostname: hostname.into_bytes(),
        domainname: spec.domainname().clone().map(String::into_bytes),
        namespaces: Namespaces::all(),
        maps: maps(&linux)
            .map_err(|errno| Failure::own(format!("cannot read the caller's id maps: {errno}")))?,
        init: Init::Program,
        strace: choices.strace,
        process,
    })
}

fn root(bundle: &Bundle, choices: Choices) -> Result<Root, Failure> {
    let spec = &bundle.spec;
    let root = spec.root().as_ref();
    let root = root.ok_or_else(|| wrong("root", "it is missing"))?;
    let mut in_memory = choices.in_memory;
    match annotation(spec, OVERLAY) {
        None | Some("none") => {}
        Some("memory") => in_memory = true,
        Some(other) => {
            return Err(wrong(
                &format!("annotations.{OVERLAY}"),
                &format!("`{other}` is neither `memory` nor `none`"),
            ));
        }
    }
    let changes = match (root.readonly().unwrap_or(false), in_memory) {
        (true, _) => Changes::Refused,
        (false, true) => Changes::InMemory,
        (false, false) => Changes::Through,
    };
    Ok(Root {
        path: bundle.path.join(root.path()),
        changes,
    })
}

fn annotation<'a>(spec: &'a Spec, name: &str) -> Option<&'a str> {
    spec.annotations().as_ref()?.get(name).map(String::as_str)
}

fn platform(spec: &Spec, choices: Choices) -> Result<PlatformKind, Failure> {
    if let Some(platform) = choices.platform {
        return Ok(platform);
    }
    match annotation(spec, PLATFORM) {
        None | Some("auto") => Ok(PlatformKind::Auto(seccomp::Options::default())),
        Some("ptrace") => Ok(PlatformKind::Ptrace(Nullify::Sysemu)),
        Some("seccomp") => Ok(PlatformKind::Seccomp(seccomp::Options::default())),
        Some("kvm") => Ok(PlatformKind::Kvm),
        Some(other) => Err(wrong(
            &format!("annotations.{PLATFORM}"),
            &format!("`{other}` is no platform; there are auto, ptrace, seccomp and kvm"),
        )),
    }
}

/// The maps of the sentry's user namespace: the bundle's, if it asks for one, else all ids
/// that the caller has.
fn maps(linux: &Linux) -> Result<IdMaps, Errno> {
    let (uid, gid, may_map_all) = setup::current_ids();
    let caller = IdMaps::of_caller(uid, gid, may_map_all)?;
    let namespaces = linux.namespaces().as_deref().unwrap_or_default();
    let user = namespaces
        .iter()
        .any(|namespace| namespace.typ() == LinuxNamespaceType::User);
    let ranges = |maps: &Option<Vec<LinuxIdMapping>>| -> Vec<(u32, u32, u32)> {
        let maps = maps.iter().flatten();
        maps.map(|map| (map.container_id(), map.host_id(), map.size()))
            .collect()
    };
    let (users, groups) = (ranges(linux.uid_mappings()), ranges(linux.gid_mappings()));
    if !user || users.is_empty() || groups.is_empty() {
        return Ok(caller);
    }
    Ok(IdMaps {
        users,
        groups,
        deny_setgroups: caller.deny_setgroups,
    })
}
