//! Who runs a space, and how to have nobody run it while its tables change in a way that
//! the machine must not see half of.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use super::vcpus::MAX_VCPUS;
use crate::host::kvm;
use crate::sync::lock;

/// See the module. A thread says that it is inside before it looks whether the gate is
/// closed, and who closes it does so before looking who is inside: one sees the other.
/// One thread at a time closes it: the space's lock is held meanwhile.
#[derive(Debug)]
pub(super) struct Gate {
    closed: AtomicBool,
    /// Host threads that are inside, by virtual CPU; 0: none.
    inside: [AtomicI32; MAX_VCPUS],
    waiting: Mutex<()>,
    moved: Condvar,
}

/// Nobody is inside for as long as this lives.
#[derive(Debug)]
#[must_use]
pub(super) struct Closed<'a>(&'a Gate);

/// The virtual CPU is inside for as long as this lives.
#[derive(Debug)]
#[must_use]
pub(super) struct Inside<'a> {
    gate: &'a Gate,
    vcpu: usize,
}

impl Gate {
    /// Open, nobody inside.
    pub(super) fn new() -> Self {
        Self {
            closed: AtomicBool::new(false),
            inside: [const { AtomicI32::new(0) }; MAX_VCPUS],
            waiting: Mutex::new(()),
            moved: Condvar::new(),
        }
    }

    /// Lets the thread `tid` inside with virtual CPU `vcpu`. From here on a kick makes it
    /// come back. `None`: the gate is closed.
    pub(super) fn enter(&self, vcpu: usize, tid: i32) -> Option<Inside<'_>> {
        self.inside.get(vcpu)?.store(tid, Ordering::SeqCst);
        let inside = Inside { gate: self, vcpu };
        (!self.closed.load(Ordering::SeqCst)).then_some(inside)
    }

    /// Waits until the gate is open.
    pub(super) fn wait(&self) {
        if self.closed.load(Ordering::SeqCst) {
            let waiting = lock(&self.waiting);
            let open = |_: &mut ()| self.closed.load(Ordering::SeqCst);
            drop(self.moved.wait_while(waiting, open));
        }
    }

    /// Makes all come out and lets nobody in.
    pub(super) fn close(&self) -> Closed<'_> {
        self.closed.store(true, Ordering::SeqCst);
        let closed = Closed(self);
        if self.kick() {
            let mut waiting = lock(&self.waiting);
            while self.is_anyone_inside() {
                waiting = self
                    .moved
                    .wait(waiting)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
        closed
    }

    /// Kicks all that are inside; whether there are any.
    fn kick(&self) -> bool {
        let mut any = false;
        for tid in &self.inside {
            let tid = tid.load(Ordering::SeqCst);
            if tid != 0 {
                kvm::kick(tid);
                any = true;
            }
        }
        any
    }

    fn is_anyone_inside(&self) -> bool {
        let mut inside = self.inside.iter();
        inside.any(|tid| tid.load(Ordering::SeqCst) != 0)
    }

    fn tell(&self) {
        drop(lock(&self.waiting));
        self.moved.notify_all();
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.gate.inside.get(self.vcpu) {
            place.store(0, Ordering::SeqCst);
        }
        if self.gate.closed.load(Ordering::SeqCst) {
            self.gate.tell();
        }
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.closed.store(false, Ordering::SeqCst);
        self.0.tell();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn nobody_is_inside_a_closed_gate() {
        let gate = Gate::new();
        let (value, done) = (AtomicU64::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for vcpu in 0..3 {
                let (gate, value, done) = (&gate, &value, &done);
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        gate.wait();
                        // No such thread: kicks do nothing.
                        let Some(_inside) = gate.enter(vcpu, i32::MAX) else {
                            continue;
                        };
                        assert_eq!(value.load(Ordering::Relaxed) % 2, 0);
                    }
                });
            }
            for _ in 0..1000 {
                let _closed = gate.close();
                value.fetch_add(1, Ordering::Relaxed);
                std::hint::spin_loop();
                value.fetch_add(1, Ordering::Relaxed);
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
