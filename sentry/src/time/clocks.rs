//! What the sandbox's clocks show.

use std::sync::Arc;
use std::time::Instant;

use arch::abi::time::{CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_REALTIME};
use base::time::{Clock, Time};
use platform::host;

/// A clock that runs whatever programs do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClockId {
    /// The wall clock.
    Realtime,
    /// Since the sandbox's start; also CLOCK_BOOTTIME, as a sandbox is never suspended.
    Monotonic,
}

impl ClockId {
    /// Which of them `id` of clock_gettime(2) is; coarse, raw and alarm clocks are the
    /// plain ones. `None`: a CPU-time clock, or none at all.
    #[must_use]
    pub fn from_number(id: i32) -> Option<Self> {
        use arch::abi::time::{
            CLOCK_BOOTTIME_ALARM, CLOCK_MONOTONIC_COARSE, CLOCK_MONOTONIC_RAW,
            CLOCK_REALTIME_ALARM, CLOCK_REALTIME_COARSE, CLOCK_TAI,
        };
        match id {
            // TAI has no offset until somebody sets one, which nobody can.
            CLOCK_REALTIME | CLOCK_REALTIME_COARSE | CLOCK_REALTIME_ALARM | CLOCK_TAI => {
                Some(Self::Realtime)
            }
            CLOCK_MONOTONIC
            | CLOCK_MONOTONIC_RAW
            | CLOCK_MONOTONIC_COARSE
            | CLOCK_BOOTTIME
            | CLOCK_BOOTTIME_ALARM => Some(Self::Monotonic),
            _ => None,
        }
    }
}

/// The sandbox's clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// The host's monotonic time at the sandbox's start.
    start: Time,
}

impl Clocks {
    /// Clocks of a sandbox that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: host_time(CLOCK_MONOTONIC),
        }
    }

    /// What a clock shows.
    #[must_use]
    pub fn now(&self, clock: ClockId) -> Time {
        match clock {
            ClockId::Realtime => host_time(CLOCK_REALTIME),
            ClockId::Monotonic => {
                let host = host_time(CLOCK_MONOTONIC);
                Time(host.0.saturating_sub(self.start.0))
            }
        }
    }

    /// What is added to the host's monotonic time (nanoseconds): for the vDSO.
    #[must_use]
    pub const fn monotonic_offset(&self) -> i64 {
        self.start.0.saturating_neg()
    }

    /// When the sandbox started, on the wall clock: `btime` of /proc/stat.
    #[must_use]
    pub fn started_at(&self) -> Time {
        let up = self.now(ClockId::Monotonic);
        Time(self.now(ClockId::Realtime).0.saturating_sub(up.0))
    }

    /// The host's instant at which a clock shows `at`, as things are now.
    #[must_use]
    pub fn instant_of(&self, clock: ClockId, at: Time) -> Instant {
        let far = std::time::Duration::from_secs(100 * 365 * 86_400);
        let left = at.since(self.now(clock)).min(far);
        let now = Instant::now();
        now.checked_add(left).unwrap_or(now)
    }

    /// A clock as an object, for timerfd_create(2).
    #[must_use]
    pub fn object(&self, clock: ClockId) -> Arc<dyn Clock> {
        Arc::new(Object {
            clocks: *self,
            clock,
        })
    }
}

struct Object {
    clocks: Clocks,
    clock: ClockId,
}

impl Clock for Object {
    fn now(&self) -> Time {
        self.clocks.now(self.clock)
    }
}

fn host_time(clock: i32) -> Time {
    // The host has these clocks.
    let now = host::clock_gettime(clock).unwrap_or_default();
    Time::new(now.seconds, now.nanoseconds.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_starts_with_the_sandbox() {
        let clocks = Clocks::start();
        let first = clocks.now(ClockId::Monotonic);
        let second = clocks.now(ClockId::Monotonic);
        assert!(first >= Time(0) && second >= first);
        assert!(first < Time::new(60, 0));
        let host = host_time(CLOCK_MONOTONIC);
        let ours = clocks.now(ClockId::Monotonic);
        let expected = Time(host.0 + clocks.monotonic_offset());
        assert!(ours >= expected && ours.since(expected).as_secs() < 60);
    }

    #[test]
    fn clock_numbers() {
        assert_eq!(ClockId::from_number(0), Some(ClockId::Realtime));
        assert_eq!(ClockId::from_number(7), Some(ClockId::Monotonic));
        assert_eq!(ClockId::from_number(2), None, "CPU time");
        assert_eq!(ClockId::from_number(10), None, "CLOCK_SGI_CYCLE is gone");
    }
}
