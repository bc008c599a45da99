//! Clocks, times and timers: clock_gettime(2), timerfd_create(2), times(2).

use super::macros::{abi_struct, flags, numbers};
use core::time::Duration;

/// Nanoseconds in a second.
pub const NSEC_PER_SEC: i64 = 1_000_000_000;
/// Microseconds in a second.
pub const USEC_PER_SEC: i64 = 1_000_000;
/// Ticks a second of `clock_t` as programs see it (`AT_CLKTCK`).
pub const USER_HZ: u64 = 100;

abi_struct! {
    /// A time in seconds and nanoseconds: `struct __kernel_timespec`.
    pub struct Timespec {
        /// Seconds; negative before the epoch.
        pub sec: i64,
        /// Nanoseconds; `0..1_000_000_000` in a valid time, or one of the `UTIME_` words.
        pub nsec: i64,
    }
}

impl Timespec {
    /// Whether Linux takes this as a timeout: not negative, nanoseconds below a second.
    #[must_use]
    pub fn is_valid(self) -> bool {
        self.sec >= 0 && (0..NSEC_PER_SEC).contains(&self.nsec)
    }

    /// A valid non-negative time as a duration; `None`: `EINVAL`.
    #[must_use]
    pub fn to_duration(self) -> Option<Duration> {
        if !self.is_valid() {
            return None;
        }
        let nsec = u32::try_from(self.nsec).ok()?;
        Some(Duration::new(u64::try_from(self.sec).ok()?, nsec))
    }

    /// Saturates at the largest time Linux can write.
    #[must_use]
    pub fn from_duration(duration: Duration) -> Self {
        Self {
            sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
            nsec: i64::from(duration.subsec_nanos()),
        }
    }

    /// A time given in nanoseconds, rounded down for negative ones.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self {
            sec: nanos.div_euclid(NSEC_PER_SEC),
            nsec: nanos.rem_euclid(NSEC_PER_SEC),
        }
    }

    /// The time in nanoseconds; `None` if it does not fit.
    #[must_use]
    pub const fn to_nanos(self) -> Option<i64> {
        match self.sec.checked_mul(NSEC_PER_SEC) {
            Some(nanos) => nanos.checked_add(self.nsec),
            None => None,
        }
    }
}

impl PartialOrd for Timespec {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timespec {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.sec, self.nsec).cmp(&(other.sec, other.nsec))
    }
}

abi_struct! {
    /// A time in seconds and microseconds: `struct __kernel_old_timeval`.
    pub struct Timeval {
        /// Seconds.
        pub sec: i64,
        /// Microseconds; `0..1_000_000` in a valid time.
        pub usec: i64,
    }
}

impl Timeval {
    /// Whether Linux takes this as a timeout.
    #[must_use]
    pub fn is_valid(self) -> bool {
        self.sec >= 0 && (0..USEC_PER_SEC).contains(&self.usec)
    }

    /// A valid non-negative time as a duration; `None`: `EINVAL`.
    #[must_use]
    pub fn to_duration(self) -> Option<Duration> {
        if !self.is_valid() {
            return None;
        }
        let usec = u32::try_from(self.usec).ok()?;
        Some(Duration::new(
            u64::try_from(self.sec).ok()?,
            usec.saturating_mul(1000),
        ))
    }

    /// Drops what is below a microsecond; saturates at the largest time Linux can write.
    #[must_use]
    pub fn from_duration(duration: Duration) -> Self {
        Self {
            sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
            usec: i64::from(duration.subsec_micros()),
        }
    }
}

abi_struct! {
    /// `struct timezone`; Linux keeps it for settimeofday(2) only.
    pub struct Timezone {
        /// Minutes west of Greenwich.
        pub minuteswest: i32,
        /// Kind of daylight saving; unused.
        pub dsttime: i32,
    }
}

abi_struct! {
    /// `struct itimerspec`: timer_settime(2), timerfd_settime(2).
    pub struct Itimerspec {
        /// Period; zero: fires once.
        pub interval: Timespec,
        /// First expiry; zero: disarmed.
        pub value: Timespec,
    }
}

abi_struct! {
    /// `struct itimerval`: setitimer(2).
    pub struct Itimerval {
        /// Period; zero: fires once.
        pub interval: Timeval,
        /// Time to the next expiry; zero: disarmed.
        pub value: Timeval,
    }
}

abi_struct! {
    /// `struct tms`: times(2), in ticks of `USER_HZ`.
    pub struct Tms {
        /// User time of the process.
        pub utime: i64,
        /// System time of the process.
        pub stime: i64,
        /// User time of its waited-for children.
        pub cutime: i64,
        /// System time of its waited-for children.
        pub cstime: i64,
    }
}

abi_struct! {
    /// `struct sigevent`, 64 bytes: timer_create(2), mq_notify(2).
    pub struct Sigevent {
        /// The value handed to the program, a `union sigval`.
        pub value: u64,
        /// The signal to send.
        pub signo: i32,
        /// How to notify: one of the `SIGEV_` numbers.
        pub notify: i32,
        /// The thread to notify, for `SIGEV_THREAD_ID`.
        pub tid: i32,
        /// The rest of the union; unused by the kernel.
        pub pad: [u32; 11],
    }
}

abi_struct! {
    /// `struct timex` is not offered whole; this is the part of adjtimex(2) that
    /// an unprivileged program reads: `modes` must be zero.
    pub struct Timex {
        /// What to change.
        pub modes: u32,
        #[doc(hidden)]
        pub pad0: u32,
        /// Time offset in microseconds or nanoseconds.
        pub offset: i64,
        /// Frequency offset, scaled parts per million.
        pub freq: i64,
        /// Maximum error in microseconds.
        pub maxerror: i64,
        /// Estimated error in microseconds.
        pub esterror: i64,
        /// Clock command and status (`STA_UNSYNC` is 64).
        pub status: i32,
        #[doc(hidden)]
        pub pad1: u32,
        /// Time constant.
        pub constant: i64,
        /// Precision in microseconds.
        pub precision: i64,
        /// Frequency tolerance.
        pub tolerance: i64,
        /// The time of the call.
        pub time: Timeval,
        /// Microseconds between ticks.
        pub tick: i64,
        /// The PPS fields, all zero without a PPS source.
        pub pps: [u64; 8],
        /// TAI offset in seconds.
        pub tai: i32,
        #[doc(hidden)]
        pub pad2: [u32; 11],
    }
}

numbers! {
    i64, utime_words = libc;
    UTIME_NOW 0x3fff_ffff "utimensat(2): set to the present time.";
    UTIME_OMIT 0x3fff_fffe "utimensat(2): leave unchanged.";
}

numbers! {
    i32, clock_ids = linux_raw_sys::general;
    CLOCK_REALTIME 0 "Wall clock; may be set.";
    CLOCK_MONOTONIC 1 "Time since some start; never set.";
    CLOCK_PROCESS_CPUTIME_ID 2 "CPU time of the process.";
    CLOCK_THREAD_CPUTIME_ID 3 "CPU time of the thread.";
    CLOCK_MONOTONIC_RAW 4 "Monotonic without rate correction.";
    CLOCK_REALTIME_COARSE 5 "Wall clock at the last tick.";
    CLOCK_MONOTONIC_COARSE 6 "Monotonic clock at the last tick.";
    CLOCK_BOOTTIME 7 "Monotonic, counting suspend.";
    CLOCK_REALTIME_ALARM 8 "Wall clock whose timers wake the machine.";
    CLOCK_BOOTTIME_ALARM 9 "Boot time whose timers wake the machine.";
    CLOCK_TAI 11 "Atomic time.";
    TIMER_ABSTIME 1 "timer_settime(2), clock_nanosleep(2): the time is absolute.";
    ITIMER_REAL 0 "setitimer(2): real time, SIGALRM.";
    ITIMER_VIRTUAL 1 "setitimer(2): user time, SIGVTALRM.";
    ITIMER_PROF 2 "setitimer(2): user and system time, SIGPROF.";
    SIGEV_SIGNAL 0 "sigevent(3type): send a signal to the process.";
    SIGEV_NONE 1 "sigevent(3type): do nothing.";
    SIGEV_THREAD 2 "sigevent(3type): libc starts a thread; the kernel sends a signal.";
    SIGEV_THREAD_ID 4 "sigevent(3type): send a signal to one thread.";
}

flags! {
    /// Flags of timerfd_create(2).
    TimerFdFlags: u32, timerfd_flags = linux_raw_sys::general;
    CLOEXEC TFD_CLOEXEC 0o2000000, "Close on execve(2).";
    NONBLOCK TFD_NONBLOCK 0o4000, "Reads do not wait.";
}

flags! {
    /// Flags of timerfd_settime(2).
    TimerFdSetFlags: u32, timerfd_set_flags = linux_raw_sys::general;
    ABSTIME TFD_TIMER_ABSTIME 1, "The value is absolute.";
    CANCEL_ON_SET TFD_TIMER_CANCEL_ON_SET 2, "Reads fail with ECANCELED once the clock is set.";
}

#[cfg(test)]
mod tests {
    use super::super::macros::same_layout;
    use super::*;

    same_layout!(timespec: Timespec = libc::timespec { sec = tv_sec, nsec = tv_nsec });
    same_layout!(timeval: Timeval = libc::timeval { sec = tv_sec, usec = tv_usec });
    same_layout!(itimerspec: Itimerspec = libc::itimerspec { interval = it_interval, value = it_value });
    same_layout!(itimerval: Itimerval = libc::itimerval { interval = it_interval, value = it_value });
    same_layout!(tms: Tms = libc::tms { utime = tms_utime, stime = tms_stime, cutime = tms_cutime, cstime = tms_cstime });
    same_layout!(sigevent: Sigevent = libc::sigevent { value = sigev_value, signo = sigev_signo, notify = sigev_notify, tid = sigev_notify_thread_id });
    same_layout!(timex: Timex = libc::timex { modes = modes, offset = offset, status = status, time = time, tick = tick, pps = ppsfreq, tai = tai });

    #[test]
    fn durations_convert_both_ways() {
        let time = Timespec {
            sec: 5,
            nsec: 999_999_999,
        };
        let duration = time.to_duration().unwrap();
        assert_eq!(Timespec::from_duration(duration), time);
        assert_eq!(Timeval::from_duration(duration).usec, 999_999);
        assert_eq!(Timespec { sec: -1, nsec: 0 }.to_duration(), None);
        assert_eq!(
            Timespec {
                sec: 0,
                nsec: NSEC_PER_SEC
            }
            .to_duration(),
            None
        );
        assert_eq!(Timespec::from_duration(Duration::MAX).sec, i64::MAX);
    }

    #[test]
    fn nanoseconds_round_down() {
        assert_eq!(
            Timespec::from_nanos(-1),
            Timespec {
                sec: -1,
                nsec: 999_999_999
            }
        );
        assert_eq!(Timespec::from_nanos(-1).to_nanos(), Some(-1));
        assert_eq!(
            Timespec {
                sec: i64::MAX,
                nsec: 0
            }
            .to_nanos(),
            None
        );
    }
}
