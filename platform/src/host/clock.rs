//! Host clocks, random bytes, the machine's size and load.

use std::time::Duration;

use arch::abi::Errno;
use arch::abi::num::u64_of;
use nix::time::ClockId;

use super::errors::{check_int, check_size, from_nix};
use super::{HostRule, rule};

/// Rules of this file.
pub(super) const RULES: &[HostRule] = &[
    rule!(
        SYS_clock_gettime,
        &[],
        "host clocks (mostly read by the vDSO)",
    ),
    rule!(SYS_clock_getres, &[], "resolution of host clocks"),
    rule!(SYS_clock_nanosleep, &[], "timed waits of std"),
    rule!(
        SYS_getrandom,
        &[],
        "random bytes for programs, pids and layouts",
    ),
    rule!(SYS_sysinfo, &[], "sysinfo(2): load and uptime"),
    rule!(SYS_getrusage, &[], "CPU time of task threads"),
];

/// A point in time or a span: seconds and nanoseconds below 10⁹.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time {
    /// Whole seconds, negative before the epoch.
    pub seconds: i64,
    /// Nanoseconds on top, 0..10⁹.
    pub nanoseconds: u32,
}

impl Time {
    fn from_spec(spec: nix::sys::time::TimeSpec) -> Self {
        Self {
            seconds: spec.tv_sec(),
            nanoseconds: u32::try_from(spec.tv_nsec()).unwrap_or(0),
        }
    }

    fn from_value(value: libc::timeval) -> Self {
        let nanoseconds = value.tv_usec.saturating_mul(1000);
        Self {
            seconds: value.tv_sec,
            nanoseconds: u32::try_from(nanoseconds).unwrap_or(0),
        }
    }

    /// As a span; a negative one is zero.
    #[must_use]
    pub fn duration(self) -> Duration {
        u64::try_from(self.seconds).map_or(Duration::ZERO, |s| Duration::new(s, self.nanoseconds))
    }
}

/// A clock's time: clock_gettime(2); `clock` as there (CLOCK_MONOTONIC = 1 ...).
pub fn clock_gettime(clock: i32) -> Result<Time, Errno> {
    nix::time::clock_gettime(ClockId::from_raw(clock))
        .map(Time::from_spec)
        .map_err(from_nix)
}

/// A clock's resolution: clock_getres(2).
pub fn clock_getres(clock: i32) -> Result<Time, Errno> {
    nix::time::clock_getres(ClockId::from_raw(clock))
        .map(Time::from_spec)
        .map_err(from_nix)
}

/// Fills `to` with random bytes: getrandom(2) from the same source as /dev/urandom.
pub fn random(to: &mut [u8]) -> Result<(), Errno> {
    let mut rest = to;
    while !rest.is_empty() {
        // SAFETY: [buffer] `rest`.
        let done = check_size(unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) });
        match done {
            Ok(done) => rest = rest.get_mut(done..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// A random 64-bit number.
pub fn random_u64() -> Result<u64, Errno> {
    let mut bytes = [0; 8];
    random(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// The machine's load and memory: sysinfo(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SysInfo {
    /// Seconds since boot.
    pub uptime: u64,
    /// Load averages over 1, 5 and 15 minutes, scaled by 65,536.
    pub loads: [u64; 3],
    /// Memory in bytes.
    pub total_memory: u64,
    /// Free memory in bytes.
    pub free_memory: u64,
}

/// sysinfo(2).
pub fn sysinfo() -> Result<SysInfo, Errno> {
    // SAFETY: [no-pointers] a plain struct, for which all zeros are valid.
    let mut raw: libc::sysinfo = unsafe { std::mem::zeroed() };
    // SAFETY: [out] `raw`.
    check_int(unsafe { libc::sysinfo(&raw mut raw) })?;
    let unit = u64::from(raw.mem_unit.max(1));
    Ok(SysInfo {
        uptime: u64::try_from(raw.uptime).unwrap_or(0),
        loads: raw.loads,
        total_memory: raw.totalram.saturating_mul(unit),
        free_memory: raw.freeram.saturating_mul(unit),
    })
}

/// Whose resources [`rusage`] gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// The calling host thread's.
    Thread,
    /// This process's.
    Process,
    /// Its reaped children's: with stubs, what ended guests used.
    Children,
}

/// CPU time and counts: getrusage(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rusage {
    /// Time in user mode.
    pub user: Time,
    /// Time in the kernel.
    pub system: Time,
    /// Largest resident set in bytes.
    pub max_resident: u64,
    /// Switches by waiting.
    pub voluntary: u64,
    /// Switches by the scheduler.
    pub involuntary: u64,
}

/// getrusage(2).
pub fn rusage(whose: Whose) -> Result<Rusage, Errno> {
    let who = match whose {
        Whose::Thread => libc::RUSAGE_THREAD,
        Whose::Process => libc::RUSAGE_SELF,
        Whose::Children => libc::RUSAGE_CHILDREN,
    };
    // SAFETY: [no-pointers] a plain struct, for which all zeros are valid.
    let mut raw: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: [out] `raw`.
    check_int(unsafe { libc::getrusage(who, &raw mut raw) })?;
    let count = |n| u64::try_from(n).unwrap_or(0);
    Ok(Rusage {
        user: Time::from_value(raw.ru_utime),
        system: Time::from_value(raw.ru_stime),
        max_resident: count(raw.ru_maxrss).saturating_mul(1024),
        voluntary: count(raw.ru_nvcsw),
        involuntary: count(raw.ru_nivcsw),
    })
}

/// Bytes of the host's page.
#[must_use]
pub fn page_size() -> u64 {
    // SAFETY: [no-pointers].
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or_else(|_| u64_of(4096))
}

/// An entry of this process's auxiliary vector, such as AT_HWCAP: what the host's kernel
/// says of the machine. `None` if there is none.
#[must_use]
pub fn auxiliary(kind: u64) -> Option<u64> {
    // SAFETY: [no-pointers].
    let value = unsafe { libc::getauxval(kind) };
    (value != 0).then_some(value)
}
