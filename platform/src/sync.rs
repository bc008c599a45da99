//! Locks of this crate. A thread that panics ends the whole sandbox, so
//! poisoning carries no news.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes `mutex`, whether or not a holder panicked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
