//! The mailbox: a few words in a thread's data area by which a call, or a stop, reaches a
//! sentry thread that waits for it on another core, without the host's kernel between.
//!
//! One word says whose turn it is. The sentry offers to listen ([`LISTENING`]), and takes
//! that back ([`IDLE`]); the stub's code posts by one compare-and-swap, which fails unless
//! it is listened to, and then spins for a bounded time. Whoever loses patience says so in
//! the same word, by compare-and-swap as well, and the call or stop goes the way by
//! notification. So each is told exactly once:
//!
//! | from | to | by | meaning |
//! |---|---|---|---|
//! | any but posted | LISTENING | sentry | the program is about to run, and is waited for |
//! | LISTENING | IDLE | sentry | no longer |
//! | LISTENING | CALL, FRAME | stub | a call of a patched site; a stop, with its frame |
//! | CALL, FRAME | CALL_TAKEN, FRAME_TAKEN | sentry | it is at work on it |
//! | CALL | WITHDRAWN | stub | it makes the call by itself, as if never patched |
//! | FRAME | REPORTED | stub | it reports by notification |
//! | CALL_TAKEN | ASLEEP | stub | it waits for the answer by notification |
//! | FRAME_TAKEN | REPORTED | either | the frame's thread waits, or is to wait, by notification |
//! | CALL_TAKEN, FRAME_TAKEN | LISTENING, IDLE | sentry | done: the answer lies here, or in the frame |
//!
//! All of it can be written by the whole process: a lie harms the liar's process alone. The
//! sentry copies each word once; its spinning is bounded whatever it reads; and what it has
//! taken, it knows by itself. While it listens, the kernel raises SIGSYS for calls from
//! elsewhere than the stub's code (syscall user dispatch), so that these come here too.

use super::areas::Area;
use super::layout::{MAILBOX, SELECTOR};

/// Nobody listens.
pub(super) const IDLE: u64 = 0;
/// The sentry waits for what comes.
pub(super) const LISTENING: u64 = 1;
/// A call is posted.
pub(super) const CALL: u64 = 2;
/// The sentry is at work on it.
pub(super) const CALL_TAKEN: u64 = 3;
/// A stop is posted.
pub(super) const FRAME: u64 = 4;
/// The sentry is at work on it.
pub(super) const FRAME_TAKEN: u64 = 5;
/// The call was taken back before it was taken.
pub(super) const WITHDRAWN: u64 = 6;
/// The thread waits for its call's answer by notification.
pub(super) const ASLEEP: u64 = 7;
/// The stop is reported by notification.
pub(super) const REPORTED: u64 = 8;

/// What a thread calls that waits for the answer to a call it has made already: a number
/// that no system call has.
pub(super) const WAIT: u32 = 5001;

/// Whose turn it is.
pub(super) const TURN: usize = MAILBOX;
/// A call's answer.
pub(super) const VALUE: usize = MAILBOX + 8;
/// A call's number in the low half word, and the program's flags as `lahf` and `seto` gave
/// them in the third and fourth byte.
pub(super) const NUMBER: usize = MAILBOX + 64;
/// Address of the call's instruction.
pub(super) const SITE: usize = MAILBOX + 72;
/// Six arguments; of a stop: signal number, address of its siginfo and of its ucontext.
pub(super) const ARGS: usize = MAILBOX + 80;

/// Value of the selector: calls are raised as SIGSYS (SYSCALL_DISPATCH_FILTER_BLOCK).
const BLOCK: u64 = 1;

/// What came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mail {
    /// A call from a patched site, with its arguments.
    Call {
        /// Its number.
        nr: u32,
        /// Its arguments.
        args: [u64; 6],
    },
    /// A stop: signal number, and the stub's addresses of its siginfo and ucontext.
    Frame([u64; 3]),
}

/// What a program that goes on finds at its mailbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ear {
    /// The sentry, for a while: calls from elsewhere than patched sites are stops.
    Open,
    /// Nobody.
    Shut,
}

/// A thread that waits in a notification is about to go on; whether it is listened to.
pub(super) fn start(area: &Area, next: Ear) {
    select(area, next);
    area.store(TURN, turn(next));
}

fn turn(next: Ear) -> u64 {
    match next {
        Ear::Open => LISTENING,
        Ear::Shut => IDLE,
    }
}

fn select(area: &Area, next: Ear) {
    let selector = match next {
        Ear::Open => BLOCK,
        Ear::Shut => 0,
    };
    if area.load(SELECTOR) != selector {
        area.store(SELECTOR, selector);
    }
}

/// Listens no longer. Something may have been posted just before: [`take`] says so.
pub(super) fn give_up(area: &Area) {
    area.store(SELECTOR, 0);
    area.exchange(TURN, LISTENING, IDLE);
}

/// Takes what was posted, if something was.
pub(super) fn take(area: &Area) -> Option<Mail> {
    match area.load(TURN) {
        CALL if area.exchange(TURN, CALL, CALL_TAKEN) => {
            let [nr, args @ ..] =
                [NUMBER, ARGS, ARGS + 8, ARGS + 16, ARGS + 24, ARGS + 32].map(|at| area.load(at));
            let [a, b, c, d, e] = args;
            let args = [a, b, c, d, e, area.load(ARGS + 40)];
            Some(Mail::Call {
                nr: arch::abi::num::low16(nr).into(),
                args,
            })
        }
        FRAME if area.exchange(TURN, FRAME, FRAME_TAKEN) => {
            let stop = [ARGS, ARGS + 8, ARGS + 16].map(|at| area.load(at));
            Some(Mail::Frame(stop))
        }
        _ => None,
    }
}

/// Answers a call that was taken; `false`: its thread waits by notification instead.
pub(super) fn answer(area: &Area, value: u64, next: Ear) -> bool {
    area.store(VALUE, value);
    done(area, CALL_TAKEN, next)
}

/// Lets a thread go on from a stop that was taken; `false`: it waits by notification.
pub(super) fn resume(area: &Area, next: Ear) -> bool {
    done(area, FRAME_TAKEN, next)
}

fn done(area: &Area, taken: u64, next: Ear) -> bool {
    select(area, next);
    area.exchange(TURN, taken, turn(next))
}

/// Has a thread at a stop that was taken report it by notification.
pub(super) fn send_to_report(area: &Area) {
    area.store(SELECTOR, 0);
    area.exchange(TURN, FRAME_TAKEN, REPORTED);
}

/// Takes back, for a thread that is stopped, what it has posted and nobody has taken;
/// whether it had, or had done so by itself.
pub(super) fn withdraw(area: &Area) -> bool {
    area.exchange(TURN, CALL, WITHDRAWN) || area.load(TURN) == WITHDRAWN
}

/// All words as at the start.
pub(super) fn reset(area: &Area) {
    area.store(SELECTOR, 0);
    area.store(TURN, IDLE);
}
