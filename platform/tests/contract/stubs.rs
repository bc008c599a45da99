//! What a stub process is made of, seen from the host.

use super::code;
use super::harness::with_stubs;

/// The processes that `parent` has made and that have not ended, in the order of ids.
pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // After the name in parentheses: state, parent.
        let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let (state, ppid) = (fields.next(), fields.next());
        if ppid.and_then(|ppid| ppid.parse().ok()) == Some(parent) && state != Some("Z") {
            found.push(pid);
        }
    }
    found.sort_unstable();
    found
}

/// The lines of /proc/pid/maps.
pub(crate) fn mappings(pid: u32) -> Vec<String> {
    std::fs::read_to_string(format!("/proc/{pid}/maps"))
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// What a process has open, by number.
pub(crate) fn descriptors(pid: u32) -> Vec<(u32, String)> {
    let mut found: Vec<_> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .flatten()
        .map(|entry| {
            let number = entry.file_name().to_string_lossy().parse().unwrap();
            let target = std::fs::read_link(entry.path()).unwrap_or_default();
            (number, target.to_string_lossy().into_owned())
        })
        .collect();
    found.sort_unstable();
    found
}

/// Start addresses of what is executable from `limit` on.
pub(crate) fn executable_pages(pid: u32, limit: u64) -> Vec<u64> {
    let pages: Vec<_> = mappings(pid)
        .iter()
        .filter(|line| line.contains("r-xp"))
        .filter_map(|line| u64::from_str_radix(line.split('-').next()?, 16).ok())
        .filter(|start| *start >= limit && *start < 1 << 63)
        .collect();
    assert_eq!(pages.len(), 1, "one code page");
    pages
}

#[test]
fn a_stub_has_nothing_but_its_own() {
    // A descriptor without close-on-exec, as a caller may leave one.
    let (leak, _) = platform::host::pipe().unwrap();
    use std::os::fd::AsRawFd;
    // SAFETY: clears a flag of a descriptor that is open.
    unsafe { libc::fcntl(leak.as_raw_fd(), libc::F_SETFD, 0) };
    with_stubs(code::count(), |guest| {
        guest.grow_up();
        let limit = guest.platform.limits().max_address.0;
        let stubs = children_of(std::process::id());
        assert_eq!(stubs.len(), 2, "zygote and space");
        for &pid in &stubs {
            for (number, target) in descriptors(pid) {
                let ours = ["ringfence-", "anon_inode:[eventfd]", "socket:"];
                let is_listener = number == 0 && target == "anon_inode:seccomp notify";
                assert!(
                    is_listener || number > 2 && ours.iter().any(|name| target.contains(name)),
                    "{number}: {target}"
                );
            }
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            for line in [
                "CapEff:\t0000000000000000",
                "CapBnd:\t0000000000000000",
                "NoNewPrivs:\t1",
            ] {
                assert!(
                    status.contains(line) || line.starts_with("CapBnd"),
                    "{line} in {status}"
                );
            }
        }
        let lines = mappings(stubs[1]);
        let named = lines.iter().filter(|line| !line.contains("[vsyscall]"));
        let own = named.filter(|line| {
            u64::from_str_radix(line.split('-').next().unwrap(), 16).unwrap() >= limit
        });
        let pages = if guest.platform.name() == "seccomp" {
            3
        } else {
            2
        };
        assert_eq!(own.count(), pages, "code and control pages: {lines:#?}");
        assert!(
            !lines
                .iter()
                .any(|line| line.contains("[stack]") || line.contains("[vdso]"))
        );
    });
}
