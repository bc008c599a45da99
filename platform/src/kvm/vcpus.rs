//! The virtual CPUs: made as more contexts run at the same time, shared by all, held
//! by a context only while its program runs.
//!
//! A virtual CPU keeps the FP and vector state of the context that ran on it last, its
//! owner; it is moved only when another context takes the CPU or the sentry looks at it.
//! Invariant `[state-at-hand]`: under the list's lock, a context whose state is on a
//! virtual CPU that it does not hold finds that one idle. So before the lock is given up,
//! whoever gets a CPU is its owner or it has none: the last owner's state is saved, as it
//! may be about to run on another one.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use arch::FpState;

use super::exits::Came;
use super::machine::{Cpu, Regime};
use super::refused;
use super::shared::Shared;
use crate::PlatformError;
use crate::host::kvm::{self, RunPage};
use crate::sync::lock;

/// There are never more.
pub(super) const MAX_VCPUS: usize = 64;

/// How long a context waits for a virtual CPU before one that runs is told to give way.
const PATIENCE: Duration = Duration::from_millis(2);

/// Where a context's FP and vector state is.
#[derive(Debug)]
pub(super) enum FpPlace {
    /// In a virtual CPU, by number.
    On(usize),
    /// Here: another context took that virtual CPU.
    Saved(Box<FpState>),
    /// The context has not run yet.
    Nowhere,
    /// The host did not give it away.
    Lost,
}

/// A context's own place for its state. Lock order: the virtual CPUs' list, then this.
pub(super) type FpSlot = Mutex<FpPlace>;

/// See the module.
pub(super) struct Vcpu {
    pub(super) id: usize,
    pub(super) cpu: Cpu,
    pub(super) page: Arc<RunPage>,
    owner: Option<Arc<FpSlot>>,
}

impl Vcpu {
    /// Whether the state in it is that of the context with this slot.
    fn is_of(&self, slot: &Arc<FpSlot>) -> bool {
        self.owner
            .as_ref()
            .is_some_and(|owner| Arc::ptr_eq(owner, slot))
    }

    /// Whether the context whose state it holds is gone, or there is none.
    fn is_free(&self) -> bool {
        self.owner
            .as_ref()
            .is_none_or(|owner| Arc::strong_count(owner) == 1)
    }

    /// Saves the state of the context that ran here last, unless that is `next`. To be
    /// called with the list's lock held.
    fn evict(&mut self, next: &Arc<FpSlot>) {
        if self.is_of(next) {
            return;
        }
        if !self.is_free()
            && let Some(owner) = self.owner.take()
        {
            let mut place = lock(&owner);
            if matches!(*place, FpPlace::On(id) if id == self.id) {
                *place = self.read_fp().map_or(FpPlace::Lost, FpPlace::Saved);
            }
        }
        self.owner = None;
    }

    fn read_fp(&mut self) -> Result<Box<FpState>, PlatformError> {
        let mut fp = Box::<FpState>::default();
        self.cpu
            .get_fp(&mut fp)
            .map_err(refused("reading vector state"))?;
        Ok(fp)
    }

    /// Gives the CPU the state of the context with `slot`, which holds it now: `newer` if
    /// there is one, else what was saved, else it is here already.
    pub(super) fn bring_fp(
        &mut self,
        slot: &Arc<FpSlot>,
        newer: Option<Box<FpState>>,
    ) -> Result<(), PlatformError> {
        let mut place = lock(slot);
        let before = std::mem::replace(&mut *place, FpPlace::On(self.id));
        let state = match (newer, before) {
            (Some(newer), _) => Some(newer),
            (None, FpPlace::Saved(saved)) => Some(saved),
            (None, FpPlace::On(id)) if id == self.id && self.is_of(slot) => None,
            (None, FpPlace::Nowhere) => Some(Box::default()),
            (None, FpPlace::On(_) | FpPlace::Lost) => {
                *place = FpPlace::Lost;
                return Err(lost());
            }
        };
        if let Some(state) = state
            && let Err(errno) = self.cpu.set_fp(&state)
        {
            *place = FpPlace::Saved(state);
            return Err(refused("setting vector state")(errno));
        }
        drop(place);
        if !self.is_of(slot) {
            self.owner = Some(Arc::clone(slot));
        }
        Ok(())
    }

    /// See [`Cpu::run`].
    pub(super) fn run(&mut self, regime: &Regime, regs: &mut arch::Regs) -> Came {
        self.cpu.run(regime, regs)
    }
}

/// See the module.
pub(super) struct Vcpus(Mutex<List>);

#[derive(Default)]
struct List {
    #[expect(clippy::vec_box, reason = "they move between here and their holders")]
    idle: Vec<Box<Vcpu>>,
    /// Host threads of contexts that hold one, by number.
    held: Vec<Option<i32>>,
    waiting: VecDeque<Arc<Waiter>>,
    /// How many of these are beyond use.
    lost: usize,
    /// Contexts that exist.
    contexts: usize,
    next_victim: usize,
}

/// A context that waits for a virtual CPU.
struct Waiter {
    slot: Arc<FpSlot>,
    tid: i32,
    state: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    given: Option<Box<Vcpu>>,
    /// One was lost: look again at what there is.
    look_again: bool,
    /// It is its turn soon: no more wait before it than there are virtual CPUs. Only then
    /// does it look at the clock, so that a crowd that waits costs nothing.
    in_front: bool,
}

impl Waiter {
    fn change(&self, change: impl FnOnce(&mut Waiting)) {
        change(&mut lock(&self.state));
        self.changed.notify_one();
    }
}

impl Vcpus {
    pub(super) fn new() -> Self {
        Self(Mutex::default())
    }

    /// A context has come.
    pub(super) fn join(&self) {
        let mut list = lock(&self.0);
        list.contexts = list.contexts.saturating_add(1);
    }

    /// A context has gone.
    pub(super) fn leave(&self) {
        let mut list = lock(&self.0);
        list.contexts = list.contexts.saturating_sub(1);
    }

    /// A virtual CPU for the context with `slot`, whose host thread is `tid`: its own if
    /// that is idle. Waits if as many run as there can be. No other context's state is
    /// in it.
    pub(super) fn take(
        &self,
        shared: &Shared,
        slot: &Arc<FpSlot>,
        tid: i32,
    ) -> Result<Box<Vcpu>, PlatformError> {
        loop {
            let waiter = {
                let mut list = lock(&self.0);
                if let Some(at) = list.choose(slot) {
                    let vcpu = list.idle.swap_remove(at);
                    return Ok(list.hand(vcpu, slot, tid));
                }
                let id = list.held.len();
                if id < MAX_VCPUS && list.count() < shared.most_vcpus {
                    list.held.push(Some(tid));
                    drop(list);
                    let made = self.make(shared, id);
                    if made.is_err() {
                        self.lose(id);
                    }
                    return made;
                }
                if list.count() == 0 {
                    return Err(PlatformError::Dead {
                        how: "all virtual CPUs were lost".to_owned(),
                    });
                }
                list.enqueue(slot, tid)
            };
            if let Some(vcpu) = self.wait(&waiter) {
                return Ok(vcpu);
            }
        }
    }

    /// A virtual CPU that is beyond use is never used again; another is made in its place
    /// while there are numbers for them.
    pub(super) fn retire(&self, vcpu: &Vcpu) {
        self.lose(vcpu.id);
    }

    fn lose(&self, id: usize) {
        let mut list = lock(&self.0);
        list.hold(id, None);
        list.lost = list.lost.saturating_add(1);
        for waiter in list.waiting.drain(..) {
            waiter.change(|state| state.look_again = true);
        }
    }

    /// A copy of the state of the context with `slot`, which does not run.
    pub(super) fn fp_of(
        &self,
        shared: &Shared,
        slot: &Arc<FpSlot>,
        tid: i32,
    ) -> Result<Box<FpState>, PlatformError> {
        if matches!(*lock(slot), FpPlace::On(_)) {
            let mut vcpu = self.take(shared, slot, tid)?;
            // Unless another context took that virtual CPU meanwhile.
            let state = vcpu.is_of(slot).then(|| vcpu.read_fp());
            self.give(vcpu);
            if let Some(state) = state {
                return state;
            }
        }
        match &*lock(slot) {
            FpPlace::Saved(state) => Ok(state.clone()),
            FpPlace::Nowhere => Ok(Box::default()),
            FpPlace::On(_) | FpPlace::Lost => Err(lost()),
        }
    }

    fn make(&self, shared: &Shared, id: usize) -> Result<Box<Vcpu>, PlatformError> {
        let cpu = Cpu::new(&shared.vm, id, &shared.setup, &shared.fixed)?;
        let page = std::os::fd::AsFd::as_fd(&cpu);
        let page = RunPage::of(page).map_err(refused("mapping a virtual CPU"))?;
        Ok(Box::new(Vcpu {
            id,
            cpu,
            page: Arc::new(page),
            owner: None,
        }))
    }

    /// Waits for its turn. `None`: look again at what there is.
    fn wait(&self, waiter: &Arc<Waiter>) -> Option<Box<Vcpu>> {
        let mut state = lock(&waiter.state);
        loop {
            if state.given.is_some() || state.look_again {
                return state.given.take();
            }
            if !state.in_front {
                let woken = waiter.changed.wait(state);
                state = woken.unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let woken = waiter.changed.wait_timeout(state, PATIENCE);
            let (next, timeout) = woken.unwrap_or_else(PoisonError::into_inner);
            state = next;
            if timeout.timed_out() && state.given.is_none() && !state.look_again {
                drop(state);
                self.kick_one();
                state = lock(&waiter.state);
            }
        }
    }

    /// Gives a virtual CPU back.
    pub(super) fn give(&self, vcpu: Box<Vcpu>) {
        lock(&self.0).release(vcpu);
    }

    /// Makes one that runs stop: its holder gives it to whoever waits. Only those in front
    /// do so, and there are as many of them as virtual CPUs: so each of these runs for
    /// about `PATIENCE`, however many wait.
    fn kick_one(&self) {
        let mut list = lock(&self.0);
        list.next_victim = (list.next_victim + 1) % list.held.len().max(1);
        let victim = list.held.get(list.next_victim).copied().flatten();
        if let Some(tid) = victim {
            kvm::kick(tid);
        }
    }

    /// Makes all that run stop.
    pub(super) fn kick_all(&self) {
        for tid in lock(&self.0).held.iter().copied().flatten() {
            kvm::kick(tid);
        }
    }
}

impl List {
    /// Which idle one suits the context with `slot` best: its own, then one without
    /// state; one that holds another's only if there are enough for all contexts.
    fn choose(&self, slot: &Arc<FpSlot>) -> Option<usize> {
        let find = |suits: &dyn Fn(&Vcpu) -> bool| self.idle.iter().position(|vcpu| suits(vcpu));
        find(&|vcpu| vcpu.is_of(slot))
            .or_else(|| find(&Vcpu::is_free))
            .or_else(|| {
                let enough = self.count() >= self.contexts.min(ENOUGH);
                if enough { find(&|_| true) } else { None }
            })
    }

    fn hold(&mut self, id: usize, by: Option<i32>) {
        if let Some(place) = self.held.get_mut(id) {
            *place = by;
        }
    }

    /// How many virtual CPUs there are that work.
    fn count(&self) -> usize {
        self.held.len().saturating_sub(self.lost)
    }

    /// Makes `vcpu` that of the context with `slot`.
    fn hand(&mut self, mut vcpu: Box<Vcpu>, slot: &Arc<FpSlot>, tid: i32) -> Box<Vcpu> {
        self.hold(vcpu.id, Some(tid));
        vcpu.evict(slot);
        vcpu
    }

    /// One more that waits.
    fn enqueue(&mut self, slot: &Arc<FpSlot>, tid: i32) -> Arc<Waiter> {
        let waiter = Arc::new(Waiter {
            slot: Arc::clone(slot),
            tid,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        lock(&waiter.state).in_front = self.waiting.len() < self.count();
        self.waiting.push_back(Arc::clone(&waiter));
        waiter
    }

    /// To the one that waits the longest, or to the idle.
    fn release(&mut self, vcpu: Box<Vcpu>) {
        self.hold(vcpu.id, None);
        match self.waiting.pop_front() {
            Some(waiter) => {
                let vcpu = self.hand(vcpu, &waiter.slot, waiter.tid);
                waiter.change(|state| state.given = Some(vcpu));
                let last = self.count().checked_sub(1);
                if let Some(next) = last.and_then(|last| self.waiting.get(last)) {
                    next.change(|state| state.in_front = true);
                }
            }
            None => self.idle.push(vcpu),
        }
    }
}

fn lost() -> PlatformError {
    PlatformError::Dead {
        how: "its vector state is lost".to_owned(),
    }
}

/// Below this many, a new virtual CPU is made rather than state moved.
const ENOUGH: usize = 4;
