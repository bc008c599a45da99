//! What poll(2) and select(2) share: looking at many files and waiting for all of them.

use std::sync::Arc;

use base::{Pollable, Ready, Subscription, Wake};

/// What makes a descriptor ready in select(2)'s first set.
pub const SELECT_READ: Ready = Ready::IN
    .union(Ready::RDNORM)
    .union(Ready::RDBAND)
    .union(Ready::HUP)
    .union(Ready::ERR);
/// In its second set.
pub const SELECT_WRITE: Ready = Ready::OUT
    .union(Ready::WRNORM)
    .union(Ready::WRBAND)
    .union(Ready::ERR);
/// In its third set.
pub const SELECT_EXCEPT: Ready = Ready::PRI;

/// One file and what is of interest in it; `None`: the descriptor is not open.
pub type Entry<'a> = (Option<&'a dyn Pollable>, Ready);

/// What is so now, for each file in turn, and for how many anything is. A descriptor that
/// is not open has `NVAL`.
#[must_use]
pub fn look(entries: &[Entry<'_>]) -> (Vec<Ready>, usize) {
    let found: Vec<Ready> = entries
        .iter()
        .map(|(file, interest)| match file {
            Some(file) => file.ready(*interest),
            None => Ready::NVAL,
        })
        .collect();
    let count = found.iter().filter(|ready| !ready.is_empty()).count();
    (found, count)
}

/// Has `waker` called when any of them may have become ready. Subscribe first, then
/// [`look`], then sleep.
pub fn subscribe(entries: &[Entry<'_>], waker: &Arc<dyn Wake>) -> Subscription {
    entries
        .iter()
        .filter_map(|(file, interest)| file.map(|file| file.subscribe(waker, *interest)))
        .fold(Subscription::none(), Subscription::and)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventfd::EventFd;
    use arch::abi::poll::EventFdFlags;
    use base::Waiter;

    #[test]
    fn looks_and_waits() {
        let (one, other) = (
            EventFd::new(0, EventFdFlags::empty()),
            EventFd::new(1, EventFdFlags::empty()),
        );
        let entries: [Entry<'_>; 3] = [
            (Some(&one), Ready::IN),
            (None, Ready::IN),
            (Some(&other), Ready::IN | Ready::OUT),
        ];
        let waiter = Waiter::current();
        let waker: Arc<dyn Wake> = waiter.clone();
        let subscription = subscribe(&entries, &waker);
        let expected = [Ready::empty(), Ready::NVAL, Ready::IN | Ready::OUT];
        assert_eq!(look(&entries), (expected.to_vec(), 2));
        one.signal(1);
        assert_eq!(waiter.take(!0), Waiter::EVENT);
        assert_eq!(look(&entries).1, 3);
        drop(subscription);
        one.signal(1);
        assert_eq!(waiter.take(!0), 0);
    }
}
