//! The parameter page: how time follows from the machine's counter.

use core::sync::atomic::{AtomicU64, Ordering, fence};

/// 64-bit words of the parameter page that are in use.
pub const PARAM_WORDS: usize = 6;

/// The largest error, in nanoseconds, that is made up for by a changed rate; time
/// that is further behind (the machine was suspended) steps forward.
const MAX_SLEW: i128 = 1_000_000;

/// How time follows from the counter, from a moment on:
/// `monotonic = base + (counter - base_counter) * rate / 2^32`, in nanoseconds.
///
/// The words on the page, in order: a sequence number that is odd during a change,
/// and the fields of this type.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Params {
    /// Zero: the counter says nothing about time, make the system call.
    pub usable: u64,
    /// The counter at the moment.
    pub base_counter: u64,
    /// Nanoseconds for a tick of the counter, times 2^32.
    pub rate: u64,
    /// `CLOCK_MONOTONIC` at the moment.
    pub base: u64,
    /// `CLOCK_REALTIME` less `CLOCK_MONOTONIC`, modulo 2^64.
    pub realtime_offset: u64,
}

/// The counter and the clocks at one moment. Read the counter first: the time that
/// passes until the clocks are read then never lets the vDSO's time fall behind
/// what a system call has already answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    /// `vdso::counter()`.
    pub counter: u64,
    /// `CLOCK_MONOTONIC` in nanoseconds.
    pub monotonic: u64,
    /// `CLOCK_REALTIME` in nanoseconds.
    pub realtime: u64,
}

impl Params {
    /// `CLOCK_MONOTONIC` at this value of the counter, as the vDSO's code finds it: a
    /// counter before the base (another CPU's may be a little behind) counts as the base.
    #[must_use]
    pub fn monotonic_at(&self, counter: u64) -> u64 {
        let ticks = u128::from(counter.saturating_sub(self.base_counter));
        let passed = (ticks * u128::from(self.rate)) >> 32;
        // Truncated as the machine's registers are.
        let [low, _] = halves(passed);
        self.base.wrapping_add(low)
    }

    /// `CLOCK_REALTIME` at this value of the counter.
    #[must_use]
    pub fn realtime_at(&self, counter: u64) -> u64 {
        self.monotonic_at(counter)
            .wrapping_add(self.realtime_offset)
    }

    /// Parameters from the sample `to` on, with the rate measured since `from`.
    ///
    /// Monotonic time is continuous with `previous`: it never steps back. An error up
    /// to a millisecond is worked off over a span as long as the one measured, at 0.5
    /// per mille at most; time that lags further steps forward. `None` if the samples
    /// do not measure a rate: too close, or the counter did not advance.
    #[must_use]
    pub fn renewed(previous: Option<&Self>, from: Sample, to: Sample) -> Option<Self> {
        let ticks = to.counter.checked_sub(from.counter)?;
        let span = to.monotonic.checked_sub(from.monotonic)?;
        if ticks == 0 || span < 1_000_000 {
            return None;
        }
        let mut rate = (u128::from(span) << 32).checked_div(u128::from(ticks))?;
        let mut base = to.monotonic;
        if let Some(previous) = previous.filter(|previous| previous.usable != 0) {
            let predicted = previous.monotonic_at(to.counter);
            let error = i128::from(to.monotonic) - i128::from(predicted);
            if error <= MAX_SLEW {
                base = predicted;
                let span = i128::from(span);
                let slew = error.clamp(-span / 2000, span / 2000);
                rate = rate * (span + slew).unsigned_abs() / span.unsigned_abs();
            }
        }
        Some(Self {
            usable: 1,
            base_counter: to.counter,
            rate: u64::try_from(rate).ok()?,
            base,
            realtime_offset: to.realtime.wrapping_sub(to.monotonic),
        })
    }

    /// Writes the parameters to the first words of the page. There must be one writer
    /// at a time; readers that come across the change wait for its end.
    pub fn publish(&self, page: &[AtomicU64; PARAM_WORDS]) {
        let [sequence, usable, base_counter, rate, base, offset] = page;
        let before = sequence.load(Ordering::Relaxed) & !1;
        sequence.store(before.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        usable.store(self.usable, Ordering::Relaxed);
        base_counter.store(self.base_counter, Ordering::Relaxed);
        rate.store(self.rate, Ordering::Relaxed);
        base.store(self.base, Ordering::Relaxed);
        offset.store(self.realtime_offset, Ordering::Relaxed);
        sequence.store(before.wrapping_add(2), Ordering::Release);
    }
}

fn halves(wide: u128) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = wide.to_le_bytes();
    [
        u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        u64::from_le_bytes([i, j, k, l, m, n, o, p]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(counter: u64, monotonic: u64) -> Sample {
        Sample {
            counter,
            monotonic,
            realtime: monotonic + 1_000,
        }
    }

    #[test]
    fn a_second_of_ticks_is_a_second() {
        let params = Params::renewed(
            None,
            sample(0, 5_000_000_000),
            sample(3_000_000_000, 6_000_000_000),
        )
        .unwrap();
        assert_eq!(params.monotonic_at(3_000_000_000), 6_000_000_000);
        let later = params.monotonic_at(6_000_000_000);
        assert!((6_999_999_998..=7_000_000_000).contains(&later), "{later}");
        assert_eq!(params.realtime_at(6_000_000_000), later + 1_000);
        assert_eq!(
            params.monotonic_at(0),
            6_000_000_000,
            "never before the base"
        );
    }

    #[test]
    fn samples_that_measure_nothing_are_refused() {
        let at = sample(10, 1_000_000);
        assert_eq!(Params::renewed(None, at, at), None);
        assert_eq!(Params::renewed(None, at, sample(10, 9_000_000)), None);
        assert_eq!(Params::renewed(None, at, sample(9, 9_000_000)), None);
        assert_eq!(Params::renewed(None, at, sample(11, 999)), None);
    }

    #[test]
    fn a_suspended_machine_catches_up_at_once() {
        let first = Params::renewed(None, sample(0, 0), sample(1_000_000, 1_000_000)).unwrap();
        let second = Params::renewed(
            Some(&first),
            sample(1_000_000, 1_000_000),
            sample(2_000_000, 9_000_000_000),
        );
        assert_eq!(second.unwrap().base, 9_000_000_000);
    }

    #[test]
    fn publishing_leaves_an_even_sequence() {
        let page = [const { AtomicU64::new(0) }; PARAM_WORDS];
        let params = Params {
            usable: 1,
            rate: 7,
            ..Params::default()
        };
        params.publish(&page);
        params.publish(&page);
        let words = page.map(AtomicU64::into_inner);
        assert_eq!(words, [4, 1, 0, 7, 0, 0]);
    }

    proptest! {
        #[test]
        fn time_never_steps_back(steps in prop::collection::vec((1_000_000_u64..3_000_000_000, -400_000_i64..3_000_000, 0_u64..1_000_000), 1..40)) {
            let mut from = sample(1 << 40, 1 << 50);
            let mut params: Option<Params> = None;
            let mut last = 0;
            for (ticks, drift, early) in steps {
                let to = sample(from.counter + ticks, from.monotonic + (ticks / 3).checked_add_signed(drift).unwrap_or(0));
                let before = params.map(|p| p.monotonic_at(to.counter));
                let next = Params::renewed(params.as_ref(), from, to).or(params);
                if let (Some(before), Some(next)) = (before, next) {
                    prop_assert!(next.monotonic_at(to.counter) >= before);
                }
                if let Some(next) = next {
                    let now = next.monotonic_at(to.counter + early);
                    prop_assert!(now >= last);
                    last = next.monotonic_at(to.counter);
                }
                params = next;
                from = to;
            }
        }
    }
}
