//! An address space: a tree of page tables.

use std::any::Any;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use arch::abi::{Addr, PAGE_SIZE};
use arch::paging::{Entry, Rights};

use super::files::{PIECE, Piece};
use super::gate::{Closed, Gate};
use super::machine::{self, Regime};
use super::places::{FILES, MEMORY};
use super::refused;
use super::shared::Shared;
use super::tree::Tree;
use crate::host::HostFile;
use crate::sync::lock;
use crate::{Access, AddressSpace, Backing, Change, CloneSpace, Limits, PlatformError, Prot};

/// See the module.
pub(super) struct Space {
    pub(super) shared: Arc<Shared>,
    limits: Limits,
    state: Mutex<State>,
    /// The root table's guest-physical address.
    pub(super) root: u64,
    pub(super) regime: Regime,
    pub(super) gate: Gate,
    /// A virtual CPU may have translations of it.
    seen: AtomicBool,
}

struct State {
    tree: Tree,
    /// Pages that show each piece of a host file.
    pieces: HashMap<Piece, u64>,
}

/// What a batch of changes leaves to be done once all entries are written.
struct Leftovers<'a> {
    space: &'a Space,
    /// While this is there nobody runs the space.
    closed: Option<Closed<'a>>,
    /// Pages that can be run and could not before.
    code: Vec<u64>,
    /// Pages that were reachable by entries that have lost rights or have gone.
    stale: Vec<u64>,
    /// Pages of host files that are shown no more, by piece.
    gone: HashMap<Piece, u64>,
}

/// Whether the host has something behind a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Backed {
    /// As far as is known.
    Yes,
    /// Its file is too short.
    No,
    /// It was, but is not any more.
    Again,
}

impl<'a> Leftovers<'a> {
    fn of(space: &'a Space) -> Self {
        Self {
            space,
            closed: None,
            code: Vec::new(),
            stale: Vec::new(),
            gone: HashMap::new(),
        }
    }

    /// Takes note of an entry's change, before it is made.
    fn note(&mut self, old: Entry, new: Entry) {
        if self.closed.is_none() && machine::must_stop(old, new) {
            self.closed = Some(self.space.gate.close());
        }
        if new.rights().execute && self.space.shared.setup.keeps_code() {
            self.code.push(new.target());
        }
        if !old.is_named() {
            return;
        }
        let moved = old.target() != new.target() || !new.is_named();
        if old.rights().read && (moved || old.rights().exceed(new.rights())) {
            self.stale.push(old.target());
        }
        if moved && let Some(piece) = Piece::at(old.target()) {
            let count = self.gone.entry(piece).or_default();
            *count = count.saturating_add(1);
        }
    }
}

impl Space {
    /// A space with nothing mapped.
    pub(super) fn empty(shared: &Arc<Shared>, limits: Limits) -> Result<Self, PlatformError> {
        shared.tidy()?;
        let tree = Tree::new(&shared.pool);
        let tree = tree.map_err(refused("page tables"))?;
        let regime = Regime::new(&shared.setup, tree.root.0)?;
        Self::of(shared, limits, tree, HashMap::new(), regime)
    }

    fn of(
        shared: &Arc<Shared>,
        limits: Limits,
        tree: Tree,
        pieces: HashMap<Piece, u64>,
        regime: Regime,
    ) -> Result<Self, PlatformError> {
        shared.setup.link(&shared.pool, tree.root);
        let space = Self {
            shared: Arc::clone(shared),
            limits,
            root: tree.root.0,
            regime,
            gate: Gate::new(),
            state: Mutex::new(State { tree, pieces }),
            seen: AtomicBool::new(false),
        };
        space.shared.ensure_tables()?;
        Ok(space)
    }

    /// A virtual CPU is about to use it.
    pub(super) fn will_be_seen(&self) {
        if !self.seen.load(Ordering::Relaxed) {
            // SeqCst, paired with the load in `apply`: either that sees this, or the
            // virtual CPU sees the entries that were written before.
            self.seen.store(true, Ordering::SeqCst);
        }
    }

    fn change(
        &self,
        state: &mut State,
        change: &Change<'_>,
        left: &mut Leftovers<'_>,
    ) -> Result<(), PlatformError> {
        let pool = &self.shared.pool;
        match *change {
            Change::Map {
                at,
                len,
                ref backing,
                prot,
                ..
            } => {
                let range = self.limits.range(at, len)?;
                let rights = rights(prot);
                match *backing {
                    Backing::Memory { offset } => {
                        self.shared.ensure_memory(offset, len)?;
                        let first = MEMORY.saturating_add(offset);
                        show(state, &self.shared, range, first, rights, left)
                    }
                    Backing::Host { file, offset } => {
                        self.show_file(state, range, (file, offset), rights, left)
                    }
                }
            }
            Change::Protect { at, len, prot } => {
                let range = self.limits.range(at, len)?;
                let rights = rights(prot);
                state.tree.update(pool, range.start, range.end, |old| {
                    let new = Entry::page(old.target(), rights);
                    left.note(old, new);
                    new
                });
                Ok(())
            }
            Change::Unmap { at, len } => {
                let range = self.limits.range(at, len)?;
                state.tree.update(pool, range.start, range.end, |old| {
                    left.note(old, Entry::EMPTY);
                    Entry::EMPTY
                });
                Ok(())
            }
        }
    }

    /// Shows a host file, piece by piece.
    fn show_file(
        &self,
        state: &mut State,
        range: Range<u64>,
        (file, offset): (&Arc<HostFile>, u64),
        rights: Rights,
        left: &mut Leftovers<'_>,
    ) -> Result<(), PlatformError> {
        let mut at = range.start;
        let mut offset = offset;
        while at < range.end {
            let within = offset % PIECE;
            let len = PIECE
                .saturating_sub(within)
                .min(range.end.saturating_sub(at));
            let pages = len / PAGE_SIZE;
            let shown = self.shared.files.show(file, offset, pages);
            let piece = shown.map_err(refused("showing a host file"))?;
            self.shared.ensure_files(piece.offset(), PIECE)?;
            let count = state.pieces.entry(piece).or_default();
            *count = count.saturating_add(pages);
            let first = FILES.saturating_add(piece.offset()).saturating_add(within);
            show(
                state,
                &self.shared,
                at..at.saturating_add(len),
                first,
                rights,
                left,
            )?;
            at = at.saturating_add(len);
            offset = offset.saturating_add(len);
        }
        Ok(())
    }

    /// Has the host forget what may not be reached any more, then lets go of files.
    fn settle(&self, state: &mut State, left: &mut Leftovers<'_>) -> Result<(), PlatformError> {
        self.shared.ensure_tables()?;
        arch::paging::publish();
        if left.closed.is_some() && !self.shared.keeps_stale() {
            self.regime.changed();
        }
        // See `will_be_seen`.
        std::sync::atomic::fence(Ordering::SeqCst);
        if !left.stale.is_empty() && self.seen.load(Ordering::SeqCst) {
            machine::forget(&self.shared, &mut left.stale)?;
        }
        if !left.code.is_empty() {
            self.shared.forget(&mut left.code)?;
        }
        for (piece, pages) in left.gone.drain() {
            if let Some(count) = state.pieces.get_mut(&piece) {
                *count = count.saturating_sub(pages);
                if *count == 0 {
                    state.pieces.remove(&piece);
                }
            }
            self.shared.files.remove_users(piece, pages);
        }
        Ok(())
    }

    /// Makes pages fault whose host file has become too short for them. Whether there
    /// were any that did not.
    pub(super) fn drop_unbacked(&self) -> Result<bool, PlatformError> {
        let mut state = lock(&self.state);
        let backed: HashMap<_, _> = state
            .pieces
            .keys()
            .map(|piece| (*piece, self.shared.files.backed(*piece)))
            .collect();
        let mut any = false;
        let mut left = Leftovers::of(self);
        let end = self.limits.max_address.0;
        state.tree.update(&self.shared.pool, 0, end, |old| {
            let backed = Piece::at(old.target()).and_then(|piece| backed.get(&piece));
            if !old.rights().read || backed.is_none_or(|backed| old.target() % PIECE < *backed) {
                return old;
            }
            any = true;
            left.note(old, old.unbacked());
            old.unbacked()
        });
        self.settle(&mut state, &mut left)?;
        Ok(any)
    }

    /// Whether a program could have something at `at`.
    pub(super) fn is_guests(&self, at: Addr) -> bool {
        at < self.limits.max_address
    }

    /// What is behind the page at `at`, where `access` faulted on virtual CPU `vcpu`.
    pub(super) fn backing(&self, at: Addr, access: Access, vcpu: usize) -> Backed {
        if !self.is_guests(at) {
            return Backed::Yes;
        }
        let state = lock(&self.state);
        let pool = &self.shared.pool;
        let entry = state.tree.find(pool, at.0);
        if !entry.is_unbacked() {
            if !allows(entry.rights(), access) {
                return Backed::Yes;
            }
            // It did not when it faulted, or that CPU had an older entry.
            self.regime.refresh(vcpu);
            return Backed::Again;
        }
        let backed = Piece::at(entry.target()).map_or(0, |piece| self.shared.files.backed(piece));
        if entry.target() % PIECE >= backed {
            return Backed::No;
        }
        let start = at.page_down().0;
        let end = start.saturating_add(PAGE_SIZE);
        state.tree.update(pool, start, end, Entry::backed);
        Backed::Again
    }

    /// The byte at `at`. `None` if the program cannot read it.
    pub(super) fn read_byte(&self, at: Addr) -> Option<u8> {
        if !self.is_guests(at) {
            return None;
        }
        let state = lock(&self.state);
        let entry = state.tree.find(&self.shared.pool, at.0);
        if !entry.rights().read {
            return None;
        }
        let target = entry.target().saturating_add(at.page_offset());
        match Piece::at(target) {
            Some(piece) => self.shared.files.byte(piece, target % PIECE),
            None => self.shared.memory.byte(target.checked_sub(MEMORY)?),
        }
    }
}

/// Shows guest-physical memory from `first` on.
fn show(
    state: &mut State,
    shared: &Shared,
    range: Range<u64>,
    first: u64,
    rights: Rights,
    left: &mut Leftovers,
) -> Result<(), PlatformError> {
    let pages = range.end.saturating_sub(range.start) / PAGE_SIZE;
    let make = |n: u64| Entry::page(first.saturating_add(n * PAGE_SIZE), rights);
    let note = |old, new| left.note(old, new);
    let set = &mut state.tree;
    set.set(&shared.pool, range.start, pages, make, note, Entry::table)
        .map_err(refused("page tables"))
}

fn allows(rights: Rights, access: Access) -> bool {
    match access {
        Access::Read => rights.read,
        Access::Write => rights.write,
        Access::Execute => rights.execute,
    }
}

fn rights(prot: Prot) -> Rights {
    Rights {
        read: !prot.is_empty(),
        write: prot.contains(Prot::WRITE),
        execute: prot.contains(Prot::EXEC),
    }
}

impl AddressSpace for Space {
    fn apply(&self, changes: &[Change<'_>]) -> Result<(), PlatformError> {
        let mut state = lock(&self.state);
        let mut left = Leftovers::of(self);
        let mut done = Ok(());
        for change in changes {
            done = self.change(&mut state, change, &mut left);
            if done.is_err() {
                break;
            }
        }
        // Also behind an error: what has changed has changed.
        self.settle(&mut state, &mut left)?;
        done
    }

    fn cloner(&self) -> Option<&dyn CloneSpace> {
        Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl CloneSpace for Space {
    fn clone_space(&self) -> Result<Arc<dyn AddressSpace>, PlatformError> {
        self.shared.tidy()?;
        let state = lock(&self.state);
        let end = self.limits.max_address.0;
        let tree = state.tree.copy(&self.shared.pool, end);
        let tree = tree.map_err(refused("page tables"))?;
        let regime = self.regime.copy(tree.root.0);
        let pieces = state.pieces.clone();
        for (piece, pages) in &pieces {
            self.shared.files.add_users(*piece, *pages);
        }
        drop(state);
        let space = Self::of(&self.shared, self.limits, tree, pieces, regime)?;
        Ok(Arc::new(space))
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let seen = *self.seen.get_mut();
        let state = self
            .state
            .get_mut()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for (piece, pages) in state.pieces.drain() {
            self.shared.files.remove_users(piece, pages);
        }
        let seen = seen && machine::TABLES_LINGER;
        state.tree.free(&self.shared.pool, seen);
    }
}
