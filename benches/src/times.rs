//! Repeated runs of several things in turns.

use std::time::Duration;

use crate::Measured;

/// The times of one thing, for one round.
#[derive(Clone, Debug, Default)]
pub struct Times {
    /// Sorted, nanoseconds.
    nanos: Vec<f64>,
}

impl Times {
    fn add(&mut self, time: Duration, rounds: u32) {
        self.nanos
            .push(time.as_secs_f64() * 1e9 / f64::from(rounds));
        self.nanos.sort_by(f64::total_cmp);
    }

    /// The shortest, in nanoseconds: what the thing costs when nobody else is at work.
    #[must_use]
    pub fn best(&self) -> f64 {
        self.nanos.first().copied().unwrap_or(f64::NAN)
    }

    /// The one in the middle, in nanoseconds.
    #[must_use]
    pub fn median(&self) -> f64 {
        let middle = self.nanos.len() / 2;
        self.nanos.get(middle).copied().unwrap_or(f64::NAN)
    }
}

/// Runs two things in turns, `repeats` times each, so that what else the machine does meets both.
/// Each is given its rounds and gives the time for all of them.
pub fn in_turns(
    repeats: u32,
    (rounds, mut one): (u32, impl FnMut(u32) -> Measured<Duration>),
    (other_rounds, mut other): (u32, impl FnMut(u32) -> Measured<Duration>),
) -> Measured<(Times, Times)> {
    let mut all = (Times::default(), Times::default());
    for _ in 0..repeats {
        all.0.add(one(rounds)?, rounds);
        all.1.add(other(other_rounds)?, other_rounds);
    }
    Ok(all)
}
