//! Descriptors on their way: SCM_RIGHTS.
//!
//! A socket may be sent through itself, or two through each other, and then be
//! closed: they keep each other alive in their receive queues, where nobody can
//! read them. So descriptors in flight are counted, and from time to time sockets
//! whose every reference lies in the queue of such a socket have their queues
//! emptied.
//!
//! Invariant: messages with rights enter and leave queues only while the count is
//! locked (the [`Gate`]), so that counts and queues agree for the collector. What is
//! dropped in between is still counted and makes it see a socket as in use.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use base::Errno;
use base::lock::{Mutex, MutexGuard, rank};
use vfs::{Capabilities, FileDescription};

use super::endpoint::{Endpoint, Held};
use super::endpoint_of;
use crate::Context;

/// Descriptors in flight that a sandbox never passes, whoever asks.
const MAX_TOTAL: usize = 1 << 16;
/// So many sockets may be in flight before the first collection.
const FIRST_COLLECTION: usize = 64;

/// The count of descriptors in flight.
#[derive(Debug)]
pub(super) struct InFlight {
    counts: Mutex<Counts>,
    total: AtomicUsize,
}

/// Exclusive access to the count and to rights in queues.
pub(super) type Gate<'a> = MutexGuard<'a, Counts>;

#[derive(Debug, Default)]
pub(super) struct Counts {
    /// AF_UNIX sockets, by their descriptions' ids.
    sockets: HashMap<u64, Socket>,
    users: HashMap<u32, usize>,
    /// Collect when so many sockets are in flight.
    collect_at: usize,
    /// Sockets closed since the last collection.
    closed: usize,
}

#[derive(Debug)]
struct Socket {
    description: Weak<FileDescription>,
    endpoint: Weak<Endpoint>,
    count: usize,
}

/// The descriptions in one message.
#[derive(Debug)]
pub(super) struct Rights {
    files: Vec<Arc<FileDescription>>,
    user: u32,
    in_flight: Arc<InFlight>,
}

impl InFlight {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            counts: Mutex::new(rank::IN_FLIGHT, Counts::default()),
            total: AtomicUsize::new(0),
        })
    }

    pub(super) fn gate(&self) -> Gate<'_> {
        self.counts.lock()
    }

    /// Descriptors in flight.
    #[cfg(test)]
    pub(super) fn total(&self) -> usize {
        self.total.load(Ordering::SeqCst)
    }

    /// The gate, if anything at all is in flight.
    pub(super) fn gate_if_used(&self) -> Option<Gate<'_>> {
        (self.total.load(Ordering::SeqCst) > 0).then(|| self.gate())
    }

    /// Counts descriptions in. `ETOOMANYREFS` if the user has more in flight than it may
    /// have open, unless it is privileged.
    pub(super) fn attach(
        self: &Arc<Self>,
        gate: &mut Gate<'_>,
        files: &[Arc<FileDescription>],
        context: &Context<'_>,
    ) -> Result<Rights, Errno> {
        let credentials = &context.caller.credentials;
        let user = credentials.uid.0;
        let privileged = credentials.capable(Capabilities::SYS_RESOURCE)
            || credentials.capable(Capabilities::SYS_ADMIN);
        let own = gate.users.get(&user).copied().unwrap_or(0);
        let total = self
            .total
            .load(Ordering::SeqCst)
            .saturating_add(files.len());
        if (base::num::u64_of(own) > context.max_files && !privileged) || total > MAX_TOTAL {
            return Err(Errno::ETOOMANYREFS);
        }
        self.total.store(total, Ordering::SeqCst);
        gate.users.insert(user, own.saturating_add(files.len()));
        for file in files {
            if let Some(endpoint) = endpoint_of(file) {
                let socket = gate.sockets.entry(file.id()).or_insert_with(|| Socket {
                    description: Arc::downgrade(file),
                    endpoint: Arc::downgrade(endpoint),
                    count: 0,
                });
                socket.count = socket.count.saturating_add(1);
            }
        }
        Ok(Rights {
            files: files.to_vec(),
            user,
            in_flight: Arc::clone(self),
        })
    }

    /// A socket was closed: looks for others that only queues keep alive, if there may be
    /// enough of them to be worth it. Call with no lock held.
    pub(super) fn socket_closed(&self) {
        let Some(mut gate) = self.gate_if_used() else {
            return;
        };
        gate.closed = gate.closed.saturating_add(1);
        if !gate.sockets.is_empty() && gate.closed.saturating_mul(16) >= gate.sockets.len() {
            self.collect(gate);
        }
    }

    /// Many sockets are in flight: as [`InFlight::socket_closed`].
    pub(super) fn collect_if_many(&self, gate: Gate<'_>) {
        if gate.sockets.len() >= gate.collect_at.max(FIRST_COLLECTION) {
            self.collect(gate);
        }
    }

    fn collect(&self, mut gate: Gate<'_>) {
        let mut held = Held::default();
        let garbage = gate.garbage(&mut held);
        gate.closed = 0;
        gate.collect_at = gate
            .sockets
            .len()
            .saturating_sub(garbage.len())
            .saturating_mul(2);
        for endpoint in &garbage {
            endpoint.take_messages_with_rights(&mut held);
        }
        drop(gate);
        // Their drop takes locks, among them the gate.
        drop((garbage, held));
    }
}

/// A socket that may be garbage.
struct Candidate {
    endpoint: Arc<Endpoint>,
    /// References from queues of candidates.
    from_candidates: usize,
    /// References from all queues.
    count: usize,
    /// The candidates in its own queues.
    holds: Vec<u64>,
}

impl Counts {
    /// Sockets that can be reached from nowhere but each other's queues.
    fn garbage(&self, held: &mut Held) -> Vec<Arc<Endpoint>> {
        let mut candidates: HashMap<u64, Candidate> = self
            .sockets
            .iter()
            .filter(|(_, socket)| socket.description.strong_count() == socket.count)
            .filter_map(|(id, socket)| {
                let endpoint = socket.endpoint.upgrade()?;
                let candidate = Candidate {
                    endpoint,
                    from_candidates: 0,
                    count: socket.count,
                    holds: Vec::new(),
                };
                Some((*id, candidate))
            })
            .collect();
        let ids: HashSet<u64> = candidates.keys().copied().collect();
        let mut found = Vec::new();
        for candidate in candidates.values_mut() {
            candidate.holds = candidate.endpoint.rights_in_queues(held);
            candidate.holds.retain(|id| ids.contains(id));
            found.extend_from_slice(&candidate.holds);
        }
        for id in found {
            if let Some(candidate) = candidates.get_mut(&id) {
                candidate.from_candidates = candidate.from_candidates.saturating_add(1);
            }
        }
        let mut live: Vec<u64> = candidates
            .iter()
            .filter(|(_, candidate)| candidate.from_candidates < candidate.count)
            .map(|(id, _)| *id)
            .collect();
        while let Some(id) = live.pop() {
            if let Some(candidate) = candidates.remove(&id) {
                live.extend(candidate.holds);
            }
        }
        let garbage = candidates.into_values();
        garbage.map(|candidate| candidate.endpoint).collect()
    }

    fn forget(&mut self, rights: &Rights) {
        if let Some(count) = self.users.get_mut(&rights.user) {
            *count = count.saturating_sub(rights.files.len());
            if *count == 0 {
                self.users.remove(&rights.user);
            }
        }
        for file in &rights.files {
            if let Some(socket) = self.sockets.get_mut(&file.id()) {
                socket.count = socket.count.saturating_sub(1);
                if socket.count == 0 {
                    self.sockets.remove(&file.id());
                }
            }
        }
        let total = &rights.in_flight.total;
        total.fetch_sub(rights.files.len(), Ordering::SeqCst);
    }
}

impl Rights {
    /// The descriptions, still in flight: MSG_PEEK, and the collector.
    pub(super) fn files(&self) -> &[Arc<FileDescription>] {
        &self.files
    }

    /// Arrived: the descriptions, counted no more.
    pub(super) fn arrive(mut self, gate: &mut Gate<'_>) -> Vec<Arc<FileDescription>> {
        gate.forget(&self);
        std::mem::take(&mut self.files)
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        if self.files.is_empty() {
            return;
        }
        self.in_flight.gate().forget(self);
        bury(std::mem::take(&mut self.files));
    }
}

thread_local! {
    /// Descriptions to be dropped by a [`bury`] further up this thread's stack.
    static GRAVE: RefCell<Option<Vec<Arc<FileDescription>>>> = const { RefCell::new(None) };
}

/// Drops descriptions without recursion: the queue of a socket may hold a socket whose
/// queue holds a socket, for as long as a program likes.
fn bury(files: Vec<Arc<FileDescription>>) {
    let mut batch = Some(files);
    let first = GRAVE.try_with(|grave| {
        let mut grave = grave.borrow_mut();
        match grave.as_mut() {
            Some(waiting) => {
                waiting.extend(batch.take().unwrap_or_default());
                false
            }
            None => {
                *grave = Some(Vec::new());
                true
            }
        }
    });
    if first != Ok(true) {
        return;
    }
    while let Some(files) = batch.take() {
        drop(files);
        batch = GRAVE.with_borrow_mut(|grave| {
            let waiting = grave.take().filter(|waiting| !waiting.is_empty());
            if waiting.is_some() {
                *grave = Some(Vec::new());
            }
            waiting
        });
    }
}
