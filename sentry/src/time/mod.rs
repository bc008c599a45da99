//! The sandbox's clocks, and the timers of its processes.
//!
//! Clocks are the host's; the monotonic one starts at the sandbox's start. A timer's
//! state has a lock of its own (`rank::TIMER_STATE`), which is never held while a
//! signal is sent.

mod clocks;
mod process_timers;
mod timer;

pub use clocks::{ClockId, Clocks};
pub use process_timers::{Interval, ProcessTimers};
pub use timer::{Expiry, First, Notify, Remaining, Setting, Timer, TimerClock};
