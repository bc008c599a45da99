//! What the sentry gives up before it runs anything.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use platform::Platform;
use platform::host::SENTRY_RULES;
use platform::host::setup::{
    Namespaces, TreeAccess, clone_tree, drop_capabilities, empty_root, limit_resources,
    make_mounts_private, no_new_privs, seccomp,
};

use super::Plan;
use crate::cli::Failure;

/// Reading whatever the caller may read: CAP_DAC_READ_SEARCH.
const READING: u64 = 1 << 2;
/// Changing the files of volumes as root does: CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER,
/// CAP_FSETID.
const CHANGING: u64 = 1 | 1 << 1 | 1 << 3 | 1 << 4;

/// Host trees that the sandbox shows, cut off from the rest of the host.
pub(super) struct Trees {
    /// The root, read-only.
    pub(super) root: OwnedFd,
    /// One for each volume, in the plan's order.
    pub(super) volumes: Vec<OwnedFd>,
}

/// Takes hold of what the sandbox shows of the host.
pub(super) fn take_trees(plan: &Plan, namespaces: Namespaces) -> Result<Trees, Failure> {
    let mounts = namespaces.contains(Namespaces::MOUNT);
    if mounts {
        make_mounts_private()
            .map_err(|errno| Failure::own(format!("cannot make the mounts private: {errno}")))?;
    }
    let take = |path: &Path, access| {
        let failed = |errno: String| {
            Failure::own(format!(
                "cannot open `{}` on the host: {errno}",
                path.display()
            ))
        };
        if !mounts {
            return std::fs::File::open(path)
                .map(OwnedFd::from)
                .map_err(|error| failed(error.to_string()));
        }
        let text = CString::new(path.as_os_str().as_bytes())
            .map_err(|_| failed("a path with a zero byte".to_owned()))?;
        clone_tree(&text, access).map_err(|errno| failed(errno.to_string()))
    };
    Ok(Trees {
        root: take(&plan.rootfs, TreeAccess::ReadOnly)?,
        volumes: plan
            .volumes
            .iter()
            .map(|volume| {
                let access = if volume.read_only {
                    TreeAccess::ReadOnly
                } else {
                    TreeAccess::ReadWrite
                };
                take(&volume.source, access)
            })
            .collect::<Result<_, _>>()?,
    })
}

/// Gives up everything that the sentry does not need. Returns how many descriptors it may
/// have.
pub(super) fn confine(
    plan: &Plan,
    namespaces: Namespaces,
    platform: &dyn Platform,
) -> Result<u64, Failure> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |errno| Failure::own(format!("cannot {what}: {errno}"))
    };
    plan.log.info(&format!("in new namespaces: {namespaces}"));
    if !plan.without.is_empty() {
        plan.log
            .warn(&format!("without new namespaces: {}", plan.without));
    }
    if namespaces.contains(Namespaces::MOUNT) {
        empty_root().map_err(failed("enter an empty root"))?;
        plan.log
            .info("in minimal root: an empty, read-only directory");
    }
    no_new_privs().map_err(failed("rule out new privileges"))?;
    let descriptors = limit_resources().map_err(failed("limit resources"))?;
    let writable = plan.volumes.iter().any(|volume| !volume.read_only);
    let kept = if writable {
        READING | CHANGING
    } else {
        READING
    };
    drop_capabilities(kept).map_err(failed("drop capabilities"))?;
    plan.log.info(if writable {
        "no capability but those to read, and to change the files of volumes"
    } else {
        "no capability but that to read files"
    });
    let rules: Vec<_> = SENTRY_RULES
        .iter()
        .chain(platform.host_rules())
        .copied()
        .collect();
    let filter = seccomp::compile(&rules).map_err(|error| Failure::own(error.to_string()))?;
    seccomp::install(&filter).map_err(|error| Failure::own(error.to_string()))?;
    plan.log.info(&format!(
        "host calls filtered: {} rules, everything else ends the sandbox",
        rules.iter().map(|rules| rules.len()).sum::<usize>()
    ));
    Ok(descriptors)
}
