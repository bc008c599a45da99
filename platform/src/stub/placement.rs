//! Where stub threads run: on the core of the thread that traces them, as a call
//! between two cores costs several times as much.
//!
//! Left alone, the kernel wakes the tracer on an idle core and the pair hops around.
//! So a pair that makes calls is held on one core; one watcher thread lets it go as
//! soon as it makes none for a tick, or shares its core with another pair while a core
//! has none. A context that is about to sleep lets itself go. Pairs that were let go
//! for computing find a core by the kernel's choice before they are held again.
//!
//! All of this is about speed: any interleaving of pairing and letting go leaves the
//! threads able to run somewhere.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::host::{self, CpuSet};
use crate::sync::lock;

/// How long a pair may make no call and still be held.
const TICK: Duration = Duration::from_millis(4);

/// Switches that a pair makes unheld after the watcher has let it go.
const CALM: u32 = 16;

/// `Pair::cpu` of a pair that is not held.
const FREE: u32 = u32::MAX;
/// `Pair::cpu` of a pair that is held on two cores.
const SPREAD: u32 = u32::MAX - 1;

/// All pairs of a platform instance and their watcher.
#[derive(Debug)]
pub(crate) struct Placement {
    /// Where this process may run.
    all: CpuSet,
    pairs: Mutex<Vec<Weak<Pair>>>,
    /// Whether the watcher has something to watch.
    active: AtomicBool,
    /// `None`: it could not be started, so nothing is held.
    watcher: OnceLock<Option<Thread>>,
}

/// A tracer and its stub thread.
#[derive(Debug)]
struct Pair {
    tracer: i32,
    stub: AtomicI32,
    /// The core on which both are held, or [`FREE`].
    cpu: AtomicU32,
    /// How many switches it has made, wrapping.
    switches: AtomicU32,
    /// Where it may run.
    cpus: Mutex<CpuSet>,
}

impl Placement {
    /// For the cores that the calling process may use.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            all: host::affinity(0).unwrap_or(CpuSet::EMPTY),
            pairs: Mutex::default(),
            active: AtomicBool::new(false),
            watcher: OnceLock::new(),
        })
    }

    /// The calling thread's place as tracer of `stub`.
    pub(crate) fn join(self: &Arc<Self>, stub: i32) -> Place {
        let pair = Arc::new(Pair {
            tracer: host::tid(),
            stub: AtomicI32::new(stub),
            cpu: AtomicU32::new(FREE),
            switches: AtomicU32::new(0),
            cpus: Mutex::new(self.all),
        });
        // A thread inherits where its maker was held.
        pair.release();
        lock(&self.pairs).push(Arc::downgrade(&pair));
        Place {
            placement: Arc::clone(self),
            pair,
            held: false,
            calm: 0,
        }
    }

    /// Starts the watcher or wakes it. `false`: there is none.
    fn watch(self: &Arc<Self>) -> bool {
        let start = || {
            let placement = Arc::downgrade(self);
            let watcher = thread::Builder::new()
                .name("placement".to_owned())
                .stack_size(64 << 10)
                .spawn(move || watch(&placement));
            watcher.ok().map(|handle| handle.thread().clone())
        };
        let Some(watcher) = self.watcher.get_or_init(start) else {
            return false;
        };
        if !self.active.swap(true, Ordering::SeqCst) {
            watcher.unpark();
        }
        true
    }

    fn pairs(&self) -> Vec<Arc<Pair>> {
        let mut pairs = lock(&self.pairs);
        pairs.retain(|pair| pair.strong_count() > 0);
        pairs.iter().filter_map(Weak::upgrade).collect()
    }

    /// Lets go what need not be held. `seen`: the switches that each pair that was held had
    /// made a tick ago. Gives whether any pair is held still.
    fn tick(&self, seen: &mut HashMap<usize, u32>) -> bool {
        let pairs = self.pairs();
        let (mut busy, mut cores) = (0_usize, HashSet::new());
        let mut now = HashMap::new();
        let mut held = false;
        for pair in &pairs {
            let (name, switches) = (
                Arc::as_ptr(pair).addr(),
                pair.switches.load(Ordering::Relaxed),
            );
            let cpu = pair.cpu.load(Ordering::SeqCst);
            if cpu == FREE {
                continue;
            }
            now.insert(name, switches);
            if seen.get(&name) == Some(&switches) {
                pair.let_go();
                continue;
            }
            held = true;
            if cpu == SPREAD {
                continue;
            }
            // The second and later ones on a core, while others have none.
            let crowded = cores.contains(&cpu);
            if crowded && busy < self.all.len() {
                pair.let_go();
            } else {
                busy = busy.saturating_add(1);
                cores.insert(cpu);
            }
        }
        *seen = now;
        held
    }
}

/// The watcher's life: until the platform instance is gone.
fn watch(placement: &Weak<Placement>) {
    let mut seen = HashMap::new();
    if let Some(placement) = placement.upgrade() {
        let _ = host::set_affinity(0, &placement.all);
    }
    loop {
        let idle = {
            let Some(placement) = placement.upgrade() else {
                return;
            };
            let held = placement.tick(&mut seen);
            if !held {
                placement.active.store(false, Ordering::SeqCst);
                // Whoever was paired since then has seen `active` and will not wake us.
                let is_held = |pair: &Arc<Pair>| pair.cpu.load(Ordering::SeqCst) != FREE;
                if placement.pairs().iter().any(is_held) {
                    placement.active.store(true, Ordering::SeqCst);
                }
            }
            !placement.active.load(Ordering::SeqCst)
        };
        if idle {
            thread::park();
            // What was seen then says nothing about a tick ago.
            seen.clear();
        } else {
            // Not a timed park: a wake-up left over from before would cut the tick short, and
            // a pair that had no time to make a call would be taken for one that makes none.
            thread::sleep(TICK);
        }
    }
}

impl Drop for Placement {
    fn drop(&mut self) {
        if let Some(Some(watcher)) = self.watcher.get() {
            watcher.unpark();
        }
    }
}

impl Pair {
    fn release(&self) {
        let cpus = lock(&self.cpus);
        // ESRCH: it has ended. EINVAL: the host took these CPUs away, and chooses others.
        let _ = host::set_affinity(self.tracer, &cpus);
        let _ = host::set_affinity(self.stub.load(Ordering::Relaxed), &cpus);
    }

    fn let_go(&self) {
        if self.cpu.swap(FREE, Ordering::SeqCst) != FREE {
            self.release();
        }
    }
}

/// A context's side of a pair.
#[derive(Debug)]
pub(crate) struct Place {
    placement: Arc<Placement>,
    pair: Arc<Pair>,
    /// Whether this side has put the pair onto a core and not taken it off.
    held: bool,
    /// Switches to go before the pair is held again.
    calm: u32,
}

impl Place {
    /// The stub thread is about to run.
    pub(crate) fn before_run(&mut self) {
        let switches = self.pair.switches.load(Ordering::Relaxed);
        self.pair
            .switches
            .store(switches.wrapping_add(1), Ordering::Relaxed);
        if self.pair.cpu.load(Ordering::Relaxed) != FREE {
            return;
        }
        if self.held {
            // The watcher let it go.
            self.held = false;
            self.calm = CALM;
        }
        if self.calm > 0 {
            self.calm = self.calm.saturating_sub(1);
        } else {
            self.hold();
        }
    }

    /// The same for a pair that is to be on two cores; `false`: it can't be.
    pub(crate) fn before_spread_run(&mut self) -> bool {
        let switches = self.pair.switches.load(Ordering::Relaxed);
        self.pair
            .switches
            .store(switches.wrapping_add(1), Ordering::Relaxed);
        self.pair.cpu.load(Ordering::Relaxed) == SPREAD || self.spread()
    }

    /// Keeps the stub thread on this core and the caller away from it; `false`: can't.
    pub(crate) fn spread(&mut self) -> bool {
        let cpus = *lock(&self.pair.cpus);
        let here = host::current_cpu();
        if cpus.len() < 2 || !cpus.contains(here) {
            return false;
        }
        let stub = self.pair.stub.load(Ordering::Relaxed);
        let others = cpus.without(here);
        if self.placement.watch()
            && host::set_affinity(stub, &CpuSet::one(here)).is_ok()
            && host::set_affinity(0, &others).is_ok()
        {
            self.held = true;
            self.pair.cpu.store(SPREAD, Ordering::SeqCst);
            self.placement.watch();
            true
        } else {
            self.pair.release();
            false
        }
    }

    fn hold(&mut self) {
        let cpus = *lock(&self.pair.cpus);
        if cpus.len() < 2 || !self.placement.watch() {
            self.calm = u32::MAX;
            return;
        }
        let here = host::current_cpu();
        if !cpus.contains(here) {
            self.calm = CALM;
            return;
        }
        let only = CpuSet::one(here);
        let stub = self.pair.stub.load(Ordering::Relaxed);
        if host::set_affinity(stub, &only).is_ok() && host::set_affinity(0, &only).is_ok() {
            self.held = true;
            let cpu = u32::try_from(here).unwrap_or(0);
            self.pair.cpu.store(cpu, Ordering::SeqCst);
            // Again: the watcher may have gone to sleep before it could see the pair.
            self.placement.watch();
        } else {
            self.calm = CALM;
            self.pair.release();
        }
    }

    /// The pair may run on these cores only.
    pub(crate) fn run_on(&mut self, cpus: &CpuSet) {
        *lock(&self.pair.cpus) = cpus.intersection(&self.placement.all);
        self.pair.cpu.store(FREE, Ordering::SeqCst);
        self.held = false;
        self.calm = 0;
        self.pair.release();
    }

    /// The calling thread is about to sleep for something else than its stub.
    pub(crate) fn park(&mut self) {
        if self.held {
            self.held = false;
            self.pair.let_go();
        }
    }

    /// The context has another stub thread from now on.
    pub(crate) fn move_to(&mut self, stub: i32) {
        self.park();
        self.pair.stub.store(stub, Ordering::Relaxed);
        // It inherits where its maker was held.
        self.pair.release();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.park();
    }
}
