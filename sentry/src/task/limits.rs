//! Resource limits: getrlimit(2).

use arch::abi::process::{RLIM_INFINITY, Rlimit};
use mem::MemLimits;

/// A resource.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Resource {
    /// Seconds of CPU time.
    Cpu,
    /// Bytes of a file.
    Fsize,
    /// Bytes of data.
    Data,
    /// Bytes of the stack.
    Stack,
    /// Bytes of a core dump.
    Core,
    /// Without effect.
    Rss,
    /// Tasks of the user.
    Nproc,
    /// One more than the highest descriptor.
    Nofile,
    /// Locked bytes.
    Memlock,
    /// Bytes of address space.
    As,
    /// Without effect.
    Locks,
    /// Queued signals of the user.
    Sigpending,
    /// Bytes in message queues of the user.
    Msgqueue,
    /// 20 minus the lowest nice value.
    Nice,
    /// Highest real-time priority.
    Rtprio,
    /// Microseconds of real-time CPU without a wait.
    Rttime,
}

/// All resources in the order of their numbers.
pub const RESOURCES: [Resource; 16] = [
    Resource::Cpu,
    Resource::Fsize,
    Resource::Data,
    Resource::Stack,
    Resource::Core,
    Resource::Rss,
    Resource::Nproc,
    Resource::Nofile,
    Resource::Memlock,
    Resource::As,
    Resource::Locks,
    Resource::Sigpending,
    Resource::Msgqueue,
    Resource::Nice,
    Resource::Rtprio,
    Resource::Rttime,
];

impl Resource {
    /// By its number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        RESOURCES.get(usize::try_from(number).ok()?).copied()
    }

    fn index(self) -> usize {
        RESOURCES
            .iter()
            .position(|resource| *resource == self)
            .unwrap_or(0)
    }

    /// Its name in /proc/pid/limits, and its unit there.
    #[must_use]
    pub const fn name_and_unit(self) -> (&'static str, &'static str) {
        match self {
            Self::Cpu => ("Max cpu time", "seconds"),
            Self::Fsize => ("Max file size", "bytes"),
            Self::Data => ("Max data size", "bytes"),
            Self::Stack => ("Max stack size", "bytes"),
            Self::Core => ("Max core file size", "bytes"),
            Self::Rss => ("Max resident set", "bytes"),
            Self::Nproc => ("Max processes", "processes"),
            Self::Nofile => ("Max open files", "files"),
            Self::Memlock => ("Max locked memory", "bytes"),
            Self::As => ("Max address space", "bytes"),
            Self::Locks => ("Max file locks", "locks"),
            Self::Sigpending => ("Max pending signals", "signals"),
            Self::Msgqueue => ("Max msgqueue size", "bytes"),
            Self::Nice => ("Max nice priority", ""),
            Self::Rtprio => ("Max realtime priority", ""),
            Self::Rttime => ("Max realtime timeout", "us"),
        }
    }
}

/// The limits of a thread group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits([Rlimit; RESOURCES.len()]);

impl Limits {
    /// Soft and hard limit of a resource.
    #[must_use]
    pub fn get(&self, resource: Resource) -> Rlimit {
        let none = Rlimit {
            cur: RLIM_INFINITY,
            max: RLIM_INFINITY,
        };
        self.0.get(resource.index()).copied().unwrap_or(none)
    }

    /// Replaces both.
    pub fn set(&mut self, resource: Resource, limit: Rlimit) {
        if let Some(place) = self.0.get_mut(resource.index()) {
            *place = limit;
        }
    }

    /// Those that concern memory; `lock_freely`: for who has CAP_IPC_LOCK.
    #[must_use]
    pub fn memory(&self, lock_freely: bool) -> MemLimits {
        MemLimits {
            address_space: self.get(Resource::As).cur,
            data: self.get(Resource::Data).cur,
            stack: self.get(Resource::Stack).cur,
            locked: if lock_freely {
                u64::MAX
            } else {
                self.get(Resource::Memlock).cur
            },
        }
    }
}

impl Default for Limits {
    /// Those of Linux's first process.
    fn default() -> Self {
        let both = |cur, max| Rlimit { cur, max };
        let mut limits = Self([both(RLIM_INFINITY, RLIM_INFINITY); RESOURCES.len()]);
        limits.set(Resource::Stack, both(8 << 20, RLIM_INFINITY));
        limits.set(Resource::Core, both(0, RLIM_INFINITY));
        limits.set(Resource::Nproc, both(32_768, 32_768));
        limits.set(Resource::Nofile, both(1024, 1_048_576));
        limits.set(Resource::Memlock, both(8 << 20, 8 << 20));
        limits.set(Resource::Sigpending, both(16_384, 16_384));
        limits.set(Resource::Msgqueue, both(819_200, 819_200));
        limits.set(Resource::Nice, both(0, 0));
        limits.set(Resource::Rtprio, both(0, 0));
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arch::abi::process;

    #[test]
    fn numbers_match_the_abi() {
        let number = |resource: Resource| u32::try_from(resource.index()).unwrap();
        assert_eq!(number(Resource::Nofile), process::RLIMIT_NOFILE);
        assert_eq!(number(Resource::Sigpending), process::RLIMIT_SIGPENDING);
        assert_eq!(number(Resource::Rttime), process::RLIMIT_RTTIME);
        assert_eq!(Resource::from_number(process::RLIM_NLIMITS), None);
        assert_eq!(
            Resource::from_number(process::RLIMIT_STACK),
            Some(Resource::Stack)
        );
    }

    #[test]
    fn memory_limits_follow() {
        let mut limits = Limits::default();
        limits.set(Resource::As, Rlimit { cur: 5, max: 6 });
        assert_eq!(limits.memory(false).address_space, 5);
        assert_eq!(limits.memory(true).locked, u64::MAX);
    }
}
