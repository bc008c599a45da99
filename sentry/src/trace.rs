//! `--strace`: one line a call, made from the system-call table, in strace's manner.

use std::fmt::{self, Write};

use base::{Errno, Pid};

use crate::syscalls::table::Row;
use crate::syscalls::{Outcome, SysErr, SysResult};
use crate::task::Task;

/// Longest line in bytes; what a program can put into one is bounded by it.
const LINE_MAX: usize = 4096;

/// Where trace lines go; each is one call.
pub trait TraceSink: Send + Sync {
    /// Takes a whole line, without its end.
    fn line(&self, line: &str);
}

/// The entry half of a line: name and arguments as they were before the call.
#[must_use]
pub fn entry(task: &Task, row: &Row, args: &[u64; 6]) -> String {
    let mut line = String::with_capacity(128);
    push_task(&mut line, task.state.tid());
    line.push_str(row.name);
    line.push('(');
    for (index, (argument, raw)) in row.arguments.iter().zip(args).enumerate() {
        if index > 0 {
            line.push_str(", ");
        }
        (argument.show)(*raw, task, &mut line);
    }
    line.push(')');
    truncate(&mut line);
    line
}

/// A call that has no row.
#[must_use]
pub fn unknown(task: &Task, nr: u32, args: &[u64; 6]) -> String {
    let mut line = String::with_capacity(128);
    push_task(&mut line, task.state.tid());
    let _ = write!(line, "syscall_{nr:#x}(");
    for (index, raw) in args.iter().enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        let _ = write!(line, "{comma}{raw:#x}");
    }
    line.push(')');
    line
}

/// Completes a line with the result.
pub fn exit(line: &mut String, result: &SysResult) {
    // Writing to a String cannot fail.
    let _ = match result {
        Ok(Outcome::Return(value)) => match i64::try_from(*value) {
            Ok(small) if small < 0x10_0000 => write!(line, " = {small}"),
            _ => write!(line, " = {value:#x}"),
        },
        Ok(Outcome::Keep) => write!(line, " = 0"),
        Ok(Outcome::Next(state)) => write!(line, " = ? {state:?}"),
        Err(SysErr::Errno(errno)) => write_errno(line, *errno),
        Err(SysErr::Restart(kind)) => write!(line, " = ? {kind:?}"),
    };
}

fn write_errno(line: &mut String, errno: Errno) -> fmt::Result {
    write!(line, " = -1 {errno:?} ({errno})")
}

fn push_task(line: &mut String, tid: Pid) {
    let _ = write!(line, "[{:>5}] ", tid.0);
}

fn truncate(line: &mut String) {
    if line.len() > LINE_MAX {
        line.truncate(line.floor_char_boundary(LINE_MAX));
        line.push_str("...");
    }
}
