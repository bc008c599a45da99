//! /proc/sys: settings of the kernel, most of which are what they are. Source: proc(5),
//! Documentation/admin-guide/sysctl of Linux.

use std::sync::Arc;

use base::Errno;
use fs::inotify::{EVENTS_MAX, INSTANCES_MAX, WATCHES_MAX};
use fs::pseudo::{DynFile, PseudoFs, PseudoNode, Spec};
use net::options::DEFAULT_BUFFER;
use platform::host;
use vfs::{Caller, Capabilities, FILES_MAX, FileDescription, NR_OPEN};

use super::{Source, entry};
use crate::kernel::Kernel;
use crate::syscalls::system::{RELEASE, VERSION};
use crate::task::PID_MAX;

/// Longest host name: `__NEW_UTS_LEN`.
const NAME_MAX: usize = 64;

/// Makes /proc/sys.
pub(super) fn directory(fs: &PseudoFs, source: &Source) -> Arc<PseudoNode> {
    let spec = || Spec::mode(0o555);
    let fixed = |value: String| fs.constant(Spec::mode(0o444), format!("{value}\n"));
    let number = |value: u64| fixed(value.to_string());
    let kernel = fs.directory(
        spec(),
        [
            entry(
                "hostname",
                fs.file(Spec::mode(0o644), HostName(source.clone())),
            ),
            entry(
                "domainname",
                fs.file(Spec::mode(0o444), DomainName(source.clone())),
            ),
            entry("ostype", fixed("Linux".to_owned())),
            entry("osrelease", fixed(RELEASE.to_owned())),
            entry("version", fixed(VERSION.to_owned())),
            entry("pid_max", number(PID_MAX.unsigned_abs().into())),
            entry("threads-max", text(fs, source, threads_max)),
            entry("cap_last_cap", number(40)),
            entry("ngroups_max", number(65_536)),
            entry("overflowuid", number(65_534)),
            entry("overflowgid", number(65_534)),
            entry("core_pattern", fixed("core".to_owned())),
            entry("random", random(fs)),
        ],
    );
    let files = fs.directory(
        spec(),
        [
            entry("file-max", number(base::num::u64_of(FILES_MAX))),
            entry("file-nr", files_open(fs)),
            entry("nr_open", number(NR_OPEN.into())),
            entry("inotify", inotify(fs)),
            entry("pipe-max-size", text(fs, source, pipe_max)),
            entry("overflowuid", number(65_534)),
            entry("overflowgid", number(65_534)),
        ],
    );
    let memory = fs.directory(
        spec(),
        [
            entry("max_map_count", number(65_530)),
            entry("overcommit_memory", number(1)),
            entry("mmap_min_addr", number(65_536)),
        ],
    );
    fs.directory(
        spec(),
        [
            entry("kernel", kernel),
            entry("fs", files),
            entry("vm", memory),
            entry("net", network(fs)),
        ],
    )
}

/// /proc/sys/fs/inotify.
fn inotify(fs: &PseudoFs) -> Arc<PseudoNode> {
    let number = |value: usize| fs.constant(Spec::mode(0o444), format!("{value}\n"));
    fs.directory(
        Spec::mode(0o555),
        [
            entry("max_queued_events", number(EVENTS_MAX)),
            entry("max_user_instances", number(INSTANCES_MAX)),
            entry("max_user_watches", number(WATCHES_MAX)),
        ],
    )
}

/// /proc/sys/net.
fn network(fs: &PseudoFs) -> Arc<PseudoNode> {
    let spec = || Spec::mode(0o555);
    let number = |value: u64| fs.constant(Spec::mode(0o444), format!("{value}\n"));
    let buffer = base::num::u64_of(DEFAULT_BUFFER);
    let core = fs.directory(
        spec(),
        [
            entry("somaxconn", number(arch::abi::socket::SOMAXCONN.into())),
            entry("rmem_default", number(buffer)),
            entry("rmem_max", number(buffer)),
            entry("wmem_default", number(buffer)),
            entry("wmem_max", number(buffer)),
        ],
    );
    let unix = fs.directory(spec(), [entry("max_dgram_qlen", number(10))]);
    fs.directory(spec(), [entry("core", core), entry("unix", unix)])
}

fn text(fs: &PseudoFs, source: &Source, value: fn(&Kernel) -> u64) -> Arc<PseudoNode> {
    let source = source.clone();
    fs.file(Spec::mode(0o444), move |_: &Caller| {
        Ok(format!("{}\n", value(&*source.kernel()?)).into_bytes())
    })
}

fn threads_max(kernel: &Kernel) -> u64 {
    base::num::u64_of(kernel.pids.limit())
}

fn pipe_max(kernel: &Kernel) -> u64 {
    base::num::u64_of(kernel.pipes.max_size())
}

/// /proc/sys/fs/file-nr: open files, none of them unused, and the most there may be.
fn files_open(fs: &PseudoFs) -> Arc<PseudoNode> {
    fs.file(Spec::mode(0o444), |_: &Caller| {
        let text = format!("{}\t0\t{FILES_MAX}\n", FileDescription::count());
        Ok(text.into_bytes())
    })
}

/// /proc/sys/kernel/random.
fn random(fs: &PseudoFs) -> Arc<PseudoNode> {
    let boot = identifier().unwrap_or_default();
    let number = |value: u32| fs.constant(Spec::mode(0o444), format!("{value}\n"));
    fs.directory(
        Spec::mode(0o555),
        [
            entry("boot_id", fs.constant(Spec::mode(0o444), boot)),
            entry(
                "uuid",
                fs.file(Spec::mode(0o444), |_: &Caller| {
                    Ok(identifier()?.into_bytes())
                }),
            ),
            entry("entropy_avail", number(256)),
            entry("poolsize", number(256)),
        ],
    )
}

/// A random identifier (RFC 9562, version 4) and a newline.
fn identifier() -> Result<String, Errno> {
    let (high, low) = (host::random_u64()?, host::random_u64()?);
    let version = (high & 0x0fff) | 0x4000;
    let variant = ((low >> 48) & 0x3fff) | 0x8000;
    Ok(format!(
        "{:08x}-{:04x}-{version:04x}-{variant:04x}-{:012x}\n",
        high >> 32,
        (high >> 16) & 0xffff,
        low & 0xffff_ffff_ffff,
    ))
}

/// The host name, which the privileged may write.
struct HostName(Source);

impl DynFile for HostName {
    fn content(&self, _caller: &Caller) -> Result<Vec<u8>, Errno> {
        let mut name = self.0.kernel()?.hostname();
        name.push(b'\n');
        Ok(name)
    }

    fn write(&self, text: &[u8], at: u64, caller: &Caller) -> Result<usize, Errno> {
        if !caller.credentials.capable(Capabilities::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        if at != 0 {
            return Err(Errno::EINVAL);
        }
        let end = text.iter().position(|byte| matches!(byte, b'\n' | 0));
        let name = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
        let name = name.get(..NAME_MAX).unwrap_or(name);
        self.0.kernel()?.set_hostname(name.to_vec());
        Ok(text.len())
    }
}

struct DomainName(Source);

impl DynFile for DomainName {
    fn content(&self, _caller: &Caller) -> Result<Vec<u8>, Errno> {
        let mut name = self.0.kernel()?.domainname();
        name.push(b'\n');
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::identifier;

    #[test]
    fn identifiers_have_the_standard_form() {
        let (one, other) = (identifier().unwrap(), identifier().unwrap());
        assert_ne!(one, other);
        let parts: Vec<&str> = one.trim_end().split('-').collect();
        let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert!(parts[2].starts_with('4'));
        assert!(parts[3].starts_with(['8', '9', 'a', 'b']));
    }
}
