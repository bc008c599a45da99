//! Typed arguments: how a raw register becomes what a handler takes, and how a
//! trace shows it.

use std::fmt::Write;

use arch::abi::OpenFlags;
use arch::abi::memory::{MapFlags, MlockallFlags, MremapFlags, MsyncFlags, Prot};
use base::{Addr, Errno, Pid, num};
use mem::{UserPtr, UserStr};
pub use vfs::Fd;

use crate::task::Task;

/// A type that a handler can take as an argument.
pub trait Arg: Sized {
    /// From the register. May refuse only what Linux refuses before it looks at
    /// anything else; a check that comes later is made in the handler.
    fn from_raw(raw: u64) -> Result<Self, Errno>;

    /// How `--strace` shows it at entry. `task` gives memory to look into.
    fn show(raw: u64, task: &Task, out: &mut String);
}

/// Implements [`Arg`] for types that a function makes of the register and that
/// are shown in Debug form.
macro_rules! args {
    ($($type:ty: $from:expr;)*) => {$(
        impl Arg for $type {
            fn from_raw(raw: u64) -> Result<Self, Errno> {
                let from: fn(u64) -> $type = $from;
                Ok(from(raw))
            }

            fn show(raw: u64, _task: &Task, out: &mut String) {
                let from: fn(u64) -> $type = $from;
                // Writing to a String cannot fail.
                let _ = write!(out, "{:?}", from(raw));
            }
        }
    )*};
}

args! {
    u64: |raw| raw;
    i64: u64::cast_signed;
    usize: num::usize_of;
    u32: num::low32;
    i32: num::low_i32;
    u16: num::low16;
    Addr: Addr;
    // Unknown bits are ignored, or refused where the rest is looked at.
    OpenFlags: |raw| OpenFlags::from_bits_retain(num::low32(raw));
    MapFlags: |raw| MapFlags::from_bits_retain(num::low32(raw));
    Prot: |raw| Prot::from_bits_retain(num::low32(raw));
}

impl Arg for Fd {
    fn from_raw(raw: u64) -> Result<Self, Errno> {
        Ok(Self(num::low_i32(raw)))
    }

    fn show(raw: u64, _task: &Task, out: &mut String) {
        let fd = Self(num::low_i32(raw));
        if fd == Self::CWD {
            out.push_str("AT_FDCWD");
        } else {
            let _ = write!(out, "{}", fd.0);
        }
    }
}

impl Arg for Pid {
    fn from_raw(raw: u64) -> Result<Self, Errno> {
        Ok(Self(num::low_i32(raw)))
    }

    fn show(raw: u64, _task: &Task, out: &mut String) {
        let _ = write!(out, "{}", num::low_i32(raw));
    }
}

impl<T> Arg for UserPtr<T> {
    fn from_raw(raw: u64) -> Result<Self, Errno> {
        Ok(Self::new(Addr(raw)))
    }

    fn show(raw: u64, _task: &Task, out: &mut String) {
        if raw == 0 {
            out.push_str("NULL");
        } else {
            let _ = write!(out, "{raw:#x}");
        }
    }
}

impl Arg for UserStr {
    fn from_raw(raw: u64) -> Result<Self, Errno> {
        Ok(Self(Addr(raw)))
    }

    fn show(raw: u64, task: &Task, out: &mut String) {
        const SHOWN: usize = 256;
        if raw == 0 {
            out.push_str("NULL");
            return;
        }
        match Self(Addr(raw)).read(task.user(), SHOWN) {
            Ok(text) => {
                let _ = write!(out, "\"{}\"", text.escape_ascii());
            }
            Err(_) => {
                let _ = write!(out, "{raw:#x}");
            }
        }
    }
}

/// Octal: permission bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ModeArg(pub u32);

impl Arg for ModeArg {
    fn from_raw(raw: u64) -> Result<Self, Errno> {
        Ok(Self(num::low32(raw)))
    }

    fn show(raw: u64, _task: &Task, out: &mut String) {
        let _ = write!(out, "{:#o}", num::low32(raw));
    }
}

/// Longest extensible structure in bytes: a page, as Linux has it.
const EXTENSIBLE_MAX: usize = 4096;

/// Reads a structure of which the program's version has `size` bytes and the first version
/// had `least`: what is missing is zero. `EINVAL` below `least`, `E2BIG` if what is not
/// known here is not zero or beyond a page, `EFAULT`. Source: clone3(2), openat2(2).
pub(super) fn read_extensible<T>(
    task: &Task,
    from: UserPtr<T>,
    size: usize,
    least: usize,
) -> Result<T, Errno>
where
    T: zerocopy::FromBytes + zerocopy::IntoBytes + Default,
{
    if size < least {
        return Err(Errno::EINVAL);
    }
    if size > EXTENSIBLE_MAX {
        return Err(Errno::E2BIG);
    }
    let mut bytes = vec![0; size];
    if task.user().copy_in(from.addr(), &mut bytes)? < size {
        return Err(Errno::EFAULT);
    }
    if bytes.iter().skip(size_of::<T>()).any(|byte| *byte != 0) {
        return Err(Errno::E2BIG);
    }
    let mut value = T::default();
    for (to, from) in value.as_mut_bytes().iter_mut().zip(&bytes) {
        *to = *from;
    }
    Ok(value)
}

/// Implements [`Arg`] for flags of which an unknown bit is `EINVAL` before anything else is
/// looked at.
macro_rules! strict_flags {
    ($($type:ty;)*) => {$(
        impl Arg for $type {
            fn from_raw(raw: u64) -> Result<Self, Errno> {
                Self::from_bits(num::low32(raw)).ok_or(Errno::EINVAL)
            }

            fn show(raw: u64, _task: &Task, out: &mut String) {
                let _ = write!(out, "{:?}", Self::from_bits_retain(num::low32(raw)));
            }
        }
    )*};
}

strict_flags! {
    MlockallFlags;
    MremapFlags;
    MsyncFlags;
}
