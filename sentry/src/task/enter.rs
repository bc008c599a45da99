//! Entering the kernel: from a number to a handler, from its result to the registers.

use arch::abi::prctl::SeccompData;
use arch::abi::siginfo::Sys;
use arch::abi::{SigInfo, Signal};
use arch::current::abi::AUDIT_ARCH;
use base::Errno;

use super::{ExitStatus, RunState, Task};
use crate::seccomp::Verdict;
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
    if task.state.seccomp.mode() != 0
        && let Some(state) = refused(task, nr, args, row.map_or("", |row| row.name))
    {
        if let Some((sink, mut line)) = line {
            line.push_str(" = ? (seccomp)");
            sink.line(&line);
        }
        return state;
    }
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

/// What the program itself forbade: how the task goes on if the call is not made.
fn refused(task: &mut Task, nr: u32, args: &[u64; 6], name: &str) -> Option<RunState> {
    const STRICT: [&str; 4] = ["read", "write", "exit", "rt_sigreturn"];
    if task.state.seccomp.is_strict() {
        let kill = || RunState::Exit(ExitStatus::Killed(Signal::SIGKILL));
        return (!STRICT.contains(&name)).then(kill);
    }
    let Ok(regs) = task.context.get_mut().regs() else {
        return Some(task.lost());
    };
    let ip = regs.ip();
    let data = SeccompData {
        nr: nr.cast_signed(),
        arch: AUDIT_ARCH,
        instruction_pointer: ip.0,
        args: *args,
    };
    match task.state.seccomp.ask(&data) {
        Verdict::Allow => None,
        Verdict::Errno(errno) => {
            task.answer(Errno(errno).to_return());
            Some(RunState::Run)
        }
        Verdict::Trap(reason) => {
            let Ok(regs) = task.context.get_mut().regs() else {
                return Some(task.lost());
            };
            // The registers are those before the call, but behind its instruction.
            regs.rewind_syscall();
            regs.set_ip(ip);
            let sys = Sys {
                call_addr: ip.0,
                syscall: nr.cast_signed(),
                arch: AUDIT_ARCH,
            };
            task.force(SigInfo::seccomp(sys, reason.into()));
            Some(RunState::Run)
        }
        verdict => {
            let status = ExitStatus::Killed(Signal::SIGSYS);
            let mut signals = task.state.group.signals();
            if verdict == Verdict::KillProcess || signals.threads.len() == 1 {
                signals.end(status);
            }
            drop(signals);
            Some(RunState::Exit(status))
        }
    }
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
