//! Fields that mean something else in a sandbox than in a container, or nothing.

use oci_spec::runtime::{
    Hook, Hooks, Linux, LinuxDevice, LinuxDeviceType, LinuxNamespaceType, LinuxPersonalityDomain,
    Process, Spec,
};
use vfs::DeviceId;

use crate::cli::Failure;
use crate::log::Log;

/// A mistake in a field, or one that is refused.
pub(super) fn wrong(field: &str, why: &str) -> Failure {
    Failure::own(format!("`{field}`: {why}"))
}

/// Refuses what a sandbox cannot honour, and warns of what it does not.
pub(super) fn check(spec: &Spec, log: &Log) -> Result<(), Failure> {
    if !spec.version().starts_with("1.") {
        return Err(wrong(
            "ociVersion",
            &format!(
                "`{}` is not a version 1 of the specification",
                spec.version()
            ),
        ));
    }
    let other = [
        ("solaris", spec.solaris().is_some()),
        ("windows", spec.windows().is_some()),
        ("vm", spec.vm().is_some()),
        ("zos", spec.zos().is_some()),
    ];
    for (field, there) in other {
        if there {
            return Err(wrong(field, "this bundle is for another platform"));
        }
    }
    if spec.root().is_none() {
        return Err(wrong("root", "it is missing"));
    }
    let process = spec.process().as_ref();
    self::process(
        process.ok_or_else(|| wrong("process", "it is missing"))?,
        log,
    )?;
    if let Some(hooks) = spec.hooks() {
        self::hooks(hooks, log)?;
    }
    let top = [
        ("uidMappings", spec.uid_mappings().is_some()),
        ("gidMappings", spec.gid_mappings().is_some()),
    ];
    warn_of(&top, log);
    if let Some(linux) = spec.linux() {
        self::linux(linux, log)?;
    }
    Ok(())
}

/// Hooks run on the host; none can run where the program does.
fn hooks(hooks: &Hooks, log: &Log) -> Result<(), Failure> {
    let there = |hooks: &Option<Vec<Hook>>| hooks.iter().flatten().next().is_some();
    if there(hooks.start_container()) {
        return Err(wrong(
            "hooks.startContainer",
            "programs cannot be run in the sandbox before the container's own",
        ));
    }
    if there(hooks.create_container()) {
        log.warn(
            "`hooks.createContainer` are run in the caller's mount namespace: the sandbox has no \
             other that a program of the host could use",
        );
    }
    Ok(())
}

/// A process's own fields.
pub(super) fn process(process: &Process, log: &Log) -> Result<(), Failure> {
    if process.args().as_ref().is_none_or(Vec::is_empty) {
        return Err(wrong("process.args", "it must not be empty"));
    }
    if !process.cwd().is_absolute() {
        return Err(wrong("process.cwd", "Cwd must be an absolute path"));
    }
    let without_effect = [
        ("process.ioPriority", process.io_priority().is_some()),
        ("process.scheduler", process.scheduler().is_some()),
        (
            "process.execCPUAffinity",
            process.exec_cpu_affinity().is_some(),
        ),
        ("process.commandLine", process.command_line().is_some()),
    ];
    warn_of(&without_effect, log);
    let labels = [
        ("process.apparmorProfile", process.apparmor_profile()),
        ("process.selinuxLabel", process.selinux_label()),
    ];
    for (field, label) in labels {
        if let Some(label) = label.as_ref().filter(|label| !label.is_empty()) {
            log.info(&format!(
                "`{field}` ({label}) is not applied: no system call of the program reaches the \
                 host's kernel, which would check it"
            ));
        }
    }
    Ok(())
}

fn warn_of(fields: &[(&str, bool)], log: &Log) {
    for (field, there) in fields {
        if *there {
            log.warn(&format!("`{field}` has no effect in a sandbox"));
        }
    }
}

fn linux(linux: &Linux, log: &Log) -> Result<(), Failure> {
    namespaces(linux, log)?;
    for device in linux.devices().iter().flatten() {
        self::device(device)?;
    }
    if let Some(personality) = linux.personality()
        && personality.domain() != LinuxPersonalityDomain::PerLinux
    {
        return Err(wrong("linux.personality", "only LINUX is supported"));
    }
    let without_effect = [
        ("linux.timeOffsets", linux.time_offsets().is_some()),
        ("linux.intelRdt", linux.intel_rdt().is_some()),
        ("linux.memoryPolicy", linux.memory_policy().is_some()),
        ("linux.netDevices", linux.net_devices().is_some()),
    ];
    warn_of(&without_effect, log);
    for (name, value) in linux.sysctl().iter().flatten() {
        log.warn(&format!(
            "`linux.sysctl`: {name}={value} has no effect in a sandbox"
        ));
    }
    let propagation = linux.rootfs_propagation().as_deref().unwrap_or("private");
    match propagation {
        "private" | "rprivate" | "" => {}
        "shared" | "rshared" | "slave" | "rslave" | "unbindable" | "runbindable" => {
            log.info(&format!(
                "`linux.rootfsPropagation` is {propagation}: mounts of the host that come later \
                 do not show in a sandbox"
            ));
        }
        other => {
            return Err(wrong(
                "linux.rootfsPropagation",
                &format!("`{other}` is no kind of propagation"),
            ));
        }
    }
    if let Some(label) = linux
        .mount_label()
        .as_ref()
        .filter(|label| !label.is_empty())
    {
        log.info(&format!("`linux.mountLabel` ({label}) is not applied"));
    }
    if let Some(resources) = linux.resources() {
        let without_effect = [
            ("linux.resources.network", resources.network().is_some()),
            ("linux.resources.rdma", resources.rdma().is_some()),
        ];
        warn_of(&without_effect, log);
    }
    Ok(())
}

/// A sandbox has namespaces of its own in any case.
fn namespaces(linux: &Linux, log: &Log) -> Result<(), Failure> {
    let listed = linux.namespaces().as_deref().unwrap_or_default();
    for namespace in listed {
        let Some(path) = namespace.path() else {
            continue;
        };
        let (kind, path) = (namespace.typ(), path.display());
        match kind {
            LinuxNamespaceType::Network => log.warn(&format!(
                "`linux.namespaces`: the network namespace {path} is not entered: programs have \
                 a loopback of their own only"
            )),
            LinuxNamespaceType::Cgroup | LinuxNamespaceType::Time => log.warn(&format!(
                "`linux.namespaces`: the {kind} namespace {path} is not entered"
            )),
            _ => {
                return Err(wrong(
                    "linux.namespaces",
                    &format!(
                        "the {kind} namespace {path} cannot be joined: each sandbox has a kernel \
                         of its own"
                    ),
                ));
            }
        }
    }
    use LinuxNamespaceType::{Ipc, Network, Pid, Uts};
    for kind in [Ipc, Network, Pid, Uts] {
        if !listed.iter().any(|namespace| namespace.typ() == kind) {
            log.info(&format!(
                "`linux.namespaces` has no {kind} namespace: the host's is not shown, the sandbox \
                 has its own"
            ));
        }
    }
    Ok(())
}

/// Only the sentry's own devices are there.
fn device(device: &LinuxDevice) -> Result<(), Failure> {
    let number = (u32::try_from(device.major()), u32::try_from(device.minor()));
    let character = matches!(device.typ(), LinuxDeviceType::C | LinuxDeviceType::U);
    if character
        && let (Ok(major), Ok(minor)) = number
        && fs::dev::name_of(DeviceId::new(major, minor)).is_some()
    {
        return Ok(());
    }
    if device.typ() == LinuxDeviceType::P {
        return Err(wrong(
            "linux.devices",
            "a pipe is not made; make it in the image",
        ));
    }
    Err(wrong(
        "linux.devices",
        &format!(
            "the device {} ({}:{}) is not shown: a sandbox has devices of its own, none of the \
             host's",
            device.path().display(),
            device.major(),
            device.minor()
        ),
    ))
}

/// Mount options that are known: for `features`.
pub(crate) fn mount_options() -> Vec<String> {
    super::mounts::known_options()
}
