//! Namespaces of the host and their id maps: namespaces(7), user_namespaces(7).

use std::fmt;
use std::fs;
use std::io::Write;

use arch::abi::Errno;

use super::super::errors::errno_of;

bitflags::bitflags! {
    /// Namespaces that the sentry gets of its own.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Namespaces: u32 {
        /// Mounts: CLONE_NEWNS.
        const MOUNT = 0x0002_0000;
        /// Host and domain name: CLONE_NEWUTS.
        const UTS = 0x0400_0000;
        /// System V IPC, POSIX queues: CLONE_NEWIPC.
        const IPC = 0x0800_0000;
        /// Users and capabilities: CLONE_NEWUSER.
        const USER = 0x1000_0000;
        /// Process ids: CLONE_NEWPID.
        const PID = 0x2000_0000;
        /// Network: CLONE_NEWNET.
        const NET = 0x4000_0000;
    }
}

impl fmt::Display for Namespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, _)) in self.iter_names().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{}", name.to_ascii_lowercase())?;
        }
        Ok(())
    }
}

/// The id maps of a new user namespace: ranges (inside, outside, count).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdMaps {
    /// Users.
    pub users: Vec<(u32, u32, u32)>,
    /// Groups.
    pub groups: Vec<(u32, u32, u32)>,
    /// Whether setgroups(2) must be denied first: maps written without CAP_SETGID.
    pub deny_setgroups: bool,
}

impl IdMaps {
    /// Every id that the caller's own namespace has, each as itself; for a caller
    /// who may not map those, its own ids alone. Reads /proc.
    pub fn of_caller(uid: u32, gid: u32, may_map_all: bool) -> Result<Self, Errno> {
        if !may_map_all {
            return Ok(Self {
                users: vec![(uid, uid, 1)],
                groups: vec![(gid, gid, 1)],
                deny_setgroups: true,
            });
        }
        Ok(Self {
            users: identity("/proc/self/uid_map")?,
            groups: identity("/proc/self/gid_map")?,
            deny_setgroups: false,
        })
    }

    /// Writes the maps of process `pid`'s new user namespace, from outside of it.
    pub fn write(&self, pid: i32) -> Result<(), Errno> {
        if self.deny_setgroups {
            put(&format!("/proc/{pid}/setgroups"), "deny")?;
        }
        put(&format!("/proc/{pid}/gid_map"), &text(&self.groups))?;
        put(&format!("/proc/{pid}/uid_map"), &text(&self.users))
    }
}

/// The caller's own ids, mapped onto themselves.
fn identity(path: &str) -> Result<Vec<(u32, u32, u32)>, Errno> {
    let text = fs::read_to_string(path).map_err(|error| errno_of(&error))?;
    let ranges = parse_id_map(&text).ok_or(Errno::EINVAL)?;
    Ok(ranges
        .into_iter()
        .map(|(inside, _, count)| (inside, inside, count))
        .collect())
}

/// Ranges (inside, outside, count) of an id map's text; `None` if it is not one.
#[must_use]
pub fn parse_id_map(text: &str) -> Option<Vec<(u32, u32, u32)>> {
    text.lines()
        .map(|line| {
            let mut fields = line.split_ascii_whitespace().map(str::parse);
            let mut next = || fields.next()?.ok();
            Some((next()?, next()?, next()?))
        })
        .collect()
}

fn text(ranges: &[(u32, u32, u32)]) -> String {
    let mut text = String::new();
    for (inside, outside, count) in ranges {
        text.push_str(&format!("{inside} {outside} {count}\n"));
    }
    text
}

/// An id map takes one write and no more.
fn put(path: &str, text: &str) -> Result<(), Errno> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .open(path)
        .map_err(|error| errno_of(&error))?;
    file.write_all(text.as_bytes())
        .map_err(|error| errno_of(&error))
}

/// Which of `wanted` the host refuses, each tried alone (within a new user namespace,
/// if that one is wanted and works) in a child process that ends at once. For the
/// report after a start with all of them failed.
#[must_use]
pub fn enter_check(wanted: Namespaces) -> Namespaces {
    let mut refused = Namespaces::empty();
    let with_user = wanted & Namespaces::USER;
    for one in wanted.iter() {
        if !super::process::can_enter(one | (with_user - one)) {
            refused |= one;
        }
    }
    if refused.contains(Namespaces::USER) && with_user == Namespaces::USER {
        // The others were tried inside of what is refused: try them outside.
        refused = Namespaces::USER;
        for one in (wanted - Namespaces::USER).iter() {
            if !super::process::can_enter(one) {
                refused |= one;
            }
        }
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_maps() {
        let all = "         0          0 4294967295\n";
        assert_eq!(parse_id_map(all), Some(vec![(0, 0, u32::MAX)]));
        let two = "0 1000 1\n1 100000 65536\n";
        assert_eq!(
            parse_id_map(two),
            Some(vec![(0, 1000, 1), (1, 100_000, 65_536)])
        );
        assert_eq!(parse_id_map("0 0"), None);
        assert_eq!(parse_id_map("0 0 x"), None);
        assert_eq!(text(&[(0, 1000, 1)]), "0 1000 1\n");
    }

    #[test]
    fn names() {
        let two = Namespaces::USER | Namespaces::NET;
        assert_eq!(two.to_string(), "user, net");
    }
}
