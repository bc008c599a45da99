//! Who the program is, and how its ids are the host's.

use base::{Errno, Gid, Uid};
use platform::host::setup::{self, IdMaps};
use vfs::{Capabilities, Credentials};

/// As whom the program runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RunAs {
    /// The caller.
    Caller,
    /// Root of the sandbox.
    Root,
}

/// The ids of the program, and the caller's on the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    /// In the sandbox.
    uid: u32,
    /// In the sandbox.
    gid: u32,
    /// In the sandbox.
    groups: Vec<u32>,
    host_uid: u32,
    host_gid: u32,
    may_map_all: bool,
}

impl Identity {
    /// Of the program that this process's user starts.
    pub(crate) fn current(run_as: RunAs) -> Result<Self, Errno> {
        let (host_uid, host_gid, may_map_all) = setup::current_ids();
        let (uid, gid, groups) = match run_as {
            RunAs::Caller => (host_uid, host_gid, setup::current_groups()?),
            RunAs::Root => (0, 0, Vec::new()),
        };
        Ok(Self {
            uid,
            gid,
            groups,
            host_uid,
            host_gid,
            may_map_all,
        })
    }

    /// The program's credentials: root has all capabilities there are in the sandbox.
    pub(crate) fn credentials(&self) -> Credentials {
        let groups = self.groups.iter().copied().map(Gid).collect();
        Credentials::new(Uid(self.uid), Gid(self.gid), groups, Capabilities::all())
    }

    /// The maps of the sentry's user namespace: all of the caller's ids where he may map
    /// them, else his own one, as the one that the program has.
    pub(crate) fn maps(&self) -> Result<IdMaps, Errno> {
        let mut maps = IdMaps::of_caller(self.host_uid, self.host_gid, self.may_map_all)?;
        if !self.may_map_all {
            maps.users = vec![(self.uid, self.host_uid, 1)];
            maps.groups = vec![(self.gid, self.host_gid, 1)];
        }
        Ok(maps)
    }
}
