//! Points in time and spans, in nanoseconds.

use std::time::Duration;

/// Nanoseconds in a second.
pub const NANOS_PER_SEC: i64 = 1_000_000_000;

/// A clock of the sandbox.
pub trait Clock: Send + Sync {
    /// What it shows now.
    fn now(&self) -> Time;
}

/// A point on some clock: nanoseconds since its zero. Which clock, the context says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(pub i64);

impl Time {
    /// Later than every point that a clock reaches.
    pub const NEVER: Self = Self(i64::MAX);

    /// From whole seconds and nanoseconds (0 to 999,999,999); saturates.
    #[must_use]
    pub const fn new(seconds: i64, nanos: i64) -> Self {
        Self(seconds.saturating_mul(NANOS_PER_SEC).saturating_add(nanos))
    }

    /// Whole seconds, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(NANOS_PER_SEC)
    }

    /// Nanoseconds within the second, 0 to 999,999,999.
    #[must_use]
    pub const fn subsec_nanos(self) -> i64 {
        self.0.rem_euclid(NANOS_PER_SEC)
    }

    /// The point `span` later; saturates at [`Time::NEVER`].
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        let nanos = i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    /// The span from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let nanos = self.0.saturating_sub(earlier.0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
    }
}
