//! Entering the kernel: from a number to a handler, from its result to the registers.

use base::Errno;

use super::{RunState, Task};
use crate::signal::{Restart, RestartBlock};
use crate::syscalls::table::{self, Support};
use crate::syscalls::{Outcome, SysErr, SysResult, futex, poll, time};
use crate::trace;

/// A call that a signal interrupted, until it is known whether a handler runs.
#[derive(Debug)]
pub(crate) struct InterruptedCall {
    /// Its number.
    pub(crate) nr: u32,
    /// Its arguments.
    pub(crate) args: [u64; 6],
    /// How it goes on.
    pub(crate) restart: Restart,
}

/// Makes a system call.
pub(super) fn call(task: &mut Task, nr: u32, args: &[u64; 6]) -> RunState {
    task.kernel.count_call();
    let row = table::row(nr);
    let line = task.kernel.trace().map(|sink| {
        let line = match row {
            Some(row) => trace::entry(task, row, args),
            None => trace::unknown(task, nr, args),
        };
        (sink, line)
    });
    let result = match row {
        Some(row) => {
            if let Support::Missing(_) = row.support {
                task.kernel.count_unsupported(row.name);
            }
            (row.call)(task, args)
        }
        None => Err(SysErr::Errno(Errno::ENOSYS)),
    };
    if let Some((sink, mut line)) = line {
        trace::exit(&mut line, &result);
        sink.line(&line);
    }
    finish(task, nr, args, result)
}

/// Goes on with an interrupted call that had a relative timeout.
pub(super) fn rest(task: &mut Task, nr: u32, args: &[u64; 6], block: RestartBlock) -> RunState {
    let result = match block {
        RestartBlock::Sleep { until, remaining } => time::sleep_rest(task, until, remaining),
        RestartBlock::Futex { until } => futex::wait_rest(task, args, until),
        RestartBlock::Poll { until } => poll::poll_rest(task, args, until),
    };
    finish(task, nr, args, result)
}

fn finish(task: &mut Task, nr: u32, args: &[u64; 6], result: SysResult) -> RunState {
    if task.memory.take_starved() {
        task.out_of_memory();
    }
    match result {
        Err(SysErr::Restart(restart)) => {
            task.interrupted_call = Some(InterruptedCall {
                nr,
                args: *args,
                restart,
            });
            return RunState::Run;
        }
        Ok(Outcome::Return(value)) => task.context.get_mut().answer(value),
        Err(SysErr::Errno(errno)) => task.context.get_mut().answer(errno.to_return()),
        Ok(Outcome::Keep) => {}
        Ok(Outcome::Next(state)) => {
            task.restore_mask();
            return state;
        }
    }
    task.restore_mask();
    RunState::Run
}
