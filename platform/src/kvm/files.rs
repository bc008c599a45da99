//! Host files in guest-physical memory: one reserved range of the sentry's addresses,
//! into which pieces of files are put as they are needed, under slots that stay.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};

use arch::abi::num::usize_of;
use arch::abi::{Errno, PAGE_SIZE};

use super::places::FILES;
use crate::host::{self, HostFile, Window};
use crate::sync::lock;

/// Bytes of a file that are put into the range together.
pub(super) const PIECE: u64 = 1 << 20;
/// Pieces that the range holds. Each is a mapping of the sentry's, of which the host
/// allows 65,530.
const PIECES: u32 = 16 << 10;

/// A place in the range.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Piece(u32);

impl Piece {
    /// The piece that guest-physical `at` lies in. `None`: it is not in the range.
    pub(super) fn at(at: u64) -> Option<Self> {
        let number = u32::try_from(at.checked_sub(FILES)? / PIECE).ok()?;
        (number < PIECES).then_some(Self(number))
    }

    /// Bytes from the range's start.
    pub(super) fn offset(self) -> u64 {
        u64::from(self.0) * PIECE
    }
}

/// See the module. Lock order: a space's tree, then this.
#[derive(Debug)]
pub(super) struct Files {
    window: Window,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By file and number of the piece within it.
    shown: HashMap<(u64, u64), Piece>,
    places: Vec<Place>,
    /// Without users, those that have been so the longest first.
    idle: VecDeque<Piece>,
}

#[derive(Debug)]
struct Place {
    key: (u64, u64),
    file: Arc<HostFile>,
    /// Pages of spaces that show it.
    users: u64,
}

impl Files {
    /// Nothing shown.
    pub(super) fn new() -> Result<Self, Errno> {
        let len = usize_of(u64::from(PIECES) * PIECE);
        let len = NonZeroUsize::new(len).ok_or(Errno::EINVAL)?;
        Ok(Self {
            window: Window::reserved(len)?,
            state: Mutex::default(),
        })
    }

    /// The range in the sentry.
    pub(super) fn window(&self) -> &Window {
        &self.window
    }

    /// The piece of `file` that holds byte `offset`, with `users` more users. `ENOMEM`:
    /// all places are in use.
    pub(super) fn show(
        &self,
        file: &Arc<HostFile>,
        offset: u64,
        users: u64,
    ) -> Result<Piece, Errno> {
        let key = (file.id(), offset / PIECE);
        let mut state = lock(&self.state);
        if let Some(&piece) = state.shown.get(&key) {
            state.add_users(piece, users);
            return Ok(piece);
        }
        let (piece, is_new) = state.room()?;
        let at = piece.offset();
        let len = NonZeroUsize::new(usize_of(PIECE)).ok_or(Errno::EINVAL)?;
        let access = host::status_flags(file.as_fd())? & libc::O_ACCMODE;
        let writable = access == libc::O_RDWR;
        let place = Place {
            key,
            file: Arc::clone(file),
            users,
        };
        let start = key.1.saturating_mul(PIECE);
        if let Err(errno) = self.window.show(at, len, file.as_fd(), start, writable) {
            if !is_new {
                state.idle.push_front(piece);
            }
            return Err(errno);
        }
        if is_new {
            state.places.push(place);
        } else {
            let before = state.place(piece).map(|old| std::mem::replace(old, place));
            if let Some(before) = before {
                state.shown.remove(&before.key);
            }
        }
        state.shown.insert(key, piece);
        Ok(piece)
    }

    /// `users` more pages show a piece that is shown already.
    pub(super) fn add_users(&self, piece: Piece, users: u64) {
        lock(&self.state).add_users(piece, users);
    }

    /// `users` pages show it no more, and no virtual CPU can reach it by them.
    pub(super) fn remove_users(&self, piece: Piece, users: u64) {
        let mut state = lock(&self.state);
        let Some(place) = state.place(piece) else {
            return;
        };
        place.users = place.users.saturating_sub(users);
        if place.users == 0 {
            state.idle.push_back(piece);
        }
    }

    /// How many bytes of a piece its file has: whole pages.
    pub(super) fn backed(&self, piece: Piece) -> u64 {
        let Some((file, start)) = self.source(piece) else {
            return 0;
        };
        let len = host::stat(file.as_fd(), host::StatOf::File).map_or(0, |stat| stat.size);
        let backed = len.saturating_sub(start).min(PIECE);
        backed.next_multiple_of(PAGE_SIZE)
    }

    /// The byte of a piece at `at`. `None` if its file is too short.
    pub(super) fn byte(&self, piece: Piece, at: u64) -> Option<u8> {
        let (file, start) = self.source(piece)?;
        let mut byte = [0];
        let read = host::pread(file.as_fd(), &mut byte, start.saturating_add(at));
        (read == Ok(1)).then_some(byte[0])
    }

    /// What a piece shows: a file, and from which byte on.
    fn source(&self, piece: Piece) -> Option<(Arc<HostFile>, u64)> {
        let mut state = lock(&self.state);
        let place = state.place(piece)?;
        Some((Arc::clone(&place.file), place.key.1.saturating_mul(PIECE)))
    }
}

impl State {
    fn place(&mut self, piece: Piece) -> Option<&mut Place> {
        self.places.get_mut(usize_of(u64::from(piece.0)))
    }

    fn add_users(&mut self, piece: Piece, users: u64) {
        if let Some(place) = self.place(piece) {
            let was_idle = place.users == 0;
            place.users = place.users.saturating_add(users);
            if was_idle {
                self.idle.retain(|idle| *idle != piece);
            }
        }
    }

    /// A place to use, and whether it is new.
    fn room(&mut self) -> Result<(Piece, bool), Errno> {
        let next = u32::try_from(self.places.len()).map_err(|_| Errno::ENOMEM)?;
        if next < PIECES {
            return Ok((Piece(next), true));
        }
        self.idle
            .pop_front()
            .map(|piece| (piece, false))
            .ok_or(Errno::ENOMEM)
    }
}
