//! Answers that the sentry leaves for a thread on a page of its data area that its process
//! can read alone. Patched sites look there first.

use arch::abi::num::{u64_of, usize_of};

use super::areas::Area;
use super::fixes;

/// Says that there is an answer.
const THERE: u64 = 1 << 63;
/// Numbers that have a place.
const NUMBERS: u32 = 512;

/// The answers that a thread has now.
#[derive(Debug, Default)]
pub(super) struct Answers(Vec<(u32, u64)>);

impl Answers {
    /// Has these and no others. Numbers and values without a place are left out: such calls
    /// are made.
    pub(super) fn set(&mut self, area: &Area, answers: &[(u32, u64)]) {
        if self.0 == answers {
            return;
        }
        for (number, _) in std::mem::take(&mut self.0) {
            store(area, number, 0);
        }
        for &(number, value) in answers {
            if value < THERE {
                store(area, number, THERE | value);
            }
        }
        self.0 = answers.to_vec();
    }
}

/// A thread that is new in this area has none.
pub(super) fn clear(area: &Area) {
    for number in 0..NUMBERS {
        store(area, number, 0);
    }
}

fn store(area: &Area, number: u32, value: u64) {
    if let Some(page) = fixes::ANSWERS
        && number < NUMBERS
    {
        let at = usize_of(u64::from(number).saturating_mul(8));
        let at = page.saturating_add(at);
        debug_assert!(u64_of(at) < u64_of(super::layout::AREA), "in the area");
        if area.load(at) != value {
            area.store(at, value);
        }
    }
}
