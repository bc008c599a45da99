//! The one system-call table, for both architectures.
//!
//! Dispatch, `--strace`, the report of unsupported calls, the guest's filter and
//! `sentry/COMPAT.md` come from these rows; a number is typed once.
//! Numbers: arch/x86/entry/syscalls/syscall_64.tbl and
//! include/uapi/asm-generic/unistd.h of Linux; `-`: not on that architecture.

use arch::abi::num;

use super::SysResult;
use super::arg::{Arg, Fd, ModeArg};
use super::*;
use crate::task::Task;
use base::{Addr, Pid};
use mem::{UserPtr, UserStr};

/// How much of a call is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Support {
    /// As Linux does it.
    Full,
    /// With the difference that is named.
    Partial(&'static str),
    /// Pretends, as named.
    Stub(&'static str),
    /// Gives `ENOSYS`, for the reason named.
    Missing(&'static str),
}

/// One argument of a row.
#[derive(Clone, Copy)]
pub struct Argument {
    /// Its name in the manual page.
    pub name: &'static str,
    /// Shows the raw value at entry.
    pub show: fn(u64, &Task, &mut String),
}

/// One system call.
#[derive(Clone, Copy)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Its number on x86-64.
    pub x86_64: Option<u32>,
    /// Its number on arm64.
    pub aarch64: Option<u32>,
    /// Its arguments in order.
    pub arguments: &'static [Argument],
    /// How much of it is there.
    pub support: Support,
    /// Converts the arguments and calls the handler.
    pub call: fn(&mut Task, &[u64; 6]) -> SysResult,
}

macro_rules! number {
    (-) => {
        None
    };
    ($number:literal) => {
        Some($number)
    };
}

macro_rules! support {
    (Full) => {
        Support::Full
    };
    (Partial $why:literal) => {
        Support::Partial($why)
    };
    (Stub $why:literal) => {
        Support::Stub($why)
    };
    (Missing $why:literal) => {
        Support::Missing($why)
    };
}

macro_rules! syscalls {
    ($(
        $name:ident $x86:tt $arm:tt
        $module:ident :: $handler:ident ($($arg:ident: $type:ty),* $(,)?)
        $support:ident $(($why:literal))?;
    )*) => {
        /// All rows, in the order of the source.
        pub static TABLE: &[Row] = &[$(
            Row {
                name: stringify!($name),
                x86_64: number!($x86),
                aarch64: number!($arm),
                arguments: &[$(Argument {
                    name: stringify!($arg),
                    show: <$type as Arg>::show,
                }),*],
                support: support!($support $($why)?),
                call: |task, raw| {
                    // One destructuring per argument: the array has six, no row more.
                    let mut raw = raw.iter().copied();
                    $(let $arg = <$type as Arg>::from_raw(raw.next().unwrap_or(0))?;)*
                    let _ = raw;
                    $module::$handler(task, $($arg),*)
                },
            },
        )*];
    };
}

/// Numbers at and above this have no row on any architecture.
const NUMBERS: usize = 512;

/// Row index + 1 by number; 0: none.
static BY_NUMBER: [u16; NUMBERS] = index();

#[expect(
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "evaluated at compile time, where a mistake is a compile error"
)]
const fn index() -> [u16; NUMBERS] {
    let mut by_number = [0; NUMBERS];
    let mut at = 0;
    while at < TABLE.len() {
        let number = if arch::layout::MACHINE == arch::abi::elf::EM_X86_64 {
            TABLE[at].x86_64
        } else {
            TABLE[at].aarch64
        };
        if let Some(number) = number {
            assert!(by_number[number as usize] == 0, "a number is used twice");
            by_number[number as usize] = at as u16 + 1;
        }
        at += 1;
    }
    by_number
}

/// The row of a number that the program gave; `None` if Linux has no such call.
#[must_use]
pub fn row(nr: u32) -> Option<&'static Row> {
    let index = *BY_NUMBER.get(num::usize_of(nr.into()))?;
    TABLE.get(usize::from(index).checked_sub(1)?)
}

syscalls! {
    // name  x86  arm  handler(argument: type)  support
    getpid 39 172 process::getpid() Full;
}
