//! Claims about guest memory, and the trait that decides them.

use std::fmt;
use std::marker::PhantomData;

use arch::abi::{Addr, Errno, num};
use zerocopy::{FromBytes, IntoBytes};

/// Access to one program's memory. Checked against the VMAs; counts are bytes done,
/// `EFAULT` only if not even one byte could be.
pub trait UserMemory: Send + Sync {
    /// Copies from the program. Returns how many bytes were copied before the first
    /// that could not be. An empty `to` is `Ok(0)`.
    fn copy_in(&self, from: Addr, to: &mut [u8]) -> Result<usize, Errno>;

    /// Copies to the program, as [`UserMemory::copy_in`].
    fn copy_out(&self, to: Addr, from: &[u8]) -> Result<usize, Errno>;

    /// Writes zeros, as [`UserMemory::copy_out`].
    fn zero_out(&self, to: Addr, len: usize) -> Result<usize, Errno> {
        const ZEROS: [u8; 4096] = [0; 4096];
        let mut done = 0;
        while done < len {
            let at = to.checked_add(num::u64_of(done)).ok_or(Errno::EFAULT)?;
            let part = ZEROS.get(..len.saturating_sub(done)).unwrap_or(&ZEROS);
            match self.copy_out(at, part) {
                Ok(n) if n == part.len() => done = done.saturating_add(n),
                Ok(n) => return Ok(done.saturating_add(n)),
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }
}

/// A claim by the program that a `T` lies here. Costs nothing, proves nothing.
pub struct UserPtr<T>(Addr, PhantomData<fn() -> T>);

impl<T> Clone for UserPtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for UserPtr<T> {}

impl<T> fmt::Debug for UserPtr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> UserPtr<T> {
    /// The claim for `at`.
    #[must_use]
    pub const fn new(at: Addr) -> Self {
        Self(at, PhantomData)
    }

    /// Where it claims to lie.
    #[must_use]
    pub const fn addr(self) -> Addr {
        self.0
    }

    /// Whether the program gave NULL.
    #[must_use]
    pub const fn is_null(self) -> bool {
        self.0.0 == 0
    }

    /// `None` for NULL: for arguments where that means "not wanted".
    #[must_use]
    pub const fn non_null(self) -> Option<Self> {
        if self.is_null() { None } else { Some(self) }
    }

    /// The same place, claimed to hold another type.
    #[must_use]
    pub const fn cast<U>(self) -> UserPtr<U> {
        UserPtr::new(self.0)
    }
}

impl<T: FromBytes + IntoBytes> UserPtr<T> {
    /// Reads the value once. Decide on the copy: reading twice lets the guest
    /// change its mind. `EFAULT` unless all of it can be read.
    pub fn read(self, memory: &dyn UserMemory) -> Result<T, Errno> {
        let mut value = T::new_zeroed();
        let done = memory.copy_in(self.0, value.as_mut_bytes())?;
        if done == size_of::<T>() {
            Ok(value)
        } else {
            Err(Errno::EFAULT)
        }
    }
}

impl<T: IntoBytes + zerocopy::Immutable> UserPtr<T> {
    /// Writes the value. `EFAULT` unless all of it can be written.
    pub fn write(self, memory: &dyn UserMemory, value: &T) -> Result<(), Errno> {
        let done = memory.copy_out(self.0, value.as_bytes())?;
        if done == size_of::<T>() {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }
}

/// A claim that `len` items lie from `base` on.
#[derive(Debug)]
pub struct UserSlice<T> {
    base: UserPtr<T>,
    len: usize,
}

impl<T> Clone for UserSlice<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for UserSlice<T> {}

impl<T> UserSlice<T> {
    /// Refuses what wraps the address space (`EFAULT`). Whether it is mapped shows
    /// when it is used.
    pub fn new(base: UserPtr<T>, len: usize) -> Result<Self, Errno> {
        let bytes = len.checked_mul(size_of::<T>()).ok_or(Errno::EFAULT)?;
        base.addr()
            .checked_add(num::u64_of(bytes))
            .ok_or(Errno::EFAULT)?;
        Ok(Self { base, len })
    }

    /// The first item's claim.
    #[must_use]
    pub const fn base(self) -> UserPtr<T> {
        self.base
    }

    /// Number of items.
    #[must_use]
    pub const fn len(self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }
}

impl<T: FromBytes + IntoBytes> UserSlice<T> {
    /// Reads all items, at most `limit` of them (`EINVAL` beyond): the caller's bound
    /// on what a program can make the sentry allocate.
    pub fn read_vec(self, memory: &dyn UserMemory, limit: usize) -> Result<Vec<T>, Errno> {
        if self.len > limit {
            return Err(Errno::EINVAL);
        }
        let mut items = Vec::new();
        items.resize_with(self.len, T::new_zeroed);
        let mut at = self.base.addr();
        // One copy for the whole slice would need a slice view of T; items are
        // few and small where this is used, so it goes item by item.
        for item in &mut items {
            if memory.copy_in(at, item.as_mut_bytes())? != size_of::<T>() {
                return Err(Errno::EFAULT);
            }
            at = at
                .checked_add(num::u64_of(size_of::<T>()))
                .ok_or(Errno::EFAULT)?;
        }
        Ok(items)
    }
}

/// A claim that a NUL-terminated string starts here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UserStr(pub Addr);

impl UserStr {
    /// Reads up to the NUL, which is not part of the result. `ENAMETOOLONG` if there
    /// is none within `limit` bytes (the NUL counted, as PATH_MAX does), `EFAULT` if
    /// the string runs into memory that cannot be read.
    pub fn read(self, memory: &dyn UserMemory, limit: usize) -> Result<Vec<u8>, Errno> {
        let mut text = Vec::new();
        let mut chunk = [0_u8; 256];
        let mut at = self.0;
        while text.len() < limit {
            // Up to the end of a chunk-aligned block: strings that end just before
            // an unmapped page do not fault.
            let to_boundary = chunk.len().saturating_sub(num::usize_of(at.0 & 255));
            let want = to_boundary.min(limit.saturating_sub(text.len()));
            let part = chunk.get_mut(..want).ok_or(Errno::EFAULT)?;
            let done = memory.copy_in(at, part)?;
            let got = part.get(..done).ok_or(Errno::EFAULT)?;
            if let Some(end) = got.iter().position(|byte| *byte == 0) {
                text.extend_from_slice(got.get(..end).unwrap_or_default());
                return Ok(text);
            }
            text.extend_from_slice(got);
            if done < want {
                return Err(Errno::EFAULT);
            }
            at = at.checked_add(num::u64_of(done)).ok_or(Errno::EFAULT)?;
        }
        Err(Errno::ENAMETOOLONG)
    }
}
