//! Whether a context listens at its mailbox while its program runs: on a core of its own,
//! for a bounded time, and only where a core is to spare.
//!
//! Three things must hold. The machine must have a core for it: those this process may use,
//! less one for each context that is at work, less those that listen already. The program
//! must make calls quickly one after another: who listens for calls that do not come burns
//! a core, and a call that comes after that costs more than it would have on one core. And
//! the core must be free in fact: whoever is kept from running while it listens shares its
//! core with others, of this sandbox or not.
//!
//! So a context begins on one core with its program. After [`WINDOW`] calls that took less
//! than [`QUICK`] each it spreads to a second one; each call that comes in time is a point,
//! each that does not costs some. Without points it goes back to one core for a while, which
//! doubles each time this happens, and all the more if it was kept from running, or if most
//! of what came were calls by way of a signal, which gain nothing. A context that sleeps or
//! computes counts and costs nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::areas::Area;
use super::mailbox::{self, Ear, Mail};
use super::{Eagerness, Fast, Options};
use crate::stub::placement::Place;

/// Calls after which is looked at how quickly they come.
const WINDOW: u32 = 64;
/// What a call may take, all told, in a program that makes them quickly.
const QUICK: Duration = Duration::from_micros(20);
/// Looks at the mailbox between looks at the clock.
const LOOKS: u32 = 64;
/// How long is listened for one call, and if the program had to be woken first.
const PATIENCE: Duration = Duration::from_micros(50);
const WAKING: Duration = Duration::from_micros(120);
/// Whoever does not get to look at the clock for so long was kept from running.
const GAP: Duration = Duration::from_micros(150);
/// Points at the start, and at most.
const POINTS: i32 = 48;
/// What a call costs that did not come in time.
const MISS: i32 = 24;
/// Calls and stops by mailbox after which is looked at what they were.
const TRIAL: u32 = 512;
/// Points in a row after which the past is forgiven.
const GOOD: u32 = 4096;
/// Windows to sit out: at first, after having been kept from running, at most.
const SHORT: u32 = 4;
const LONG: u32 = 512;
const LONGEST: u32 = 1 << 14;

/// Where the program waited before it was let go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Waiting {
    /// It was awake.
    AtMailbox,
    /// It slept.
    InKernel,
}

/// The cores that this process may use, and what is on them.
#[derive(Debug)]
pub(super) struct Cores {
    count: usize,
    /// Contexts at work.
    active: AtomicUsize,
    /// Contexts that have a second core.
    spread: AtomicUsize,
}

impl Cores {
    pub(super) fn new(count: usize) -> Self {
        Self {
            count,
            active: AtomicUsize::new(0),
            spread: AtomicUsize::new(0),
        }
    }

    /// Whether there is a core for all that want one.
    fn suffice(&self) -> bool {
        let active = self.active.load(Ordering::Relaxed);
        active.saturating_add(self.spread.load(Ordering::Relaxed)) <= self.count
    }

    fn take(&self) -> bool {
        self.spread.fetch_add(1, Ordering::Relaxed);
        let suffice = self.suffice();
        if !suffice {
            self.spread.fetch_sub(1, Ordering::Relaxed);
        }
        suffice
    }
}

/// One context's part.
#[derive(Debug)]
pub(super) struct Spin {
    cores: Arc<Cores>,
    /// `None`: never.
    eagerness: Option<Eagerness>,
    /// At work, so counted.
    active: bool,
    /// On two cores, so counted.
    spread: bool,
    /// Calls of this window on one core, and when it began.
    calls: u32,
    since: Option<Instant>,
    points: i32,
    good: u32,
    /// Calls and stops by mailbox since the last look, and those that gained by it.
    trial: u32,
    gains: u32,
    /// Windows to sit out, and how many it will be the next time.
    rest: u32,
    penalty: u32,
}

impl Spin {
    pub(super) fn new(cores: &Arc<Cores>, options: Options) -> Self {
        let measured = options.spin == Eagerness::Measured;
        let allowed = options.fast.contains(Fast::SPIN) && (cores.count > 1 || !measured);
        Self {
            cores: Arc::clone(cores),
            eagerness: allowed.then_some(options.spin),
            active: false,
            spread: false,
            calls: 0,
            since: None,
            points: 0,
            good: 0,
            trial: 0,
            gains: 0,
            rest: 0,
            penalty: SHORT,
        }
    }

    /// The program is about to run; whether it is listened to meanwhile.
    pub(super) fn before_run(&mut self, place: &mut Place) -> Ear {
        if !self.active {
            self.active = true;
            self.cores.active.fetch_add(1, Ordering::Relaxed);
        }
        match self.eagerness {
            None => {
                place.before_run();
                return Ear::Shut;
            }
            Some(Eagerness::Always) => {
                place.before_spread_run();
                return Ear::Open;
            }
            Some(Eagerness::Measured) => {}
        }
        if self.spread {
            if self.points > 0 && self.cores.suffice() && place.before_spread_run() {
                return Ear::Open;
            }
            self.gather(place);
        }
        if self.is_quick() && self.cores.take() {
            self.spread = true;
            self.points = POINTS;
            (self.trial, self.gains) = (0, 0);
            if place.spread() {
                return Ear::Open;
            }
            self.gather(place);
        }
        place.before_run();
        Ear::Shut
    }

    /// Whether calls come quickly enough, on one core.
    fn is_quick(&mut self) -> bool {
        self.calls = self.calls.saturating_add(1);
        if self.calls < WINDOW {
            return false;
        }
        self.calls = 0;
        let now = Instant::now();
        let since = self.since.replace(now);
        if self.rest > 0 {
            self.rest = self.rest.saturating_sub(1);
            return false;
        }
        since.is_some_and(|since| now.duration_since(since) < QUICK.saturating_mul(WINDOW))
    }

    /// Back to one core.
    fn gather(&mut self, place: &mut Place) {
        self.leave();
        self.rest = self.penalty;
        self.penalty = self.penalty.saturating_mul(2).min(LONGEST);
        (self.calls, self.since) = (0, None);
        place.park();
    }

    fn leave(&mut self) {
        if self.spread {
            self.spread = false;
            self.cores.spread.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Waits at the mailbox for a while.
    pub(super) fn listen(&mut self, area: &Area, was: Waiting) -> Option<Mail> {
        let patience = match was {
            Waiting::AtMailbox => PATIENCE,
            Waiting::InKernel => WAKING,
        };
        let mut start = None;
        let mut last: Option<Instant> = None;
        loop {
            for _ in 0..LOOKS {
                if let Some(mail) = mailbox::take(area) {
                    self.hit(&mail);
                    return Some(mail);
                }
                std::hint::spin_loop();
            }
            let now = Instant::now();
            if last.is_some_and(|last| now.duration_since(last) > GAP) {
                self.give_in();
                break;
            }
            last = Some(now);
            if now.duration_since(*start.get_or_insert(now)) > patience {
                self.miss();
                break;
            }
        }
        mailbox::give_up(area);
        mailbox::take(area)
    }

    fn hit(&mut self, mail: &Mail) {
        // A call that comes by way of a signal is no faster than one on the same core.
        let is_gain = match mail {
            Mail::Call { .. } => true,
            Mail::Frame([signal, ..]) => *signal != u64::from(libc::SIGSYS.cast_unsigned()),
        };
        self.gains = self.gains.saturating_add(is_gain.into());
        self.trial = self.trial.saturating_add(1);
        if self.trial >= TRIAL {
            if self.gains < TRIAL / 4 {
                self.give_in();
            }
            (self.trial, self.gains) = (0, 0);
        }
        self.points = self.points.saturating_add(1).min(POINTS);
        self.good = self.good.saturating_add(1);
        if self.good >= GOOD {
            self.good = 0;
            self.penalty = SHORT;
        }
    }

    /// The other side did not wait, or nothing came.
    pub(super) fn miss(&mut self) {
        self.points = self.points.saturating_sub(MISS);
        self.good = 0;
    }

    /// A second core is not worth it for now.
    fn give_in(&mut self) {
        self.points = 0;
        self.good = 0;
        self.penalty = self.penalty.max(LONG);
    }

    /// The context is about to sleep for something else than its program.
    pub(super) fn park(&mut self) {
        if self.active {
            self.active = false;
            self.cores.active.fetch_sub(1, Ordering::Relaxed);
        }
        if self.spread {
            // The next run begins on one core.
            self.leave();
            self.rest = SHORT;
        }
        (self.calls, self.since) = (0, None);
    }
}

impl Drop for Spin {
    fn drop(&mut self) {
        self.park();
    }
}
