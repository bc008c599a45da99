//! Who asks: credentials(7), capabilities(7).

use std::sync::Arc;

use base::{Gid, Pid, Uid};

bitflags::bitflags! {
    /// A set of capabilities; bit numbers as in capabilities(7).
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct Capabilities: u64 {
        /// Change owners of files.
        const CHOWN = 1 << 0;
        /// Pass over read, write and execute permission.
        const DAC_OVERRIDE = 1 << 1;
        /// Pass over read permission and search of directories.
        const DAC_READ_SEARCH = 1 << 2;
        /// Act as the owner of any file.
        const FOWNER = 1 << 3;
        /// Keep set-id bits.
        const FSETID = 1 << 4;
        /// Signal any process.
        const KILL = 1 << 5;
        /// Set group ids.
        const SETGID = 1 << 6;
        /// Set user ids.
        const SETUID = 1 << 7;
        /// Change capabilities.
        const SETPCAP = 1 << 8;
        /// Immutable and append-only files.
        const LINUX_IMMUTABLE = 1 << 9;
        /// Ports below 1024.
        const NET_BIND_SERVICE = 1 << 10;
        /// Broadcast, multicast.
        const NET_BROADCAST = 1 << 11;
        /// Network configuration.
        const NET_ADMIN = 1 << 12;
        /// Raw sockets.
        const NET_RAW = 1 << 13;
        /// Lock memory.
        const IPC_LOCK = 1 << 14;
        /// Own System V objects.
        const IPC_OWNER = 1 << 15;
        /// Kernel modules.
        const SYS_MODULE = 1 << 16;
        /// Raw I/O.
        const SYS_RAWIO = 1 << 17;
        /// chroot(2).
        const SYS_CHROOT = 1 << 18;
        /// Trace any process.
        const SYS_PTRACE = 1 << 19;
        /// Process accounting.
        const SYS_PACCT = 1 << 20;
        /// Mounts, host name and much else.
        const SYS_ADMIN = 1 << 21;
        /// reboot(2).
        const SYS_BOOT = 1 << 22;
        /// Scheduling.
        const SYS_NICE = 1 << 23;
        /// Resource limits.
        const SYS_RESOURCE = 1 << 24;
        /// Clocks.
        const SYS_TIME = 1 << 25;
        /// vhangup(2).
        const SYS_TTY_CONFIG = 1 << 26;
        /// Device nodes.
        const MKNOD = 1 << 27;
        /// Leases.
        const LEASE = 1 << 28;
        /// Audit log.
        const AUDIT_WRITE = 1 << 29;
        /// Audit configuration.
        const AUDIT_CONTROL = 1 << 30;
        /// File capabilities.
        const SETFCAP = 1 << 31;
        /// Mandatory access control.
        const MAC_OVERRIDE = 1 << 32;
        /// Its configuration.
        const MAC_ADMIN = 1 << 33;
        /// Kernel log.
        const SYSLOG = 1 << 34;
        /// Wake alarms.
        const WAKE_ALARM = 1 << 35;
        /// Block suspend.
        const BLOCK_SUSPEND = 1 << 36;
        /// Read the audit log.
        const AUDIT_READ = 1 << 37;
        /// Performance monitoring.
        const PERFMON = 1 << 38;
        /// BPF.
        const BPF = 1 << 39;
        /// Checkpoint, restore.
        const CHECKPOINT_RESTORE = 1 << 40;
    }
}

/// A task's credentials; immutable, replaced whole. Source: credentials(7).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credentials {
    /// Real user id.
    pub uid: Uid,
    /// Effective user id.
    pub euid: Uid,
    /// Saved set-user-id.
    pub suid: Uid,
    /// User id for file access.
    pub fsuid: Uid,
    /// Real group id.
    pub gid: Gid,
    /// Effective group id.
    pub egid: Gid,
    /// Saved set-group-id.
    pub sgid: Gid,
    /// Group id for file access.
    pub fsgid: Gid,
    /// Supplementary groups.
    pub groups: Arc<[Gid]>,
    /// Effective capabilities.
    pub effective: Capabilities,
    /// Permitted capabilities.
    pub permitted: Capabilities,
    /// Inheritable capabilities.
    pub inheritable: Capabilities,
    /// Bounding set.
    pub bounding: Capabilities,
    /// Ambient set.
    pub ambient: Capabilities,
    /// `securebits` of prctl(2).
    pub securebits: u32,
    /// PR_SET_NO_NEW_PRIVS was called.
    pub no_new_privs: bool,
}

impl Credentials {
    /// For a user and group; root holds all of `bounding`, others none.
    #[must_use]
    pub fn new(uid: Uid, gid: Gid, groups: Arc<[Gid]>, bounding: Capabilities) -> Self {
        let held = if uid == Uid::ROOT {
            bounding
        } else {
            Capabilities::empty()
        };
        Self {
            uid,
            euid: uid,
            suid: uid,
            fsuid: uid,
            gid,
            egid: gid,
            sgid: gid,
            fsgid: gid,
            groups,
            effective: held,
            permitted: held,
            inheritable: Capabilities::empty(),
            bounding,
            ambient: Capabilities::empty(),
            securebits: 0,
            no_new_privs: false,
        }
    }

    /// Whether all of `wanted` is in the effective set.
    #[must_use]
    pub const fn capable(&self, wanted: Capabilities) -> bool {
        self.effective.contains(wanted)
    }

    /// Whether `gid` is the file-access group or a supplementary one.
    #[must_use]
    pub fn in_group(&self, gid: Gid) -> bool {
        self.fsgid == gid || self.groups.contains(&gid)
    }
}

/// Who makes a request of the file layer, and for which task: /proc/self and the
/// like depend on it.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Its credentials.
    pub credentials: Arc<Credentials>,
    /// Its thread id.
    pub tid: Pid,
    /// Its thread group's id: the process id.
    pub tgid: Pid,
}

impl Caller {
    /// The kernel on its own behalf: root with all rights, and no task.
    #[must_use]
    pub fn kernel() -> Self {
        let all = Capabilities::all();
        Self {
            credentials: Arc::new(Credentials::new(Uid::ROOT, Gid::ROOT, Arc::from([]), all)),
            tid: Pid(0),
            tgid: Pid(0),
        }
    }
}
